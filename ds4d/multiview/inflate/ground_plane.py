"""Slant of the object, estimated from its contacts with the ground.

A silhouette contains no depth, but a level camera sees farther points of the ground higher in the
image. Feet that touch the ground anywhere in a clip therefore determine whether the object stands
parallel to the image or at a slant.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Parameters of the likelihood and the prior, chosen on the bundled and the ground-truth clips.
PRIOR_SLOPE = 0.55  # standard deviation of the slope of filmed objects, depth per unit of width
MAX_SLOPE = 1.2  # depth per unit of width
ASYMMETRY = 0.3  # of the silhouettes, from which on the prior has its full width
FOOT = 0.09  # width of a foot, fraction of the image: contacts farther apart are different feet
STANCE = 0.05  # standard deviation of a foot's depth around the mid-surface, world units
NOISE = 1.5 / 256  # standard deviation of a foot's lowest point, fraction of the image
TOUCHING = 0.3  # probability that a lowest point is on the ground; the others are in the air
BELOW = 0.02  # likelihood of a point below the ground relative to one in the air
BINS = 32  # across the image: points of one bin are correlated, so their weight is limited
BIN_WEIGHT = 3.0  # independent points that a bin counts for at most
NEIGHBOURHOOD = 1 / 40  # fraction of the image within which a lowest point is the lowest


@dataclass(frozen=True)
class Slant:
    """Vertical plane: depth beyond the camera's target = slope * (x - centre)."""

    slope: float  # depth per unit of width; positive: the right side is farther away
    centre: float  # x of the plane's point at the target's depth, world units
    confidence: float  # in [0, 1]; the factor by which the slope is already shrunk
    ground: float = 0.0  # camera height above the ground, relative to its distance; 0 = unknown

    def depths(self, size: int, focal: float, radius: float) -> np.ndarray:
        """Depth at which the ray of each image column meets the plane, [size] world units.

        For a level camera at a distance `radius` from its target, `focal` in pixels.
        """
        tangents = (np.arange(size) + 0.5 - size / 2) / focal
        return (radius - self.slope * self.centre) / (1 - self.slope * tangents)


def lowest_points(alphas: np.ndarray) -> np.ndarray:
    """Local minima of the lower outline in every frame: the feet, and other parts in the air.

    Args:
        alphas: [T, S, S] in [0, 1].

    Returns:
        [M, 3] rows of (frame, column, row), pixels; rows to a fraction of a pixel.
    """
    size = alphas.shape[1]
    reach = max(2, int(NEIGHBOURHOOD * size))
    inside = alphas > 0.5
    bottom = size - 1 - inside[:, ::-1].argmax(1)  # [T, S] last row inside, per column
    inner = np.take_along_axis(alphas, bottom[:, None], 1)[:, 0]
    below = np.take_along_axis(alphas, np.minimum(bottom + 1, size - 1)[:, None], 1)[:, 0]
    crossing = (inner - 0.5) / np.maximum(inner - below, 1e-3)
    height = np.where(inside.any(1), bottom + 0.5 + np.clip(crossing, 0, 1), -np.inf)
    padded = np.pad(height, ((0, 0), (reach, reach)), constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, axis=1)
    # The bottom edge of the image is not the ground: parts that reach it are cropped there.
    lowest = np.isfinite(height) & (height >= windows.max(-1)) & (bottom < size - 1)
    frame, column = np.nonzero(lowest)
    return np.stack([frame, column + 0.5, height[lowest]], 1)


