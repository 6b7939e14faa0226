"""The matte editor: paint strokes on one frame, and preview their effect on all frames."""

from __future__ import annotations

import base64
import binascii
import io

import cv2
import gradio as gr
import numpy as np
from PIL import Image

from ds4d import clip
from ds4d.errors import UserError
from ds4d.images import checkerboard, load_images, over, tile
from ds4d.matting import corrections
from ds4d.matting.cleanup import shrunk
from ds4d.run.events import result

from .. import hardware
from ..html import data_url, render
from ..jobs.store import Job
from .panel import panel

LONGEST = 640  # pixels of the frame that is painted on
STRIP_HEIGHT, STRIP_FRAMES = 128, 8  # of the preview of strokes
MAX_BYTES = 4_000_000  # of strokes that are sent


def build() -> tuple[gr.Accordion, gr.HTML, gr.HTML]:
    """The accordion, the editor in it (`select` a frame, `submit` strokes), and the preview."""
    with gr.Accordion(
        "Edit the mattes", open=False, visible=False, elem_id="edit-mattes"
    ) as accordion:
        editor = panel(script="matte_editor", elem_id="editor")
        preview = panel(elem_id="strokes")
    return accordion, editor, preview


def contents(job: Job, frame: int | None = None) -> str:
    """The editor's HTML for a frame of a job; the middle frame unless another one is given."""
    loaded = clip.load(job.folder / "clip")
    count = len(loaded.frames)
    frame = count // 2 if frame is None else min(max(frame, 0), count - 1)
    rgb = over(loaded.frames[frame]) if loaded.frames.shape[-1] == 4 else loaded.frames[frame]
    picture = shrunk(rgb, LONGEST)
    width, height = picture.shape[1::-1]
    alpha = _alphas(job, loaded.frames.shape[:3])[frame]
    matte = cv2.resize(alpha, (width, height), interpolation=cv2.INTER_AREA)
    marks = corrections.load(job.folder, int(loaded.indices[frame]))
    if marks is None:
        marks = np.full(matte.shape, corrections.UNTOUCHED, np.uint8)
    marks = cv2.resize(marks, (width, height), interpolation=cv2.INTER_NEAREST)
    layers = {
        "picture": data_url(picture, "JPEG"),
        "matte": data_url(matte, "PNG"),
        "marks": data_url(marks, "PNG"),
    }
    return render(
        "matte_editor", frame=frame, count=count, width=width, height=height, layers=layers,
        sam2=hardware.offers("sam2"),
    )  # fmt: skip


def frame_of(event: gr.EventData) -> int:
    """The frame that an event of the editor is about; -1 for anything else."""
    try:
        return int(event._data["frame"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return -1


def save_strokes(job: Job, event: gr.EventData) -> str:
    """Save the strokes of a frame with its job; returns the HTML of the preview.

    Raises UserError while the job is active, and for invalid strokes.
    """
    if job.active:
        raise UserError("This run is in progress.", "Wait until it ends or cancel it, then apply.")
    loaded = clip.load(job.folder / "clip")
    frame = frame_of(event)
    if not 0 <= frame < len(loaded.frames):
        raise UserError("There is no such frame.", "Reload the page.")
    corrections.save(job.folder, int(loaded.indices[frame]), _marks(event._data.get("marks")))
    return render("strokes_preview", strip=data_url(_strip(job, loaded), "JPEG"))


def _strip(job: Job, loaded: clip.Clip) -> np.ndarray:
    """A row of frames, [h, W, 3] uint8, roughly as the next run will cut them out."""
    frames = np.stack([shrunk(frame[..., :3], 2 * STRIP_HEIGHT) for frame in loaded.frames])
    size = frames.shape[2:0:-1]
    alphas = np.stack([cv2.resize(a, size) for a in _alphas(job, loaded.frames.shape[:3])])
    strokes = result(corrections.read(job.folder, loaded.indices, frames.shape[1:3]))
    alphas = result(corrections.run(frames, alphas, strokes))
    count = min(STRIP_FRAMES, len(frames))
    shown = np.linspace(0, len(frames) - 1, count).round().astype(int)
    board = checkerboard(*frames.shape[1:3], cell=8)
    pictures = over(np.concatenate([frames[shown], alphas[shown, ..., None]], -1), board)
    return tile(pictures, columns=count)


def _alphas(job: Job, shape: tuple[int, int, int]) -> np.ndarray:
    """The mattes in the pixels of the clip's frames, [T, H, W] uint8, from the cropped squares."""
    made = job.stage_record()["matting"]
    count, height, width = shape
    squares = load_images(job.folder / "frames")[..., 3]
    squares = squares[:: max(1, (len(squares) - 1) // (count - 1))]  # without those made between
    crops = made.get("path") or [made["crop"]] * count
    alphas = np.zeros(shape, np.uint8)
    for alpha, square, (left, top, side) in zip(alphas, squares, crops, strict=True):
        x = slice(max(left, 0), min(left + side, width))
        y = slice(max(top, 0), min(top + side, height))
        large = cv2.resize(square, (side, side), interpolation=cv2.INTER_LINEAR)
        alpha[y, x] = large[y.start - top : y.stop - top, x.start - left : x.stop - left]
    return alphas


def _marks(url: str) -> np.ndarray:
    """Strokes [h, w] uint8 from the data URL of a PNG. Raises UserError for anything else."""
    try:
        data = base64.b64decode(url.partition(",")[2][:MAX_BYTES], validate=True)
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            if max(image.size) > 2 * LONGEST:  # known before anything is unpacked
                raise ValueError("larger than what the editor sends")
            return np.asarray(image.convert("RGB"))[..., 0]
    except (binascii.Error, OSError, ValueError, SyntaxError, AttributeError) as error:
        raise UserError("The strokes were not received.", "Please try again.") from error
