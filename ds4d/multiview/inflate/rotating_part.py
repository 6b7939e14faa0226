"""A part that turns before a body at rest, such as a windmill's sails: found, and taken apart.

Both share one silhouette, and inflated together they would melt into one. But what turns does so
about one hub at one speed. A fit of such a turn to the clip's optical flow finds it; followed
round, the part keeps its colours, where the body behind it does not, and the other way round.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.ndimage import (
    binary_closing,
    binary_fill_holes,
    binary_opening,
    distance_transform_edt,
    label,
)

FLOW_SIZE = 128  # side of the images in which motion is measured, pixels
MOVES = 0.4  # flow that counts as motion, pixels
LEAST_TURN = 10.0  # over the clip, degrees
AGREE = 0.4  # share of the motion that the turn has to explain
SECTORS, AROUND = 12, 8  # of the circle's sectors, in which it has to be seen turning
STEP = 5  # frames between the pictures that the turn is refined with
UNLIKE = 0.6  # sum of the channels' differences from which on pictures are just different
STAYS = 0.85  # of the frames, in which a point of the part or of the body has to be seen
BACKDROP = 0.5  # grey level around the object
ROUNDS = 2  # of finding the part, then the body behind it
CLOSED = 0.02  # gaps in the part up to this width are closed, fraction of the image


@dataclass(frozen=True)
class Turn:
    """A steady turn in the image."""

    speed: float  # degrees a frame, positive from the x axis to the y axis (clockwise as seen)
    hub: tuple[float, float]  # column and row, fraction of the image


@dataclass(frozen=True)
class Apart:
    """The object of each frame in two: the part before, and the body that goes on behind it."""

    before: np.ndarray  # [T, G, G] bool
    body: np.ndarray  # [T, G, G] bool
    colors: np.ndarray  # [T, G, G, 3] of the body, also where the part hides it


def find(frames: np.ndarray) -> Turn | None:
    """The turn of a part in a clip [T, G, G, 4] in [0, 1]; None where nothing turns."""
    flat = _flattened(frames)
    small = np.stack([_shrunk(image) for image in flat])
    inside = np.stack([_shrunk(alpha) for alpha in frames[..., 3]]) > 0.5
    places, flows = _motion((255 * small).astype(np.uint8), inside)
    if len(places) < FLOW_SIZE:
        return None
    speed, hub, errors = _fitted(places, flows)
    agrees = errors < MOVES * np.linalg.norm(flows, axis=1)
    around = np.arctan2(*(places[agrees] - hub).T[::-1]) / (2 * np.pi) * SECTORS
    sectors = np.bincount(np.floor(around).astype(int) % SECTORS, minlength=SECTORS)
    seen = (sectors > 0.02 * max(len(around), 1)).sum()
    turned = abs(np.degrees(speed)) * len(frames)
    if agrees.mean() < AGREE or seen < AROUND or turned < LEAST_TURN:
        return None
    rough = Turn(float(np.degrees(speed)), tuple((hub + 0.5) / FLOW_SIZE))
    return _refined(rough, small)


def take_apart(frames: np.ndarray, turn: Turn) -> Apart | None:
    """The turning part and the body of each frame; None where no part comes out."""
    flat, inside = _flattened(frames), frames[..., 3] > 0.5
    times = range(len(frames))
    followed = np.stack([_turned(image, turn, -t) for t, image in enumerate(flat)])
    covered = np.mean([_turned(mask, turn, -t) for t, mask in enumerate(inside)], 0) > STAYS
    as_part = np.abs(followed - np.median(followed, 0)).mean((0, -1))
    before = np.zeros(inside.shape, bool)
    for _ in range(ROUNDS):
        # Which explains the pictures better at the places that a point of the part goes through?
        unlike = np.abs(flat - _median_where(~before, flat)).mean(-1)
        as_body = np.mean([_turned(image, turn, -t) for t, image in enumerate(unlike)], 0)
        part = _joined((as_part < as_body) & covered)
        before = np.stack([_turned(part, turn, t) > 0.5 for t in times]) & inside
    away = np.stack([cv2.dilate(mask.astype(np.uint8), _disc(len(mask))) == 0 for mask in before])
    bare = inside & away  # not the rim of the part, which the part just misses
    seen = _joined(bare.sum(0) > np.maximum(0.5 * away.sum(0), (1 - STAYS) * len(frames)))
    if not before.any() or not seen.any():
        return None
    # What is always covered is the body, but for where the part hardly leaves its place.
    width = distance_transform_edt(part).max()
    rests = seen | _opened(inside.all(0), width)
    # What is neither goes to the nearer one.
    to_body = distance_transform_edt(~rests)
    nearer = np.stack([distance_transform_edt(~mask) < to_body for mask in before])
    before |= inside & ~rests & nearer
    body = (inside & ~before) | (before & binary_fill_holes(rests))
    rgb = frames[..., :3]
    return Apart(before, body, np.where((before & body)[..., None], _behind(rgb, bare), rgb))


def _flattened(frames: np.ndarray) -> np.ndarray:
    return frames[..., :3] * frames[..., 3:] + BACKDROP * (1 - frames[..., 3:])


def _shrunk(image: np.ndarray) -> np.ndarray:
    return cv2.resize(image, (FLOW_SIZE, FLOW_SIZE), interpolation=cv2.INTER_AREA)


def _motion(images: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the object moves from one frame to the next, and how: [N, 2] and [N, 2], pixels."""
    method = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images]
    places, flows = [np.zeros((0, 2))], [np.zeros((0, 2))]
    for before, after, mask in zip(grey, grey[1:], inside, strict=False):
        flow = method.calc(before, after, None)
        rows, columns = np.nonzero(mask & (np.linalg.norm(flow, axis=-1) > MOVES))
        places.append(np.stack([columns, rows], 1).astype(float))
        flows.append(flow[rows, columns].astype(float))
    return np.concatenate(places), np.concatenate(flows)


