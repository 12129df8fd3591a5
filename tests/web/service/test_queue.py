"""The queue between requests and workers."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import CancelledError
from types import SimpleNamespace

import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")

from siamese_nima.ratings import AVA_SCALE
from siamese_nima.scoring.results import ScoredPhoto
from siamese_nima.web.http import RequestError
from siamese_nima.web.service.queue import PhotoQueue


class Slow:
    """Scores by the first byte, and only when it is told to go on."""

    def __init__(self, *, workers: int = 1, batch_size: int = 4) -> None:
        self.workers, self.batch_size = workers, batch_size
        self.batches: list[list[str]] = []
        self.go_on = threading.Semaphore(0)
        self.begun = threading.Semaphore(0)

    def score_together(self, photos: Sequence[tuple[str, bytes]]) -> list[ScoredPhoto]:
        self.batches.append([name for name, _ in photos])
        self.begun.release()
        self.go_on.acquire(timeout=10)
        if any(content == b"crash" for _, content in photos):
            raise RuntimeError("unforeseen")
        return [
            ScoredPhoto(path=name, model="m", scale=AVA_SCALE, score=float(content[0]))
            for name, content in photos
        ]


def photo(number: int) -> tuple[str, bytes]:
    return (str(number), bytes([number]))


def test_what_waits_goes_together_and_everybody_gets_their_own():
    scorer, times = Slow(), []
    queue = PhotoQueue(scorer, capacity=20, on_batch=lambda *said: times.append(said))
    first = queue.submit([photo(0)])
    scorer.begun.acquire(timeout=5)
    others = [queue.submit([photo(number), photo(number + 10)]) for number in range(1, 4)]
    assert queue.waiting == 6
    for _ in range(3):
        scorer.go_on.release()
    assert first[0].result(5).mean == 0
    assert [[f.result(5).mean for f in pair] for pair in others] == [[1, 11], [2, 12], [3, 13]]
    assert scorer.batches == [["0"], ["1", "11", "2", "12"], ["3", "13"]]
    queue.close()
    assert [len(waited_s) for waited_s, _ in times] == [1, 4, 2]
    assert max(times[1][0]) <= 5


def test_workers_share_what_waits_instead_of_one_taking_it_all():
    scorer = Slow(workers=2, batch_size=8)
    queue = PhotoQueue(scorer, capacity=20)
    futures = queue.submit([photo(number) for number in range(8)])
    for _ in range(10):
        scorer.go_on.release()
    assert [future.result(5).mean for future in futures] == list(range(8))
    assert max(map(len, scorer.batches)) <= 4
    queue.close()


def test_a_full_queue_takes_all_of_a_request_or_nothing():
    scorer = Slow()
    queue = PhotoQueue(scorer, capacity=3)
    queue.submit([photo(0)])
    scorer.begun.acquire(timeout=5)
    queue.submit([photo(1), photo(2)])
    with pytest.raises(RequestError, match="2 photos wait already, and at most 3 may") as busy:
        queue.submit([photo(3), photo(4)])
    assert busy.value.problem.kind == "busy"
    assert busy.value.problem.retry_after_s == 1
    assert queue.waiting == 2
    kept = queue.submit([photo(5)])
    for _ in range(5):
        scorer.go_on.release()
    assert kept[0].result(5).mean == 5
    queue.close()


def test_closing_finishes_what_was_taken_and_takes_no_more():
    scorer = Slow()
    queue = PhotoQueue(scorer, capacity=20)
    futures = queue.submit([photo(number) for number in range(9)])
    closing = threading.Thread(target=queue.close)
    closing.start()
    while not queue._closing:
        time.sleep(0.01)
    with pytest.raises(RequestError, match="stopping"):
        queue.submit([photo(1)])
    for _ in range(9):
        scorer.go_on.release()
    closing.join(5)
    assert not closing.is_alive()
    assert [future.result(0).mean for future in futures] == list(range(9))


def test_what_nobody_waits_for_any_more_is_not_scored():
    scorer = Slow(batch_size=2)
    queue = PhotoQueue(scorer, capacity=20)
    queue.submit([photo(0)])
    scorer.begun.acquire(timeout=5)
    left, *rest = queue.submit([photo(1), photo(2), photo(3)])
    assert left.cancel()
    assert rest[1].cancel()
    for _ in range(4):
        scorer.go_on.release()
    assert rest[0].result(5).mean == 2
    with pytest.raises(CancelledError):
        left.result(0)
    queue.close()
    assert scorer.batches == [["0"], ["2"]]


def test_a_photo_that_fails_unforeseen_does_not_take_its_batch_with_it(caplog):
    scorer = Slow()
    queue = PhotoQueue(scorer, capacity=20)
    queue.submit([photo(0)])
    scorer.begun.acquire(timeout=5)
    good, bad, also = queue.submit([photo(1), ("bad", b"crash"), photo(2)])
    for _ in range(9):
        scorer.go_on.release()
    assert good.result(5).mean == 1
    assert also.result(5).mean == 2
    with pytest.raises(RuntimeError, match="unforeseen"):
        bad.result(5)
    queue.close()
    assert "a photo could not be scored" in caplog.text


def test_the_time_to_come_again_follows_the_pace():
    queue = PhotoQueue(SimpleNamespace(workers=1, batch_size=1), capacity=5)  # type: ignore[arg-type]
    queue._pace_s = 2.0
    queue._waiting.extend([None] * 4)  # type: ignore[list-item]
    assert queue.retry_after_s == 8
    queue._waiting.clear()
    queue._note([0.0], 12.0)
    assert queue._pace_s == pytest.approx(3.0)
    queue.close()
