"""Clip stage: a video, an animated image or a folder of images -> sampled frames."""

from .clip import Clip, load, save
from .crop import cut_out, named_frames, resized, square
from .sampling import read
from .sources import read_image
from .video import write_video

__all__ = [
    "Clip", "cut_out", "load", "named_frames", "read", "read_image", "resized", "save", "square",
    "write_video",
]  # fmt: skip
