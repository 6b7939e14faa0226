"""Where an object's parts stand in depth, judged from its contacts with the floor.

A silhouette says nothing about depth, but the floor does: under a level camera the image height
of a point on the floor tells its distance. Feet that touch the floor anywhere along a clip thus
tell whether the object stands parallel to the image or at a slant, and a vertical plane through
its centre follows that slant.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

PRIOR_SLOPE = 0.55  # slopes of objects as people film them: standard deviation around no slant
STEEPEST = 1.2  # largest slope that is considered, depth per unit of width
LOPSIDED = 0.3  # asymmetry of silhouettes from which on any slant is as likely
FOOT = 0.09  # contacts this far apart are different feet, fraction of the image
STANCE = 0.05  # how far before or behind the middle a foot stands, world units
NOISE = 1.5 / 256  # how far off the lowest point of a foot is, fraction of the image
TOUCHING = 0.3  # chance that a lowest point is on the floor; the others are in the air
BELOW = 0.02  # how much rarer a point below the floor is than one in the air
BINS = 32  # across the image: points of one bin are one piece of evidence, of limited weight
BIN_WEIGHT = 3.0  # as much as this many points that are independent


@dataclass(frozen=True)
class Slant:
    """A vertical plane: depth beyond the camera's target = slope * (x - centre)."""

    slope: float  # depth per unit of width; positive: the right side is farther away
    centre: float  # x of the plane's point at the target's depth, world units
    confidence: float  # in [0, 1]; the slope is already shrunk by it
    floor: float = 0.0  # height of the camera above the floor, in its distances; 0 = not known

    def depths(self, size: int, focal: float, radius: float) -> np.ndarray:
        """Depth along the optical axis, [size]: where the rays of each column meet the plane.

        The camera is level, `radius` from its target, with a focal length in pixels.
        """
        tangents = (np.arange(size) + 0.5 - size / 2) / focal
        return (radius - self.slope * self.centre) / (1 - self.slope * tangents)


def contact_candidates(
    alphas: np.ndarray,  # [T, S, S] in [0, 1]
    reach: int,  # a candidate is lowest among this many columns on either side
) -> np.ndarray:
    """Lowest points of the limbs in every frame: [M, 3] rows of (frame, column, row), pixels.

    Rows are measured to a fraction of a pixel from the alpha's slope.
    """
    size = alphas.shape[1]
    inside = alphas > 0.5
    bottom = size - 1 - inside[:, ::-1].argmax(1)  # [T, S] last row inside, per column
    inner = np.take_along_axis(alphas, bottom[:, None], 1)[:, 0]
    below = np.take_along_axis(alphas, np.minimum(bottom + 1, size - 1)[:, None], 1)[:, 0]
    crossing = (inner - 0.5) / np.maximum(inner - below, 1e-3)
    height = np.where(inside.any(1), bottom + 0.5 + np.clip(crossing, 0, 1), -np.inf)
    padded = np.pad(height, ((0, 0), (reach, reach)), constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, axis=1)
    # The frame's own bottom edge is no floor: what reaches it is cut off there.
    lowest = np.isfinite(height) & (height >= windows.max(-1)) & (bottom < size - 1)
    frame, column = np.nonzero(lowest)
    return np.stack([frame, column + 0.5, height[lowest]], 1)


