from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from siamese_nima.datasets import view_cache
from siamese_nima.datasets.rating_table import RatingTable, photo_hashes
from siamese_nima.datasets.view_cache import (
    LiveViews,
    augmented_views,
    build_view_cache,
    kept_array,
)
from siamese_nima.errors import TableError, ViewError
from siamese_nima.photos.read import open_photo, read_photo
from siamese_nima.photos.views import ViewPolicy
from siamese_nima.scoring.model_set import Member, ModelSet

POLICY = ViewPolicy.parse("warp:16+centre:16@32")


def make_table(folder: Path, count: int = 5) -> RatingTable:
    generator = np.random.default_rng(0)
    paths = []
    for i in range(count):
        paths.append(folder / f"{i}.png")
        Image.fromarray(generator.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(paths[-1])
    return RatingTable(paths=tuple(paths), mos=np.linspace(1, 10, count))


def test_the_first_variant_is_what_scoring_sees(tmp_path: Path) -> None:
    table = make_table(tmp_path)
    cache = build_view_cache(table, POLICY, tmp_path / "cache", variants=3)
    assert cache.pixels.shape == (3, 5, 2, 16, 16, 3)
    for row, path in enumerate(table.paths):
        np.testing.assert_array_equal(cache.pixels[0, row], POLICY.views(read_photo(path)))


def test_variants_differ_but_repeat_with_the_seed(tmp_path: Path) -> None:
    table = make_table(tmp_path)
    first = build_view_cache(table, POLICY, tmp_path / "a", variants=4, seed=1)
    again = build_view_cache(table, POLICY, tmp_path / "b", variants=4, seed=1)
    other = build_view_cache(table, POLICY, tmp_path / "c", variants=4, seed=2)
    np.testing.assert_array_equal(first.pixels, again.pixels)
    assert not np.array_equal(first.pixels, other.pixels)
    assert not np.array_equal(first.pixels[1], first.pixels[2])


def test_a_stopped_cache_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view_cache, "_CHUNK", 2)
    table = make_table(tmp_path)
    expected = build_view_cache(table, POLICY, tmp_path / "whole")

    def stop(done: int, _: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_view_cache(table, POLICY, tmp_path / "cache", report=stop)
    done: list[int] = []
    resumed = build_view_cache(
        table, POLICY, tmp_path / "cache", report=lambda n, _: done.append(n)
    )
    assert done == [4, 5]
    np.testing.assert_array_equal(resumed.pixels, expected.pixels)
    build_view_cache(table, POLICY, tmp_path / "cache", report=lambda n, _: done.append(n))
    assert done == [4, 5]


def test_another_policy_or_other_photos_have_another_cache(tmp_path: Path) -> None:
    table = make_table(tmp_path)
    keys = {
        build_view_cache(table, POLICY, tmp_path / "cache").key,
        build_view_cache(table, ViewPolicy.parse("warp:16"), tmp_path / "cache").key,
        build_view_cache(table.select([0, 1]), POLICY, tmp_path / "cache").key,
        build_view_cache(table, POLICY, tmp_path / "cache", variants=2).key,
    }
    assert len(keys) == 4


def test_photos_that_cannot_be_read_are_all_named(tmp_path: Path) -> None:
    table = make_table(tmp_path)
    for name in ("1.png", "3.png"):
        (tmp_path / name).write_bytes(b"no picture")
    with pytest.raises(TableError, match=r"2 photos from row 0 on .*1\.png.*3\.png"):
        build_view_cache(table, POLICY, tmp_path / "cache")


def test_native_views_cannot_be_cached(tmp_path: Path) -> None:
    with pytest.raises(ViewError, match="views of native have no fixed size"):
        build_view_cache(make_table(tmp_path), ViewPolicy.parse("native"), tmp_path / "cache")


def test_random_crops_are_pieces_of_the_photo_at_the_policys_scale() -> None:
    pixels = np.arange(32 * 48 * 3, dtype=np.uint32).reshape(32, 48, 3) % 251
    photo = Image.fromarray(pixels.astype(np.uint8))
    policy = ViewPolicy.parse("centre:16@32")
    windows = np.lib.stride_tricks.sliding_window_view(np.asarray(photo), (16, 16), axis=(0, 1))
    pieces = windows.transpose(0, 1, 3, 4, 2).reshape(-1, 16, 16, 3)
    places = set()
    for seed in range(20):
        (view,) = augmented_views(photo, policy, np.random.default_rng(seed))
        found = [np.all(pieces == v, axis=(1, 2, 3)).nonzero()[0] for v in (view, view[:, ::-1])]
        assert sum(map(len, found)) >= 1
        places.add(tuple(np.concatenate(found)))
    assert len(places) > 10


def test_whole_views_are_only_mirrored() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    photo, policy = Image.fromarray(pixels), ViewPolicy.parse("warp:16")
    (plain,) = policy.views(photo)
    seen = {
        augmented_views(photo, policy, np.random.default_rng(seed))[0].tobytes()
        for seed in range(20)
    }
    assert seen == {plain.tobytes(), np.ascontiguousarray(plain[:, ::-1]).tobytes()}


def test_a_random_crop_is_a_piece_of_a_whole_view_that_is_larger() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    photo, policy = Image.fromarray(pixels), ViewPolicy.parse("warp:28x14")
    larger = np.asarray(photo.resize((16, 32), Image.Resampling.BICUBIC))
    windows = np.lib.stride_tricks.sliding_window_view(larger, (28, 14), axis=(0, 1))
    pieces = windows.transpose(0, 1, 3, 4, 2).reshape(-1, 28, 14, 3)
    places = set()
    for seed in range(40):
        generator = np.random.default_rng(seed)
        (view,) = augmented_views(photo, policy, generator, random_crop=True)
        found = [np.all(pieces == v, axis=(1, 2, 3)).nonzero()[0] for v in (view, view[:, ::-1])]
        assert sum(map(len, found)) == 1
        places.add(tuple(np.concatenate(found)))
    assert len(places) > 8  # of 15


def test_random_crops_have_a_cache_of_their_own_and_leave_the_first_variant(tmp_path: Path) -> None:
    table = make_table(tmp_path)
    plain = build_view_cache(table, POLICY, tmp_path / "cache", variants=2)
    cropped = build_view_cache(table, POLICY, tmp_path / "cache", variants=2, random_crop=True)
    assert cropped.key != plain.key
    np.testing.assert_array_equal(cropped.pixels[0], plain.pixels[0])
    assert not np.array_equal(cropped.pixels[1, :, 0], plain.pixels[1, :, 0])


def test_a_large_photo_is_cut_from_the_pixels_that_scoring_decodes(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (75, 100, 3), dtype=np.uint8)
    large = Image.fromarray(pixels).resize((1600, 1200), Image.Resampling.NEAREST)
    path = tmp_path / "large.jpg"
    large.save(path, quality=90)
    policy = ViewPolicy.parse("warp:128")
    table = RatingTable(paths=(path,), mos=np.array([5.0]))
    judged = Member("model", SimpleNamespace(name="model"), policy)
    decoded = ModelSet([judged], exact=False).decode_px
    scored = policy.views(open_photo(path, min_short_side_px=decoded))
    cache = build_view_cache(table, policy, tmp_path / "cache")
    np.testing.assert_array_equal(cache.pixels[0, 0], scored)
    np.testing.assert_array_equal(LiveViews(table, policy)[0, 0], scored)


def test_live_views_are_those_of_scoring_or_new_crops_told_by_their_number(tmp_path: Path) -> None:
    table = make_table(tmp_path)
    live = LiveViews(table, POLICY, seed=3, random_crop=True)
    assert live.shape[1:] == (5, 2, 16, 16, 3)
    np.testing.assert_array_equal(live[0, 2], POLICY.views(read_photo(table.paths[2])))
    np.testing.assert_array_equal(live[77, 2], live[77, 2])
    assert not np.array_equal(live[77, 2], live[78, 2])
    with pytest.raises(ViewError, match="no fixed size"):
        LiveViews(table, ViewPolicy.parse("native"))


def test_a_photo_is_hashed_once_as_long_as_it_is_the_same(tmp_path: Path, monkeypatch) -> None:
    table = make_table(tmp_path)
    opened = []
    original = Path.open

    def noted(self, *args, **kwargs):
        opened.append(self)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", noted)
    first = photo_hashes(table)
    assert photo_hashes(table.select(range(3))) == first[:3]
    assert len(opened) == 5
    table.paths[1].write_bytes(b"another photo")
    assert photo_hashes(table)[1] != first[1]


def test_of_those_who_ask_at_once_one_fills_the_file_and_the_others_wait(tmp_path: Path) -> None:
    filled: list[int] = []
    together = Barrier(3)

    def fill(array: NDArray[Any], rows: range) -> None:
        filled.extend(rows)
        array[rows.start : rows.stop] = rows

    def ask(_: int) -> NDArray[Any]:
        together.wait()
        return kept_array(tmp_path / "rows.npy", (50,), np.int64, fill, 50, chunk=1)

    with ThreadPoolExecutor(3) as pool:
        for found in pool.map(ask, range(3)):
            assert found.tolist() == list(range(50))
    assert filled == list(range(50))
