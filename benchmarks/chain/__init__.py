"""Seconds of the whole chain, from a clip to videos and exports, stage by stage."""
