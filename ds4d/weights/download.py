"""Bringing weights to this machine."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

from ..errors import UserError
from ..run.events import Event, Stage
from ..run.workspace import replacing
from . import reachability
from .catalogue import Weights, size
from .find import cache_places, find, look_up

ELSEWHERE = (
    "Give a folder that holds them with --weights, or take another engine; "
    "python -m ds4d doctor says what is here."
)
BLOCK = 1 << 20  # bytes
NEWS = 0.5  # seconds between two pieces of news
ABANDONED = 3600.0  # seconds without a byte, after which nobody writes to a file any more
STALLED = 30.0  # seconds without a byte, after which a download is given up


def fetch(name: str, folder: str = "") -> Path:
    """The place of weights on disk; downloads them when they are nowhere on this machine.

    Args:
        name: in the catalogue.
        folder: the user's own folder of weights, or "".

    Returns:
        For weights on the hub, the folder that holds their files in the repository's layout; for
        those with an address of their own (rembg's and LPIPS's), the file.

    Raises:
        UserError: with the exact reason why they are not to be had.
    """
    found = find(name, folder)
    if found.where == "missing":
        raise UserError(f"The weights {name} are not to be had: {found.words}.", ELSEWHERE)
    if found.path is not None:
        return found.path
    _download(look_up(name))
    found = find(name, folder)
    if found.path is None:
        raise UserError(f"The weights {name} did not arrive: {found.words}.", ELSEWHERE)
    return found.path


def fetching(stage: str, name: str, folder: str = "") -> Stage[Path]:
    """`fetch` as a part of a stage's work, with news of a download that takes long.

    Weights that are on this machine are returned at once, without an event. Closing the generator
    does not wait for the download, which ends in the background.

    Args:
        stage: whose events these are.
        name, folder: as `fetch` has them.

    Raises:
        UserError: as `fetch` does.
    """
    if find(name, folder).where != "hub":
        return fetch(name, folder)
    weights = look_up(name)
    outcome: list[Path | BaseException] = []

    def work() -> None:
        try:
            outcome.append(fetch(name, folder))
        except BaseException as error:  # raised again in the thread that waits
            outcome.append(error)

    thread = threading.Thread(target=work, daemon=True)
    before = _arrived(weights)
    thread.start()
    while thread.is_alive():
        done = min(_arrived(weights) - before, weights.bytes)
        message = f"downloading {name}: {size(done)} of {size(weights.bytes)}"
        yield Event(stage, 0, 0, message)
        thread.join(NEWS)
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return outcome[0]


def _arrived(weights: Weights) -> int:
    """Bytes in the folder that a download writes to, finished or not."""
    total = 0
    for file in _workplace(weights).glob("*"):
        with contextlib.suppress(OSError):  # renamed in this moment
            total += file.stat().st_size
    return total


def _workplace(weights: Weights) -> Path:
    """The folder in which a download grows."""
    place = cache_places(weights)[0]
    return place if weights.url else place.parents[1] / "blobs"


def _sweep(weights: Weights) -> None:
    """Remove what downloads left behind whose process was killed: nobody goes on with it."""
    pattern = f"{Path(weights.files[0]).stem}.partial-*" if weights.url else "*.*.incomplete"
    for file in _workplace(weights).glob(pattern):
        with contextlib.suppress(FileNotFoundError):  # another one sweeps, too
            if time.time() - file.stat().st_mtime > ABANDONED:
                file.unlink()


def _download(weights: Weights) -> None:
    place = cache_places(weights)[0]
    try:
        _sweep(weights)
        if weights.url:
            _download_file(weights, place / weights.files[0])
        else:
            _download_repo(weights)
    except UserError:
        raise
    except Exception as error:  # each library on the way raises its own
        raise _explained(weights, place, error) from error


def _download_repo(weights: Weights) -> None:
    """Into the hub's cache, where what another process is fetching is waited for.

    One file after the other, in this thread: a pool of threads would hold up Ctrl-C.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import RemoteEntryNotFoundError

    for file in weights.files:
        try:
            hf_hub_download(weights.repo, file, revision=weights.revision)
        except RemoteEntryNotFoundError as error:
            raise UserError(
                f"The weights {weights.name} are incomplete on the hub: {weights.repo} has no "
                f"{file} at revision {weights.revision[:7]}.",
                ELSEWHERE,
            ) from error


def _download_file(weights: Weights, target: Path) -> None:
    """Aside first, so that the file appears whole and checked, or not at all."""
    from huggingface_hub.utils import get_session
    from tqdm import tqdm

    kind, expected = weights.checksum.split(":")
    digest = hashlib.new(kind, usedforsecurity=False)
    request = get_session().stream("GET", weights.url, timeout=STALLED, follow_redirects=True)
    with replacing(target) as aside, request as response, open(aside, "wb") as file:
        response.raise_for_status()
        total = int(response.headers.get("content-length", weights.bytes))
        with tqdm(total=total, unit="B", unit_scale=True, desc=target.name) as bar:
            for block in response.iter_bytes(BLOCK):
                file.write(block)
                digest.update(block)
                bar.update(len(block))
        if not digest.hexdigest().startswith(expected):
            raise UserError(
                f"The weights {weights.name} arrived damaged: their checksum is another one.",
                "Try again; if it stays so, something between here and "
                f"{urlsplit(weights.url).netloc} changes them.",
            )


def _explained(weights: Weights, place: Path, error: Exception) -> UserError:
    """What stopped a download, in a sentence."""
    from huggingface_hub import constants

    host = urlsplit(weights.url or constants.ENDPOINT).netloc
    start = f"The weights {weights.name} cannot be downloaded:"
    root = error
    while root.__cause__ is not None:  # libraries wrap what happened
        root = root.__cause__
    status = getattr(getattr(root, "response", None), "status_code", 0)
    if status >= 400:
        return UserError(f"{start} {reachability.describe(status, host)}.", ELSEWHERE)
    number = getattr(root, "errno", None)
    if number in (errno.ENOSPC, errno.EDQUOT):
        return UserError(
            f"{start} the disk is full at {place}.",
            f"Make room for {size(weights.bytes)}, or set HF_HOME, U2NET_HOME or TORCH_HOME to a "
            "folder on another disk.",
        )
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return UserError(f"{start} {place} cannot be written.", ELSEWHERE)
    first = (str(root) or type(root).__name__).splitlines()[0]
    return UserError(
        f"The download of the weights {weights.name} from {host} broke off: {first}.",
        "Try again; files that arrived whole are kept.",
    )
