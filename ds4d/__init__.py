"""DS4D: a short clip of one moving object in, a 4D Gaussian asset and turntable videos out."""

import os

# Idle OpenMP threads wait a fifth of a millisecond for more work, and then sleep. With no wait at
# all, every parallel region begins late; with a long one, the two pools (torch's and numba's) take
# the cores from each other, and steps become ten times slower on a busy machine. This is the only
# work done on import, and it has to be: the variables are read once, when the first library that
# uses OpenMP is loaded, and every module of the package loads one. A user's own values are kept.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

__version__ = "0.1.0"