def estimate_slant(
    alphas: np.ndarray,  # [T, S, S] in [0, 1]
    focal: float,  # pixels
    radius: float,  # distance of the camera to its target, world units
) -> Slant:
    """Estimate the slant of the object's mid-surface over the whole clip.

    For a level camera, the ground points of the plane depth = slope * x lie on the image line
    row = level * (1 - slope * column / focal), both counted from the principal point. The
    posterior over (slope, level) is evaluated on a grid: every lowest point is either on that line
    or in the air above it, hardly ever below it. Feet stand somewhat in front of or behind the
    mid-surface, which matters the more the closer together they are. The posterior mean is
    therefore shrunk towards zero: few or scattered contacts leave no slant.
    """
    size = alphas.shape[1]
    columns = np.flatnonzero((alphas > 0.5).any((0, 1)))
    if len(columns) == 0:
        return Slant(0.0, 0.0, 0.0)
    centre = float((columns[0] + columns[-1] + 1 - size) / 2 * radius / focal)
    points = lowest_points(alphas)
    if len(points) == 0:
        return Slant(0.0, centre, 0.0)
    bins = (points[:, 1] * BINS // size).astype(int)
    crowd = np.bincount(bins)[bins]
    weight = np.minimum(crowd, BIN_WEIGHT) / crowd
    u, v = points[:, 1] - size / 2, points[:, 2] - size / 2
    posterior = _ground_posterior(u, v, weight, focal, size)
    stance = STANCE * _elongation(alphas) / (posterior.spread * radius / focal)
    variance = posterior.variance + stance**2 / max(posterior.feet - 1, 0.1)
    prior = PRIOR_SLOPE**2 * np.clip((1 - _symmetry(alphas)) / ASYMMETRY, 0.1, 1) ** 2
    confidence = prior / (prior + variance)
    slope = posterior.slope * confidence
    row = posterior.level * (1 - posterior.slope * posterior.middle / focal)
    ground = row / (1 - slope * posterior.middle / focal) / focal
    return Slant(slope, centre, confidence, ground)


def _elongation(alphas: np.ndarray) -> float:
    """Horizontal by vertical variance of the silhouettes [T, S, S], clipped to [0.5, 1.5].

    Feet deviate more from the mid-surface under a long body than under an upright one: an upright
    figure's feet are side by side as its shoulders are, a long body seen from the side has left
    and right ones.
    """
    rows, columns = (_variance(alphas.sum(axes)) for axes in ((0, 2), (0, 1)))
    return float(np.clip(columns / max(rows, 1e-9), 0.5, 1.5))


def _symmetry(alphas: np.ndarray) -> float:
    """Similarity of the mean silhouette [T, S, S] to its mirror image, in [0, 1].

    Objects that face the camera are often symmetric; seen at an angle, few are.
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
    """Variance of a one-dimensional distribution, pixels squared."""
    position = np.arange(len(weight))
    return weight @ (position - weight @ position / weight.sum()) ** 2 / weight.sum()


@dataclass(frozen=True)
class _GroundLine:
    """Posterior of the image line row = level * (1 - slope * column / focal), in pixels."""

    slope: float  # posterior mean
    variance: float  # of the slope
    level: float  # at the mode of the posterior, as are the next two
    middle: float  # mean column of the contacts on the ground
    spread: float  # standard deviation of their columns
    feet: float  # number of separate contacts


def _ground_posterior(
    u: np.ndarray,  # [M] columns from the principal point, pixels
    v: np.ndarray,  # [M] rows
    weight: np.ndarray,  # [M]
    focal: float,  # pixels
    size: int,  # pixels
) -> _GroundLine:
    """Evaluate the posterior over ground lines on a grid."""
    slopes = np.linspace(-MAX_SLOPE, MAX_SLOPE, 81)
    levels = np.linspace(0.1, 0.5, 206) * size  # the ground is below the camera, inside the image
    noise = NOISE * size
    log_likelihood = np.empty((len(slopes), len(levels)))
    for i, slope in enumerate(slopes):
        below = v - levels[:, None] * (1 - slope * u / focal)
        on_ground = np.exp(-0.5 * (below / noise) ** 2) / (noise * np.sqrt(2 * np.pi))
        elsewhere = np.where(below < 0, 1.0, BELOW) / (0.25 * size)
        density = TOUCHING * on_ground + (1 - TOUCHING) * elsewhere
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
    feet = _count_feet(np.sort(u[np.abs(below) < 2 * noise]), FOOT * size)
    return _GroundLine(
        mean, variance, float(levels[j]), float(middle), max(float(spread), 1.0), feet
    )


def _count_feet(columns: np.ndarray, width: float) -> float:
    """Number of feet of a given width that cover sorted columns, at least one per cluster."""
    if len(columns) == 0:
        return 0.0
    clusters = np.split(columns, np.flatnonzero(np.diff(columns) > width / 2) + 1)
    return float(sum(max(1.0, np.ptp(cluster) / width) for cluster in clusters))
