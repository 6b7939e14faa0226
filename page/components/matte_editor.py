"""The matte editor: brush the object in or out on one frame, see what that does to all frames."""

from __future__ import annotations

import base64
import binascii
import io
from pathlib import Path

import cv2
import gradio as gr
import imageio.v3 as iio
import numpy as np
from PIL import Image

from ds4d import clip
from ds4d.errors import UserError
from ds4d.images import checkerboard, load_images, over, tile
from ds4d.matting import corrections
from ds4d.matting.cleanup import shrunk
from ds4d.run.events import result

from ..html import notice
from ..jobs.service import STORE
from ..jobs.store import Job

LONGEST = 640  # pixels of the picture that is painted on
STRIP_HEIGHT, STRIP_FRAMES = 128, 8  # of the strip that shows what strokes do
MOST_BYTES = 4_000_000  # of strokes that are sent
HELP = (
    "What you brush in or out here is carried along the movement to the other frames. Then make it "
    "again: only the mattes and what follows them are computed anew."
)


def panel(identity: str, frame: int | None = None) -> str:
    """A frame of a job to paint on, as HTML; the middle one unless another is asked for."""
    job = STORE.find(identity)
    read = clip.load(job.folder / "clip")
    frame = len(read.frames) // 2 if frame is None else min(max(frame, 0), len(read.frames) - 1)
    rgb = over(read.frames[frame]) if read.frames.shape[-1] == 4 else read.frames[frame]
    alpha = _alphas(job, read.frames.shape[1:3])[frame]
    picture = shrunk(rgb, LONGEST)
    size = picture.shape[1::-1]
    matte = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA)
    marks = corrections.load(job.folder, int(read.indices[frame]))
    if marks is None:
        marks = np.full(matte.shape, corrections.UNTOUCHED, np.uint8)
    marks = cv2.resize(marks, size, interpolation=cv2.INTER_NEAREST)
    layers = {"picture": ("JPEG", picture), "matte": ("PNG", matte), "marks": ("PNG", marks)}
    images = "".join(
        f'<img hidden alt="" class="{name}" src="{_data(pixels, kind)}">'
        for name, (kind, pixels) in layers.items()
    )
    count = len(read.frames)
    return f"""<section class="editor" data-frame="{frame}">{images}
<p>{HELP}</p>
<div class="tools" role="toolbar" aria-label="Brushes">
<button type="button" data-brush="in" aria-pressed="true">Brush in</button>
<button type="button" data-brush="out" aria-pressed="false">Brush out</button>
<button type="button" data-brush="rub" aria-pressed="false">Rub out strokes</button>
<label>Size <input type="range" class="size" min="2" max="80" value="16"></label>
<button type="button" class="undo">Undo</button></div>
<canvas width="{size[0]}" height="{size[1]}" tabindex="0" role="img" aria-label="Frame {frame + 1}
with its matte. Arrow keys move the brush, the space bar paints."></canvas>
<label class="frames">Frame <output>{frame + 1} of {count}</output>
<input type="range" class="frame" min="1" max="{count}" value="{frame + 1}"></label>
<button type="button" class="keep">Spread over all frames</button></section>"""


def opened(identity: str) -> tuple[dict, str, str]:
    """The editor of a job whose mattes have just come; it stays away where there is no job."""
    if not identity or "matting" not in STORE.find(identity).stage_record():
        return gr.update(visible=False), "", ""
    return gr.update(visible=True), panel(identity), ""


def turned(identity: str, event: gr.EventData) -> str:
    """Another frame."""
    return panel(identity, int(event._data["frame"]))


def keep(identity: str, event: gr.EventData) -> str:
    """Keep the strokes of a frame with its job, and show what they do to all frames."""
    try:
        return _kept(STORE.find(identity), event)
    except UserError as error:
        return notice(error.sentence, error.hint, kind="error")


def _kept(job: Job, event: gr.EventData) -> str:
    if job.active:
        raise UserError("This run is at work.", "Wait for its end or cancel it, then spread.")
    read = clip.load(job.folder / "clip")
    frame = int(event._data["frame"])
    if not 0 <= frame < len(read.frames):
        raise UserError("There is no such frame.", "Load the page again.")
    corrections.save(job.folder, int(read.indices[frame]), _marks(event._data["marks"]))
    return (
        f'<div class="spread"><img alt="The object in frames from first to last, with the strokes" '
        f'src="{_data(_strip(job, read), "JPEG")}"><p role="status">This is what your strokes do. '
        "Make it again when you are content.</p></div>"
    )


def _strip(job: Job, read: clip.Clip) -> np.ndarray:
    """Some frames beside each other as the next run will cut them out, roughly."""
    frames = np.stack([shrunk(frame[..., :3], 2 * STRIP_HEIGHT) for frame in read.frames])
    size = frames.shape[2:0:-1]
    alphas = np.stack([cv2.resize(a, size) for a in _alphas(job, read.frames.shape[1:3])])
    alphas = result(corrections.run(job.folder, frames, read.indices, alphas))
    some = np.linspace(0, len(frames) - 1, min(STRIP_FRAMES, len(frames))).round().astype(int)
    board = checkerboard(*frames.shape[1:3], cell=8)
    pictures = over(np.concatenate([frames[some], alphas[some, ..., None]], -1), board)
    return tile(pictures, columns=len(some))


def _alphas(job: Job, size: tuple[int, int]) -> np.ndarray:
    """The mattes in the pixels of the clip's frames, [T, H, W] uint8, from the cut-out squares."""
    left, top, side = job.stage_record()["matting"]["crop"]
    squares = load_images(job.folder / "frames")[..., 3]
    height, width = size
    alphas = np.zeros((len(squares), height, width), np.uint8)
    x, y = slice(max(left, 0), min(left + side, width)), slice(max(top, 0), min(top + side, height))
    for alpha, square in zip(alphas, squares, strict=True):
        large = cv2.resize(square, (side, side), interpolation=cv2.INTER_LINEAR)
        alpha[y, x] = large[y.start - top : y.stop - top, x.start - left : x.stop - left]
    return alphas


def _marks(sent: str) -> np.ndarray:
    """Strokes from what the browser sent. Raises UserError for anything else."""
    try:
        data = base64.b64decode(sent.partition(",")[2][:MOST_BYTES], validate=True)
        return iio.imread(data, extension=".png")[..., 0]
    except (binascii.Error, OSError, ValueError, IndexError, AttributeError) as error:
        raise UserError("The strokes have not arrived.", "Try it once more.") from error


def _data(pixels: np.ndarray, kind: str) -> str:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, kind, quality=88)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(data.getvalue()).decode()}"


def build() -> tuple[gr.Accordion, gr.HTML, gr.HTML]:
    """The accordion, the editor in it (events: select a frame, submit), and what strokes do."""
    with gr.Accordion("Mend the mattes by hand", open=False, visible=False, elem_id="mend") as fold:
        paper = gr.HTML(
            elem_id="editor",
            js_on_load=Path(__file__).with_name("matte_editor.js").read_text(),
            apply_default_css=False,
        )
        spread = gr.HTML(elem_id="spread", apply_default_css=False)
    return fold, paper, spread
