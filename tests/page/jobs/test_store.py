"""Jobs on the disk: which are kept, and that those of older versions can still be opened."""

from __future__ import annotations

import dataclasses
import json
import os
import time

import pytest

from ds4d.config import PRESETS
from ds4d.errors import UserError
from page.jobs.store import config_from
from tests.page.jobs.conftest import order


def test_a_full_disk_loses_the_oldest_inactive_jobs(store):
    jobs = [order(store, visitor=name) for name in "abc"]
    for age, job in enumerate(jobs):
        (job.folder / "big").write_bytes(b"0" * 1000)
        store.change(job, state="done", ended=100.0 + age, created=0.0)
    store.change(jobs[0], state="running")
    sizes = sum(path.stat().st_size for path in store.root.rglob("*") if path.is_file())
    store.limits = dataclasses.replace(store.limits, disk_gb=(sizes - 10) / 1e9)
    store.make_room()
    assert [job.id in os.listdir(store.root) for job in jobs] == [True, False, True]
    store.limits = dataclasses.replace(store.limits, disk_gb=1e-9)
    with pytest.raises(UserError, match="full"):
        store.make_room()


def test_old_jobs_are_deleted_and_new_ones_kept(store):
    old, new, running = (order(store, visitor=name) for name in "abc")
    store.change(old, created=time.time() - (store.limits.keep_hours + 1) * 3600)
    store.change(running, created=0.0, state="running")
    store.sweep()
    assert {job.id for job in store.all()} == {new.id, running.id}


@pytest.mark.parametrize("preset", PRESETS)
def test_a_config_survives_the_disk(preset):
    config = PRESETS[preset]
    assert config_from(json.loads(json.dumps(dataclasses.asdict(config)))) == config


def test_a_config_of_an_older_version_is_read():
    values = json.loads(json.dumps(dataclasses.asdict(PRESETS["standard"])))
    del values["fourd"]["tint_lr"]
    values["fourd"] |= {"warp_lr": [2e-4, 2e-5], "means_lr": 1e-3, "coarse_size": 128}
    fourd, default = config_from(values).fourd, PRESETS["preview"].fourd
    assert (fourd.warp_lr, fourd.tint_lr) == (default.warp_lr, default.tint_lr)
    assert fourd.means_lr == default.means_lr
    assert fourd.dynamic_iterations == PRESETS["standard"].fourd.dynamic_iterations
