"""Kernels that project Gaussians to ellipses on the image, and their exact gradients.

Everything is float32; determinants are sums of squares, so elongated Gaussians lose little.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .triton_tiles import (
    CHANNELS,
    LOG_OPACITY,
    ROOT_XX,
    ROOT_XY,
    ROOT_YY,
    U,
    V,
    count_tiles,
)

NEAR = tl.constexpr(0.01)  # visible depths, world units
FAR = tl.constexpr(1e10)
BLUR = tl.constexpr(0.3)  # px^2, added to the diagonal of the 2D covariance
LEAST_COMPENSATION = tl.constexpr(0.005**2)  # of the squared opacity, when antialiased
MIN_ALPHA = tl.constexpr(1 / 255)  # less is not drawn
HALF_LOG2E = tl.constexpr(0.7213475204444817)  # p^2 + q^2 = this * squared Mahalanobis distance


# Vectors are tuples of three numbers.


@triton.jit
def _dot(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@triton.jit
def _times(a, b):
    return a[0] * b[0], a[1] * b[1], a[2] * b[2]


@triton.jit
def _sum(s, a, t, b):
    """s a + t b of two vectors."""
    return s * a[0] + t * b[0], s * a[1] + t * b[1], s * a[2] + t * b[2]


@triton.jit
def _load3(row, mask):
    return tl.load(row, mask, 0.0), tl.load(row + 1, mask, 0.0), tl.load(row + 2, mask, 0.0)


@triton.jit
def _load4(row, mask):
    a, b, c = _load3(row, mask)
    return a, b, c, tl.load(row + 3, mask, 0.0)


@triton.jit
def _lens(K, width, height):
    """Focal lengths and centre in pixels, and the slopes beyond which the Jacobian is clamped."""
    fx, cx, fy, cy = tl.load(K), tl.load(K + 2), tl.load(K + 4), tl.load(K + 5)
    margin_x, margin_y = 0.15 * width / fx, 0.15 * height / fy
    return (
        fx, fy, cx, cy,
        -cx / fx - margin_x, (width - cx) / fx + margin_x,
        -cy / fy - margin_y, (height - cy) / fy + margin_y,
    )  # fmt: skip


@triton.jit
def _pose(viewmat):
    """Rows of the camera's rotation, and its translation."""
    x, y, z = _load4(viewmat, True), _load4(viewmat + 4, True), _load4(viewmat + 8, True)
    return (x[0], x[1], x[2]), (y[0], y[1], y[2]), (z[0], z[1], z[2]), (x[3], y[3], z[3])


@triton.jit
def _to_camera(pose, mean):
    x, y, z = _dot(pose[0], mean), _dot(pose[1], mean), _dot(pose[2], mean)
    return x + pose[3][0], y + pose[3][1], z + pose[3][2]


@triton.jit
def _normalised(quat):
    """The unit quaternion, and what it was multiplied by."""
    w, x, y, z = quat
    scale = 1 / tl.sqrt(w * w + x * x + y * y + z * z)
    return w * scale, x * scale, y * scale, z * scale, scale


@triton.jit
def _axes_in_camera(pose, quat):
    """The rows of camera rotation @ rotation of the quaternion."""
    w, x, y, z, _ = _normalised(quat)
    a = 1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y)
    b = 2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x)
    c = 2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)
    return (
        (_dot(pose[0], a), _dot(pose[0], b), _dot(pose[0], c)),
        (_dot(pose[1], a), _dot(pose[1], b), _dot(pose[1], c)),
        (_dot(pose[2], a), _dot(pose[2], b), _dot(pose[2], c)),
    )


@triton.jit
def _jacobian_of_axes(lens, point, axes):
    """The rows of J @ axes, J being the Jacobian of the projection, and its slopes x/z and y/z.

    The slopes are clamped a little outside the image, where the linearisation would explode.
    """
    slope_x = tl.minimum(tl.maximum(point[0] / point[2], lens[4]), lens[5])
    slope_y = tl.minimum(tl.maximum(point[1] / point[2], lens[6]), lens[7])
    focal_x, focal_y = lens[0] / point[2], lens[1] / point[2]
    row_x = _sum(focal_x, axes[0], -focal_x * slope_x, axes[2])
    row_y = _sum(focal_y, axes[1], -focal_y * slope_y, axes[2])
    return row_x, row_y, slope_x, slope_y


