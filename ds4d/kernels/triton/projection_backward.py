"""The kernel of the gradients of the projection: from ellipses to Gaussians."""

from __future__ import annotations

import triton
import triton.language as tl

from .projection import (
    BLUR,
    HALF_LOG2E,
    LEAST_COMPENSATION,
    axes_in_camera,
    covariance_of,
    dot,
    jacobian_of_axes,
    lens_of,
    load3,
    load4,
    normalised,
    pose_of,
    sum_of,
    times,
    to_camera,
)
from .tiles import CHANNELS, LOG_OPACITY, ROOT_XX


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
    """Gradient in the quaternion, from the one in the rows of axes_in_camera."""
    v_x, v_y, v_z = v_axes
    ax, ay, az = sum_of(1.0, sum_of(pose[0][0], v_x, pose[1][0], v_y), pose[2][0], v_z)
    bx, by, bz = sum_of(1.0, sum_of(pose[0][1], v_x, pose[1][1], v_y), pose[2][1], v_z)
    cx, cy, cz = sum_of(1.0, sum_of(pose[0][2], v_x, pose[1][2], v_y), pose[2][2], v_z)
    w, x, y, z, scale = normalised(quat)
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
    """Store a vector of each Gaussian; zero where nothing was drawn, whatever the values are."""
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
    gradients,  # [C, N (11 + D)], written: each camera's share, of means, quats, ... colors
    v_offsets,  # [C, N, 2], written
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
    pose, lens = pose_of(viewmats + 16 * camera), lens_of(Ks + 9 * camera, width, height)
    quat = load4(quats + camera * quat_stride + 4 * n, inside)
    scale = load3(scales + camera * scale_stride + 3 * n, inside)
    point = to_camera(pose, load3(means + camera * mean_stride + 3 * n, inside))
    x, y, z = point
    axes = axes_in_camera(pose, quat)
    row_x, row_y, slope_x, slope_y = jacobian_of_axes(lens, point, axes)
    root_x, root_y = times(row_x, scale), times(row_y, scale)

    root_xx, root_xy, root_yy = load3(row + ROOT_XX, inside)
    root = root_xx / HALF_LOG2E, root_xy / HALF_LOG2E, root_yy / HALF_LOG2E
    s, s_p, s_q = load3(total, inside)
    s_pp, s_pq, s_qq = load3(total + 3, inside)
    v_xx, v_xy, v_yy = _covariance_gradient(
        root, (s, s_pp, s_pq, s_qq), covariance_of(root_x, root_y), antialiased
    )
    v_u, v_v = root[0] * s_p, root[1] * s_p + root[2] * s_q

    v_root_x = sum_of(2 * v_xx, root_x, v_xy, root_y)
    v_root_y = sum_of(v_xy, root_x, 2 * v_yy, root_y)
    v_scale = sum_of(1.0, times(row_x, v_root_x), 1.0, times(row_y, v_root_y))
    v_axis_x = sum_of(lens[0] / z, times(scale, v_root_x), 0.0, scale)
    v_axis_y = sum_of(lens[1] / z, times(scale, v_root_y), 0.0, scale)
    v_axes = v_axis_x, v_axis_y, sum_of(-slope_x, v_axis_x, -slope_y, v_axis_y)

    # A clamped slope shapes the covariance no more, but the true one still moves the centre.
    v_slope_x, v_slope_y = lens[0] * v_u, lens[1] * v_v
    v_slope_x -= tl.where(slope_x == x / z, dot(axes[2], v_axis_x), 0.0)
    v_slope_y -= tl.where(slope_y == y / z, dot(axes[2], v_axis_y), 0.0)
    stretch = dot(root_x, v_root_x) + dot(root_y, v_root_y)
    v_z = tl.load(total + CHANNELS + D, inside, 0.0)
    v_z -= (stretch + v_slope_x * x / z + v_slope_y * y / z) / z
    moved = sum_of(1.0, sum_of(v_slope_x / z, pose[0], v_slope_y / z, pose[1]), v_z, pose[2])

    v_quat = _quaternion_gradient(pose, quat, v_axes)
    opacity = tl.load(opacities + camera * opacity_stride + n, inside, 1.0)

    share = gradients + camera * N * (11 + D)
    _store_vector(share + 3 * n, moved, drawn, inside)
    _store_vector(share + 3 * N + 4 * n, v_quat, drawn, inside)
    _store_vector(share + 7 * N + 3 * n, v_scale, drawn, inside)
    tl.store(share + 10 * N + n, tl.where(drawn, s / opacity, 0.0), inside)
    _store_vector(v_offsets + 2 * g, (v_u, v_v), drawn, inside)
    channel = tl.arange(0, channels)[None, :]
    kept = inside[:, None] & (channel < D)
    values = tl.load(total[:, None] + CHANNELS + channel, kept, 0.0)
    tl.store(share + 11 * N + n[:, None] * D + channel, values, kept)
