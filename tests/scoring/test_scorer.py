"""One result per photo, in order, the same however the work is cut."""

import asyncio
import io
import os
import pickle
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from siamese_nima import ratings
from siamese_nima.errors import ConfigError, PhotoError, ViewError, WeightsError
from siamese_nima.scoring import scorer as scorer_module
from siamese_nima.scoring.ranking import rank_photos
from siamese_nima.scoring.scorer import Scorer
from tiny_model import rate_tiny


@pytest.fixture
def scorer(tiny_model: Path) -> Scorer:
    return Scorer(tiny_model)


def test_results_come_in_natural_order_and_agree_with_numpy(scorer, photo_folder, tiny_card):
    results = list(scorer.score(photo_folder))
    assert [Path(r.path).name for r in results] == [f"photo{n}.png" for n in range(1, 12)]
    for result in results:
        distribution = rate_tiny(tiny_card, Image.open(result.path))
        assert result.distribution == pytest.approx(distribution, abs=1e-5)
        assert result.mean == pytest.approx(ratings.mean(distribution), abs=1e-4)
        assert result.spread == pytest.approx(ratings.spread(distribution), abs=1e-4)
        assert result.percentile == 25 * sum(grey < result.mean for grey in (2, 4, 5, 6))
        assert result.error is None
        assert result.model == scorer.model.model_id


@pytest.mark.parametrize("batch_size", [1, 3, 16])
@pytest.mark.parametrize("workers", [1, 4])
def test_batch_size_workers_and_order_do_not_matter(tiny_model, photo_folder, batch_size, workers):
    paths = sorted(photo_folder.glob("photo*.png"))
    expected = {r.path: r.mean for r in Scorer(tiny_model, workers=1, batch_size=1).score(paths)}
    scorer = Scorer(tiny_model, view="native", workers=workers, batch_size=batch_size)
    native = {r.path: r.mean for r in scorer.score(paths)}
    again = {r.path: r.mean for r in scorer.score(paths[::-1])}
    warped = Scorer(tiny_model, workers=workers, batch_size=batch_size)
    assert {r.path: r.mean for r in warped.score(paths[::-1])} == pytest.approx(expected, abs=1e-4)
    assert again == pytest.approx(native, abs=1e-4)


def test_a_broken_photo_is_one_error_among_results(scorer, photo_folder):
    whole = (photo_folder / "photo5.png").read_bytes()
    (photo_folder / "photo5.png").write_bytes(whole[: len(whole) // 2])
    (photo_folder / "photo7.png").write_bytes(b"")
    results = list(scorer.score([*sorted(photo_folder.glob("photo*.png")), Path("gone.jpg")]))
    failed = {Path(r.path).name for r in results if r.error is not None}
    assert failed == {"photo5.png", "photo7.png", "gone.jpg"}
    assert len(results) == 12
    for result in results:
        if result.error is not None:
            assert Path(result.path).name in result.error
            assert result.mean is result.spread is result.distribution is None


def test_a_photo_that_the_network_refuses_does_not_spoil_its_batch(
    scorer, photo_folder, monkeypatch
):
    rate = scorer.model.rate

    def picky(views: np.ndarray) -> np.ndarray:
        if np.any(views.mean(axis=(1, 2, 3, 4)) == 60):  # photo3
            raise PhotoError("too grey")
        return rate(views)

    monkeypatch.setattr(scorer.model, "rate", picky)
    results = list(scorer.score(photo_folder))
    assert [r.error is not None for r in results] == [n == 3 for n in range(1, 12)]
    assert results[2].error.endswith("photo3.png: too grey")


def test_every_kind_of_photo_gets_the_same_score(scorer, photo_folder):
    path = photo_folder / "photo4.png"
    picture = Image.open(path)
    kinds = [
        path,
        str(path),
        path.read_bytes(),
        io.BytesIO(path.read_bytes()),
        picture,
        np.asarray(picture),
    ]
    results = list(scorer.score(kinds))
    assert len({r.mean for r in results}) == 1
    assert results[0].path == str(path)
    assert results[2].path == "<photo 3>"


def test_one_picture_of_any_kind_is_one_photo(scorer, photo_folder):
    path = photo_folder / "photo4.png"
    pixels = np.asarray(Image.open(path))
    with path.open("rb") as file:
        results = [list(scorer.score(p)) for p in (path, path.read_bytes(), pixels, file)]
    results.append(list(scorer.score(Image.open(path))))
    assert {len(found) for found in results} == {1}
    assert len({found[0].mean for found in results}) == 1
    assert len(list(scorer.score(np.stack([pixels, pixels])))) == 2


def test_what_is_no_picture_is_a_named_error(scorer, photo_folder):
    wrong = [np.zeros((4, 4, 3)), np.zeros((4, 4, 7), np.uint8), 7, io.StringIO("text")]
    errors = [result.error for result in scorer.score(wrong)]
    assert "<photo 1>: an array of float64" in errors[0]
    assert "<photo 2>: an array of uint8 and shape (4, 4, 7); wanted" in errors[1]
    assert "<photo 3>: int is not a photo; wanted a path, bytes" in errors[2]
    assert "<photo 4>: a text stream is not a photo" in errors[3]


def test_several_threads_use_one_scorer(scorer, photo_folder):
    expected = list(scorer.score(photo_folder))
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: list(scorer.score(photo_folder)), range(12)))
    assert found == [expected] * 12


