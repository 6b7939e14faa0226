"""Uploaded clips: one file of any kind that the command line takes, or several pictures."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from pathlib import Path

import gradio as gr
from gradio.data_classes import FileData, GradioRootModel
from gradio.utils import get_upload_folder

from ds4d.clip.datasets import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from ds4d.errors import UserError
from ds4d.run.workspace import replacing

from .limits import Limits

PICTURES = IMAGE_SUFFIXES | {".gif", ".apng", ".avif"}
CLIP_TYPES = [*sorted(VIDEO_SUFFIXES | PICTURES), ".zip"]
MOST_PICTURES = 2000
TIMESTAMP = (1980, 1, 1, 0, 0, 0)  # of a zip's entries; equal pictures give equal zips

Clip = str | list[str] | None  # as the component gives it to handlers


class ClipData(GradioRootModel):
    """One uploaded file, as programs send it, or several."""

    root: FileData | list[FileData]


class ClipFile(gr.File):
    """A gr.File that takes one file or several."""

    is_template = True  # in the browser it is a gr.File

    @property
    def data_model(self) -> type[ClipData]:
        """One file or several; gr.File sets its own, also when a session makes it anew."""
        return ClipData

    @data_model.setter
    def data_model(self, value: type) -> None:
        pass

    def preprocess(self, payload: ClipData | None) -> Clip:
        """Path of a file, or paths of several."""
        if payload is None:
            return None
        files = payload.root if isinstance(payload.root, list) else [payload.root]
        paths = [str(self._process_single_file(file)) for file in files]
        return paths[0] if len(paths) == 1 else paths or None

    def postprocess(self, value: Clip) -> ClipData | None:
        """The files at paths."""
        shown = super().postprocess(value)
        return None if shown is None else ClipData(getattr(shown, "root", shown))


def clip_file(**options) -> ClipFile:
    """The component, with the options of gr.File."""
    return ClipFile(file_count="multiple", file_types=CLIP_TYPES, **options)


def one_file(clip: Clip, limits: Limits) -> str | None:
    """The file of an upload; several pictures become a zip in the folder of uploads.

    Raises:
        UserError: several files that are not all pictures, too many, or too large together.
    """
    if clip is None or isinstance(clip, str):
        return clip
    files = sorted((Path(path) for path in clip), key=lambda file: file.name)
    if any(file.suffix.lower() not in PICTURES for file in files):
        raise UserError(
            "Several files were chosen that are not all pictures.",
            "Choose one video or zip, or all pictures of one clip.",
        )
    if len(files) > MOST_PICTURES or sum(f.stat().st_size for f in files) > limits.clip_bytes:
        raise UserError(
            "These pictures are too many or too large together.",
            f"Choose at most {MOST_PICTURES:,} with {limits.clip_mb:,.0f} MB together.",
        )
    return str(_zipped(files))


def _zipped(files: Sequence[Path]) -> Path:
    """A zip of pictures, under a path that stands for their names and contents."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name}\0".encode(errors="surrogateescape"))
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    target = Path(get_upload_folder()) / digest.hexdigest()[:40] / "pictures.zip"
    if not target.exists():
        with replacing(target) as aside, zipfile.ZipFile(aside, "w") as archive:
            names: dict[str, int] = {}
            for file in files:
                again = names[file.name] = names.get(file.name, -1) + 1
                name = f"{file.stem}_{again}{file.suffix}" if again else file.name
                archive.writestr(zipfile.ZipInfo(name, TIMESTAMP), file.read_bytes())
    return target
