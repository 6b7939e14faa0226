"""A network that tells depth and hidden colours of one object from a clip of its front view."""
