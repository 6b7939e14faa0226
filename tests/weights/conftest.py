import pytest
import torch
from huggingface_hub import constants

from ds4d.weights import network
from tests.weights.fake_hub import FakeHub

CACHES = ("HF_TOKEN", "U2NET_HOME", "REMBG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "TORCH_HOME")


@pytest.fixture(autouse=True)
def empty_machine(monkeypatch, tmp_path):
    """A home without any cache, and no network: whatever is not local is at a closed port."""
    for name in CACHES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "home/hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    set_endpoint(monkeypatch, "http://127.0.0.1:9")
    network._answers.clear()


def set_endpoint(monkeypatch, url: str) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", url)
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


@pytest.fixture
def hub(monkeypatch, empty_machine):
    """The hub, as far as huggingface_hub and we are concerned."""
    fake = FakeHub()
    set_endpoint(monkeypatch, fake.url)
    yield fake
    fake.close()
