"""Folders and zips of images as other tools leave them: the images that are one clip.

Beside the frames, such folders hold masks, depths or normals, each frame a second time with
transparency, thumbnails, or other files. Everything that is not used is named.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

import numpy as np

from ..errors import UserError
from .datasets import IMAGE_SUFFIXES, VIDEO_SUFFIXES, natural

# The order in which one of several files of the same frame is taken.
PREFERRED = (
    ".png", ".webp", ".tif", ".tiff", ".avif", ".heic", ".heif", ".bmp", ".jpg", ".jpeg", ".jpe",
    ".jfif",
)  # fmt: skip
BESIDE = (
    "mask masks matte mattes alpha alphas depth depths disparity disp normal normals seg "
    "segmentation semantic label labels flow albedo trimap pose edge edges canny thumb thumbnail "
    "thumbnails"
).split()
FRAMES = "rgba rgb images image frames frame color colors input pictures photos".split()
DECIMAL = r"[0-9]+\.([0-9]+)"  # names in seconds
COPY = r"(.+?)(?: - copy| copy| \([0-9]+\))(?: \([0-9]+\)| [0-9]+)?"
SYSTEM = {"thumbs.db", "desktop.ini"}
ENTRIES = 20_000  # of a zip
DEEPEST = 3  # levels of subfolders that are looked into
Sequences = dict[tuple[str, str], dict[int, "Picture"]]  # by what surrounds their numbers


@dataclass(frozen=True)
class Picture:
    """One image file of a folder or a zip."""

    path: PurePosixPath  # inside of the folder or zip
    size: int  # bytes
    open: Callable[[], IO[bytes]]

    @property
    def name(self) -> str:
        return self.path.name


@dataclass(frozen=True)
class Pictures:
    """The images of a clip in the order of time, and what else was found."""

    files: tuple[Picture, ...]
    numbers: np.ndarray  # [N] float64, increasing: places in time, which are uneven after gaps
    left_out: tuple[str, ...]  # names
    notes: tuple[str, ...]


def find_pictures(path: Path) -> Pictures:
    """Choose the images of a folder or a zip that are the frames of one clip.

    Raises:
        UserError: there are none, or several clips, or the zip cannot be read.
    """
    found = _in_zip(path) if path.is_file() else _in_folder(path)
    found = [entry for entry in found if not _hidden(entry.path)]
    images = [entry for entry in found if entry.path.suffix.lower() in IMAGE_SUFFIXES]
    what = "zip" if path.is_file() else "folder"
    if not images:
        others = ", ".join(entry.name for entry in found[:3])
        raise UserError(
            f"The {what} {path.name} holds no images.",
            video_among([entry.name for entry in found])
            or "PNG, JPEG, WebP, AVIF, HEIC and TIFF are read."
            + (f" It holds {others}." if others else ""),
        )
    home = _home(images, path.name)
    inside = [entry for entry in images if entry.path.parent == home]
    chosen, beside = _frames(inside, path.name)
    chosen.sort(key=_seconds if _in_seconds(chosen) else lambda entry: natural(entry.path))
    used = {entry.path for entry in chosen}
    left_out = _left_out([entry for entry in found if entry.path not in used], home)
    numbers, gaps = _numbers(chosen)
    notes = []
    if beside or any(name.endswith("/") for name in left_out):
        notes.append(f"Left out: {_listed(left_out)}.")
    if home.name:
        notes.append(f"The images are taken from the folder {home}.")
    if gaps:
        names = _listed([str(gap) for gap in gaps])
        missing = f"number {names} is" if len(gaps) == 1 else f"numbers {names} are"
        notes.append(f"Of the numbered images, {missing} missing: their time is kept.")
    return Pictures(tuple(chosen), numbers, tuple(left_out), tuple(notes))


def _in_folder(folder: Path, depth: int = 0) -> list[Picture]:
    """Files of a folder and of its subfolders; run folders, which may lie in it, are no part."""
    found = []
    for path in sorted(folder.iterdir()):
        if path.is_file():
            size, opens = path.stat().st_size, partial(path.open, "rb")
            found.append(Picture(PurePosixPath(path.name), size, opens))
        elif path.is_dir() and depth < DEEPEST and not (path / "run.json").exists():
            for entry in _in_folder(path, depth + 1):
                found.append(replace(entry, path=PurePosixPath(path.name) / entry.path))
    return found


def _in_zip(path: Path) -> list[Picture]:
    """Files of a zip, which are unpacked one at a time and in memory."""
    try:
        archive = zipfile.ZipFile(path)
        entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise UserError(f"The zip {path.name} cannot be read.", "Pack it again.") from error
    if len(entries) > ENTRIES or any(entry.flag_bits & 1 for entry in entries):
        raise UserError(f"The zip {path.name} is encrypted or too large.", "Unpack it yourself.")
    return [
        Picture(
            PurePosixPath(entry.filename.replace("\\", "/")), entry.file_size,
            partial(_unpacked, archive, entry),
        )
        for entry in entries
    ]  # fmt: skip


def _unpacked(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> IO[bytes]:
    return io.BytesIO(archive.read(entry))


def _hidden(path: PurePosixPath) -> bool:
    return (
        any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
        or path.name.lower() in SYSTEM
    )


def _home(images: list[Picture], name: str) -> PurePosixPath:
    """The folder of the frames among those that hold images."""
    counts = Counter(entry.path.parent for entry in images)
    top = PurePosixPath(".")
    if len(counts) == 1 or counts[top] > 1:
        return top if counts[top] > 1 else next(iter(counts))
    folders = [folder for folder in counts if not _words(folder.name) & set(BESIDE)] or list(counts)
    named = [folder for folder in folders if _words(folder.name) & set(FRAMES)]
    for choice in (folders, named):
        if len(choice) == 1:
            return choice[0]
    with_alpha = [folder for folder in named if "rgba" in _words(folder.name)]
    if len(with_alpha) == 1:
        return with_alpha[0]
    listed = _listed(sorted(str(folder) for folder in counts))
    raise UserError(f"{name} holds several folders of images: {listed}.", "Give one of them.")


def _frames(images: list[Picture], name: str) -> tuple[list[Picture], bool]:
    """The frames among the images of one folder, and whether others were left out.

    Raises:
        UserError: there are several clips.
    """
    stems = {entry.path.stem.lower() for entry in images}
    originals = [entry for entry in images if not _is_copy(entry.path.stem.lower(), stems)]
    plain = [entry for entry in originals if not _words(entry.path.stem) & set(BESIDE)] or originals
    frames: dict[str, list[Picture]] = defaultdict(list)
    for entry in plain:
        frames[_key(entry)].append(entry)
    if any(len(files) > 1 for files in frames.values()):
        plain = _one_each(frames)
    numbered = [entry for entry in plain if _parts(_key(entry)) is not None]
    if len(plain) - len(numbered) <= len(numbered) / 2:
        plain = numbered  # a title picture or a contact sheet beside the frames
    sequences: Sequences = defaultdict(dict)
    for entry in numbered:
        before, number, after = _parts(_key(entry)) or ("", 0, "")
        sequences[before, after][number] = entry
    clips = {words: sequence for words, sequence in sequences.items() if len(sequence) > 1}
    together = sum(len(sequence) for sequence in clips.values())
    if len(set().union(*clips.values())) < together:  # a number stands in two of them
        plain = list(_main(clips, name).values())
    return plain, len(plain) < len(images)


def _is_copy(stem: str, stems: set[str]) -> bool:
    """True if a name is that of another one's copy, as file managers and browsers name them."""
    found = re.fullmatch(COPY, stem)
    return found is not None and found[1] in stems


