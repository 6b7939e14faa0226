"""Soft edges of a mask, by closed-form matting (Levin et al. 2008, through pymatting)."""

from __future__ import annotations

import cv2
import numpy as np

from ...kernels.numba.cache import allow_no_folder

BAND = 3  # half the width of the band in which opacity is estimated, pixels
EPSILON = 1e-4  # regularisation of the matting Laplacian; less follows the noise of compression


def estimate_alpha(
    rgb: np.ndarray,  # [h, w, 3] uint8
    mask: np.ndarray,  # [h, w] bool
) -> np.ndarray:
    """Opacity [h, w] float32 in 0..1: the mask, and within BAND of its edge what colours say."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * BAND + 1,) * 2)
    solid = mask.astype(np.uint8)
    inner, outer = cv2.erode(solid, disc) > 0, cv2.dilate(solid, disc) > 0
    if not inner.any() or outer.all():  # a trimap needs pixels of both sides
        return mask.astype(np.float32)
    allow_no_folder()
    from pymatting import estimate_alpha_cf  # compiles for a minute where it is imported first

    trimap = np.where(inner, 1.0, np.where(outer, 0.5, 0.0))
    options = {"epsilon": EPSILON}
    return estimate_alpha_cf(rgb / 255, trimap, laplacian_kwargs=options).astype(np.float32)