def test_asyncio_gets_the_same_results_in_order(scorer, photo_folder):
    async def scored():
        return [result async for result in scorer.score_async(photo_folder)]

    assert asyncio.run(scored()) == list(scorer.score(photo_folder))


def test_the_event_loop_runs_on_while_photos_are_scored(scorer, photo_folder, monkeypatch):
    rate = scorer.model.rate

    def slow(views):
        time.sleep(0.1)
        return rate(views)

    monkeypatch.setattr(scorer.model, "rate", slow)
    waits = []

    async def tick():
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.001)
            waits.append(time.perf_counter() - before)

    async def scored():
        ticking = asyncio.create_task(tick())
        results = [result async for result in scorer.score_async(photo_folder)]
        ticking.cancel()
        return results

    assert len(asyncio.run(scored())) == 11
    # Blocked, the loop would have ticked once per result at most.
    assert len(waits) > 30


def test_cancelling_ends_the_run_and_its_threads(scorer, photo_folder, monkeypatch):
    begun = threading.Event()
    rate = scorer.model.rate

    def slow(views):
        begun.set()
        time.sleep(0.05)
        return rate(views)

    monkeypatch.setattr(scorer.model, "rate", slow)

    async def first_result():
        async for result in scorer.score_async(photo_folder):
            return result
        return None

    async def cancelled():
        task = asyncio.create_task(first_result())
        await asyncio.to_thread(begun.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not [t for t in threading.enumerate() if t.name.startswith("nima-score")]
        assert (await first_result()).error is None

    asyncio.run(cancelled())
    assert not [t for t in threading.enumerate() if t.name.startswith("nima-score")]


def test_photos_are_read_while_results_are_taken_not_all_before(scorer, photo_folder):
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield photo_folder / "photo1.png"

    results = scorer.score(endless())
    for _ in range(50):
        next(results)
    results.close()
    assert taken <= 50 + scorer.batch_size * (2 * scorer.workers + 1)


def test_decoded_photos_are_shown_to_whoever_asks_cached_ones_are_not(
    tiny_model, photo_folder, tmp_path
):
    (photo_folder / "photo2.png").write_bytes(b"broken")
    scorer = Scorer(tiny_model, cache=tmp_path / "cache.sqlite")
    seen = {}
    results = list(scorer.score(photo_folder, on_photo=seen.__setitem__))
    assert sorted(seen) == sorted(result.path for result in results if result.error is None)
    assert seen[results[0].path].size == (60, 40)
    again = {}
    assert list(scorer.score(photo_folder, on_photo=again.__setitem__)) == results
    assert again == {}


def test_a_few_photos_scored_together_are_scored_as_always(scorer, photo_folder):
    paths = sorted(photo_folder.glob("photo*.png"))
    files = [(path.name, path.read_bytes()) for path in paths]
    together = scorer.score_together([*files, ("broken.jpg", b"no photo")])
    assert [result.mean for result in together[:-1]] == [r.mean for r in scorer.score(paths)]
    assert [result.path for result in together] == [*(path.name for path in paths), "broken.jpg"]
    assert "broken.jpg: not a photo" in together[-1].error


def test_photos_with_too_many_pixels_are_refused(tiny_model, photo_folder):
    scorer = Scorer(tiny_model, max_pixels=60 * 40 - 1)
    [result] = scorer.score(photo_folder / "photo1.png")
    assert "60 x 40 = 2400 pixels, more than the limit of 2399" in result.error


def test_no_photos_give_no_results(scorer):
    assert list(scorer.score([])) == []


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"batch_size": 0}, ConfigError, "batch size must be at least 1, got 0"),
        ({"workers": 0}, ConfigError, "workers must be at least 1, got 0"),
        ({"max_pixels": 0}, ConfigError, "largest photo must have at least 1 pixel, got 0"),
        ({"view": "sideways:3"}, ViewError, "sideways"),
    ],
)
def test_impossible_options_are_refused(tiny_model, options, error, message):
    with pytest.raises(error, match=message):
        Scorer(tiny_model, **options)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(WeightsError, match=r"no model named 'qualty'.*; there are .*quality"):
        Scorer("qualty")


def test_one_photo_is_scored_at_once_and_as_always(scorer, photo_folder):
    path = photo_folder / "photo4.png"
    assert scorer.score_one(path) == next(scorer.score([path]))
    assert scorer.score_one(np.asarray(Image.open(path))).score == scorer.score_one(path).score
    assert "a folder, not a photo" in scorer.score_one(photo_folder).error
    assert "none.jpg: no such file" in scorer.score_one(photo_folder / "none.jpg").error