def _one_each(frames: dict[str, list[Picture]]) -> list[Picture]:
    """One file of each frame: with transparency, if all frames have it, else by format."""

    def rank(entry: Picture) -> tuple[bool, int]:
        cut_out = "rgba" in _words(entry.path.stem)
        return (cut_out != all_cut_out, PREFERRED.index(entry.path.suffix.lower()))

    all_cut_out = all(
        any("rgba" in _words(entry.path.stem) for entry in files) for files in frames.values()
    )
    return [min(files, key=rank) for files in frames.values()]


def _main(sequences: Sequences, name: str) -> dict[int, Picture]:
    """The one of several numbered sequences that the others were derived from, or the longest."""
    shortest = min(sequences, key=lambda words: len("".join(words)))
    if all(shortest[0] in words[0] and shortest[1] in words[1] for words in sequences):
        return sequences[shortest]
    lengths = sorted((len(sequence) for sequence in sequences.values()), reverse=True)
    if lengths[0] > 2 * lengths[1]:
        return max(sequences.values(), key=len)
    listed = _listed(sorted("".join((a, "N", b)) for a, b in sequences))
    raise UserError(
        f"{name} holds several clips: {listed}.", "Put each into a folder of its own, and give one."
    )


def _words(name: str) -> set[str]:
    return set(re.findall(r"[a-z]+", name.lower()))


