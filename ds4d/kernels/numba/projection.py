"""Kernels that project Gaussians to ellipses on the image, and their exact gradients.

One Gaussian costs a few hundred operations here and thousands at the pixels, so everything is
computed in float64 (and stored in float32): elongated Gaussians lose nothing to cancellation.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange

from ..constants import BLUR, FAR, HALF_LOG2E, MIN_ALPHA, MIN_COMPENSATION, NEAR
from .simd import LOOPS

LOG_MIN_ALPHA = math.log2(MIN_ALPHA)

# Columns of a record, one row per camera and Gaussian; the channels (colours, depth) follow.
# alpha = 2^(LOG_OPACITY - p^2 - q^2) with p = ROOT_XX dx + ROOT_XY dy and q = ROOT_YY dy: the
# root of the inverse covariance instead of itself, so that the exponent cannot lose its sign.
U, V, ROOT_XX, ROOT_XY, ROOT_YY, LOG_OPACITY = range(6)
CHANNELS = 6

# Columns of an ellipse, the region where alpha >= 1/255. At the height dy above or below its
# centre it spans  SLOPE dy +- WIDTH sqrt(HALF^2 - dy^2)  in x, |dy| <= HALF, and it reaches
# furthest at dy = +-EXTREME. These four are given for the rows (spans in x over dy), then for the
# columns (spans in y over dx). HALF < 0: not visible.
CENTRE, ROWS, COLUMNS = 0, 2, 6
HALF, SLOPE, WIDTH, EXTREME = range(4)


# Vectors are tuples of three numbers: arrays would be counted, atomically, by every core.


@njit(cache=True, error_model="numpy")
def _dot(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@njit(cache=True, error_model="numpy")
def _times(a, b):
    return a[0] * b[0], a[1] * b[1], a[2] * b[2]


@njit(cache=True, error_model="numpy")
def _sum(s, a, t, b):
    """s a + t b of two vectors."""
    return s * a[0] + t * b[0], s * a[1] + t * b[1], s * a[2] + t * b[2]


@njit(cache=True, error_model="numpy")
def _lens(K, width, height):
    """Focal lengths and centre in pixels, and the slopes beyond which the Jacobian is clamped."""
    fx, fy, cx, cy = float(K[0, 0]), float(K[1, 1]), float(K[0, 2]), float(K[1, 2])
    margin_x, margin_y = 0.15 * width / fx, 0.15 * height / fy
    return (
        fx, fy, cx, cy,
        -cx / fx - margin_x, (width - cx) / fx + margin_x,
        -cy / fy - margin_y, (height - cy) / fy + margin_y,
    )  # fmt: skip


@njit(cache=True, error_model="numpy")
def _pose(viewmat):
    """Rows of the camera's rotation, and its translation, in float64."""
    v = viewmat.astype(np.float64)
    return (
        (v[0, 0], v[0, 1], v[0, 2]),
        (v[1, 0], v[1, 1], v[1, 2]),
        (v[2, 0], v[2, 1], v[2, 2]),
        (v[0, 3], v[1, 3], v[2, 3]),
    )


@njit(cache=True, error_model="numpy")
def _to_camera(pose, mean):
    rotated = _dot(pose[0], mean), _dot(pose[1], mean), _dot(pose[2], mean)
    return _sum(1.0, rotated, 1.0, pose[3])


@njit(cache=True, error_model="numpy")
def _axes_in_camera(pose, quat):
    """The rows of camera rotation @ rotation of the quaternion."""
    scale = 1 / math.sqrt(quat[0] ** 2 + quat[1] ** 2 + quat[2] ** 2 + quat[3] ** 2)
    w, x, y, z = quat[0] * scale, quat[1] * scale, quat[2] * scale, quat[3] * scale
    a = 1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y)
    b = 2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x)
    c = 2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)
    return (
        (_dot(pose[0], a), _dot(pose[0], b), _dot(pose[0], c)),
        (_dot(pose[1], a), _dot(pose[1], b), _dot(pose[1], c)),
        (_dot(pose[2], a), _dot(pose[2], b), _dot(pose[2], c)),
    )