def estimate_slant(
    alphas: np.ndarray,  # [T, S, S] in [0, 1]
    focal: float,  # pixels
    radius: float,  # distance of the camera to its target, world units
) -> Slant:
    """The slant of the object's middle surface over the whole clip.

    With a level camera, the floor points of the plane depth = slope * x lie on the image line
    row = level * (1 - slope * column / focal), both counted from the principal point. The
    posterior over (slope, level) is evaluated on a grid: every lowest point of a limb is either on
    that line or in the air above it, hardly ever below it. Feet stand somewhat before or behind
    the middle, which matters the more the closer together they are. The posterior mean is thus
    shrunk towards zero: few contacts, or scattered ones, leave no slant.
    """
    size = alphas.shape[1]
    columns = np.flatnonzero((alphas > 0.5).any((0, 1)))
    if len(columns) == 0:
        return Slant(0.0, 0.0, 0.0)
    centre = float((columns[0] + columns[-1] + 1 - size) / 2 * radius / focal)
    points = contact_candidates(alphas, max(2, size // 40))
    if len(points) == 0:
        return Slant(0.0, centre, 0.0)
    bins = (points[:, 1] * BINS // size).astype(int)
    crowd = np.bincount(bins)[bins]
    weight = np.minimum(crowd, BIN_WEIGHT) / crowd
    u, v = points[:, 1] - size / 2, points[:, 2] - size / 2
    posterior = _floor_posterior(u, v, weight, focal, size)
    stance = STANCE * _across(alphas) / (posterior.spread * radius / focal)
    variance = posterior.variance + stance**2 / max(posterior.feet - 1, 0.1)
    prior = PRIOR_SLOPE**2 * np.clip((1 - _symmetry(alphas)) / LOPSIDED, 0.1, 1) ** 2
    confidence = prior / (prior + variance)
    slope = posterior.slope * confidence
    row = posterior.level * (1 - posterior.slope * posterior.middle / focal)
    floor = row / (1 - slope * posterior.middle / focal) / focal
    return Slant(slope, centre, confidence, floor)


def _across(alphas: np.ndarray) -> float:
    """How much feet stand before and behind the middle: more under a long body than an upright one.

    An upright figure's feet are side by side as its shoulders are. A long body seen from the side
    has its left and its right ones, and where there are just two, they tell nothing else.
    """
    rows, columns = (_variance(alphas.sum(axes)) for axes in ((0, 2), (0, 1)))
    return float(np.clip(columns / max(rows, 1e-9), 0.5, 1.5))


def _symmetry(alphas: np.ndarray) -> float:
    """How alike the silhouettes [T, S, S] and their mirror images are over the clip, in [0, 1].

    What faces the camera is symmetric; turned by an angle, few things are.
    """
    mean = alphas.mean(0)
    columns = np.flatnonzero(mean.max(0) > 0.5 * mean.max())
    best, size = 0.0, len(mean)
    for middle in range(columns[0] + len(columns) // 4, columns[-1] - len(columns) // 4 + 1):
        reach = min(middle, size - 1 - middle)
        left, right = mean[:, middle - reach : middle], mean[:, middle + reach : middle : -1]
        overlap = 2 * np.minimum(left, right).sum() + mean[:, middle].sum()
        best = max(best, overlap / (2 * mean.sum() - overlap))
    return float(best)


def _variance(weight: np.ndarray) -> float:
    """Of the places of a one-dimensional distribution, pixels squared."""
    at = np.arange(len(weight))
    return weight @ (at - weight @ at / weight.sum()) ** 2 / weight.sum()


@dataclass(frozen=True)
class _Floor:
    """What the contacts say: the line row = level * (1 - slope * column / focal), in pixels."""

    slope: float  # mean of the posterior
    variance: float  # of the slope
    level: float  # at the posterior's peak, as are the next two
    middle: float  # mean column of the contacts on the floor
    spread: float  # standard deviation of their columns
    feet: float  # how many separate places of the floor are touched


def _floor_posterior(
    u: np.ndarray,  # [M] columns from the principal point, pixels
    v: np.ndarray,  # [M] rows
    weight: np.ndarray,  # [M]
    focal: float,  # pixels
    size: int,  # pixels
) -> _Floor:
    """The posterior over the floor's lines, on a grid."""
    slopes = np.linspace(-STEEPEST, STEEPEST, 81)
    levels = np.linspace(0.1, 0.5, 206) * size  # the floor is below the camera, inside the image
    noise = NOISE * size
    log_likelihood = np.empty((len(slopes), len(levels)))
    for i, slope in enumerate(slopes):
        below = v - levels[:, None] * (1 - slope * u / focal)
        on_floor = np.exp(-0.5 * (below / noise) ** 2) / (noise * np.sqrt(2 * np.pi))
        elsewhere = np.where(below < 0, 1.0, BELOW) / (0.25 * size)
        density = TOUCHING * on_floor + (1 - TOUCHING) * elsewhere
        log_likelihood[i] = np.log(density) @ weight
    posterior = np.exp(log_likelihood - log_likelihood.max())
    posterior /= posterior.sum()
    by_slope = posterior.sum(1)
    mean = float(by_slope @ slopes)
    variance = float(by_slope @ (slopes - mean) ** 2)
    i, j = np.unravel_index(posterior.argmax(), posterior.shape)
    below = v - levels[j] * (1 - slopes[i] * u / focal)
    weight = weight * np.exp(-0.5 * (below / noise) ** 2) + 1e-9
    middle = (weight @ u) / weight.sum()
    spread = np.sqrt(weight @ (u - middle) ** 2 / weight.sum())
    feet = _places(np.sort(u[np.abs(below) < 2 * noise]), FOOT * size)
    return _Floor(mean, variance, float(levels[j]), float(middle), max(float(spread), 1.0), feet)


def _places(columns: np.ndarray, width: float) -> float:
    """How many feet of a width would cover sorted columns, at least one for each cluster."""
    if len(columns) == 0:
        return 0.0
    clusters = np.split(columns, np.flatnonzero(np.diff(columns) > width / 2) + 1)
    return float(sum(max(1.0, np.ptp(cluster) / width) for cluster in clusters))
