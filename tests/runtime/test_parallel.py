"""Work in threads comes back in order, and only a few items are drawn ahead."""

import threading
import time

import pytest

from petseg_runtime.parallel import MOST_THREADS, in_order


def test_results_are_in_the_order_of_the_items():
    def slow(item: int) -> int:
        time.sleep(0.02 if item % 3 == 0 else 0)
        return item * item

    assert list(in_order(slow, range(40))) == [item * item for item in range(40)]
    assert list(in_order(slow, [])) == []


def test_few_items_are_drawn_ahead():
    drawn = []

    def items():
        for item in range(1000):
            drawn.append(item)
            yield item

    results = in_order(abs, items())
    for _ in range(3):
        next(results)
    assert len(drawn) <= 3 + 2 * MOST_THREADS + 1


def test_an_error_comes_at_its_place_and_ends_the_threads():
    before = threading.active_count()
    results = in_order(lambda item: 1 // item, [1, 1, 0, 1])
    assert [next(results), next(results)] == [1, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert threading.active_count() == before


def test_large_images_wait_for_each_other():
    from petseg_runtime.image_io import LARGE_PIXELS, turn

    inside, most = 0, 0

    def handle(size: tuple[int, int]) -> None:
        nonlocal inside, most
        with turn(size), turn(size):
            inside += 1
            most = max(most, inside)
            time.sleep(0.01)
            inside -= 1

    list(in_order(handle, [(LARGE_PIXELS, 2)] * 8))
    assert most == 1
