import os
import pickle

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from ds4d.errors import UserError
from ds4d.weights import fill, read_state
from ds4d.weights.integrity import fault

STATE = {"weight": torch.arange(20_000.0).reshape(100, 200), "bias": torch.ones(100)}
SUFFIXES = ("model.safetensors", "model.ckpt", "model.bin", "model.pth")


class Code:
    """A call, which a pickle can hold beside tensors."""

    def __reduce__(self):
        return os.system, ("touch RAN",)


def write(path, legacy: bool = False):
    if path.suffix == ".safetensors":
        save_file(STATE, path)
    else:
        torch.save(STATE, path, _use_new_zipfile_serialization=not legacy)
    return path


def refusal(path) -> str:
    with pytest.raises(UserError) as caught:
        read_state(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message
    return message


@pytest.mark.parametrize("name", SUFFIXES)
@pytest.mark.parametrize("legacy", [False, True])
def test_each_format_gives_its_tensors_back(name, legacy, tmp_path):
    path = write(tmp_path / name, legacy)
    assert fault(path) == ""
    state = read_state(path)
    assert sorted(state) == ["bias", "weight"]
    assert torch.equal(state["weight"], STATE["weight"])


def test_a_dictionary_around_the_tensors_stays(tmp_path):
    torch.save({"state_dict": STATE, "epoch": 3}, tmp_path / "a.ckpt")
    assert torch.equal(read_state(tmp_path / "a.ckpt")["state_dict"]["bias"], STATE["bias"])


@pytest.mark.parametrize("name", SUFFIXES)
def test_a_missing_and_an_empty_file_are_told_apart(name, tmp_path):
    assert "is missing" in refusal(tmp_path / name)
    (tmp_path / name).touch()
    assert "is empty" in refusal(tmp_path / name)


@pytest.mark.parametrize("name", SUFFIXES)
@pytest.mark.parametrize("left", [1, 6, 40, 500, 4000, 80_000])
def test_what_a_broken_download_left_is_seen_without_reading_it_all(name, left, tmp_path):
    path = write(tmp_path / name)
    path.write_bytes(path.read_bytes()[:left])
    refusal(path)
    if left > 8:
        assert "ends too early" in fault(path)


@pytest.mark.parametrize("left", [1, 40, 500, 80_000])
def test_an_older_checkpoint_that_ends_too_early_is_refused(left, tmp_path):
    path = write(tmp_path / "model.bin", legacy=True)
    path.write_bytes(path.read_bytes()[:left])
    refusal(path)


@pytest.mark.parametrize("name", [*SUFFIXES, "model.onnx", "config.json"])
@pytest.mark.parametrize(
    "content, message",
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:12", "is a Git LFS pointer"),
        (b"\n<!DOCTYPE html><html><body>Sign in</body></html>", "is a web page"),
        (b"<html><head><title>404</title>", "is a web page"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "is a web page"),
    ],
)
def test_what_came_instead_of_the_file_is_named(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    assert message in fault(tmp_path / name)
    assert message in refusal(tmp_path / name)


@pytest.mark.parametrize("name", SUFFIXES)
@pytest.mark.parametrize("content", [b"hello world, " * 50, bytes(range(256)) * 20, b"\0" * 100])
def test_whatever_is_no_checkpoint_is_refused(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    refusal(tmp_path / name)


def test_a_safetensors_header_that_is_no_header_is_refused(tmp_path):
    for header in (b"{}]", b'{"a": 3}', b'{"a": {"data_offsets": []}}', b"[1, 2]", b'{"a": [1]}'):
        path = tmp_path / "model.safetensors"
        path.write_bytes(len(header).to_bytes(8, "little") + header)
        assert "is no safetensors file" in refusal(path)


def test_damage_inside_is_reported(tmp_path):
    path = write(tmp_path / "model.ckpt")
    damaged = bytearray(path.read_bytes())
    damaged[70:90] = b"\xff" * 20
    path.write_bytes(damaged)
    assert "is damaged" in refusal(path)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("name", ["model.ckpt", "model.bin", "model.pth"])
def test_code_in_a_checkpoint_is_named_and_not_run(name, legacy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = {"state_dict": STATE, "extra": Code()}
    torch.save(content, tmp_path / name, _use_new_zipfile_serialization=not legacy)
    assert "holds code beside tensors (posix.system); it was not run" in refusal(tmp_path / name)
    assert not (tmp_path / "RAN").exists()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_is_nothing_but_code_is_not_run(protocol, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.bin").write_bytes(pickle.dumps(Code(), protocol))
    assert "not" in refusal(tmp_path / "model.bin")
    assert not (tmp_path / "RAN").exists()


def test_a_whole_module_is_refused(tmp_path):
    torch.save(nn.Linear(2, 2), tmp_path / "model.pth")
    assert "torch.nn.modules.linear.Linear" in refusal(tmp_path / "model.pth")


def test_a_checkpoint_without_names_is_refused(tmp_path):
    torch.save([torch.ones(3)], tmp_path / "model.pth")
    assert "holds no tensors by name" in refusal(tmp_path / "model.pth")


def test_a_file_that_may_not_be_read_is_reported(tmp_path, monkeypatch):
    path = write(tmp_path / "model.ckpt")

    def forbid(*arguments):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", forbid)
    assert fault(path) == "cannot be read (Permission denied)"


def test_fill_copies_every_tensor_into_the_module(tmp_path):
    module = nn.Linear(200, 100).half()
    fill(module, STATE, tmp_path / "model.ckpt")
    assert torch.equal(module.bias, torch.ones(100).half())
    assert torch.equal(module.weight, STATE["weight"].half())


def test_fill_names_missing_unexpected_and_wrong_keys_and_changes_nothing(tmp_path):
    module = nn.Sequential(*[nn.Linear(3, 2) for _ in range(6)])
    before = {key: tensor.clone() for key, tensor in module.state_dict().items()}
    state = {"0.weight": torch.zeros(2, 4), "1.bias": torch.zeros(2), "head.scale": torch.zeros(1)}
    with pytest.raises(UserError) as caught:
        fill(module, state, tmp_path / "model.ckpt")
    assert caught.value.sentence == (
        f"The weights file {tmp_path}/model.ckpt does not fit Sequential; "
        "missing keys: 0.bias, 1.weight, 2.weight, 2.bias, 3.weight and 5 more; "
        "unexpected keys: head.scale; "
        "wrong shapes: 0.weight (has [2, 4], needs [2, 3])."
    )
    assert caught.value.hint
    assert all(torch.equal(module.state_dict()[key], before[key]) for key in before)