@njit(cache=True, error_model="numpy")
def _jacobian_of_axes(lens, point, axes):
    """The rows of J @ axes, J being the Jacobian of the projection, and its slopes x/z and y/z.

    The slopes are clamped a little outside the image, where the linearisation would explode.
    """
    slope_x = min(max(point[0] / point[2], lens[4]), lens[5])
    slope_y = min(max(point[1] / point[2], lens[6]), lens[7])
    focal_x, focal_y = lens[0] / point[2], lens[1] / point[2]
    row_x = _sum(focal_x, axes[0], -focal_x * slope_x, axes[2])
    row_y = _sum(focal_y, axes[1], -focal_y * slope_y, axes[2])
    return row_x, row_y, slope_x, slope_y


@njit(cache=True, error_model="numpy")
def _set_spans(ellipses, g, kind, xy, over_yy, root_det, half, other_half, over_xx):
    ellipses[g, kind + HALF] = half
    ellipses[g, kind + SLOPE] = xy * over_yy
    ellipses[g, kind + WIDTH] = root_det * over_yy
    ellipses[g, kind + EXTREME] = xy * other_half * over_xx


@njit(cache=True, error_model="numpy")
def _project_range(
    first, last, camera, pose, lens, means, quats, scales, opacities, offsets, antialiased,
    records, ellipses, depths,
):  # fmt: skip
    """Write the records, ellipses and depths of the Gaussians [first, last) in one camera."""
    N = means.shape[1]
    m, r = camera % len(means), camera % len(quats)  # 0 where the cameras share them
    s, o = camera % len(scales), camera % len(opacities)
    for n in range(first, last):
        g = camera * N + n
        ellipses[g, ROWS + HALF] = -1.0
        depths[g] = 0.0
        point = _to_camera(pose, (means[m, n, 0], means[m, n, 1], means[m, n, 2]))
        x, y, z = point
        if not (NEAR < z < FAR):
            continue
        quat = quats[r, n, 0], quats[r, n, 1], quats[r, n, 2], quats[r, n, 3]
        scale = scales[s, n, 0], scales[s, n, 1], scales[s, n, 2]
        row_x, row_y, _, _ = _jacobian_of_axes(lens, point, _axes_in_camera(pose, quat))
        root_x, root_y = _times(row_x, scale), _times(row_y, scale)
        xx, xy, yy = _dot(root_x, root_x), _dot(root_x, root_y), _dot(root_y, root_y)
        sharp = xx * yy - xy * xy
        xx += BLUR
        yy += BLUR
        det = xx * yy - xy * xy
        opacity = float(opacities[o, n])
        if antialiased:
            opacity *= math.sqrt(max(sharp / det, MIN_COMPENSATION**2))
        u = lens[0] * x / z + lens[2] + offsets[camera, n, 0]
        v = lens[1] * y / z + lens[3] + offsets[camera, n, 1]
        # Not-a-number fails every comparison: broken Gaussians vanish here.
        if not (opacity >= MIN_ALPHA and abs(u) + abs(v) < 1e8 and 0 < xx + yy < 1e12):
            continue
        log_opacity = math.log2(opacity)
        reach = (log_opacity - LOG_MIN_ALPHA) / HALF_LOG2E + 1e-3  # rounding must not lose a pixel
        root_det, over_xx, over_yy = math.sqrt(det), 1 / xx, 1 / yy
        half_x, half_y = math.sqrt(reach * xx), math.sqrt(reach * yy)
        root_yy = math.sqrt(HALF_LOG2E * over_yy)
        ellipses[g, CENTRE], ellipses[g, CENTRE + 1] = u, v
        _set_spans(ellipses, g, ROWS, xy, over_yy, root_det, half_y, half_x, over_xx)
        _set_spans(ellipses, g, COLUMNS, xy, over_xx, root_det, half_x, half_y, over_yy)
        records[g, U], records[g, V] = u, v
        records[g, ROOT_XX] = root_yy * yy / root_det
        records[g, ROOT_XY] = -xy / root_det * root_yy
        records[g, ROOT_YY] = root_yy
        records[g, LOG_OPACITY] = log_opacity
        depths[g] = z


@njit(cache=True, error_model="numpy")
def _set_channels(first, last, camera, colors, depths, records):
    N, D = colors.shape[1:]
    for n in range(first, last):
        for d in range(D):
            records[camera * N + n, CHANNELS + d] = colors[camera % len(colors), n, d]
        records[camera * N + n, CHANNELS + D] = depths[camera * N + n]


