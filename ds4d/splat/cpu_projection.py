"""Kernels that project Gaussians to ellipses on the image, and their exact gradients.

One Gaussian costs a few hundred operations here and thousands at the pixels, so everything is
computed in float64 (and stored in float32): elongated Gaussians lose nothing to cancellation.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange

NEAR, FAR = 0.01, 1e10  # visible depths, world units
BLUR = 0.3  # px^2, added to the diagonal of the 2D covariance
MIN_COMPENSATION = 0.005  # of the opacity, when antialiased
MIN_ALPHA = 1.0 / 255.0  # less is not drawn

# Columns of a record, one row per camera and Gaussian; the channels (colours, depth) follow.
# alpha = 2^(LOG_OPACITY - p^2 - q^2) with p = ROOT_XX dx + ROOT_XY dy and q = ROOT_YY dy: the
# root of the inverse covariance instead of itself, so that the exponent cannot lose its sign.
U, V, ROOT_XX, ROOT_XY, ROOT_YY, LOG_OPACITY = range(6)
CHANNELS = 6
HALF_LOG2E = 0.5 * math.log2(math.e)  # p^2 + q^2 = HALF_LOG2E * squared Mahalanobis distance

# Columns of an ellipse, the region where alpha >= 1/255. At the height dy above or below its
# centre it spans  SLOPE dy +- WIDTH sqrt(HALF^2 - dy^2)  in x, |dy| <= HALF, and it reaches
# furthest at dy = +-EXTREME. These four are given for the rows (spans in x over dy), then for the
# columns (spans in y over dx). HALF < 0: not visible.
CENTRE, ROWS, COLUMNS = 0, 2, 6
HALF, SLOPE, WIDTH, EXTREME = range(4)


@njit(cache=True, error_model="numpy", inline="never")
def _axes_in_camera(quat, viewmat, axes):
    """axes [3, 3] = camera rotation @ rotation of the quaternion; returns the quaternion's norm."""
    norm = math.sqrt(quat[0] ** 2 + quat[1] ** 2 + quat[2] ** 2 + quat[3] ** 2)
    w, x, y, z = quat[0] / norm, quat[1] / norm, quat[2] / norm, quat[3] / norm
    for i in range(3):
        a, b, c = viewmat[i, 0], viewmat[i, 1], viewmat[i, 2]
        axes[i, 0] = a * (1 - 2 * (y * y + z * z)) + b * 2 * (x * y + w * z) + c * 2 * (x * z - w * y)
        axes[i, 1] = a * 2 * (x * y - w * z) + b * (1 - 2 * (x * x + z * z)) + c * 2 * (y * z + w * x)
        axes[i, 2] = a * 2 * (x * z + w * y) + b * 2 * (y * z - w * x) + c * (1 - 2 * (x * x + y * y))
    return norm


@njit(cache=True, error_model="numpy", inline="never")
def _covariance(point, axes, scale, K, width, height, half):
    """2D covariance (xx, xy, yy) before the blur, the clamped slopes, and its root half [2, 3].

    half = J (axes * scale), where J is the Jacobian of the projection. Its slopes x/z and y/z are
    clamped a little outside the image, where the linearisation would explode.
    """
    z = point[2]
    margin_x, margin_y = 0.15 * width / K[0, 0], 0.15 * height / K[1, 1]
    left, top = -K[0, 2] / K[0, 0] - margin_x, -K[1, 2] / K[1, 1] - margin_y
    right, bottom = (width - K[0, 2]) / K[0, 0] + margin_x, (height - K[1, 2]) / K[1, 1] + margin_y
    slope_x = min(max(point[0] / z, left), right)
    slope_y = min(max(point[1] / z, top), bottom)
    xx = xy = yy = 0.0
    for k in range(3):
        half[0, k] = K[0, 0] / z * (axes[0, k] - slope_x * axes[2, k]) * scale[k]
        half[1, k] = K[1, 1] / z * (axes[1, k] - slope_y * axes[2, k]) * scale[k]
        xx += half[0, k] * half[0, k]
        xy += half[0, k] * half[1, k]
        yy += half[1, k] * half[1, k]
    return xx, xy, yy, slope_x, slope_y


@njit(cache=True, error_model="numpy", inline="never")
def _to_camera(mean, viewmat, point):
    for i in range(3):
        point[i] = (
            viewmat[i, 0] * mean[0] + viewmat[i, 1] * mean[1] + viewmat[i, 2] * mean[2]
        ) + viewmat[i, 3]


