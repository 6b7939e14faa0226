import dataclasses
import time
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants, snapshot_download

from ds4d.errors import UserError
from ds4d.weights import CATALOGUE, find, reachability
from tests.fakes.hub import content_of


def put(folder, files) -> None:
    for file in files:
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content_of(file))


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_folder_that_holds_all_files_is_taken(name, tmp_path):
    weights = CATALOGUE[name]
    put(tmp_path / weights.repo, weights.files)
    found = find(name, str(tmp_path))
    place = tmp_path / weights.repo
    assert found.path == (place / weights.files[0] if weights.url else place)
    assert found.where == "folder" and str(place) in found.message


def test_the_folder_goes_before_the_cache_and_the_cache_before_the_hub(hub, tmp_path):
    weights = CATALOGUE["dinov2-small"]
    hub.add("dinov2-small")
    assert find("dinov2-small", str(tmp_path)).where == "hub"
    snapshot_download(weights.repo, revision=weights.revision)
    assert find("dinov2-small", str(tmp_path)).where == "cache"
    put(tmp_path / weights.repo, weights.files)
    assert find("dinov2-small", str(tmp_path)).where == "folder"


def test_what_the_cache_holds_is_found_without_a_question_to_the_hub(hub):
    weights = CATALOGUE["dinov2-small"]
    hub.add("dinov2-small")
    snapshot_download(weights.repo, revision=weights.revision)
    hub.close()
    asked = len(hub.requests)
    assert find("dinov2-small").where == "cache" and len(hub.requests) == asked


def test_what_a_space_preloaded_is_found_wherever_its_own_cache_is(hub):
    weights = CATALOGUE["dinov2-small"]
    hub.add("dinov2-small")
    usual = Path("~/.cache/huggingface/hub").expanduser()
    assert usual != Path(constants.HF_HUB_CACHE)
    snapshot_download(weights.repo, revision=weights.revision, cache_dir=usual)
    found = find("dinov2-small")
    assert found.where == "cache" and usual in found.path.parents


def test_the_first_missing_files_are_named(tmp_path):
    weights = CATALOGUE["dinov2-small"]
    put(tmp_path / weights.repo, ["config.json", "preprocessor_config.json"])
    found = find("dinov2-small", str(tmp_path))
    assert found.where == "missing" and found.path is None
    assert f"model.safetensors is missing in {tmp_path / weights.repo}" in found.message
    assert "127.0.0.1:9 cannot be reached" in found.message

    put(tmp_path / CATALOGUE["zero123-xl"].repo, ["model_index.json"])
    found = find("zero123-xl", str(tmp_path))
    assert "clip_camera_projection/config.json, " in found.message
    assert " and 7 more are missing in " in found.message


def test_a_folder_without_the_weights_is_named():
    assert (
        "there is no folder /nowhere/facebook/dinov2-small"
        in find("dinov2-small", "/nowhere").message
    )


def test_a_half_finished_download_is_not_taken_for_a_whole_one(hub):
    weights = CATALOGUE["dinov2-small"]
    hub.add("dinov2-small")
    snapshot_download(weights.repo, revision=weights.revision, allow_patterns=["*.json"])
    assert find("dinov2-small").where == "hub"


def test_a_broken_file_ends_the_search(hub, tmp_path):
    weights = CATALOGUE["dinov2-small"]
    hub.add("dinov2-small")
    put(tmp_path / weights.repo, weights.files)
    (tmp_path / weights.repo / "model.safetensors").write_bytes(b"version https://git-lfs.github")
    found = find("dinov2-small", str(tmp_path))
    assert found.where == "missing"
    assert "dinov2-small/model.safetensors is a Git LFS pointer" in found.message


def test_other_revisions_in_the_cache_do_not_count(hub):
    weights = CATALOGUE["dinov2-small"]
    hub.add("dinov2-small")
    snapshot_download(weights.repo, revision="0" * 40)
    assert find("dinov2-small").where == "hub"


def test_an_unknown_name_is_reported_with_the_known_ones():
    with pytest.raises(UserError, match=r"no weights called dinov9.*dinov2-base"):
        find("dinov9")


