"""Colours of videos as a browser shows them: the matrix of untagged ones, HDR and wide gamuts.

HDR is brought to the screen's range in three steps: light relative to the reference white (203
cd/m2, ITU-R BT.2408), primaries of BT.709, and a curve that leaves everything below the shoulder as
it is. Reference white therefore lands at 239 of 255, and highlights above it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

# Code points of ITU-T H.273, as in ffmpeg's frames.
UNSPECIFIED = 2
BT709, BT2020 = 1, 9
P3_DCI, P3_D65 = 11, 12
PQ, HLG = 16, 18
BT2020_NCL, BT2020_CL = 9, 10

HD_HEIGHT = 720  # pixels; browsers take untagged videos of less for BT.601, others for BT.709
REFERENCE_WHITE = 203.0  # cd/m2
HLG_PEAK = 1000.0  # cd/m2, for which HLG's system gamma is 1.2
SHOULDER = 0.6  # linear light; everything below is kept

_TO_BT709 = {  # linear light to that of BT.709's primaries
    BT2020: np.array([
        [1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187],
    ]),
    P3_D65: np.array([
        [1.2249, -0.2247, 0.0], [-0.0420, 1.0419, 0.0], [-0.0197, -0.0786, 1.0979],
    ]),
}  # fmt: skip
_TO_BT709[P3_DCI] = _TO_BT709[P3_D65]


class Tags(NamedTuple):
    """Colour tags of a frame, as code points of ITU-T H.273."""

    matrix: int
    transfer: int
    primaries: int

    @property
    def hdr(self) -> bool:
        return self.transfer in (PQ, HLG)

    @property
    def wide(self) -> bool:
        """True if a frame needs more than the matrix to become sRGB."""
        return self.hdr or self.primaries in _TO_BT709


def matrix(tags: Tags, height: int) -> str:
    """Name of the YUV matrix for ffmpeg's scale filter; "auto" = as tagged, or BT.601."""
    if tags.matrix != UNSPECIFIED:
        return "auto"
    if tags.hdr or tags.primaries == BT2020:
        return "bt2020"
    return "bt709" if height >= HD_HEIGHT or tags.primaries == BT709 else "auto"


def to_srgb(image: np.ndarray, tags: Tags) -> np.ndarray:
    """Convert an image [H, W, 3] uint16 of HDR or of a wide gamut to sRGB, [H, W, 3] uint8."""
    light = _table(tags.transfer)[image]
    primaries = BT2020 if tags.hdr and tags.primaries == UNSPECIFIED else tags.primaries
    if primaries in _TO_BT709:
        light = light @ _TO_BT709[primaries].T.astype(np.float32)
    light = np.maximum(light, 0)
    if tags.hdr:  # as SDR videos are mastered for a display by ITU-R BT.1886
        shown = _shoulder(light) ** (1 / 2.4)
    else:
        shown = _encoded(light.clip(0, 1))
    return (shown.clip(0, 1) * 255 + 0.5).astype(np.uint8)


@lru_cache(4)
def _table(transfer: int) -> np.ndarray:
    """Light of every value of 16 bits, [65536] float32."""
    values = np.arange(65536) / 65535
    curve = {HLG: _hlg, PQ: _pq}.get(transfer, _linear)
    return curve(values).astype(np.float32)


def _hlg(signal: np.ndarray) -> np.ndarray:
    """Displayed light of HLG [..., 3], 1 = reference white (ITU-R BT.2100, table 5).

    The system gamma is applied to each channel: saturated colours then keep the values that they
    have in SDR, from which they are mostly graded.
    """
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    return scene**1.2 * (HLG_PEAK / REFERENCE_WHITE)


def _pq(signal: np.ndarray) -> np.ndarray:
    """Displayed light of PQ [..., 3], 1 = reference white (SMPTE ST 2084)."""
    m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
    power = signal ** (1 / m2)
    light = (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)
    return light * (10000 / REFERENCE_WHITE)


def _shoulder(light: np.ndarray) -> np.ndarray:
    """Compress what is brighter than the shoulder towards 1; the hue stays."""
    peak = light.max(-1, keepdims=True)
    room = 1 - SHOULDER
    shown = SHOULDER + room * (1 - np.exp(-(peak - SHOULDER) / room))
    return np.where(peak > SHOULDER, light * (shown / np.maximum(peak, 1e-6)), light)


def _linear(values: np.ndarray) -> np.ndarray:
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _encoded(light: np.ndarray) -> np.ndarray:
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
