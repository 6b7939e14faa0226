"""DS4D: a short clip of one moving object in, a 4D Gaussian asset and turntable videos out."""

import os

# Idle OpenMP threads wait a fifth of a millisecond for the next piece of a step, and then sleep.
# With no wait at all every piece begins late, and with a long one two pools (torch's and numba's)
# take the cores from each other: where anything else runs too, steps become ten times slower.
# The variables are read once, when the first library that uses OpenMP is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

__version__ = "0.1.0"