@njit(cache=True, parallel=LOOPS, error_model="numpy")
def project(
    means,  # [1 or C, N, 3]
    quats,  # [1 or C, N, 4]
    scales,  # [1 or C, N, 3]
    opacities,  # [1 or C, N]
    colors,  # [1 or C, N, D]
    viewmats,  # [C, 4, 4]
    Ks,  # [C, 3, 3]
    offsets,  # [C, N, 2]
    width,
    height,
    antialiased,
    records,  # [C * N, CHANNELS + channels], zeros; written
    ellipses,  # [C * N, 10], written
    depths,  # [C * N], written, 0 where not visible
    workers,  # number of threads
):
    C, N = len(viewmats), means.shape[1]
    for worker in prange(workers):
        first, last = worker * N // workers, (worker + 1) * N // workers
        for camera in range(C):
            _project_range(
                first, last, camera, _pose(viewmats[camera]), _lens(Ks[camera], width, height),
                means, quats, scales, opacities, offsets, antialiased, records, ellipses, depths,
            )  # fmt: skip
            _set_channels(first, last, camera, colors, depths, records)


@njit(cache=True, error_model="numpy")
def _covariance_gradient(root, moments, xx, xy, yy, antialiased):
    """Gradients in xx, xy and yy before the blur.

    The exponent is z z^T / 2 with z = root^T d, so the gradient in the blurred covariance is
    root (sum of s z z^T) root^T / 2; moments are the sums of s, s z z^T, see blend_backward.
    """
    s, pp, pq, qq = moments
    v_xx = 0.5 * root[0] * root[0] * pp
    v_xy = root[0] * (root[1] * pp + root[2] * pq)
    v_yy = 0.5 * (root[1] * root[1] * pp + 2 * root[1] * root[2] * pq + root[2] * root[2] * qq)
    sharp, det = xx * yy - xy * xy, (xx + BLUR) * (yy + BLUR) - xy * xy
    if antialiased and sharp > MIN_COMPENSATION**2 * det:  # log opacity += log(sharp / det) / 2
        v_xx += 0.5 * s * (yy / sharp - (yy + BLUR) / det)
        v_yy += 0.5 * s * (xx / sharp - (xx + BLUR) / det)
        v_xy += s * xy * (1 / det - 1 / sharp)
    return v_xx, v_xy, v_yy


@njit(cache=True, error_model="numpy")
def _quaternion_gradient(pose, quat, v_axes):
    """Gradient in the quaternion, from the one in the rows of _axes_in_camera."""
    (ax, ay, az), (bx, by, bz), (cx, cy, cz) = (  # gradient in the rotation matrix
        _sum(1.0, _sum(pose[0][0], v_axes[0], pose[1][0], v_axes[1]), pose[2][0], v_axes[2]),
        _sum(1.0, _sum(pose[0][1], v_axes[0], pose[1][1], v_axes[1]), pose[2][1], v_axes[2]),
        _sum(1.0, _sum(pose[0][2], v_axes[0], pose[1][2], v_axes[1]), pose[2][2], v_axes[2]),
    )
    scale = 1 / math.sqrt(quat[0] ** 2 + quat[1] ** 2 + quat[2] ** 2 + quat[3] ** 2)
    w, x, y, z = quat[0] * scale, quat[1] * scale, quat[2] * scale, quat[3] * scale
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


