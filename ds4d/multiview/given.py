"""Views of a prepared folder (clip/datasets.py), with their own cameras."""

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
from .views import Views

# Azimuths, elevations and field of view of the front view and the other views, degrees.
ZERO123PLUS = (0.0, *ZERO123PLUS_AZIMUTHS)
RIGS = {
    "case": (ZERO123PLUS, (0.0, *ZERO123PLUS_ELEVATIONS["v1.2"]), 30.0),
    "STAG4D": (ZERO123PLUS, (0.0, *ZERO123PLUS_ELEVATIONS["v1.1"]), 49.1),
    # SyncDreamer's 16 views at elevation 30
    "4DGen": ((0.0, *(22.5 * k for k in range(16))), (0.0, *(30.0,) * 16), 40.0),
}


def find(path: Path, views: str) -> Prepared | None:
    """Find the prepared folder at a path; None if it has no views, or they are to be ignored.

    Args:
        path: the input of the clip stage.
        views: name of the folder of views in a case folder; "none" ignores all views.

    Raises:
        UserError: a prepared folder lacks the folder of views that the user named.
    """
    prepared = find_prepared(Path(path))
    if prepared is None or views == "none":
        return None
    if prepared.views_folder(views).is_dir():
        return prepared
    if views == "multiview":  # the default, not named by the user
        return None
    raise UserError(
        f"{prepared.root.name} has no folder {views} with views.",
        "Name an existing folder with --views, or ignore the views with --views none.",
    )


def cameras(prepared: Prepared, size: int) -> Cameras:
    """Cameras of the front view and the other views of a prepared folder, at size x size pixels.

    Those of a case are in its cameras.json; without that file they are Zero123++ v1.2's. STAG4D's
    and 4DGen's are those of their published code, with the radius at which one world unit fills
    the image.

    Raises:
        UserError: cameras.json lacks the front camera or the views.
    """
    listed = prepared.root / "cameras.json"
    if prepared.kind == "case" and listed.exists():
        by_name = read_case_cameras(listed)
        views = sorted((name for name in by_name if name.startswith("multiview/")), key=_number)
        if "input" not in by_name or not views:
            raise UserError(
                f"{listed} lacks cameras.", 'It should list "input" and "multiview/0" to "/5".'
            )
        return concatenate([by_name[name].resized(size, size) for name in ("input", *views)])
    azimuths, elevations, fov = RIGS[prepared.kind]
    radius = 0.5 / math.tan(math.radians(fov / 2))
    return orbit_cameras(azimuths, elevations, size=size, radius=radius, fov_deg=fov)


def front_camera(path: Path, size: int) -> Cameras:
    """Camera of the front frames: a prepared folder's own, else azimuth and elevation 0.

    A multi-camera capture has coordinates of its own, so its front camera is not used.
    """
    prepared = find_prepared(Path(path))
    if prepared is None or prepared.kind == "capture":
        return orbit_cameras([0.0], size=size)
    return cameras(prepared, size)[0]


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
            "Add them, or ignore the views with --views none.",
        )
    images = np.empty((len(paths), len(rig), size, size, 4), np.uint8)
    images[:, 0] = frames
    for index, row in enumerate(paths):
        for view, path in enumerate(row):
            images[index, 1 + view] = resized(read_rgba(path), size)
        grid = tile(over(images[index, 1:]), columns=3)
        yield Event("multiview", index + 1, len(paths), f"views of frame {index + 1}", grid)
    return Views(images, rig)


def read_rgba(path: Path) -> np.ndarray:
    """Read a view [S, S, 4] uint8; raises UserError if it is unreadable, opaque or not square."""
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
            "Remove the background of the views first.",
        )
    return pixels


def _number(name: str) -> int:
    """Number of the camera "multiview/NUMBER"."""
    return int(name.rsplit("/", 1)[1])
