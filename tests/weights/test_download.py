import dataclasses
import errno
import hashlib
import os
import subprocess
import sys
import threading

import pytest
from huggingface_hub import constants

from ds4d.errors import UserError
from ds4d.weights import CATALOGUE, download, fetch, fetching, find, reachability
from tests.stages import finished


@pytest.fixture
def vgg(hub, monkeypatch):
    """LPIPS's VGG16 as a short file on the server of this machine; its bytes."""
    content = b"PK not really" * 10_000
    hub.files["/vgg16.pth"] = b"\x80\x02" + content
    weights = dataclasses.replace(
        CATALOGUE["lpips-vgg16"],
        url=f"{hub.url}/vgg16.pth",
        checksum="sha256:" + hashlib.sha256(hub.files["/vgg16.pth"]).hexdigest(),
    )
    monkeypatch.setitem(CATALOGUE, "lpips-vgg16", weights)
    return hub.files["/vgg16.pth"]


def path_of(name: str, file: str) -> str:
    weights = CATALOGUE[name]
    return f"/{weights.repo}/resolve/{weights.revision}/{file}"


def refusal(name: str, folder: str = "") -> str:
    with pytest.raises(UserError) as caught:
        fetch(name, folder)
    assert "\n" not in str(caught.value) and caught.value.hint
    return str(caught.value)


def test_what_is_fetched_from_the_hub_is_complete_and_nothing_else_is(hub):
    hub.add("dinov2-small")
    hub.repos["facebook/dinov2-small"]["pytorch_model.bin"] = b"not needed"
    folder = fetch("dinov2-small")
    assert sorted(path.name for path in folder.iterdir()) == sorted(CATALOGUE["dinov2-small"].files)


def test_once_fetched_it_needs_no_network(hub, monkeypatch):
    hub.add("dinov2-small")
    folder = fetch("dinov2-small")
    hub.close()
    asked = len(hub.requests)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert fetch("dinov2-small") == folder and len(hub.requests) == asked


def test_a_download_that_breaks_off_goes_on_where_it_stopped(hub, monkeypatch):
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between the library's tries
    content = bytes(range(256)) * 400
    hub.add("instantmesh-large", {"instant_nerf_large.ckpt": content})
    hub.cuts[path_of("instantmesh-large", "instant_nerf_large.ckpt")] = [50_000]
    try:
        folder = fetch("instantmesh-large")
    except UserError:  # some versions of the library go on within a download, some in the next
        folder = fetch("instantmesh-large")
    assert (folder / "instant_nerf_large.ckpt").read_bytes() == content
    assert [asked for _, _, asked in hub.requests if asked] == ["bytes=50000-"]


