"""The kernel that projects Gaussians to ellipses on the image, and its geometry.

Everything is float32; determinants are sums of squares, so elongated Gaussians lose little.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .. import constants
from .tiles import CHANNELS, LOG_OPACITY, ROOT_XX, ROOT_XY, ROOT_YY, U, V, count_tiles

NEAR, FAR = tl.constexpr(constants.NEAR), tl.constexpr(constants.FAR)
BLUR = tl.constexpr(constants.BLUR)
LEAST_COMPENSATION = tl.constexpr(constants.MIN_COMPENSATION**2)  # of the squared opacity
MIN_ALPHA = tl.constexpr(constants.MIN_ALPHA)
HALF_LOG2E = tl.constexpr(constants.HALF_LOG2E)


# Vectors are tuples of three numbers.


@triton.jit
def dot(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@triton.jit
def times(a, b):
    return a[0] * b[0], a[1] * b[1], a[2] * b[2]


@triton.jit
def sum_of(s, a, t, b):
    """s a + t b of two vectors."""
    return s * a[0] + t * b[0], s * a[1] + t * b[1], s * a[2] + t * b[2]


@triton.jit
def load3(row, mask):
    return tl.load(row, mask, 0.0), tl.load(row + 1, mask, 0.0), tl.load(row + 2, mask, 0.0)


@triton.jit
def load4(row, mask):
    a, b, c = load3(row, mask)
    return a, b, c, tl.load(row + 3, mask, 0.0)


@triton.jit
def lens_of(K, width, height):
    """Focal lengths and centre in pixels, and the slopes beyond which the Jacobian is clamped."""
    fx, cx, fy, cy = tl.load(K), tl.load(K + 2), tl.load(K + 4), tl.load(K + 5)
    margin_x, margin_y = 0.15 * width / fx, 0.15 * height / fy
    return (
        fx, fy, cx, cy,
        -cx / fx - margin_x, (width - cx) / fx + margin_x,
        -cy / fy - margin_y, (height - cy) / fy + margin_y,
    )  # fmt: skip


@triton.jit
def pose_of(viewmat):
    """Rows of the camera's rotation, and its translation."""
    x, y, z = load4(viewmat, True), load4(viewmat + 4, True), load4(viewmat + 8, True)
    return (x[0], x[1], x[2]), (y[0], y[1], y[2]), (z[0], z[1], z[2]), (x[3], y[3], z[3])


@triton.jit
def to_camera(pose, mean):
    x, y, z = dot(pose[0], mean), dot(pose[1], mean), dot(pose[2], mean)
    return x + pose[3][0], y + pose[3][1], z + pose[3][2]


@triton.jit
def normalised(quat):
    """The unit quaternion, and the factor that made it one."""
    w, x, y, z = quat
    scale = 1 / tl.sqrt(w * w + x * x + y * y + z * z)
    return w * scale, x * scale, y * scale, z * scale, scale


@triton.jit
def axes_in_camera(pose, quat):
    """The rows of camera rotation @ rotation of the quaternion."""
    w, x, y, z, _ = normalised(quat)
    a = 1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y)
    b = 2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x)
    c = 2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)
    return (
        (dot(pose[0], a), dot(pose[0], b), dot(pose[0], c)),
        (dot(pose[1], a), dot(pose[1], b), dot(pose[1], c)),
        (dot(pose[2], a), dot(pose[2], b), dot(pose[2], c)),
    )


@triton.jit
def jacobian_of_axes(lens, point, axes):
    """The rows of J @ axes, J being the Jacobian of the projection, and its slopes x/z and y/z.

    The slopes are clamped a little outside the image, where the linearisation would explode.
    """
    slope_x = tl.minimum(tl.maximum(point[0] / point[2], lens[4]), lens[5])
    slope_y = tl.minimum(tl.maximum(point[1] / point[2], lens[6]), lens[7])
    focal_x, focal_y = lens[0] / point[2], lens[1] / point[2]
    row_x = sum_of(focal_x, axes[0], -focal_x * slope_x, axes[2])
    row_y = sum_of(focal_y, axes[1], -focal_y * slope_y, axes[2])
    return row_x, row_y, slope_x, slope_y


