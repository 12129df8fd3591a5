"""Work on a stream in several threads, results in the order of the input, in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    work: Callable[[Sequence[Item]], Iterable[Result]],
    items: Iterable[Item],
    *,
    batch_size: int,
    workers: int,
) -> Generator[Result, None, None]:
    """The results of `work` on `batch_size` items at a time, while later items are worked on.

    No more than 2 `workers` batches are taken from `items` ahead of the results. Closing the
    iterator waits for the batches that have begun and drops the others.
    """
    source = iter(items)
    batches = iter(lambda: list(islice(source, batch_size)), [])
    pool = ThreadPoolExecutor(workers, thread_name_prefix="nima-score")
    waiting: deque[Future[Iterable[Result]]] = deque()
    try:
        for batch in islice(batches, 2 * workers):
            waiting.append(pool.submit(work, batch))
        while waiting:
            yield from waiting.popleft().result()
            for batch in islice(batches, 1):
                waiting.append(pool.submit(work, batch))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
