"""Views by L4GM: one network reconstructs Gaussians of all frames, which are then rendered."""
