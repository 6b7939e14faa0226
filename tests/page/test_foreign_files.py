"""Names and addresses that lead elsewhere read and write no files of others."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest


@pytest.mark.parametrize(
    "name", ["../../../evil.mp4", "/tmp/evil.mp4", "..\\..\\evil.mp4", "..%2fevil.mp4"]
)
def test_an_upload_lies_where_uploads_lie(app, name):
    files = {"files": (name, b"evil")}
    answer = httpx.post(f"{app.url}/gradio_api/upload", files=files, timeout=60)
    uploads = app.runs.parent / "gradio"
    if answer.status_code == 200:
        assert Path(answer.json()[0]).resolve().is_relative_to(uploads)
    found = {path for path in app.runs.parent.rglob("*evil*") if path.is_file()}
    assert all(path.is_relative_to(uploads) for path in found)
    assert not Path("/tmp/evil.mp4").exists()


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd", "{runs}", "{runs}/", "{uploads}", "{runs}/../secret.txt",
        "{runs}/%2e%2e/secret.txt", "{runs}/..%2fsecret.txt", "secret.txt", "app.py",
    ],
)  # fmt: skip
def test_addresses_of_files_that_are_no_results_are_refused(app, path):
    (app.runs.parent / "secret.txt").write_text("secret")
    path = path.format(runs=app.runs, uploads=app.runs.parent / "gradio")
    answer = httpx.get(f"{app.url}/gradio_api/file={path}", timeout=60)
    assert answer.status_code in (403, 404) and "secret" != answer.text


def test_one_visitor_s_upload_has_no_address_that_another_can_find(app):
    """The address holds a hash of the content: whoever knows it has the file."""
    uploaded = []
    for content in (b"of one", b"of another"):
        files = {"files": ("clip.mp4", content)}
        answer = httpx.post(f"{app.url}/gradio_api/upload", files=files, timeout=60)
        uploaded.append(Path(answer.json()[0]))
    first, second = (path.relative_to(app.runs.parent / "gradio").parts for path in uploaded)
    assert first[0] != second[0] and len(first[0]) >= 40 and first[1:] == second[1:]
