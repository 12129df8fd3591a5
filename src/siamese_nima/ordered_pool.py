"""Work on a stream in several threads, results in the order of the input, in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
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
    at_once: Callable[[Sequence[Item]], bool] = lambda _batch: False,
) -> Generator[Result, None, None]:
    """The results of `work` on `batch_size` items at a time, while later items are worked on.

    No more than 2 `workers` batches are taken from `items` ahead of the results. Closing the
    iterator waits for the batches that have begun and drops the others.

    Args:
        work: Makes the results of one batch, in some thread.
        items: Taken in the thread that takes the results.
        batch_size: Items of one batch.
        workers: Threads.
        at_once: Whether the work on a batch is next to nothing, less than handing it to a thread;
            then it is done where it is asked for.
    """
    source = iter(items)
    batches = iter(lambda: list(islice(source, batch_size)), [])
    pool = ThreadPoolExecutor(workers, thread_name_prefix="nima-score")
    waiting: deque[Callable[[], Iterable[Result]]] = deque()

    def begin(batch: Sequence[Item]) -> None:
        ready = at_once(batch)
        waiting.append(partial(work, batch) if ready else pool.submit(work, batch).result)

    try:
        for batch in islice(batches, 2 * workers):
            begin(batch)
        while waiting:
            yield from waiting.popleft()()
            for batch in islice(batches, 1):
                begin(batch)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def map_in_order(
    work: Callable[[Item], Result], items: Iterable[Item], *, workers: int
) -> Generator[Result, None, None]:
    """As `in_order`, of work on one item at a time."""
    return in_order(
        lambda batch: [work(item) for item in batch], items, batch_size=1, workers=workers
    )
