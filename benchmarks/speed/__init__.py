"""How fast everything is, and how its cost grows: see __main__.py."""
