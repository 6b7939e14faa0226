"""DS4D: a short clip of one moving object in, a 4D Gaussian asset and turntable videos out."""

__version__ = "0.1.0"
