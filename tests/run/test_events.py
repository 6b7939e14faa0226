"""Combinators of stages: results, events of a stage inside another, and cancelling."""

import pytest

from ds4d.run.events import Event, gathered, mapped, nested, result


def counting(total: int, closed: list | None = None):
    """A stage of some steps that returns how many there were."""
    try:
        for step in range(1, total + 1):
            yield Event("clip", step, total, f"step {step}", metrics={"loss": 1.0 / step})
        return total
    finally:
        if closed is not None:
            closed.append(True)


def test_gathered_keeps_the_order_and_counts_each_result():
    events = []
    stage = gathered(iter("abc"), Event("matting", 4, 9, "outline"))
    assert result(stage, events.append) == ["a", "b", "c"]
    assert [(event.step, event.total, event.message) for event in events] == [
        (5, 9, "outline"), (6, 9, "outline"), (7, 9, "outline"),
    ]  # fmt: skip


def test_gathered_takes_no_more_results_after_it_is_closed():
    taken = []
    stage = gathered((taken.append(number) for number in range(5)), Event("matting", 0, 5))
    next(stage)
    stage.close()
    assert len(taken) == 1


def test_result_runs_a_stage_to_its_end():
    events = []
    assert result(counting(3)) == 3
    assert result(counting(3), events.append) == 3
    assert [event.step for event in events] == [1, 2, 3]


def test_result_closes_the_stage_when_the_listener_raises():
    closed = []

    def interrupted(event):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        result(counting(3, closed), interrupted)
    assert closed == [True]


def test_a_nested_stage_counts_as_its_share_of_the_outer_one():
    events = []
    inner = nested(counting(4), Event("multiview", 10, 30, "cutting out view 2"), share=8)
    assert result(inner, events.append) == 4
    assert [event.step for event in events] == [12, 14, 16, 18]
    assert {(event.stage, event.total) for event in events} == {("multiview", 30)}
    assert events[0].message == "cutting out view 2: step 1"
    assert events[1].metrics == {"loss": 0.5}


def test_a_nested_stage_of_unknown_length_stays_at_its_beginning():
    def unknown():
        yield Event("matting", 3, 0, "waiting")

    events = []
    result(nested(unknown(), Event("multiview", 5, 20), share=10), events.append)
    assert (events[0].step, events[0].message) == (5, "waiting")


@pytest.mark.parametrize("wrap", [
    lambda stage: nested(stage, Event("mesh", 0, 10), 10),
    lambda stage: mapped(stage, lambda event: event),
])  # fmt: skip
def test_closing_the_outer_stage_cancels_the_inner_one(wrap):
    closed = []
    outer = wrap(counting(5, closed))
    next(outer)
    outer.close()
    assert closed == [True]
