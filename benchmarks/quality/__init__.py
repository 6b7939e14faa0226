"""Held-out quality on ground truth: configurations, cases and kinds of views, each with each."""
