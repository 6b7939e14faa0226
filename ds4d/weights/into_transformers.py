"""Networks of transformers from checked files, where nothing is missing and nothing left over."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from .read import read_state

if TYPE_CHECKING:
    import torch
    from torch import nn

LISTED = 3  # keys of each kind that an error names


def load(
    network: type[nn.Module],  # a PreTrainedModel
    config: Any,  # its PretrainedConfig
    file: Path,
    title: str,  # of the network, for error messages
    dtype: torch.dtype,
    optional: frozenset[str] = frozenset(),  # keys that some conversions leave out
) -> nn.Module:
    """The network with the weights of a safetensors file, on the CPU, for inference.

    transformers maps the published names of the weights to its own, but fills missing ones with
    random numbers: here that is an error.

    Raises:
        UserError: the file is damaged or belongs to another network.
    """
    with _quiet():
        filled, report = network.from_pretrained(
            None,
            config=config,
            state_dict=read_state(file),
            dtype=dtype,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    problems = [
        f"{kind}: {_list_keys(sorted(keys))}"
        for kind, keys in (
            ("missing keys", report["missing_keys"] - optional),
            ("unexpected keys", report["unexpected_keys"]),
            ("wrong shapes", {key for key, *_ in report["mismatched_keys"]}),
        )
        if keys
    ]
    if problems:
        raise UserError(
            f"The weights {file} are not the {title} that its config.json describes; "
            f"{'; '.join(problems)}.",
            "It is another model's checkpoint, or another version of it.",
        )
    return filled.eval()


def _list_keys(keys: list[str]) -> str:
    more = f" and {len(keys) - LISTED} more" if len(keys) > LISTED else ""
    return ", ".join(keys[:LISTED]) + more


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence transformers' progress bar and report, whose faults become a UserError here."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