@triton.jit
def _covariance(a, b):
    """xx, xy, yy of the projected covariance, its determinant, and that of the blurred one.

    The rows a and b of its root make the determinant a sum of squared minors.
    """
    minor_x, minor_y = a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2]
    minor_z = a[0] * b[1] - a[1] * b[0]
    xx, xy, yy = _dot(a, a), _dot(a, b), _dot(b, b)
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
    pose, lens = _pose(viewmats + 16 * camera), _lens(Ks + 9 * camera, width, height)
    point = _to_camera(pose, _load3(means + camera * mean_stride + 3 * n, inside))
    x, y, z = point
    axes = _axes_in_camera(pose, _load4(quats + camera * quat_stride + 4 * n, inside))
    scale = _load3(scales + camera * scale_stride + 3 * n, inside)
    row_x, row_y, _, _ = _jacobian_of_axes(lens, point, axes)
    xx, xy, yy, sharp, det = _covariance(_times(row_x, scale), _times(row_y, scale))
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


@triton.jit
def _covariance_gradient(root, moments, covariance, antialiased: tl.constexpr):
    """Gradients in xx, xy and yy before the blur.

    The exponent is z z^T / 2 with z = root^T d, so the gradient in the blurred covariance is
    root (sum of s z z^T) root^T / 2; moments are the sums of s, s z z^T, see blend_backward.
    """
    s, pp, pq, qq = moments
    xx, xy, yy, sharp, det = covariance
    v_xx = 0.5 * root[0] * root[0] * pp
    v_xy = root[0] * (root[1] * pp + root[2] * pq)
    v_yy = 0.5 * (root[1] * root[1] * pp + 2 * root[1] * root[2] * pq + root[2] * root[2] * qq)
    if antialiased:  # log opacity += log(sharp / det) / 2
        s = tl.where(sharp > LEAST_COMPENSATION * det, s, 0.0)
        by_sharp = 1 / tl.maximum(sharp, 1e-30)
        v_xx += 0.5 * s * (yy * by_sharp - (yy + BLUR) / det)
        v_yy += 0.5 * s * (xx * by_sharp - (xx + BLUR) / det)
        v_xy += s * xy * (1 / det - by_sharp)
    return v_xx, v_xy, v_yy


@triton.jit
def _quaternion_gradient(pose, quat, v_axes):
    """From the gradient in the rows of _axes_in_camera, through the normalisation."""
    v_x, v_y, v_z = v_axes
    ax, ay, az = _sum(1.0, _sum(pose[0][0], v_x, pose[1][0], v_y), pose[2][0], v_z)
    bx, by, bz = _sum(1.0, _sum(pose[0][1], v_x, pose[1][1], v_y), pose[2][1], v_z)
    cx, cy, cz = _sum(1.0, _sum(pose[0][2], v_x, pose[1][2], v_y), pose[2][2], v_z)
    w, x, y, z, scale = _normalised(quat)
    v_w = 2 * (x * (cy - bz) + y * (az - cx) + z * (bx - ay))
    v_x = 2 * (y * (ay + bx) + z * (az + cx) + w * (cy - bz)) - 4 * x * (by + cz)
    v_y = 2 * (x * (ay + bx) + z * (bz + cy) + w * (az - cx)) - 4 * y * (ax + cz)
    v_z = 2 * (x * (az + cx) + y * (bz + cy) + w * (bx - ay)) - 4 * z * (ax + by)
    radial = v_w * w + v_x * x + v_y * y + v_z * z
    return (
        (v_w - radial * w) * scale,
        (v_x - radial * x) * scale,
        (v_y - radial * y) * scale,
        (v_z - radial * z) * scale,
    )


@triton.jit
def _store_vector(row, values, drawn, inside):
    """Zero where nothing was drawn: there the values may be anything."""
    for k in tl.static_range(len(values)):
        tl.store(row + k, tl.where(drawn, values[k], 0.0), inside)