def _fitted(places: np.ndarray, flows: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """The turn that most of the motion [N, 2] follows: radians a frame, hub [2], errors [N].

    The flow of a turn, speed * (-(y - hub y), x - hub x), is linear in speed and speed * hub;
    least squares, reweighted for outliers (Cauchy).
    """
    ones, zeros = np.ones(len(places)), np.zeros(len(places))
    system = np.stack([
        np.stack([-places[:, 1], ones, zeros], 1), np.stack([places[:, 0], zeros, ones], 1)
    ], 1)  # [N, 2, 3]  # fmt: skip
    weight = ones
    for _ in range(15):
        weighted = system * weight[:, None, None]
        normal = np.einsum("nij,nik->jk", weighted, system) + 1e-9 * np.eye(3)
        solution = np.linalg.solve(normal, np.einsum("nij,ni->j", weighted, flows))
        errors = np.linalg.norm(system @ solution - flows, axis=1)
        weight = 1 / (1 + (errors / MOVES) ** 2)
    speed = solution[0] if abs(solution[0]) > 1e-9 else 1e-9
    return float(speed), np.array([-solution[2], solution[1]]) / speed, errors


def _refined(turn: Turn, images: np.ndarray) -> Turn:
    """The turn after which pictures STEP frames apart are most alike, by small changes."""
    pairs = list(zip(images, images[STEP:], strict=False))[:: max(1, len(images) // 8)]
    rest = [np.abs(a - b).sum(-1) for a, b in pairs]  # the body explains it, too

    def unlike(speed: float, x: float, y: float) -> float:
        guess = Turn(speed, (x, y))
        turned = [np.abs(_turned(a, guess, STEP) - b).sum(-1) for a, b in pairs]
        return float(np.minimum(np.minimum(turned, rest), UNLIKE).sum())

    best = np.array([turn.speed, *turn.hub])
    if not pairs:
        return turn
    least = unlike(*best)
    for scale in (2.0, 1.0, 0.5, 0.25, 0.1):
        for _ in range(3):
            for axis, step in enumerate((0.25 * abs(turn.speed), 0.01, 0.01)):
                for sign in (-1, 1):
                    there = best + sign * scale * step * np.eye(3)[axis]
                    error = unlike(*there)
                    if error < least:
                        best, least = there, error
    return Turn(float(best[0]), (float(best[1]), float(best[2])))


def _turned(image: np.ndarray, turn: Turn, frames: float) -> np.ndarray:
    """An image [G, G, ...] turned on by a number of frames, float32."""
    size = len(image)
    x, y = (size * place - 0.5 for place in turn.hub)
    matrix = cv2.getRotationMatrix2D((x, y), -turn.speed * frames, 1.0)
    return cv2.warpAffine(
        image.astype(np.float32), matrix, (size, size), borderMode=cv2.BORDER_REPLICATE
    )


def _joined(part: np.ndarray) -> np.ndarray:
    """A mask [G, G] without specks and gaps."""
    smooth = binary_opening(part, iterations=max(1, len(part) // 128))
    part = binary_closing(smooth, _disc(len(part)) > 0)
    pieces, _ = label(part)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return binary_fill_holes((sizes > 0.15 * sizes.max())[pieces] & part)


def _disc(size: int) -> np.ndarray:
    """As wide as the gaps that are closed in an image of `size` pixels, uint8."""
    reach = max(1, round(CLOSED * size / 2))
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))


def _opened(mask: np.ndarray, radius: float) -> np.ndarray:
    """The discs of a radius in pixels that fit into a mask [G, G]."""
    middles = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1] > radius
    return distance_transform_edt(~middles) <= radius if middles.any() else middles


def _behind(colors: np.ndarray, bare: np.ndarray) -> np.ndarray:
    """The body's colours [G, G, 3]: seen where and when it is bare, else those of the nearest."""
    nearest = distance_transform_edt(~bare.any(0), return_distances=False, return_indices=True)
    return _median_where(bare, colors)[tuple(nearest)]


def _median_where(mask: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Median [G, G, 3] of the frames [T, G, G, 3] in which a pixel counts, of all where none."""
    mask = mask | ~mask.any(0)
    order = np.where(mask[..., None], images, np.inf)
    order.sort(0)
    middle = ((mask.sum(0) - 1) // 2)[None, ..., None]
    return np.take_along_axis(order, np.broadcast_to(middle, (1, *images.shape[1:])), 0)[0]
