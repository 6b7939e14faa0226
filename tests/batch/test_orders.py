"""Files, folders, patterns and manifests become clips with names that stay, or one sentence."""

import json
import os

import pytest

from ds4d.batch.ledger import Ledger
from ds4d.batch.orders import collect
from ds4d.batch.runs import Runs
from ds4d.config import Config
from ds4d.errors import UserError
from ds4d.presets import PRESETS
from tests.paths import ROOT

INPUTS, CLIPS = ROOT / "tests/inputs", ROOT / "examples/clips"
FROG = ROOT / "tests/cases/frog"


def orders(*clips, names=None):
    return collect(tuple(map(str, clips)), Config(), names or {})


def test_folders_of_clips_patterns_and_cases():
    names = [o.name for o in orders(CLIPS)]
    assert {"cactus", "frog", "octopus"} <= set(names) and names == sorted(names)
    assert {o.name for o in orders(CLIPS / "*.mp4")} == {p.stem for p in CLIPS.glob("*.mp4")}
    assert [o.source for o in orders(FROG, FROG / "input")] == [str(FROG), str(FROG / "input")]


def test_a_run_folder_is_no_clip(tmp_path):
    (tmp_path / "run/.ds4d").mkdir(parents=True)
    (tmp_path / "run/.ds4d/made").touch()
    (tmp_path / "run/orbit.mp4").touch()
    (tmp_path / "a.mp4").touch()
    assert [o.name for o in orders(tmp_path)] == ["a"]


@pytest.mark.parametrize("clip", ["nowhere.mp4", "nothing*.mp4", ROOT / "tests/batch"])
def test_what_leads_nowhere_is_said(clip):
    with pytest.raises(UserError):
        orders(clip)


def test_a_clip_keeps_its_run_whatever_is_added(tmp_path):
    ledger = Ledger(Runs(str(tmp_path)))
    first = orders(CLIPS / "frog.mp4", CLIPS / "frog.mp4")
    assert [o.name for o in first] == ["frog", "frog-2"]
    ledger.open(first, retry_failed=False)
    names = Ledger(Runs(str(tmp_path))).names()
    again = orders(FROG, CLIPS / "frog.mp4", CLIPS / "frog.mp4", names=names)
    assert [o.name for o in again] == ["frog-3", "frog", "frog-2"]


def test_only_what_is_left_is_computed(tmp_path):
    ledger, two = Ledger(Runs(str(tmp_path))), orders(CLIPS / "frog.mp4", CLIPS / "octopus.webp")
    assert ledger.open(two, retry_failed=False) == two
    ledger.entries["frog"].state, ledger.entries["octopus"].state = "done", "failed"
    assert ledger.open(two, retry_failed=False) == []
    assert ledger.open(two, retry_failed=True) == [two[1]]
    changed = collect((str(CLIPS / "frog.mp4"),), PRESETS["standard"], ledger.names())
    assert ledger.open(changed, retry_failed=False) == changed


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", '{"clips": 3}', '{"clips": {"a": {"seconds": 1}}}']
)
def test_a_damaged_ledger_is_begun_again(tmp_path, text):
    (tmp_path / "batch.json").write_text(text)
    Ledger(Runs(str(tmp_path))).open(orders(CLIPS / "frog.mp4"), retry_failed=False)


def test_names_are_plain(tmp_path):
    odd = tmp_path / "a b?<ü>..mp4"
    odd.touch()
    assert orders(odd)[0].name == "a_b__ü"


MANIFESTS = {
    "a.txt": "# mine\n\nfrog.mp4\n",
    "a.csv": "clip,name,clip.frames,seed\nfrog.mp4,toad,12,\noctopus.webp,,,3\n",
    "a.jsonl": '{"clip": "frog.mp4", "preset": "standard", "low-memory": true}\n"octopus.webp"\n',
    "a.json": json.dumps([{"clip": "frog.mp4", "fourd.means-lr": [1e-3, 1e-5]}]),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifests(tmp_path, name):
    for clip in ("frog.mp4", "octopus.webp"):
        os.symlink(CLIPS / clip, tmp_path / clip)
    (tmp_path / name).write_text(MANIFESTS[name])
    found = orders(tmp_path / name)
    assert found[0].source == str(tmp_path / "frog.mp4")
    config = found[0].config
    if name == "a.csv":
        assert [o.name for o in found] == ["toad", "octopus"]
        assert (config.clip.frames, config.seed, found[1].config.seed) == (12, 0, 3)
    elif name == "a.jsonl":
        assert config.fourd == PRESETS["standard"].fourd and config.machine.low_memory
        assert found[1].config == Config()
    elif name == "a.json":
        assert config.fourd.means_lr == (1e-3, 1e-5)


@pytest.mark.parametrize(
    "name, text",
    [
        ("a.csv", "file\nfrog.mp4\n"), ("a.csv", "clip,clip.framse\nx.mp4,3\n"),
        ("a.csv", "clip,seed\nx.mp4,many\n"), ("a.json", "{}"), ("a.json", "[" * 100_000),
        ("a.jsonl", '{"clip": 3}'), ("a.jsonl", '{"clip": "x.mp4", "preset": "best"}'),
        ("a.jsonl", '{"clip": "x\\u0000.mp4"}'), ("a.txt", ""), ("a.json", "\udcff"),
    ],
)  # fmt: skip
def test_manifests_that_cannot_be_meant_are_refused(tmp_path, name, text):
    (tmp_path / name).write_text(text, errors="surrogateescape")
    with pytest.raises(UserError) as error:
        orders(tmp_path / name)
    assert error.value.sentence