def _key(entry: Picture) -> str:
    """Name of a frame: the stem without "rgba" and the like."""
    return re.sub(r"[ _.-]*(?<![a-z])rgba?(?![a-z])", "", entry.path.stem.lower())


def _parts(key: str) -> tuple[str, int, str] | None:
    """The last number of a name between what stands before and behind it; None without one."""
    found = re.fullmatch(r"(.*?)([0-9]+)([^0-9]*)", key)
    return (found[1], int(found[2]), found[3]) if found else None


def _numbers(files: list[Picture]) -> tuple[np.ndarray, list[int]]:
    """Places of the files in time, and the numbers that are missing between them.

    Numbers are taken for time where most of them are there.
    """
    even = np.arange(len(files), dtype=np.float64)
    parts = [part for entry in files if (part := _parts(_key(entry))) is not None]
    numbers = np.array([number for _, number, _ in parts], np.float64)
    steps = np.diff(numbers)
    one = len(parts) == len(files) and len({(before, after) for before, _, after in parts}) == 1
    if not one or not len(steps) or (steps <= 0).any():
        return even, []
    step = steps.min()
    absent = int((steps / step - 1).sum())
    if not absent or (steps % step).any() or absent > len(files):
        return even, []
    present = {int(number) for number in numbers}
    gaps = [n for n in range(int(numbers[0]), int(numbers[-1]), int(step)) if n not in present]
    return (numbers - numbers[0]) / step, gaps


def _in_seconds(files: list[Picture]) -> bool:
    """True if names are decimal fractions, as 0.04, 0.08, 0.1 are and 1.9, 1.10 are not."""
    fractions = [found[1] for f in files if (found := re.fullmatch(DECIMAL, f.path.stem))]
    uneven = len({len(fraction) for fraction in fractions}) > 1
    return len(fractions) == len(files) and uneven and any(f[0] == "0" for f in fractions)


def _seconds(file: Picture) -> float:
    return float(file.path.stem)


def video_among(names: Sequence[str]) -> str:
    """A hint at the first video among some files; empty without one."""
    videos = [name for name in names if PurePosixPath(name).suffix.lower() in VIDEO_SUFFIXES]
    return f"Give the video {videos[0]} itself." if videos else ""


def _left_out(entries: list[Picture], home: PurePosixPath) -> list[str]:
    """Names of files, and of whole folders with a slash."""
    names = {
        entry.name if entry.path.parent == home else _shown(entry.path, home) for entry in entries
    }
    return sorted(names, key=lambda name: natural(PurePosixPath(name)))


def _shown(path: PurePosixPath, home: PurePosixPath) -> str:
    if path.is_relative_to(home):
        path, shared = path.relative_to(home), 0
    else:
        shared = sum(a == b for a, b in zip(path.parts, home.parts, strict=False))
    upper = path.parts[: shared + 1]
    return "/".join(upper) + ("/" if len(upper) < len(path.parts) else "")


def _listed(names: list[str]) -> str:
    """Names for a message: the first few, and how many more."""
    shown = ", ".join(names[:4])
    more = len(names) - 4
    return shown + (f" and {more} more" if more > 0 else "")
