"""Downloads of weights: repositories by huggingface_hub, single files by pooch."""

from __future__ import annotations

import contextlib
import errno
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

from ..errors import UserError
from ..format import file_size
from ..run.events import Event, Stage
from ..run.workspace import replacing
from . import reachability
from .catalogue import Weights
from .find import cache_folders, entry, find

HINT = (
    "Give a folder that holds them with --weights, or take another engine; "
    "python -m ds4d doctor says what is here."
)
CHUNK = 1 << 20  # bytes
EVENT_INTERVAL = 0.5  # seconds
ABANDONED = 3600.0  # seconds without a byte, after which a partial file belongs to no process
TIMEOUT = 30.0  # seconds without a byte, after which a download is given up


def fetch(name: str, folder: str = "") -> Path:
    """Path of weights on disk; downloads them when they are nowhere on this machine.

    Args:
        name: in the catalogue.
        folder: the user's own folder of weights, or "".

    Returns:
        For weights on the hub, the folder that holds their files in the repository's layout; for
        those with a URL of their own (rembg's and LPIPS's), the file.

    Raises:
        UserError: with the exact reason why they are not to be had.
    """
    found = find(name, folder)
    if found.where == "missing":
        raise UserError(f"The weights {name} are not to be had: {found.message}.", HINT)
    if found.path is not None:
        return found.path
    _download(entry(name))
    found = find(name, folder)
    if found.path is None:
        raise UserError(f"The weights {name} did not arrive: {found.message}.", HINT)
    return found.path


def fetching(stage: str, name: str, folder: str = "") -> Stage[Path]:
    """`fetch` as a part of a stage, with events about the progress of a download.

    Weights that are on this machine are returned at once, without an event. Closing the generator
    does not wait for the download, which ends in the background.

    Args:
        stage: name of the stage in the events.
        name, folder: as in `fetch`.

    Raises:
        UserError: as `fetch` does.
    """
    if find(name, folder).where != "hub":
        return fetch(name, folder)
    weights = entry(name)
    outcome: list[Path | BaseException] = []

    def work() -> None:
        try:
            outcome.append(fetch(name, folder))
        except BaseException as error:  # raised again in the thread that waits
            outcome.append(error)

    thread = threading.Thread(target=work, daemon=True)
    before = _bytes_on_disk(weights)
    thread.start()
    while thread.is_alive():
        done = min(_bytes_on_disk(weights) - before, weights.bytes)
        message = f"downloading {name}: {file_size(done)} of {file_size(weights.bytes)}"
        yield Event(stage, 0, 0, message)
        thread.join(EVENT_INTERVAL)
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return outcome[0]


def _bytes_on_disk(weights: Weights) -> int:
    """Bytes in the folder that a download writes to, finished or not."""
    total = 0
    for file in _download_folder(weights).glob("*"):
        with contextlib.suppress(OSError):  # it is being renamed
            total += file.stat().st_size
    return total


def _download_folder(weights: Weights) -> Path:
    """The folder in which a download grows."""
    folder = cache_folders(weights)[0]
    return folder if weights.url else folder.parents[1] / "blobs"


def _remove_abandoned(weights: Weights) -> None:
    """Remove partial files of downloads whose process was killed: none resumes them."""
    pattern = f"{Path(weights.files[0]).stem}.partial-*" if weights.url else "*.*.incomplete"
    for file in _download_folder(weights).glob(pattern):
        with contextlib.suppress(FileNotFoundError):  # removed by another process
            if time.time() - file.stat().st_mtime > ABANDONED:
                file.unlink()


def _download(weights: Weights) -> None:
    folder = cache_folders(weights)[0]
    try:
        _remove_abandoned(weights)
        if weights.url:
            _download_file(weights, folder / weights.files[0])
        else:
            _download_repo(weights)
    except UserError:
        raise
    except Exception as error:  # each library on the way raises its own
        raise _user_error(weights, folder, error) from error


def _download_repo(weights: Weights) -> None:
    """Download into the hub's cache, which also waits for what another process is fetching.

    File by file in this thread: the pool of threads of `snapshot_download` would hold up Ctrl-C,
    and files that a repository lacks would pass unnoticed.
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
                HINT,
            ) from error


def _download_file(weights: Weights, target: Path) -> None:
    """Download to a partial file first: the target appears whole and checked, or not at all."""
    import pooch

    algorithm, expected = weights.checksum.split(":")
    downloader = pooch.HTTPDownloader(progressbar=True, chunk_size=CHUNK, timeout=TIMEOUT)
    with replacing(target) as partial:
        downloader(weights.url, str(partial), None)
        if pooch.file_hash(str(partial), algorithm) != expected:
            raise UserError(
                f"The weights {weights.name} arrived damaged: their checksum is another one.",
                "Try again; if it stays so, something between here and "
                f"{urlsplit(weights.url).netloc} changes them.",
            )


def _user_error(weights: Weights, folder: Path, error: Exception) -> UserError:
    """The cause of a failed download in a sentence."""
    from huggingface_hub import constants

    host = urlsplit(weights.url or constants.ENDPOINT).netloc
    start = f"The weights {weights.name} cannot be downloaded:"
    cause = error
    while cause.__cause__ or cause.__context__:  # libraries wrap the first error
        cause = cause.__cause__ or cause.__context__
    status = getattr(getattr(cause, "response", None), "status_code", 0)
    if status >= 400:
        return UserError(f"{start} {reachability.status_message(status, host)}.", HINT)
    number = getattr(cause, "errno", None)
    if number in (errno.ENOSPC, errno.EDQUOT):
        return UserError(
            f"{start} the disk is full at {folder}.",
            f"Make room for {file_size(weights.bytes)}, or set HF_HOME, U2NET_HOME or TORCH_HOME "
            "to a folder on another disk.",
        )
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return UserError(f"{start} {folder} cannot be written.", HINT)
    first_line = (str(cause) or type(cause).__name__).splitlines()[0]
    return UserError(
        f"The download of the weights {weights.name} from {host} broke off: {first_line}.",
        "Try again; files that arrived whole are kept.",
    )
