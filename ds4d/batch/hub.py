"""Runs in a repository on the Hugging Face Hub: hf://datasets/OWNER/REPO/FOLDER.

Whatever a stage has made is one commit, so that it appears as a whole.
"""

from __future__ import annotations

import time
from pathlib import Path

from ..errors import UserError
from .stores import ObjectRuns

ATTEMPTS = 6  # of a commit, while others commit to the same repository
KINDS = {"datasets": "dataset", "spaces": "space"}


class HubRuns(ObjectRuns):
    """Runs in a folder of a repository."""

    def __init__(self, out: str):
        super().__init__(out)
        parts = self.address.removeprefix("hf://").split("/")
        self.kind = KINDS.get(parts[0], "model")
        parts = parts[1:] if parts[0] in KINDS else parts
        if len(parts) < 2 or not all(parts):
            raise UserError(
                f"{out} names no repository of the Hub.", "It looks like hf://datasets/OWNER/REPO."
            )
        self.repo, self.inside = "/".join(parts[:2]), "/".join(parts[2:])

    def upload(self, files: dict[str, Path]) -> None:
        self.commit(files, [], {})

    def commit(self, files: dict[str, Path], gone: list[str], last: dict[str, Path]) -> None:
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
        from huggingface_hub.errors import HfHubHTTPError

        written = {**files, **last}
        operations = [
            *(CommitOperationAdd(self._inside(name), str(file)) for name, file in written.items()),
            *(CommitOperationDelete(self._inside(name)) for name in gone),
        ]
        if not operations:
            return
        message = f"Run {next(iter([*written, *gone])).split('/')[0]}"
        with self._errors():
            for attempt in range(ATTEMPTS):
                try:
                    HfApi().create_commit(
                        self.repo, operations, commit_message=message, repo_type=self.kind
                    )
                    return
                except HfHubHTTPError as error:
                    conflict = error.response.status_code in (409, 412, 429, 503)
                    if not conflict or attempt == ATTEMPTS - 1:
                        raise
                    time.sleep(2.0**attempt)

    def _inside(self, name: str) -> str:
        return f"{self.inside}/{name}" if self.inside else name
