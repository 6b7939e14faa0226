"""The bundled clips, and the animated objects and the renderer that made them."""
