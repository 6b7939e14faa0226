"""Constants of 3D Gaussian splatting that the kernels of all devices share."""

from __future__ import annotations

import math

NEAR, FAR = 0.01, 1e10  # visible depths, world units
BLUR = 0.3  # px^2, added to the diagonal of the projected covariance
MIN_COMPENSATION = 0.005  # of the opacity, when antialiased
MIN_ALPHA = 1 / 255  # less is not drawn
MAX_ALPHA = 0.99
MIN_TRANSMITTANCE = 1e-4  # a pixel is finished before its transmittance falls to this
MIN_WEIGHT = 1e-10  # alpha that the depth is divided by
HALF_LOG2E = 0.5 * math.log2(math.e)  # p^2 + q^2 = HALF_LOG2E * squared Mahalanobis distance
