"""Six views of each frame by Zero123++."""
