"""Dynamic-static feature decoupling (paper section 3.3, eq. 1 and 2). No parameters."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Projection = Literal["token", "map"]
Reference = Literal["middle", "average", "both"]
EPSILON = 1e-6


def view_features(
    features: Tensor,  # [T, V, h, w, D]
    kind: Literal["none", "frames", "dsfd"],
    projection: Projection = "token",
    reference: Reference = "both",
) -> Tensor:  # [T, V, h, w, C] float32
    """Feature maps that TSSF reads, by FourdConfig.features.

    "dsfd", the paper's, are the decoupled features (C = 2D). For the ablations, "frames" are the
    features as they are (C = D), and "none" are no maps at all, [T, 0, 0, 0, 0].
    """
    if kind == "none":
        return torch.zeros(len(features), 0, 0, 0, 0, device=features.device)
    if kind == "frames":
        return features.float()
    return decouple(features, projection, reference)


def decouple(
    features: Tensor,  # [T, V, h, w, D]
    projection: Projection = "token",
    reference: Reference = "both",
) -> Tensor:
    """Append the dynamic part of the features to each token, [T, V, h, w, 2D] float32.

    The static part of a feature is its projection on a reference of the same view (the middle
    frame, or the mean over time); what is left is dynamic. With both references, the two dynamic
    parts are averaged.
    """
    features = features.float()
    parts = []
    if reference in ("middle", "both"):
        parts.append(dynamic(features, features[len(features) // 2], projection))
    if reference in ("average", "both"):
        parts.append(dynamic(features, features.mean(0), projection))
    return torch.cat([features, torch.stack(parts).mean(0)], -1)


def dynamic(
    features: Tensor,  # [T, V, h, w, D]
    reference: Tensor,  # [V, h, w, D]
    projection: Projection,
) -> Tensor:
    """The rest after the projection on a reference (eq. 2), [T, V, h, w, D].

    "token" projects each token on its own reference token; "map" takes a view's whole feature map
    as one vector, as the letter of eq. 1 allows too.
    """
    axes = (-1,) if projection == "token" else (-3, -2, -1)
    dot = (features * reference).sum(axes, keepdim=True)
    static = dot / (reference.square().sum(axes, keepdim=True) + EPSILON) * reference
    return features - static
