"""Signed distances of the shapes, each about its own origin (numba).

tracer.py's compiled kernels contain these: after a change here, delete examples/__pycache__.
"""

from __future__ import annotations

import math

from numba import njit

fast = {"cache": True, "fastmath": True}


@njit(**fast)
def ellipsoid_distance(x, y, z, a, b, c, ribs):
    """First-order estimate: exact on the surface and for spheres; ribs: 14 soft grooves."""
    k = math.sqrt((x / a) ** 2 + (y / b) ** 2 + (z / c) ** 2)
    g = math.sqrt((x / (a * a)) ** 2 + (y / (b * b)) ** 2 + (z / (c * c)) ** 2)
    e = k * (k - 1) / max(g, 1e-9)
    if ribs > 0:
        rim = min(math.sqrt(x * x + y * y) / a, 1.0)
        e -= ribs * rim * rim * (abs(math.cos(7 * math.atan2(y, x))) - 1)
    return e


@njit(**fast)
def limb_distance(q, z, length, r1, r2):
    """Round cone from 0 to length on the z axis, q = distance from that axis."""
    slope = (r1 - r2) / length
    across = math.sqrt(max(1 - slope * slope, 0.0))
    side = across * z - slope * q  # place along the slanted side
    if side < 0:
        return math.sqrt(q * q + z * z) - r1
    if side > across * length:
        return math.sqrt(q * q + (z - length) ** 2) - r2
    return q * across + z * slope - r1


@njit(**fast)
def box_distance(x, y, z, a, b, c, rounding):
    """Rounded box with half sides a, b, c, rounding included."""
    qx, qy, qz = abs(x) - a + rounding, abs(y) - b + rounding, abs(z) - c + rounding
    mx, my, mz = max(qx, 0.0), max(qy, 0.0), max(qz, 0.0)
    outside = math.sqrt(mx * mx + my * my + mz * mz)
    return outside + min(max(qx, max(qy, qz)), 0.0) - rounding


@njit(**fast)
def cone_distance(q, z, h, r1, r2):
    """Capped cone about z between -h (radius r1) and h (radius r2)."""
    cap_q = q - min(q, r1 if z < 0 else r2)
    cap_z = abs(z) - h
    kx, kz = r2 - r1, 2 * h
    f = min(max(((r2 - q) * kx + (h - z) * kz) / (kx * kx + kz * kz), 0.0), 1.0)
    side_q, side_z = q - r2 + kx * f, z - h + kz * f
    inside = side_q < 0 and cap_z < 0
    nearest = min(cap_q * cap_q + cap_z * cap_z, side_q * side_q + side_z * side_z)
    return -math.sqrt(nearest) if inside else math.sqrt(nearest)


@njit(**fast)
def ring_distance(x, y, z, radius, tube, opening):
    """Arc of a torus in the xz plane within `opening` of +z, x >= 0."""
    if math.atan2(x, z) > opening:
        ex, ez = x - radius * math.sin(opening), z - radius * math.cos(opening)
        return math.sqrt(ex * ex + y * y + ez * ez) - tube
    q = math.sqrt(x * x + z * z) - radius
    return math.sqrt(q * q + y * y) - tube