@njit(cache=True, parallel=True, error_model="numpy")
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
    depths,  # [C * N], written
    workers,  # number of threads
):
    C, N, D = len(viewmats), means.shape[1], colors.shape[2]
    for worker in prange(workers):
        point, axes, half = np.empty(3), np.empty((3, 3)), np.empty((2, 3))
        for g in range(worker * C * N // workers, (worker + 1) * C * N // workers):
            camera, n = g // N, g % N
            ellipses[g, ROWS + HALF] = -1.0
            depths[g] = 0.0
            viewmat, K = viewmats[camera], Ks[camera]
            _to_camera(means[camera % len(means), n], viewmat, point)
            if not (NEAR < point[2] < FAR):
                continue
            _axes_in_camera(quats[camera % len(quats), n], viewmat, axes)
            scale = scales[camera % len(scales), n]
            xx, xy, yy, _, _ = _covariance(point, axes, scale, K, width, height, half)
            sharp = xx * yy - xy * xy
            xx += BLUR
            yy += BLUR
            det = xx * yy - xy * xy
            opacity = float(opacities[camera % len(opacities), n])
            if antialiased:
                opacity *= math.sqrt(max(sharp / det, MIN_COMPENSATION**2))
            u = K[0, 0] * point[0] / point[2] + K[0, 2] + offsets[camera, n, 0]
            v = K[1, 1] * point[1] / point[2] + K[1, 2] + offsets[camera, n, 1]
            # Not-a-number fails every comparison: broken Gaussians vanish here.
            if not (opacity >= MIN_ALPHA and abs(u) + abs(v) < 1e8 and 0 < xx + yy < 1e12):
                continue
            reach = 2 * math.log(opacity / MIN_ALPHA) + 1e-3  # rounding must not lose a pixel
            root_det = math.sqrt(det)
            ellipses[g, CENTRE], ellipses[g, CENTRE + 1] = u, v
            _set_spans(ellipses[g, ROWS:COLUMNS], xx, xy, yy, root_det, reach)
            _set_spans(ellipses[g, COLUMNS:], yy, xy, xx, root_det, reach)
            depths[g] = point[2]
            records[g, U], records[g, V] = u, v
            records[g, ROOT_XX] = math.sqrt(HALF_LOG2E * yy) / root_det
            records[g, ROOT_XY] = -xy / root_det * math.sqrt(HALF_LOG2E / yy)
            records[g, ROOT_YY] = math.sqrt(HALF_LOG2E / yy)
            records[g, LOG_OPACITY] = math.log2(opacity)
            for d in range(D):
                records[g, CHANNELS + d] = colors[camera % len(colors), n, d]
            records[g, CHANNELS + D] = point[2]


@njit(cache=True, error_model="numpy")
def _set_spans(spans, xx, xy, yy, root_det, reach):
    spans[HALF] = math.sqrt(reach * yy)
    spans[SLOPE] = xy / yy
    spans[WIDTH] = root_det / yy
    spans[EXTREME] = xy * math.sqrt(reach / xx)


@njit(cache=True, error_model="numpy", inline="never")
def _covariance_gradient(record, total, xx, xy, yy, opacity, antialiased):
    """Gradients of (xx, xy, yy) before the blur, and of the opacity before the compensation.

    The exponent is z z^T / 2 with z = root^T d, so the covariance's gradient is
    root (sum of q z z^T) root^T / 2; total holds the sums of q z z^T scaled, see blend_backward.
    """
    a, b, c = record[ROOT_XX], record[ROOT_XY], record[ROOT_YY]
    pp, pq, qq = 0.5 * total[3] / HALF_LOG2E**2, 0.5 * total[4] / HALF_LOG2E**2, 0.5 * total[5] / HALF_LOG2E**2
    v_xx = a * a * pp
    v_xy = 2 * (a * b * pp + a * c * pq)
    v_yy = b * b * pp + 2 * b * c * pq + c * c * qq
    v_opacity = total[0] / opacity
    if antialiased:
        sharp = xx * yy - xy * xy
        det = (xx + BLUR) * (yy + BLUR) - xy * xy
        if sharp / det > MIN_COMPENSATION**2:
            v_log_ratio = 0.5 * total[0]
            v_xx += v_log_ratio * (yy / sharp - (yy + BLUR) / det)
            v_yy += v_log_ratio * (xx / sharp - (xx + BLUR) / det)
            v_xy += v_log_ratio * 2 * xy * (1 / det - 1 / sharp)
    return v_xx, v_xy, v_yy, v_opacity


@njit(cache=True, error_model="numpy", inline="never")
def _quaternion_gradient(quat, norm, viewmat, v_axes, v_quat):
    """Adds to v_quat [4], through the normalisation, what v_axes [3, 3] asks of the rotation."""
    r = np.zeros((3, 3))  # gradient of the world rotation
    for i in range(3):
        for j in range(3):
            for k in range(3):
                r[i, j] += viewmat[k, i] * v_axes[k, j]
    w, x, y, z = quat[0] / norm, quat[1] / norm, quat[2] / norm, quat[3] / norm
    v_w = 2 * (x * (r[2, 1] - r[1, 2]) + y * (r[0, 2] - r[2, 0]) + z * (r[1, 0] - r[0, 1]))
    v_x = 2 * (y * (r[0, 1] + r[1, 0]) + z * (r[0, 2] + r[2, 0]) + w * (r[2, 1] - r[1, 2]))
    v_x -= 4 * x * (r[1, 1] + r[2, 2])
    v_y = 2 * (x * (r[0, 1] + r[1, 0]) + z * (r[1, 2] + r[2, 1]) + w * (r[0, 2] - r[2, 0]))
    v_y -= 4 * y * (r[0, 0] + r[2, 2])
    v_z = 2 * (x * (r[0, 2] + r[2, 0]) + y * (r[1, 2] + r[2, 1]) + w * (r[1, 0] - r[0, 1]))
    v_z -= 4 * z * (r[0, 0] + r[1, 1])
    radial = v_w * w + v_x * x + v_y * y + v_z * z
    v_quat[0] += (v_w - radial * w) / norm
    v_quat[1] += (v_x - radial * x) / norm
    v_quat[2] += (v_y - radial * y) / norm
    v_quat[3] += (v_z - radial * z) / norm


@njit(cache=True, parallel=True, error_model="numpy")
def project_backward(
    means,
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
        point, axes, half = np.empty(3), np.empty((3, 3)), np.empty((2, 3))
        v_axes, v_half = np.empty((3, 3)), np.empty((2, 3))
        total = np.empty(CHANNELS + D + 1)
        for i in range(worker * N // workers * C, (worker + 1) * N // workers * C):
            n, camera = i // C, i % C  # cameras in order: sums come out the same on every run
            g = camera * N + n
            if starts[g] == starts[g + 1]:
                continue
            total[:] = 0.0
            for place in range(starts[g], starts[g + 1]):
                for k in range(len(total)):
                    total[k] += gradients[place, k]
            for d in range(D):
                v_colors[camera % len(v_colors), n, d] += total[CHANNELS + d]
            record = records[g]
            v_u = record[ROOT_XX] * total[1] / HALF_LOG2E
            v_v = (record[ROOT_XY] * total[1] + record[ROOT_YY] * total[2]) / HALF_LOG2E
            v_offsets[camera, n, 0] = v_u
            v_offsets[camera, n, 1] = v_v

            viewmat, K = viewmats[camera], Ks[camera]
            quat = quats[camera % len(quats), n]
            scale = scales[camera % len(scales), n]
            opacity = opacities[camera % len(opacities), n]
            _to_camera(means[camera % len(means), n], viewmat, point)
            norm = _axes_in_camera(quat, viewmat, axes)
            xx, xy, yy, slope_x, slope_y = _covariance(point, axes, scale, K, width, height, half)
            v_xx, v_xy, v_yy, v_opacity = _covariance_gradient(
                record, total, xx, xy, yy, opacity, antialiased
            )
            v_opacities[camera % len(v_opacities), n] += v_opacity

            x, y, z = point
            focal_x, focal_y = K[0, 0] / z, K[1, 1] / z
            v_slope_x = v_slope_y = v_log_z = 0.0
            v_scale = v_scales[camera % len(v_scales), n]
            for k in range(3):
                v_half[0, k] = 2 * v_xx * half[0, k] + v_xy * half[1, k]
                v_half[1, k] = 2 * v_yy * half[1, k] + v_xy * half[0, k]
                v_log_z -= v_half[0, k] * half[0, k] + v_half[1, k] * half[1, k]
                row_x = axes[0, k] - slope_x * axes[2, k]
                row_y = axes[1, k] - slope_y * axes[2, k]
                v_scale[k] += focal_x * row_x * v_half[0, k] + focal_y * row_y * v_half[1, k]
                v_axes[0, k] = focal_x * scale[k] * v_half[0, k]
                v_axes[1, k] = focal_y * scale[k] * v_half[1, k]
                v_axes[2, k] = -slope_x * v_axes[0, k] - slope_y * v_axes[1, k]
                v_slope_x -= axes[2, k] * v_axes[0, k]
                v_slope_y -= axes[2, k] * v_axes[1, k]
            _quaternion_gradient(quat, norm, viewmat, v_axes, v_quats[camera % len(v_quats), n])

            v_slope_x = K[0, 0] * v_u + (v_slope_x if slope_x == x / z else 0.0)
            v_slope_y = K[1, 1] * v_v + (v_slope_y if slope_y == y / z else 0.0)
            v_x, v_y = v_slope_x / z, v_slope_y / z
            v_z = total[CHANNELS + D] + (v_log_z - v_slope_x * x / z - v_slope_y * y / z) / z
            v_mean = v_means[camera % len(v_means), n]
            for k in range(3):
                v_mean[k] += viewmat[0, k] * v_x + viewmat[1, k] * v_y + viewmat[2, k] * v_z