def test_one_photo_uses_the_cache(tiny_model, photo_folder, tmp_path):
    scorer = Scorer(tiny_model, cache=tmp_path / "c.sqlite")
    path = photo_folder / "photo4.png"
    os.utime(path, (1e9, 1e9))
    assert [scorer.score_one(path).cached for _ in range(2)] == [False, True]


def test_a_folder_in_a_list_is_searched(scorer, photo_folder, tmp_path):
    other = tmp_path / "one.png"
    shutil.copy(photo_folder / "photo1.png", other)
    found = [result.path for result in scorer.score([other, photo_folder])]
    assert found == [str(other), *(r.path for r in scorer.score(photo_folder))]


class _Tensor:
    """What a tensor of torch or jax shows of itself."""

    def __init__(self, array):
        self.array, self.ndim = array, array.ndim

    def __array__(self, dtype=None, copy=None):
        return self.array

    def __iter__(self):
        return iter(self.array)


def test_a_tensor_is_one_photo(scorer, photo_folder):
    pixels = np.asarray(Image.open(photo_folder / "photo4.png"))
    [expected] = scorer.score(pixels)
    channels_first = np.moveaxis(pixels, -1, 0)
    for given in (_Tensor(channels_first), _Tensor(pixels), [_Tensor(channels_first)]):
        assert [r.score for r in scorer.score(given)] == [expected.score]
    assert len(list(scorer.score(_Tensor(np.stack([channels_first] * 3))))) == 3
    [floats] = scorer.score(_Tensor(channels_first / 255))
    assert "an array of float64" in floats.error


def test_a_tensor_of_torch_is_one_photo(scorer, photo_folder):
    torch = pytest.importorskip("torch")
    pixels = np.asarray(Image.open(photo_folder / "photo4.png"))
    [expected], [found] = scorer.score(pixels), scorer.score(torch.tensor(pixels).permute(2, 0, 1))
    assert found.score == expected.score
    for odd in (torch.rand(3, 8, 8, requires_grad=True), torch.rand(3, 8, 8).bfloat16()):
        [result] = scorer.score(odd)
        assert result.error.startswith("<photo 1>: ")


def test_bytes_of_any_kind_and_rows_of_data_sets_are_one_photo(scorer, photo_folder):
    path = photo_folder / "photo4.png"
    content = path.read_bytes()
    expected = scorer.score_one(path).score
    row = {"bytes": content, "path": "photo4.png"}
    for photo in (bytearray(content), memoryview(content), row, {"bytes": None, "path": str(path)}):
        assert [result.score for result in scorer.score(photo)] == [expected]
        assert [result.score for result in scorer.score([photo, photo])] == [expected] * 2
    assert scorer.score_one(row).path == "photo4.png"
    assert "<photo 1>: dict is not a photo" in scorer.score_one({"image": content}).error


@pytest.mark.parametrize("nothing", [None, 7])
def test_what_is_no_photo_at_all_is_one_error(scorer, nothing):
    [result] = scorer.score(nothing)
    assert "is not a photo; wanted a path, bytes" in result.error


@pytest.mark.parametrize("model", [None, {"quality"}, iter(["quality"]), 7, ["quality", None]])
def test_what_is_no_model_is_an_error_of_ours(model):
    with pytest.raises(ConfigError, match=r"is not a model; wanted the name of a model, the path"):
        Scorer(model)


def test_a_scorer_travels_to_another_process(tiny_model, photo_folder):
    scorer = Scorer(tiny_model, workers=1, view="warp:24")
    there = pickle.loads(pickle.dumps(scorer))
    assert (there.options, there.models.keys()) == (scorer.options, scorer.models.keys())
    assert list(there.score(photo_folder)) == list(scorer.score(photo_folder))


def test_a_data_frame_takes_results(scorer, photo_folder):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(scorer.score(photo_folder))
    assert list(frame)[:4] == ["path", "score", "spread", "percentile"]
    assert len(frame) == 11
    assert frame.score.between(1, 10).all()


def test_notebooks_show_a_table_with_thumbnails(scorer, photo_folder):
    (photo_folder / "<b>.png").write_bytes(b"broken")
    ranked = rank_photos(scorer.score(photo_folder))
    page = ranked._repr_html_()
    assert page.count("<tr>") == 1 + 12
    assert page.count('<img alt="" src="data:image/jpeg;base64,') == 11
    assert "&lt;b&gt;.png" in page
    assert f"{ranked[0].score:.2f}" in ranked[0]._repr_html_()
    assert f"score={ranked[0].score:.2f}, scale=1..10" in repr(ranked[0])
    assert "<Scorer of tiny-1@" in repr(scorer)


def test_little_memory_means_few_workers(tiny_model, monkeypatch):
    monkeypatch.setattr(scorer_module, "usable_cores", lambda: 64)
    for free, expected in ((None, 64), (64 << 30, 64), (1 << 30, 8), (1 << 20, 1)):
        monkeypatch.setattr(scorer_module, "usable_memory", lambda free=free: free)
        assert Scorer(tiny_model).workers == expected
    assert Scorer(tiny_model, workers=3).workers == 3
