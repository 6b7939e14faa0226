"""Frames in between by dense optical flow.

Flow is computed both ways (DIS, Kroeger et al. 2016) and carried to the moment in between (Baker et
al., "A Database and Evaluation Methodology for Optical Flow", 2011, section 3.3.2). Both frames are
warped there, colours premultiplied by the matte, and blended; a pixel whose forward and backward
flow disagree is hidden in the other frame, so it counts less.
"""

from __future__ import annotations

import cv2
import numpy as np

from ..run.events import Stage
from .frames import backdrop, filled_in, premultiplied, straight

FLOW_SIZE = 512  # pixels; side at which flow is computed: thin limbs need more than their own
CONSISTENT = 1.5  # pixels by which both flows may disagree at a visible pixel
LEAST_VISIBLE = 0.02  # weight of hidden pixels, which fill what neither frame shows
COLOR_FALLOFF = 20.0  # of a flow's weight, per unit of colour difference at its ends in [0, 1]
COVERED = 0.02  # opacity from which on a pixel's flow is used


def run(frames: np.ndarray, factor: int) -> Stage[np.ndarray]:
    """Make factor - 1 frames between each two of [T, S, S, 4] uint8, as `filled_in` does."""
    return filled_in(frames, factor, between)


def between(first: np.ndarray, second: np.ndarray, shares: list[float]) -> list[np.ndarray]:
    """Frames at shares in (0, 1) of the time from one frame to the next, all [S, S, 4] uint8."""
    ends = premultiplied(first), premultiplied(second)
    forward, backward = flows(*ends)
    seen = visible(forward, backward), visible(backward, forward)
    layers = [np.dstack(layer) for layer in zip(ends, seen, strict=True)]
    frames = []
    for share in shares:
        flow = _flow_at(share, ends, (forward, backward), seen)
        start, end = warped(layers[0], -share * flow), warped(layers[1], (1 - share) * flow)
        weights = (
            (1 - share) * (start[..., 4:] + LEAST_VISIBLE),
            share * (end[..., 4:] + LEAST_VISIBLE),
        )
        blended = weights[0] * start[..., :4] + weights[1] * end[..., :4]
        frames.append(straight(blended / (weights[0] + weights[1])))
    return frames


def flows(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Flow from each premultiplied frame [S, S, 4] to the other, [S, S, 2] pixels (x, y).

    The flow sees the object's brightness in front of black or white, whichever contrasts more.
    """
    size, behind = len(first), backdrop(first)
    grey = [_grey(frame, background=behind) for frame in (first, second)]
    method = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    scale = size / FLOW_SIZE

    def flow(here: np.ndarray, there: np.ndarray) -> np.ndarray:
        found = method.calc(here, there, None)
        return scale * cv2.resize(found, (size, size), interpolation=cv2.INTER_AREA)

    return flow(*grey), flow(*grey[::-1])


def _grey(frame: np.ndarray, background: float) -> np.ndarray:
    """Brightness of a premultiplied frame over a background, [FLOW_SIZE, FLOW_SIZE] uint8."""
    brightness = frame[..., :3] @ np.float32([0.299, 0.587, 0.114])
    image = 255 * (brightness + (1 - frame[..., 3]) * background)
    large = cv2.resize(image, (FLOW_SIZE, FLOW_SIZE), interpolation=cv2.INTER_CUBIC)
    return large.clip(0, 255).astype(np.uint8)


def _disagreement(there: np.ndarray, back: np.ndarray) -> np.ndarray:
    """Distance [S, S] from each pixel to where both flows lead it, pixels."""
    return np.linalg.norm(there + warped(back, there), axis=-1)


def visible(there: np.ndarray, back: np.ndarray) -> np.ndarray:
    """Visibility [S, S] in (0, 1] of each pixel in the other frame, by consistency of the flows."""
    return 1 / (1 + (_disagreement(there, back) / CONSISTENT) ** 4)


def _flow_at(
    share: float,
    ends: tuple[np.ndarray, np.ndarray],  # premultiplied frames, [S, S, 4]
    flows: tuple[np.ndarray, np.ndarray],  # from each frame to the other, [S, S, 2]
    visible: tuple[np.ndarray, np.ndarray],  # [S, S]
) -> np.ndarray:
    """Motion [S, S, 2] from the first to the second frame of what is at each pixel in between.

    The object's pixels carry their flow there. Those that keep their colour and are visible in both
    frames count most; where none arrives, the motion is that of pixels nearby.
    """
    pixels = _pixels(len(ends[0]))
    sums = np.zeros((*pixels.shape[:2], 3))
    for here, (passed, sign) in enumerate(((share, 1), (1 - share, -1))):
        frame, other, flow = ends[here], ends[1 - here], flows[here]
        difference = np.abs(frame - warped(other, flow)).mean(-1)
        weight = np.exp(-COLOR_FALLOFF * difference) * visible[here] + 1e-4
        covered = frame[..., 3] > COVERED
        arrived = pixels[covered] + passed * flow[covered]
        sums += _splatted(sign * flow[covered], arrived, weight[covered], len(frame))
    return _filled(sums.astype(np.float32))


def _splatted(
    values: np.ndarray,  # [N, C]
    points: np.ndarray,  # [N, 2] x, y
    weights: np.ndarray,  # [N]
    size: int,
) -> np.ndarray:
    """Sums [S, S, C + 1] of weighted values, and of weights, over the four pixels at each point."""
    corner = np.floor(points).astype(int)
    part = points - corner
    columns = np.column_stack([values, np.ones(len(values))]) * weights[:, None]
    sums = np.zeros((size * size, columns.shape[1]))
    for right, below in ((0, 0), (1, 0), (0, 1), (1, 1)):
        x, y = corner[:, 0] + right, corner[:, 1] + below
        share = np.abs(1 - right - part[:, 0]) * np.abs(1 - below - part[:, 1])
        inside = (x >= 0) & (x < size) & (y >= 0) & (y < size)
        index = y[inside] * size + x[inside]
        for channel in range(columns.shape[1]):
            amount = share[inside] * columns[inside, channel]
            sums[:, channel] += np.bincount(index, amount, size * size)
    return sums.reshape(size, size, -1)


def _filled(sums: np.ndarray) -> np.ndarray:
    """Means [S, S, C] of sums and weights [S, S, C + 1]; of those nearby where the weight is 0."""
    weight = np.minimum(sums[..., -1:], 1)
    levels = [(sums[..., :-1] * weight / np.maximum(sums[..., -1:], 1e-6), weight)]
    while min(weight.shape[:2]) > 1:
        smaller = (weight.shape[1] // 2, weight.shape[0] // 2)
        value, weight = (cv2.resize(part, smaller, interpolation=cv2.INTER_AREA)
                         for part in levels[-1])  # fmt: skip
        full = np.minimum(4 * weight, 1)[..., None]
        levels.append((value * full / np.maximum(weight, 1e-9)[..., None], full))
        weight = full
    value, weight = levels.pop()
    result = value / np.maximum(weight, 1e-9)
    for value, weight in reversed(levels):
        wider = cv2.resize(result, value.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        result = value + (1 - weight) * wider
    return result


def warped(image: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """The image [S, S, C] sampled at each pixel plus its offset [S, S, 2]; 0 outside."""
    at = _pixels(len(image)) + offsets
    return cv2.remap(
        image, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT
    )


def _pixels(size: int) -> np.ndarray:
    """Positions (x, y) of all pixels, [S, S, 2] float32."""
    return np.stack(np.meshgrid(*[np.arange(size, dtype=np.float32)] * 2), -1)
