"""Work on several frames at once: the order of results, errors, and early closing."""

import threading
import time

import pytest

from ds4d.run.parallel import each


def test_results_come_in_the_order_of_the_items():
    def late_first(number: int, word: str) -> str:
        time.sleep(0.02 * (3 - number % 4))
        return f"{number}{word}"

    assert list(each(late_first, range(4), "abcd")) == ["0a", "1b", "2c", "3d"]


def test_an_error_in_one_frame_is_raised():
    def broken(number: int) -> int:
        return 1 // (number - 2)

    results = each(broken, range(4))
    assert [next(results), next(results)] == [-1, -1]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_closing_it_early_leaves_the_rest_undone():
    begun = []

    def slow(number: int) -> int:
        begun.append(number)
        time.sleep(0.05)
        return number

    before = threading.active_count()
    results = each(slow, range(1000))
    assert next(results) == 0
    results.close()
    assert len(begun) < 100 and threading.active_count() == before
