"""Work in threads, with results in order: for reading, which waits, while a model computes."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST_THREADS = 4


def usable_cores() -> int:
    """Counts the cores that this process may use.

    Returns:
        Their number.
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_order(
    function: Callable[[Item], Result], items: Iterable[Item], threads: int | None = None
) -> Iterator[Result]:
    """Calls a function for each item, a few items ahead, in threads.

    Args:
        function: The function. It must release the interpreter lock for the threads to be of use,
            as Pillow does.
        items: The items. They are drawn in the caller's thread.
        threads: Number of threads. By default one for each core, at most four.

    Yields:
        The results, in the order of the items.

    Raises:
        Exception: What the function raises.
    """
    threads = threads or min(usable_cores(), MOST_THREADS)
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