@triton.jit
def covariance_of(a, b):
    """xx, xy, yy of the projected covariance, its determinant, and that of the blurred one.

    The rows a and b of its root make the determinant a sum of squared minors.
    """
    minor_x, minor_y = a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2]
    minor_z = a[0] * b[1] - a[1] * b[0]
    xx, xy, yy = dot(a, a), dot(a, b), dot(b, b)
    sharp = minor_x * minor_x + minor_y * minor_y + minor_z * minor_z
    return xx, xy, yy, sharp, sharp + BLUR * (xx + yy) + BLUR * BLUR


@triton.jit(
    do_not_specialize=[
        "N", "mean_stride", "quat_stride", "scale_stride", "opacity_stride", "color_stride",
    ]
)  # fmt: skip
def project(
    means,  # [1 or C, N, 3]
    quats,  # [1 or C, N, 4]
    scales,  # [1 or C, N, 3]
    opacities,  # [1 or C, N]
    colors,  # [1 or C, N, D]
    offsets,  # [C, N, 2]
    viewmats,  # [C, 4, 4]
    Ks,  # [C, 3, 3]
    records,  # [C * N, CHANNELS + channels], written
    depths,  # [C * N], written, infinity where not visible
    counts,  # [C * N] int32, written: tiles touched
    N,
    mean_stride,  # from camera to camera in numbers, 0 where the cameras share them
    quat_stride,
    scale_stride,
    opacity_stride,
    color_stride,
    width,
    height,
    antialiased: tl.constexpr,
    D: tl.constexpr,
    channels: tl.constexpr,
    TILE_X: tl.constexpr,
    TILE_Y: tl.constexpr,
    BLOCK: tl.constexpr,
):
    camera = tl.program_id(1)
    n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = n < N
    g = camera * N + n
    pose, lens = pose_of(viewmats + 16 * camera), lens_of(Ks + 9 * camera, width, height)
    point = to_camera(pose, load3(means + camera * mean_stride + 3 * n, inside))
    x, y, z = point
    axes = axes_in_camera(pose, load4(quats + camera * quat_stride + 4 * n, inside))
    scale = load3(scales + camera * scale_stride + 3 * n, inside)
    row_x, row_y, _, _ = jacobian_of_axes(lens, point, axes)
    xx, xy, yy, sharp, det = covariance_of(times(row_x, scale), times(row_y, scale))
    xx += BLUR
    yy += BLUR
    opacity = tl.load(opacities + camera * opacity_stride + n, inside, 0.0)
    if antialiased:
        opacity *= tl.sqrt(tl.maximum(sharp / det, LEAST_COMPENSATION))
    u = lens[0] * x / z + lens[2] + tl.load(offsets + 2 * g, inside, 0.0)
    v = lens[1] * y / z + lens[3] + tl.load(offsets + 2 * g + 1, inside, 0.0)
    # Not-a-number fails every comparison: broken Gaussians vanish here.
    visible = inside & (z > NEAR) & (z < FAR) & (opacity >= MIN_ALPHA)
    visible = visible & (tl.abs(u) + tl.abs(v) < 1e8) & (xx + yy < 1e12)

    root_xx = tl.where(visible, tl.sqrt(HALF_LOG2E * yy / det), 1.0)
    root_xy = tl.where(visible, -xy * tl.sqrt(HALF_LOG2E / (yy * det)), 0.0)
    root_yy = tl.where(visible, tl.sqrt(HALF_LOG2E / yy), 1.0)
    u, v = tl.where(visible, u, 0.0), tl.where(visible, v, 0.0)
    log_opacity = tl.where(visible, tl.log2(opacity), 0.0)
    shape = u, v, root_xx, root_xy, root_yy, log_opacity
    tl.store(counts + g, count_tiles(shape, visible, width, height, TILE_X, TILE_Y), inside)
    tl.store(depths + g, tl.where(visible, z, float("inf")), inside)
    row = records + g * (CHANNELS + channels)
    tl.store(row + U, u, inside)
    tl.store(row + V, v, inside)
    tl.store(row + ROOT_XX, root_xx, inside)
    tl.store(row + ROOT_XY, root_xy, inside)
    tl.store(row + ROOT_YY, root_yy, inside)
    tl.store(row + LOG_OPACITY, tl.where(visible, log_opacity, float("-inf")), inside)
    channel = tl.arange(0, channels)[None, :]
    color = colors + camera * color_stride + n[:, None] * D + channel
    values = tl.load(color, inside[:, None] & (channel < D), 0.0)
    values = tl.where(channel == D, tl.where(visible, z, 0.0)[:, None], values)
    tl.store(row[:, None] + CHANNELS + channel, values, inside[:, None])
