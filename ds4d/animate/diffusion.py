"""Pipelines of diffusers from a local folder: strict loading, memory, progress, cancelling."""

from __future__ import annotations

import importlib
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from ..errors import UserError
from ..run.device import release
from ..run.events import Event, Stage
from ..weights import read_json

Result = TypeVar("Result")
AfterStep = Callable[..., dict]  # what pipelines take as callback_on_step_end
HINT = "Delete the folder, so that the weights are fetched again, or take another engine."


def load(
    pipeline: type,
    folder: Path,  # in the repository's layout
    device: torch.device,
    dtypes: dict[str, torch.dtype],  # of networks by name; the others take that of ""
    variant: str | None = None,  # of the files' names
) -> Any:
    """Load a pipeline; every weight of its networks comes from the folder.

    On a GPU one network at a time is there, the others wait in the memory of the machine.

    Raises:
        UserError: a file is missing, damaged, or does not fit its network.
    """
    parts = {}
    index = read_json(folder / "model_index.json")
    for name, entry in index.items():
        if name.startswith("_") or not isinstance(entry, list) or entry[0] is None:
            continue
        kind = getattr(importlib.import_module(entry[0]), entry[1], None)
        if kind is None:
            raise UserError(f"{folder / 'model_index.json'} names an unknown {entry[1]}.", HINT)
        dtype = dtypes.get(name, dtypes[""])
        parts[name] = _part(kind, folder / name, dtype, variant)
    settings = {name: value for name, value in index.items()
                if not name.startswith("_") and not isinstance(value, list)}  # fmt: skip
    loaded = pipeline(**parts, **settings)
    loaded.set_progress_bar_config(disable=True)
    if device.type == "cuda":
        loaded.enable_model_cpu_offload(device=device)
    return loaded


def _part(kind: type, folder: Path, dtype: torch.dtype, variant: str | None) -> Any:
    """A network, tokenizer, scheduler or image processor from its folder."""
    options: dict[str, Any] = {"local_files_only": True}
    network = issubclass(kind, torch.nn.Module)
    if network:
        named = "torch_dtype" if kind.__module__.startswith("diffusers") else "dtype"
        options |= {named: dtype, "variant": variant, "use_safetensors": True,
                    "output_loading_info": True}  # fmt: skip
    try:
        found = kind.from_pretrained(folder, **options)
    except Exception as error:  # each library on the way raises its own
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"{folder} cannot be loaded: {reason}", HINT) from error
    if not network:
        return found
    part, facts = found
    wrong = [*facts["missing_keys"], *facts["unexpected_keys"], *facts["mismatched_keys"]]
    if wrong:
        raise UserError(
            f"The weights in {folder} do not fit the network: {wrong[0]} and {len(wrong) - 1} more."
            if len(wrong) > 1
            else f"The weights in {folder} do not fit the network: {wrong[0]}.",
            HINT,
        )
    return part.eval().requires_grad_(False)


class _Stopped(Exception):
    """Raised inside a pipeline whose result nobody waits for any more."""


def stepwise(
    run: Callable[[AfterStep], Result],
    event: Event,  # at the beginning: its step and total
) -> Stage[Result]:
    """Run a pipeline in a thread, with an event per denoising step.

    Closing the generator stops the pipeline after its current step and waits for that.

    Args:
        run: calls the pipeline with the given `callback_on_step_end`.
    """
    steps: queue.Queue[int | None] = queue.Queue()
    stop = threading.Event()
    outcome: list[Result | BaseException] = []

    def after_step(pipeline: Any, step: int, time: Any, tensors: dict) -> dict:
        if stop.is_set():
            raise _Stopped
        steps.put(step)
        return {}

    def work() -> None:
        try:
            with torch.inference_mode():
                outcome.append(run(after_step))
        except BaseException as error:  # raised again in the thread that waits
            outcome.append(error)
        finally:
            steps.put(None)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while (step := steps.get()) is not None:
            done = event.step + step + 1
            yield Event(event.stage, done, event.total, f"{event.message}, step {step + 1}")
    finally:
        stop.set()
        thread.join()
        release()
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return outcome[0]


def as_bytes(images: np.ndarray) -> np.ndarray:
    """Images of a pipeline, floats in [0, 1], as uint8."""
    return (np.asarray(images).clip(0, 1) * 255 + 0.5).astype(np.uint8)
