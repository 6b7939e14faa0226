"""Integrity of weight files, as far as a header shows it without reading the whole file."""

from __future__ import annotations

import zipfile
from pathlib import Path

MISSING = "is missing"
CUT = "ends too early (its download stopped half way?)"
# Messages of the safetensors library about a file that is shorter than its header says.
CUT_SAFETENSORS = ("header too small", "invalid header length", "incomplete metadata")


def fault(file: Path) -> str:
    """Damage of a file, as a phrase that follows its name; "" when there is none to see.

    Recognises missing and empty files, downloads that stopped half way, Git LFS pointers, and pages
    that a server sent instead of the file.
    """
    try:
        return _fault(file)
    except OSError as error:
        return f"cannot be read ({error.strerror})"


def _fault(file: Path) -> str:
    if not file.is_file():
        return MISSING
    with open(file, "rb") as stream:
        start = stream.read(512)
    if not start:
        return "is empty"
    if start.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, not the weights"
    if start.lstrip()[:9].lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        return "is a web page, not the weights"
    if file.suffix == ".safetensors":
        return _fault_of_safetensors(file)
    if start.startswith(b"PK") and not zipfile.is_zipfile(file):  # torch.save writes a ZIP archive
        return CUT
    return ""


def _fault_of_safetensors(file: Path) -> str:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "pt"):  # checks the header against the file's size
            return ""
    except SafetensorError as error:
        cut = any(message in str(error) for message in CUT_SAFETENSORS)
        return CUT if cut else "is no safetensors file"