@pytest.mark.parametrize(
    "environment",
    [
        {}, {"U2NET_HOME": "u2net"}, {"REMBG_HOME": "rembg"}, {"XDG_DATA_HOME": "data"},
        {"U2NET_HOME": "u2net", "REMBG_HOME": "rembg", "XDG_DATA_HOME": "data"},
    ],
)  # fmt: skip
@pytest.mark.parametrize("legacy", [False, True])
def test_rembg_models_are_found_where_rembg_finds_them(environment, legacy, monkeypatch, tmp_path):
    base = pytest.importorskip("rembg.sessions.u2net").U2netSession
    for name, value in environment.items():
        monkeypatch.setenv(name, str(tmp_path / value))
    assert find("rembg-u2net").where == "missing" and base.resolve_existing("u2net.onnx") is None
    put(Path(base.legacy_home() if legacy else base.model_dir()), ["u2net.onnx"])
    found = find("rembg-u2net")
    assert found.where == "cache" and str(found.path) == base.resolve_existing("u2net.onnx")


@pytest.mark.parametrize("variable", ["", "TORCH_HOME", "XDG_CACHE_HOME"])
def test_vgg_is_found_where_torch_keeps_it(variable, monkeypatch, tmp_path):
    if variable:
        monkeypatch.setenv(variable, str(tmp_path / "other"))
    place = Path(torch.hub.get_dir()) / "checkpoints"
    put(place, ["vgg16-397923af.pth"])
    assert find("lpips-vgg16").path == place / "vgg16-397923af.pth"


def test_offline_by_wish_asks_nobody(hub, monkeypatch):
    hub.add("dinov2-small")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    found = find("dinov2-small")
    assert found.where == "missing" and "HF_HUB_OFFLINE is set" in found.message
    assert not hub.requests


def test_a_silent_hub_is_waited_for_once_and_shortly(hub, monkeypatch):
    assert reachability.TIMEOUT <= 3
    monkeypatch.setattr(reachability, "TIMEOUT", 0.2)
    hub.silent = True
    started = time.monotonic()
    message = [find(name).message for name in ("dinov2-small", "zero123-xl", "dinov2-small")]
    assert time.monotonic() - started < 5  # the server would take 5 s for each
    assert len(hub.requests) == 1
    assert all("cannot be reached" in sentence for sentence in message)


def test_a_name_that_is_looked_up_for_ever_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(reachability, "TIMEOUT", 0.1)

    def resolve(*arguments, **keywords):
        time.sleep(5)

    monkeypatch.setattr("socket.getaddrinfo", resolve)
    started = time.monotonic()
    assert "cannot be reached" in find("lpips-vgg16").message
    assert time.monotonic() - started < 5


def test_an_answer_is_asked_for_again_after_a_while(hub, monkeypatch):
    hub.add("dinov2-small")
    hub.silent = True
    monkeypatch.setattr(reachability, "TIMEOUT", 0.1)
    assert find("dinov2-small").where == "missing"
    hub.silent = False
    monkeypatch.setattr(reachability, "TIMEOUT", 3)
    assert find("dinov2-small").where == "missing"
    monkeypatch.setattr(reachability, "VALID_FOR", 0)
    assert find("dinov2-small").where == "hub"


@pytest.mark.parametrize(
    "status, message",
    [(401, "set HF_TOKEN"), (403, "set HF_TOKEN"), (404, "does not have them"), (500, "error 500")],
)
def test_what_the_hub_answers_is_reported(hub, status, message):
    hub.add("dinov2-small")
    hub.status["facebook/dinov2-small"] = status
    found = find("dinov2-small")
    assert found.where == "missing" and message in found.message


def test_the_token_goes_to_the_hub_alone(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.add("dinov2-small")
    hub.files["/vgg.pth"] = b"x"
    elsewhere = dataclasses.replace(
        CATALOGUE["lpips-vgg16"], url=hub.url.replace("127.0.0.1", "localhost") + "/vgg.pth"
    )
    monkeypatch.setitem(CATALOGUE, "lpips-vgg16", elsewhere)
    assert find("dinov2-small").where == "hub" and find("lpips-vgg16").where == "hub"
    assert hub.tokens == ["Bearer hf_secret", ""]
