"""The method (paper sections 3.2 to 3.5): views, points and features in, a 4D asset out."""
