"""Whether a file of weights is whole, as far as its first and last bytes tell."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import BinaryIO

MISSING = "is missing"
CUT = "ends too early (its download stopped half way?)"


def fault(file: Path) -> str:
    """What is wrong with a file, in words that follow its name; "" when nothing is to be seen.

    Reads no more than the bounds of what the file holds: enough for downloads that stopped half
    way, Git LFS pointers, and pages that a server sent instead of the file.
    """
    try:
        return _fault(file)
    except OSError as error:
        return f"cannot be read ({error.strerror})"


def _fault(file: Path) -> str:
    if not file.is_file():
        return MISSING
    size = file.stat().st_size
    if size == 0:
        return "is empty"
    with open(file, "rb") as stream:
        start = stream.read(512)
        stream.seek(0)
        if start.startswith(b"version https://git-lfs"):
            return "is a Git LFS pointer, not the weights"
        if start.lstrip()[:9].lower().startswith((b"<!doctype", b"<html", b"<?xml")):
            return "is a web page, not the weights"
        if file.suffix == ".safetensors":
            return _fault_of_safetensors(stream, size)
        if file.suffix == ".onnx":
            return _fault_of_protobuf(stream, size)
    if start.startswith(b"PK") and not zipfile.is_zipfile(file):  # what torch.save writes
        return CUT
    return ""


def _fault_of_safetensors(stream: BinaryIO, size: int) -> str:
    """The header (its length in 8 bytes, then JSON) says where the last tensor ends."""
    length = int.from_bytes(stream.read(8), "little")
    header = stream.read(min(length, size))
    if not header.startswith(b"{"):
        return "is no safetensors file"
    if len(header) < length:
        return CUT
    try:
        tensors = json.loads(header)
        tensors.pop("__metadata__", None)
        end = max((tensor["data_offsets"][1] for tensor in tensors.values()), default=0)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return "is no safetensors file"
    return CUT if size < 8 + length + end else ""


def _fault_of_protobuf(stream: BinaryIO, size: int) -> str:
    """A row of fields, each with its number, its type, and its length; the last ends the file."""
    while stream.tell() < size:
        kind = _varint(stream) & 7
        if kind == 0:
            _varint(stream)
        elif kind == 2:
            stream.seek(_varint(stream), 1)
        elif kind in (1, 5):
            stream.seek(8 if kind == 1 else 4, 1)
        else:
            return "is no ONNX file"
    return CUT if stream.tell() > size else ""


def _varint(stream: BinaryIO) -> int:
    """Seven bits a byte, the lowest first; the highest bit says that more follow."""
    value = 0
    for shift in range(0, 70, 7):
        byte = stream.read(1)
        if not byte:
            stream.seek(1, 2)  # beyond the end, as a length that is too large leads there
            break
        value |= (byte[0] & 127) << shift
        if byte[0] < 128:
            break
    return value
