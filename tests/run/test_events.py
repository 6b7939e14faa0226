"""News of what a list of results is worked off with."""

from ds4d.run.events import Event, gathered


def test_all_results_in_order_and_a_step_more_with_each():
    stage, told = gathered(iter("abc"), Event("matting", 4, 9, "outline")), []
    try:
        while True:
            told.append(next(stage))
    except StopIteration as end:
        assert end.value == ["a", "b", "c"]
    assert [(event.step, event.total, event.message) for event in told] == [
        (5, 9, "outline"), (6, 9, "outline"), (7, 9, "outline"),
    ]  # fmt: skip


def test_nothing_more_is_worked_off_once_nobody_listens():
    taken = []
    stage = gathered((taken.append(number) for number in range(5)), Event("matting", 0, 5))
    next(stage)
    stage.close()
    assert len(taken) == 1
