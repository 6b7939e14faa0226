"""Preflight reports on uploaded clips, made in processes with limits."""
