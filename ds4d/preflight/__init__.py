"""Checks before a run: the path of the clip, all numbers in the settings, and the clip itself."""
