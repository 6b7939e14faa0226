"""Multiview engine of published depth: a network for single images tells the first surface."""
