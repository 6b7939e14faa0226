"""The service: orders with settings by name, and runs that go on in their folder."""

from __future__ import annotations

import sys

import pytest

from ds4d.errors import UserError
from ds4d.presets import PRESETS
from page.jobs.service import Service
from page.settings import values_of


@pytest.fixture
def service(store, queue):
    service = Service(store)
    service.queue = queue
    return service


def test_the_same_clip_goes_on_in_its_folder_and_another_does_not(service, store):
    one, other = store.root.parent / "one.mp4", store.root.parent / "other.mp4"
    one.write_text("one"), other.write_text("other")
    first = service.order(str(one), visitor="a")
    service.cancel(first)
    again = service.order(str(one), seed=1, job=first.id, visitor="a")
    assert again.folder == first.folder and again.config.seed == 1
    shown = values_of(again.config)
    assert (shown["seed"], shown["frames"]) == (1, PRESETS["preview"].clip.frames)
    another = service.order(str(other), job=first.id, visitor="a")
    assert another.folder != first.folder
    with pytest.raises(UserError, match="no clip"):
        service.order(None)
    with pytest.raises(UserError, match="your runs"):
        service.order(str(one), visitor="a")
    assert {job.id for job in store.all()} == {first.id, another.id}  # nothing is left of it


def test_settings_and_mesh_are_kept_with_the_job(service, store):
    clip, mesh = store.root.parent / "clip.mp4", store.root.parent / "Mine.GLB"
    clip.write_text("clip"), mesh.write_text("mesh")
    job = service.order(str(clip), preset="paper", seed=3, frames=8, exclude="1:2", mesh=str(mesh))
    kept = store.find(job.id).config
    assert (kept.preset, kept.seed, kept.clip.frames, kept.fourd.exclude) == (
        "paper",
        3,
        8,
        ("1:2",),
    )
    assert kept.mesh.file == str(job.folder / "input/mesh.glb")
    assert (job.folder / "input/mesh.glb").read_text() == "mesh"


def test_a_cluster_is_used_where_it_is_named_and_never_on_zerogpu(store, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)  # not installed
    monkeypatch.delenv("DS4D_RAY", raising=False)
    assert Service(store)._cluster() is None
    monkeypatch.setenv("DS4D_RAY", "auto")
    assert Service(store, on_zerogpu=True)._cluster() is None
    with pytest.raises(UserError, match="Ray is not installed"):
        Service(store)._cluster()
