"""Whether a file of weights is whole, as far as its first and last bytes tell."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

LFS_POINTER = b"version https://git-lfs"


def fault(file: Path) -> str:
    """What is wrong with a file, in words that follow its name; "" when nothing is to be seen.

    Reads no more than the ends of the file: enough for downloads that stopped half way, Git LFS
    pointers, and pages that a server sent instead of the file.
    """
    if not file.is_file():
        return "is missing"
    size = file.stat().st_size
    if size == 0:
        return "is empty"
    with open(file, "rb") as stream:
        start = stream.read(512)
    if start.startswith(LFS_POINTER):
        return "is a Git LFS pointer, not the file itself"
    if start.lstrip()[:9].lower().startswith((b"<!doctype", b"<html")):
        return "is a web page, not the file itself"
    if file.suffix == ".safetensors":
        return _fault_of_safetensors(file, size)
    if file.suffix in (".ckpt", ".bin", ".pth") and start.startswith(b"PK"):
        return "" if zipfile.is_zipfile(file) else "ends too early"
    return ""


def _fault_of_safetensors(file: Path, size: int) -> str:
    """The header (its length in 8 bytes, then JSON) says where the last tensor ends."""
    with open(file, "rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = stream.read(min(length, size))
    if not header.startswith(b"{"):
        return "is not a safetensors file"
    if len(header) < length:
        return "ends too early"
    try:
        tensors = json.loads(header)
        tensors.pop("__metadata__", None)
        end = max((tensor["data_offsets"][1] for tensor in tensors.values()), default=0)
    except (ValueError, KeyError, TypeError, IndexError):
        return "is not a safetensors file"
    return "ends too early" if size < 8 + length + end else ""