@triton.jit(
    do_not_specialize=["N", "mean_stride", "quat_stride", "scale_stride", "opacity_stride"]
)  # fmt: skip
def project_backward(
    means,  # the inputs as in project
    quats,
    scales,
    opacities,
    viewmats,
    Ks,
    records,
    totals,  # [C * N, CHANNELS + channels], see blend_backward
    v_means,  # [C, N, 3], written, and so on: each camera's share of the gradient
    v_quats,
    v_scales,
    v_opacities,
    v_colors,
    v_offsets,
    N,
    mean_stride,
    quat_stride,
    scale_stride,
    opacity_stride,
    width,
    height,
    antialiased: tl.constexpr,
    D: tl.constexpr,
    channels: tl.constexpr,
    BLOCK: tl.constexpr,
):
    camera = tl.program_id(1)
    n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = n < N
    g = camera * N + n
    row, total = records + g * (CHANNELS + channels), totals + g * (CHANNELS + channels)
    drawn = tl.load(row + LOG_OPACITY, inside, 0.0) > float("-inf")
    pose, lens = _pose(viewmats + 16 * camera), _lens(Ks + 9 * camera, width, height)
    quat = _load4(quats + camera * quat_stride + 4 * n, inside)
    scale = _load3(scales + camera * scale_stride + 3 * n, inside)
    point = _to_camera(pose, _load3(means + camera * mean_stride + 3 * n, inside))
    x, y, z = point
    axes = _axes_in_camera(pose, quat)
    row_x, row_y, slope_x, slope_y = _jacobian_of_axes(lens, point, axes)
    root_x, root_y = _times(row_x, scale), _times(row_y, scale)

    root_xx, root_xy, root_yy = _load3(row + ROOT_XX, inside)
    root = root_xx / HALF_LOG2E, root_xy / HALF_LOG2E, root_yy / HALF_LOG2E
    s, s_p, s_q = _load3(total, inside)
    s_pp, s_pq, s_qq = _load3(total + 3, inside)
    v_xx, v_xy, v_yy = _covariance_gradient(
        root, (s, s_pp, s_pq, s_qq), _covariance(root_x, root_y), antialiased
    )
    v_u, v_v = root[0] * s_p, root[1] * s_p + root[2] * s_q

    v_root_x = _sum(2 * v_xx, root_x, v_xy, root_y)
    v_root_y = _sum(v_xy, root_x, 2 * v_yy, root_y)
    v_scale = _sum(1.0, _times(row_x, v_root_x), 1.0, _times(row_y, v_root_y))
    v_axis_x = _sum(lens[0] / z, _times(scale, v_root_x), 0.0, scale)
    v_axis_y = _sum(lens[1] / z, _times(scale, v_root_y), 0.0, scale)
    v_axes = v_axis_x, v_axis_y, _sum(-slope_x, v_axis_x, -slope_y, v_axis_y)

    # A clamped slope shapes the covariance no more, but the true one still moves the centre.
    v_slope_x, v_slope_y = lens[0] * v_u, lens[1] * v_v
    v_slope_x -= tl.where(slope_x == x / z, _dot(axes[2], v_axis_x), 0.0)
    v_slope_y -= tl.where(slope_y == y / z, _dot(axes[2], v_axis_y), 0.0)
    stretch = _dot(root_x, v_root_x) + _dot(root_y, v_root_y)
    v_z = tl.load(total + CHANNELS + D, inside, 0.0)
    v_z -= (stretch + v_slope_x * x / z + v_slope_y * y / z) / z
    moved = _sum(1.0, _sum(v_slope_x / z, pose[0], v_slope_y / z, pose[1]), v_z, pose[2])

    _store_vector(v_means + 3 * g, moved, drawn, inside)
    _store_vector(v_quats + 4 * g, _quaternion_gradient(pose, quat, v_axes), drawn, inside)
    _store_vector(v_scales + 3 * g, v_scale, drawn, inside)
    _store_vector(v_offsets + 2 * g, (v_u, v_v), drawn, inside)
    opacity = tl.load(opacities + camera * opacity_stride + n, inside, 1.0)
    tl.store(v_opacities + g, tl.where(drawn, s / opacity, 0.0), inside)
    channel = tl.arange(0, channels)[None, :]
    kept = inside[:, None] & (channel < D)
    values = tl.load(total[:, None] + CHANNELS + channel, kept, 0.0)
    tl.store(v_colors + g[:, None] * D + channel, values, kept)