@njit(cache=True, error_model="numpy")
def _project_range_backward(
    first, last, camera, pose, lens, means, quats, scales, opacities, antialiased, records,
    starts, totals, v_means, v_quats, v_scales, v_opacities, v_offsets,
):  # fmt: skip
    """Add one camera's share of the gradients of the Gaussians [first, last)."""
    N, depth = means.shape[1], totals.shape[1] - 1
    m, r = camera % len(means), camera % len(quats)  # 0 where the cameras share them
    s, o = camera % len(scales), camera % len(opacities)
    for n in range(first, last):
        g = camera * N + n
        if starts[g] == starts[g + 1]:
            continue
        quat = quats[r, n, 0], quats[r, n, 1], quats[r, n, 2], quats[r, n, 3]
        scale = scales[s, n, 0], scales[s, n, 1], scales[s, n, 2]
        x, y, z = point = _to_camera(pose, (means[m, n, 0], means[m, n, 1], means[m, n, 2]))
        axes = _axes_in_camera(pose, quat)
        row_x, row_y, slope_x, slope_y = _jacobian_of_axes(lens, point, axes)
        root_x, root_y = _times(row_x, scale), _times(row_y, scale)
        xx, xy, yy = _dot(root_x, root_x), _dot(root_x, root_y), _dot(root_y, root_y)

        t = n - first  # totals are in units of p and q, which are z sqrt(HALF_LOG2E)
        root = (
            records[g, ROOT_XX] / HALF_LOG2E,
            records[g, ROOT_XY] / HALF_LOG2E,
            records[g, ROOT_YY] / HALF_LOG2E,
        )
        moments = totals[t, 0], totals[t, 3], totals[t, 4], totals[t, 5]
        v_xx, v_xy, v_yy = _covariance_gradient(root, moments, xx, xy, yy, antialiased)
        v_u = root[0] * totals[t, 1]
        v_v = root[1] * totals[t, 1] + root[2] * totals[t, 2]
        v_opacities[o, n] += totals[t, 0] / opacities[o, n]
        v_offsets[camera, n, 0], v_offsets[camera, n, 1] = v_u, v_v

        v_root_x = _sum(2 * v_xx, root_x, v_xy, root_y)
        v_root_y = _sum(v_xy, root_x, 2 * v_yy, root_y)
        v_scale = _sum(1.0, _times(row_x, v_root_x), 1.0, _times(row_y, v_root_y))
        v_axis_x = _sum(lens[0] / z, _times(scale, v_root_x), 0.0, scale)
        v_axis_y = _sum(lens[1] / z, _times(scale, v_root_y), 0.0, scale)
        v_axes = v_axis_x, v_axis_y, _sum(-slope_x, v_axis_x, -slope_y, v_axis_y)
        v_quat = _quaternion_gradient(pose, quat, v_axes)

        # A clamped slope shapes the covariance no more, but the true one still moves the centre.
        v_slope_x, v_slope_y = lens[0] * v_u, lens[1] * v_v
        if slope_x == x / z:
            v_slope_x -= _dot(axes[2], v_axis_x)
        if slope_y == y / z:
            v_slope_y -= _dot(axes[2], v_axis_y)
        stretch = _dot(root_x, v_root_x) + _dot(root_y, v_root_y)
        v_z = totals[t, depth] - (stretch + v_slope_x * x / z + v_slope_y * y / z) / z
        v_point = v_slope_x / z, v_slope_y / z, v_z
        for k in range(3):
            v_means[m, n, k] += pose[0][k] * v_point[0] + pose[1][k] * v_point[1] + pose[2][k] * v_z
            v_scales[s, n, k] += v_scale[k]
        for k in range(4):
            v_quats[r, n, k] += v_quat[k]


@njit(cache=True, error_model="numpy")
def _gather(first, last, camera, starts, gradients, totals, v_colors):
    """Sum the gradients of each Gaussian's intersections; the colours' are final."""
    N, D = v_colors.shape[1:]
    for n in range(first, last):
        t = n - first
        for k in range(totals.shape[1]):
            totals[t, k] = 0.0
        for place in range(starts[camera * N + n], starts[camera * N + n + 1]):
            for k in range(totals.shape[1]):
                totals[t, k] += gradients[place, k]
        for d in range(D):
            v_colors[camera % len(v_colors), n, d] += totals[t, CHANNELS + d]


@njit(cache=True, parallel=LOOPS, error_model="numpy")
def project_backward(
    means,  # the inputs as in project
    quats,
    scales,
    opacities,
    viewmats,
    Ks,
    width,
    height,
    antialiased,
    records,  # [C * N, CHANNELS + channels]
    starts,  # [C * N + 1], where the intersections of each Gaussian begin
    gradients,  # [intersections, CHANNELS + channels], see blend_backward
    v_means,  # the gradients: zeros of the shapes of the inputs, written
    v_quats,
    v_scales,
    v_opacities,
    v_colors,
    v_offsets,  # [C, N, 2]
    workers,  # number of threads
):
    C, N, D = len(viewmats), means.shape[1], v_colors.shape[2]
    for worker in prange(workers):
        first, last = worker * N // workers, (worker + 1) * N // workers
        totals = np.empty((last - first, CHANNELS + D + 1))
        for camera in range(C):  # in order: the sums come out the same on every run
            _gather(first, last, camera, starts, gradients, totals, v_colors)
            _project_range_backward(
                first, last, camera, _pose(viewmats[camera]), _lens(Ks[camera], width, height),
                means, quats, scales, opacities, antialiased, records, starts, totals,
                v_means, v_quats, v_scales, v_opacities, v_offsets,
            )  # fmt: skip
