"""Drafts of a job without a browser: orders, what is made, what is picked."""

from __future__ import annotations

import imageio.v3 as iio
import pytest

from ds4d.config import AnimateConfig
from ds4d.errors import UserError
from ds4d.run.events import Event
from page import drafts, hardware, outputs, zerogpu
from page.components import draft_cards
from page.jobs import worker
from page.jobs.queue import lane
from page.jobs.service import Service
from page.jobs.store import Store
from page.limits import Limits
from tests.animate.figures import person


@pytest.fixture
def service(tmp_path):
    return Service(Store(tmp_path / "runs", Limits(drafts=2)))


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "person.PNG"
    iio.imwrite(path, person(), extension=".png")
    return path


@pytest.fixture
def quick(monkeypatch):
    """The networks and the puppet, replaced by what writes their files at once."""
    from ds4d import animate
    from ds4d.animate import imagine

    def moved(file, out, config: AnimateConfig, *_):
        yield Event("matting", 1, 1, "It touches the edge.", warning=True)
        names = ["walk", "hop"] if config.engine == "puppet" else config.seeds
        for number, name in enumerate(names):
            name = name if config.engine == "puppet" else f"seed{name}"
            out.parent.mkdir(parents=True, exist_ok=True)
            out.with_name(f"clip_{name}.webp").write_text(f"{config.engine} {name}")
            yield Event("animate", number + 1, len(names))
        out.write_text("all, side by side")

    def drawn(words, out, config, *_):
        out.mkdir(parents=True)
        for seed in config.seeds:
            (out / f"seed_{seed}.png").write_text(f"{words} {seed}")
        yield Event("imagine", 1, 1)

    monkeypatch.setattr(animate, "animate", moved)
    monkeypatch.setattr(imagine, "imagine", drawn)
    monkeypatch.setattr(hardware, "obstacle", lambda engine: "")


def computed(service, job):
    """The job after its worker has computed it."""
    job = service.queue.begin(job)
    worker.compute(job, lambda: worker.work(job), lambda: False)
    return service.queue.settle(job)


def titles(job) -> list[str]:
    return [draft.title for draft in drafts.found(job.folder, job.wish.task)]


def test_a_picked_clip_goes_on_in_the_folder_of_its_picture(service, picture, quick):
    job = computed(service, service.move(str(picture), visitor="a"))
    assert job.state == "done" and titles(job) == ["Walk", "Hop"] and lane(job) == "quick"
    values = outputs.show(service, job, None)
    assert "Pick a clip." in values["notice"] and "It touches the edge." in values["strip"]
    assert values["drafts"].count("data-name") == 2 and "run" not in values
    draft = drafts.named(job.folder, "clip_hop.webp")
    run = service.order(str(draft.file), job=job.id, visitor="a")
    assert run.id == job.id and run.clip == "clip_hop.webp" and lane(run) == "runs"
    values = outputs.show(service, run, None)
    assert 'data-card="Motion" data-state="done"' in values["strip"]
    assert 'data-name="clip_hop.webp" aria-pressed="true"' in values["drafts"]


def test_words_are_drawn_again_with_other_seeds_and_a_picture_stays_in_its_job(service, quick):
    first = computed(service, service.draw(" a fox ", visitor="a"))
    assert titles(first) == ["Seed 0", "Seed 1"] and lane(first) == "runs"
    again = computed(service, service.draw("a fox", job=first.id, visitor="a"))
    assert again.id == first.id and titles(again) == ["Seed 2", "Seed 3"]
    other = service.draw("a cat", job=first.id, visitor="b")
    assert other.id != first.id and other.wish.seeds == (0, 1)
    drawn = drafts.named(again.folder, "seed_3.png")
    moved = computed(service, service.move(str(drawn.file), engine="wan", job=again.id))
    assert moved.id == again.id and titles(moved) == ["Seed 0", "Seed 1"]
    strip = outputs.show(service, moved, None)["strip"]
    assert strip.index('data-card="Picture"') < strip.index('data-card="Motion"')


def test_another_picture_is_another_job(service, picture, quick, tmp_path):
    job = computed(service, service.move(str(picture), visitor="a"))
    assert service.move(str(picture), job=job.id, visitor="a").id == job.id
    (tmp_path / "other.jpg").write_text("other")
    assert service.move(str(tmp_path / "other.jpg"), job=job.id, visitor="a").id != job.id


@pytest.mark.parametrize(("order", "sentence"), [
    (lambda service: service.move(None), "There is no picture yet"),
    (lambda service: service.draw("  "), "There are no words yet"),
    (lambda service: service.draw("a fox"), "sdxl cannot run here. It needs a GPU"),
    (lambda service: service.move("a.png", engine="wan"), "wan cannot run here"),
    (lambda service: service.move("a.png", engine="../x"), "There is no such engine"),
])  # fmt: skip
def test_what_cannot_be_made_is_one_sentence(service, monkeypatch, order, sentence):
    monkeypatch.setattr(hardware, "gpu_name", lambda: "")
    monkeypatch.delenv("DS4D_WEIGHTS", raising=False)
    with pytest.raises(UserError, match=sentence):
        order(service)
    assert not service.store.all()


def test_a_cancelled_job_keeps_the_drafts_that_it_has(service, picture, quick):
    job = service.queue.begin(service.move(str(picture), visitor="a"))
    worker.compute(job, lambda: worker.work(job), lambda: bool(titles(job)))
    service.queue.stops[job.id] = UserError("Cancelled.")
    job = service.queue.settle(job)
    assert job.state == "cancelled" and titles(job) == ["Walk"]
    assert "Pick a clip." in draft_cards.advice(job)
    assert "Continue" not in outputs.show(service, job, None)["notice"]


def test_a_bad_picture_is_one_sentence(service, tmp_path):
    (tmp_path / "text.png").write_text("not a picture")
    job = computed(service, service.move(str(tmp_path / "text.png"), visitor="a"))
    assert job.state == "failed" and "not a picture that can be read" in job.sentence
    assert "Traceback" not in str(outputs.show(service, job, None))


def test_a_file_that_is_being_written_is_no_draft(tmp_path):
    folder = tmp_path / drafts.FOLDER / "clips"
    folder.mkdir(parents=True)
    for name in ("clip_walk.webp", "clip_hop.partial-12ab.webp", "clip.webp"):
        (folder / name).write_text("")
    assert [draft.title for draft in drafts.found(tmp_path, "clips")] == ["Walk"]
    assert drafts.named(tmp_path, "../clips/clip.webp") is None


def test_on_zerogpu_drafts_are_made_in_one_call(service, picture, quick, monkeypatch):
    calls = []
    monkeypatch.setattr(
        zerogpu, "make_drafts_on_gpu", lambda job: calls.append(job.id) or zerogpu.make_drafts(job)
    )
    job = service.move(str(picture), engine="svd", visitor="a")
    service.compute_in_request(job.id)
    assert service.store.find(job.id).state == "done" and calls == [job.id]
    assert zerogpu.draft_seconds(job) > zerogpu.SECONDS_TO_LOAD
