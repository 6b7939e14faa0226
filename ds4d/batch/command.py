"""The options of the command `batch`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro

from ..config import Config, Range


@dataclass(frozen=True)
class Batch:
    """Make 4D assets of many clips, on this machine or on a Ray cluster (docs/cluster.md)."""

    clips: tyro.conf.Positional[tuple[str, ...]]
    """Clips, folders of clips, patterns, addresses (s3://...), and manifests (txt, csv, json,
    jsonl)."""
    out: str
    """Folder of all runs, or an address (s3://..., gs://..., hf://...); the same command goes on
    with what is there."""
    config: Annotated[Config, tyro.conf.arg(name="")]
    address: str = ""
    """Ray cluster: auto, ray://HOST:PORT or HOST:PORT; empty = a local Ray on this machine."""
    threads: Annotated[int | None, Range(1, 64)] = None
    """CPU threads of each task; None = one, or more where there are more cores than clips."""
    retry_failed: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Try clips again that failed before."""
    dashboard: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Start Ray's dashboard, whose address is printed; a cluster has its own."""
