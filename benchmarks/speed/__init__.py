"""Speed of rasterizers, training steps and whole runs: see __main__.py."""
