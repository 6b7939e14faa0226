"""The bundled clips, and the scenes and the renderer that made them."""
