"""4D optimization (paper sections 3.2 to 3.5): from views, points and features to a 4D asset."""