def test_a_broken_download_is_reported_and_files_that_arrived_are_kept(hub, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    hub.add("dinov2-small")
    hub.cuts[path_of("dinov2-small", "model.safetensors")] = [8] * 100
    assert "broke off" in refusal("dinov2-small")
    assert find("dinov2-small").where == "hub"
    hub.cuts.clear()
    hub.requests.clear()
    fetch("dinov2-small")
    downloads = [path for method, path, _ in hub.requests if method == "GET" and "resolve" in path]
    assert downloads == [path_of("dinov2-small", "model.safetensors")]


def test_a_missing_file_in_the_repository_is_named(hub):
    hub.add("dinov2-small", {"config.json": b"{}", "preprocessor_config.json": b"{}"})
    assert "facebook/dinov2-small has no model.safetensors" in refusal("dinov2-small")


@pytest.mark.parametrize(
    "status, message",
    [(401, "set HF_TOKEN"), (403, "set HF_TOKEN"), (404, "does not have them"), (500, "error 500")],
)
def test_what_the_hub_answers_to_the_download_is_reported(hub, status, message, monkeypatch):
    """The question before went well: the hub changed its mind, or has it for other addresses."""
    hub.add("dinov2-small")
    hub.status["facebook/dinov2-small"] = status
    monkeypatch.setattr(reachability, "_request_status", lambda url: 200)
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between the library's tries
    assert message in refusal("dinov2-small")


def test_without_network_it_is_refused_at_once_with_the_reason(monkeypatch):
    message = refusal("dinov2-small", "/nowhere")
    assert "there is no folder /nowhere/facebook/dinov2-small" in message
    assert "127.0.0.1:9 cannot be reached" in message and "--weights" in message
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set" in refusal("dinov2-small")


def test_a_network_that_goes_away_is_reported(monkeypatch):
    monkeypatch.setattr(reachability, "_request_status", lambda url: 200)
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between the library's tries
    assert "broke off" in refusal("dinov2-small") and "broke off" in refusal("rembg-u2net")


@pytest.mark.parametrize(
    "code, message", [(errno.ENOSPC, "the disk is full"), (errno.EACCES, "cannot be written")]
)
@pytest.mark.parametrize("name", ["dinov2-small", "lpips-vgg16"])
def test_a_disk_that_takes_nothing_is_reported(hub, vgg, name, code, message, monkeypatch):
    hub.add("dinov2-small")

    def fail(weights, *target):
        raise OSError(code, "from the system")

    monkeypatch.setattr(download, "_download_repo", fail)
    monkeypatch.setattr(download, "_download_file", fail)
    assert message in refusal(name)


def test_a_single_file_arrives_whole_where_others_look_for_it(vgg):
    path = fetch("lpips-vgg16")
    assert path.read_bytes() == vgg
    assert path == download.cache_folders(CATALOGUE["lpips-vgg16"])[0] / "vgg16-397923af.pth"
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_rembg_finds_what_was_fetched(hub, monkeypatch, tmp_path):
    session = pytest.importorskip("rembg.sessions.u2net").U2netSession
    monkeypatch.setenv("REMBG_HOME", str(tmp_path / "rembg"))
    hub.files["/u2net.onnx"] = b"\x08\x07"  # ir_version 7
    checksum = "md5:" + hashlib.md5(b"\x08\x07").hexdigest()
    weights = CATALOGUE["rembg-u2net"]
    weights = dataclasses.replace(weights, url=f"{hub.url}/u2net.onnx", checksum=checksum)
    monkeypatch.setitem(CATALOGUE, "rembg-u2net", weights)
    assert str(fetch("rembg-u2net")) == session.resolve_existing("u2net.onnx")


def test_a_file_with_another_checksum_is_not_kept(hub, vgg):
    hub.files["/vgg16.pth"] = vgg[:-1] + b"!"
    assert "arrived damaged" in refusal("lpips-vgg16")
    assert find("lpips-vgg16").where == "hub"


def test_a_single_file_that_breaks_off_is_not_kept(hub, vgg):
    hub.cuts["/vgg16.pth"] = [100, 100]  # the question whether it is there, and the download
    assert "broke off" in refusal("lpips-vgg16")
    assert fetch("lpips-vgg16").read_bytes() == vgg


def test_two_that_fetch_at_once_both_get_it(hub, vgg):
    hub.add("instantmesh-base", {"instant_nerf_base.ckpt": bytes(2_000_000)})
    found, failed = [], []

    def work(name: str) -> None:
        try:
            found.append(fetch(name))
        except Exception as error:
            failed.append(error)

    names = ["instantmesh-base", "lpips-vgg16"] * 3
    threads = [threading.Thread(target=work, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed and len(set(found)) == 2
    assert (fetch("instantmesh-base") / "instant_nerf_base.ckpt").stat().st_size == 2_000_000


@pytest.mark.parametrize("name", ["dinov2-small", "lpips-vgg16"])
def test_what_a_killed_download_left_is_swept_away_and_a_running_one_is_not(hub, vgg, name):
    hub.add("dinov2-small")
    stem = "vgg16-397923af.partial-" if name == "lpips-vgg16" else "0123abcd."
    folder = download._download_folder(CATALOGUE[name])
    folder.mkdir(parents=True)
    old, running = folder / f"{stem}00000000.incomplete", folder / f"{stem}11111111.incomplete"
    old.write_bytes(b"x")
    running.write_bytes(b"x")
    os.utime(old, (0, 0))
    fetch(name)
    assert running.exists() and not old.exists()


def outcome(events):
    """Messages and result of a download that runs to its end."""
    news, value = finished(events)
    return [event.message for event in news], value


@pytest.mark.parametrize("name", ["instantmesh-base", "lpips-vgg16"])
def test_a_long_download_is_news_while_it_lasts(hub, vgg, name, monkeypatch):
    monkeypatch.setattr(download, "EVENT_INTERVAL", 0.05)
    monkeypatch.setattr(download, "CHUNK", 5000)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 5000)
    weights = dataclasses.replace(CATALOGUE[name], bytes=len(vgg))
    monkeypatch.setitem(CATALOGUE, name, weights)
    hub.add("instantmesh-base", {"instant_nerf_base.ckpt": vgg})
    assert find(name).where == "hub"
    hub.hold.clear()
    events = fetching("mesh", name)
    first = next(events)
    assert first.stage == "mesh" and first.message == f"downloading {name}: 0 B of 130 kB"
    news = (next(events).message for _ in range(100))
    assert any(message == f"downloading {name}: 65 kB of 130 kB" for message in news)
    hub.hold.set()
    assert outcome(events)[1] == find(name).path
    assert outcome(fetching("mesh", name)) == ([], find(name).path)


def test_news_of_a_download_that_fails_end_with_the_reason(hub):
    hub.add("dinov2-small", {"config.json": b"{}"})
    with pytest.raises(UserError, match="incomplete on the hub"):
        outcome(fetching("features", "dinov2-small"))


def test_whoever_stops_waiting_for_a_download_is_let_go(hub, vgg):
    find("lpips-vgg16")
    hub.hold.clear()
    events = fetching("fourd", "lpips-vgg16")
    next(events)
    events.close()
    hub.hold.set()


def test_endpoint_and_cache_come_from_the_environment(hub, tmp_path):
    """As a person sets them, in a process of its own."""
    hub.add("dinov2-small")
    code = "from ds4d.weights import fetch; print(fetch('dinov2-small'))"
    environment = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    snapshot = f"models--facebook--dinov2-small/snapshots/{CATALOGUE['dinov2-small'].revision}"
    assert done.stdout.strip() == str(tmp_path / "hf/hub" / snapshot)
