"""DS4D: a short clip of one moving object in, a 4D Gaussian asset and turntable videos out."""

import os

# Idle OpenMP threads sleep instead of spinning. Steps are short and two pools (torch's and numba's)
# take turns on few cores: where anything else runs too, spinning makes a step ten times slower.
# The variable is read once, when the first library that uses OpenMP is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"
