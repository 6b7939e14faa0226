"""Videos of a 4D asset: turntables, camera paths, comparison with the input."""
