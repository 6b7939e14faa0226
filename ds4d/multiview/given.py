"""The views that a prepared folder (layouts.py) brings along, with their true cameras."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from ..cameras import (
    ZERO123PLUS_AZIMUTHS,
    ZERO123PLUS_ELEVATIONS,
    Cameras,
    concatenate,
    orbit_cameras,
    read_case_cameras,
)
from ..clip import Clip, resized
from ..clip.datasets import Prepared, find_prepared
from ..errors import UserError
from ..images import over, tile
from ..run.events import Event, Stage
from . import Views

# (azimuths, elevations, field of view), degrees, of the front view and the views beside it.
ZERO123PLUS = (0.0, *ZERO123PLUS_AZIMUTHS)
RIGS = {
    "case": (ZERO123PLUS, (0.0, *ZERO123PLUS_ELEVATIONS["v1.2"]), 30.0),
    "STAG4D": (ZERO123PLUS, (0.0, *ZERO123PLUS_ELEVATIONS["v1.1"]), 49.1),
    # SyncDreamer's 16 views from above
    "4DGen": ((0.0, *(22.5 * k for k in range(16))), (0.0, *(30.0,) * 16), 40.0),
}


def find(path: Path, views: str) -> Prepared | None:
    """The prepared folder whose views can be used; None where there are none to use.

    Args:
        path: what was given as the clip.
        views: name of the folder of views in a case folder; "none" ignores the views.

    Raises:
        UserError: a prepared folder lacks the views that are named.
    """
    prepared = find_prepared(Path(path))
    if prepared is None or views == "none":
        return None
    if prepared.views_folder(views).is_dir():
        return prepared
    if views == "multiview":  # the default: nobody named it
        return None
    raise UserError(
        f"{prepared.root.name} has no folder {views} with views.",
        "Name a folder that is there with --views, or ignore them with --views none.",
    )


def cameras(prepared: Prepared, size: int) -> Cameras:
    """The cameras of the front view and of the views beside it, at size x size pixels.

    A case says them in cameras.json; without it they are Zero123++ v1.2's. STAG4D's and 4DGen's
    are those of their own code, with the radius that lets the object fill our unit.
    """
    listed = prepared.root / "cameras.json"
    if prepared.kind == "case" and listed.exists():
        known = read_case_cameras(listed)
        views = sorted((name for name in known if name.startswith("multiview/")), key=_number)
        if "input" not in known or not views:
            raise UserError(
                f"{listed} lacks cameras.", 'It should list "input" and "multiview/0" to "/5".'
            )
        return concatenate([known[name].resized(size, size) for name in ("input", *views)])
    azimuths, elevations, fov = RIGS[prepared.kind]
    radius = 0.5 / math.tan(math.radians(fov / 2))
    return orbit_cameras(azimuths, elevations, size=size, radius=radius, fov_deg=fov)


def front_camera(path: Path, size: int) -> Cameras:
    """The camera of the front frames: the prepared folder's own, else azimuth and elevation 0."""
    prepared = find_prepared(Path(path))
    known = prepared is not None and prepared.kind != "scene"  # a scene's world is not ours
    return cameras(prepared, size)[0] if known else orbit_cameras([0.0], size=size)


def run(
    prepared: Prepared,
    views: str,
    clip: Clip,
    frames: np.ndarray,  # [T, S, S, 4] uint8, the front frames of the clip's sampled frames
    size: int,
) -> Stage[Views]:
    """Read the views of the clip's sampled frames, resized to size x size pixels.

    Raises:
        UserError: views are missing, cannot be read, or are opaque.
    """
    rig = cameras(prepared, size)
    paths = [prepared.view_paths(index, views)[: len(rig) - 1] for index in clip.indices]
    missing = [path for row in paths for path in row if not path.exists()]
    if missing:
        names = ", ".join(str(path.relative_to(prepared.root)) for path in missing[:3])
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise UserError(
            f"{prepared.root.name} lacks the views {names}{more}.",
            "Complete them, or ignore the views with --views none.",
        )
    images = np.empty((len(paths), len(rig), size, size, 4), np.uint8)
    images[:, 0] = frames
    for index, row in enumerate(paths):
        for view, path in enumerate(row):
            images[index, 1 + view] = resized(_rgba(path), size)
        grid = tile(over(images[index, 1:]), columns=3)
        yield Event("multiview", index + 1, len(paths), f"views of frame {index + 1}", grid)
    return Views(images, rig)


def _rgba(path: Path) -> np.ndarray:
    from PIL import Image

    try:
        with Image.open(path) as image:
            transparent, width, height = image.has_transparency_data, *image.size
            pixels = np.asarray(image.convert("RGBA"))
    except (OSError, SyntaxError) as error:
        raise UserError(f"The view {path} cannot be read.", "Replace it.") from error
    if not transparent or width != height:
        raise UserError(
            f"The view {path} must be square and have a transparent background.",
            "Cut the object out of the views first.",
        )
    return pixels


def _number(name: str) -> int:
    return int(name.rsplit("/", 1)[1])
