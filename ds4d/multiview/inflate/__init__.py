"""Multiview engine without any network: inflation of the front view's silhouette."""
