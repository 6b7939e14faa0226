"""The bundled objects: each module's `parts(time)` describes its object at one moment."""
