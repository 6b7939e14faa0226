"""The pretrained matting engine: rembg's networks on single frames, cleaned over time.

rembg is only ever given the file that `weights` found, and never downloads anything by itself.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import torch

from .. import weights
from ..config import MachineConfig
from ..errors import UserError
from ..images import checkerboard, over
from ..run import device
from ..run.events import Event, Stage
from ..run.workspace import content_key, replacing
from .cleanup import reported

SIZES = {"isnet-general-use": 1024, "birefnet-general-lite": 1024, "u2net": 320}  # of the input
# Output of a network at its surest pixel below which a frame has no object: 0.3 as an opacity.
# Networks are nearly certain somewhere on an object. BiRefNet returns logits.
MIN_OUTPUT = {"isnet-general-use": 0.3, "birefnet-general-lite": -0.85, "u2net": 0.3}


def run(
    frames: np.ndarray,  # [T, H, W, 3 or 4] uint8; an alpha channel: over white
    *,
    model: str,  # a key of SIZES
    machine: MachineConfig,
    cache: Path | None = None,
) -> Stage[np.ndarray]:
    """Mattes [T, H, W] uint8 of a clip's frames.

    Args:
        cache: a folder where each frame's own matte is kept by the frame's content, so that a
            killed or changed run mattes new frames only.

    Raises:
        UserError: no weights, or they are not the model's.
    """
    yield Event("matting", 0, len(frames), f"loading {model}")
    file = weights.fetch(f"rembg-{model}", machine.weights)
    try:
        alphas = yield from _matte_frames(frames, model, file, device.pick(machine.device), cache)
    finally:
        device.release()
    return (yield from reported(alphas, model))


def _matte_frames(
    frames: np.ndarray, model: str, file: Path, place: torch.device, cache: Path | None
) -> Stage[np.ndarray]:
    """Each frame's own matte, from the cache or the network, which is loaded when needed."""
    total = len(frames)
    alphas = np.empty(frames.shape[:3], np.uint8)
    board = checkerboard(*frames.shape[1:3])
    network_key = content_key(model, file) if cache else ""
    network = None
    for index, frame in enumerate(frames):
        rgb = over(frame) if frame.shape[-1] == 4 else frame
        key = content_key(rgb.tobytes(), rgb.shape, network_key) if cache else ""
        cached = cache / f"{key}.png" if cache else None
        if cached and cached.exists():
            alphas[index] = iio.imread(cached)
            message = "from the cache"
        else:
            if network is None:
                network = Network(model, file, place)
                yield Event("matting", index, total, network.message, warning=network.fell_back)
            alphas[index] = network.matte(rgb)
            message = f"{model} on the {network.processor}"
            if cached:
                with replacing(cached) as path:
                    iio.imwrite(path, alphas[index])
        preview = over(np.dstack([rgb, alphas[index]]), board)
        yield Event("matting", index + 1, total, message, preview)
    return alphas


class Network:
    """One of rembg's networks, loaded from a file.

    Attributes:
        processor: "GPU" or "CPU", whichever it really runs on.
        message: the same as a sentence, with the reason where a GPU is left unused.
        fell_back: whether CUDA was asked for and could not be started.

    Raises:
        UserError: the file is damaged or holds another network.
    """

    def __init__(self, model: str, file: Path, place: torch.device):
        import onnxruntime

        wanted = place.type == "cuda"
        built = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
        self._min_output = MIN_OUTPUT[model]
        self._session = _session(model, file, wanted and built)
        self._recorder = _MaximumRecorder(self._session.inner_session)
        self._session.inner_session = self._recorder
        on_gpu = "CUDAExecutionProvider" in self._recorder.session.get_providers()
        self.processor = "GPU" if on_gpu else "CPU"
        self.fell_back = wanted and built and not on_gpu
        self.message = f"{model} runs on the {self.processor}"
        if self.fell_back:
            self.message += ": onnxruntime could not start CUDA; its version may not fit the GPU's."
        elif wanted and not built:
            self.message += ": this onnxruntime has no CUDA; onnxruntime-gpu does"

    def matte(
        self,
        rgb: np.ndarray,  # [H, W, 3] uint8
    ) -> np.ndarray:
        """Opacity [H, W] uint8; 0 everywhere where the network sees no object."""
        from rembg import remove

        with np.errstate(all="ignore"):  # rembg divides by the range of a mask, which may be 0
            alpha = remove(rgb, session=self._session, only_mask=True)
        if not self._recorder.maximum >= self._min_output:
            return np.zeros(rgb.shape[:2], np.uint8)
        return alpha


def _session(model: str, file: Path, cuda: bool):
    """rembg's session of a model on the given file.

    Not by `rembg.new_session`, which looks for the file in rembg's own folders and downloads it.
    """
    import onnxruntime
    from rembg.sessions import sessions

    class Session(sessions[model]):
        @classmethod
        def download_models(cls, *args, **kwargs) -> str:
            return str(file)

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    providers = ["CUDAExecutionProvider"] if cuda else []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # Network reports that CUDA failed
            session = Session(model, options, providers=[*providers, "CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have nothing in common
        raise weights.unreadable(file, error) from error
    shape = session.inner_session.get_inputs()[0].shape  # a name where a side may be any
    if len(shape) != 4 or any(isinstance(n, int) and n != SIZES[model] for n in shape[2:]):
        raise UserError(
            f"The weights {file} are not rembg's {model}: they take images of another size.",
            "It is another model's file.",
        )
    return session


class _MaximumRecorder:
    """An onnxruntime session that records the maximum of the network's last output.

    rembg stretches every mask to the full range: afterwards, a frame without an object looks like
    any other.
    """

    def __init__(self, session):
        self.session = session
        self.maximum = float("nan")

    def get_inputs(self) -> list:
        return self.session.get_inputs()

    def run(self, names: list[str] | None, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        outputs = self.session.run(names, inputs)
        self.maximum = float(outputs[0][:, 0].max())
        return outputs
