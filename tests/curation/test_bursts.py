"""Bursts: which photos belong together, and which of them is the best."""

import random
import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siamese_nima.curation.bursts import (
    Burst,
    BurstRule,
    Frame,
    group_bursts,
    group_frames,
    keepers,
    with_detail,
)
from siamese_nima.errors import ConfigError
from siamese_nima.pair_error import PairError
from siamese_nima.photos.capture import Capture
from siamese_nima.ratings import AVA_SCALE
from siamese_nima.scoring.detail import Detail
from siamese_nima.scoring.fine_order import FineOrder
from siamese_nima.scoring.results import ScoredPhoto

PAIR_ERROR = PairError((0.0, 1.0, 2.0), (0.5, 0.8, 0.9), (0.5, 0.75, 0.85), 1000)


def pattern(seed, *, noise=0.0, noise_seed=0):
    """A unit thumbnail; it correlates with the seed's other ones by about 1 / (1 + noise²)."""
    values = np.random.default_rng(seed).normal(size=256)
    values = values / np.linalg.norm(values)
    extra = np.random.default_rng((seed, noise_seed, 1)).normal(size=256)
    values = values + noise * extra / np.linalg.norm(extra)
    return (values / np.linalg.norm(values)).astype(np.float32)


def frame(path, seed=0, at=None, *, camera="", body="", in_utc=False, noise=0.3, bits=0):
    capture = None if at is None else Capture(at, in_utc, camera, body)
    look = pattern(seed, noise=noise, noise_seed=zlib.crc32(path.encode()))
    scene_hash = np.random.default_rng(seed).integers(0, 2**63, dtype=np.uint64)
    return Frame(path, scene_hash ^ np.uint64((1 << bits) - 1), look, capture)


def result(path, mean):
    return ScoredPhoto(path=path, model="tiny-1@0", scale=AVA_SCALE, score=mean)


def grouped(*frames, **rule):
    """Groups of two or more, by path."""
    groups = {}
    for one, group in zip(frames, group_frames(frames, BurstRule(**rule)), strict=True):
        groups.setdefault(group, set()).add(one.path)
    return sorted(sorted(group) for group in groups.values() if len(group) > 1)


def test_photos_alike_and_close_in_time_are_a_burst_which_lasts_as_long_as_no_pause_does():
    frames = [frame(f"{n}.jpg", at=8.0 * n) for n in range(5)]
    assert grouped(*frames) == [["0.jpg", "1.jpg", "2.jpg", "3.jpg", "4.jpg"]]
    assert grouped(*frames, window_s=7.9) == []


def test_photos_alike_but_hours_apart_are_no_burst():
    assert grouped(frame("a", at=0.0), frame("b", at=3600.0)) == []


def test_photos_close_in_time_but_different_are_no_burst():
    assert grouped(frame("a", seed=1, at=0.0), frame("b", seed=2, at=0.1)) == []


def test_a_camera_that_follows_what_moves_makes_one_burst_of_one_press_of_the_shutter():
    frames = [frame(f"{n}", at=0.1 * n, noise=0.8) for n in range(5)]
    assert grouped(*frames) == [["0", "1", "2", "3", "4"]]
    assert grouped(*[frame(f"{n}", at=1.0 * n, noise=0.8) for n in range(5)]) == []
    assert grouped(*frames, window_s=0.05) == []


def test_two_cameras_make_two_bursts_even_of_one_scene():
    frames = [frame(f"{c}{n}", at=n, camera=c) for c in "xy" for n in range(2)]
    assert grouped(*frames) == [["x0", "x1"], ["y0", "y1"]]


def test_a_copy_that_lost_the_serial_number_finds_its_original():
    original = frame("a.nef", at=10.25, camera="Maker X", body="77", noise=0.1)
    copy = frame("a-web.jpg", at=10.0, camera="Maker X", noise=0.1)
    assert grouped(original, copy) == [["a-web.jpg", "a.nef"]]
    # At another moment it may be of another camera of that model.
    assert grouped(original, replace(copy, capture=Capture(14.0, False, "Maker X"))) == []
    assert grouped(original, replace(copy, capture=Capture(10.0, False, "Maker Y"))) == []
    assert grouped(original, frame("a-web.jpg", seed=3, at=10.0, camera="Maker X")) == []


def test_two_bodies_of_one_model_make_two_bursts():
    frames = [frame(f"{b}{n}", at=n, camera="Maker X", body=b) for b in "xy" for n in range(2)]
    assert grouped(*frames) == [["x0", "x1"], ["y0", "y1"]]


def test_without_times_only_near_copies_belong_together():
    assert grouped(frame("a", noise=0.1), frame("b", noise=0.1, bits=6)) == [["a", "b"]]
    assert grouped(frame("a", noise=0.1), frame("b", noise=0.1, bits=7)) == []
    assert grouped(frame("a", noise=0.5), frame("b", noise=0.5)) == []


def test_a_copy_without_time_joins_its_original():
    assert grouped(frame("a", at=5.0, noise=0.1), frame("export", noise=0.1)) == [["a", "export"]]


def test_local_and_universal_times_are_not_compared():
    apart = frame("a", at=0.0, noise=0.5), frame("b", at=0.0, in_utc=True, noise=0.5)
    assert grouped(*apart) == []
    alike = frame("a", at=0.0, noise=0.1), frame("b", at=7200.0, in_utc=True, noise=0.1)
    assert grouped(*alike) == [["a", "b"]]


def test_flat_photos_belong_to_nothing():
    flat = replace(frame("a", at=0.0), thumbnail=np.zeros(256, np.float32))
    assert grouped(flat, replace(flat, path="b")) == []


def test_a_series_longer_than_the_reach_is_one_burst():
    timed = [frame(f"{n}", at=0.01 * n) for n in range(300)]
    untimed = [frame(f"{n}", noise=0.1) for n in range(300)]
    assert len(grouped(*timed)[0]) == len(grouped(*untimed)[0]) == 300


photos = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.none() | st.integers(0, 40),
        st.sampled_from(["", "x", "y"]),
        st.sampled_from([0.1, 0.4]),
        st.none() | st.sampled_from([3.0, 4.0, 4.2, 5.0, 6.5]),
    ),
    max_size=25,
)


@given(photos, st.randoms())
def test_bursts_divide_the_photos_and_do_not_depend_on_their_order(drawn, shuffle: random.Random):
    rows = []
    for number, (seed, at, camera, noise, mean) in enumerate(drawn):
        path = f"{number}.jpg"
        rows.append((result(path, mean), frame(path, seed, at, camera=camera, noise=noise)))
    bursts = group_bursts(*unzipped(rows), pair_error=PAIR_ERROR)
    members = [path for burst in bursts for path in burst.paths]
    rated = [photo.path for photo, _ in rows if photo.mean is not None]
    assert len(set(members)) == len(members)
    assert set(members) <= set(rated)
    for burst in bursts:
        means = [photo.mean for photo in burst.photos]
        assert means == sorted(means, reverse=True)
        assert len(means) > 1
    kept = [photo.path for photo in keepers(unzipped(rows)[0], bursts)]
    assert len(kept) == len(rated) - sum(len(burst.photos) - 1 for burst in bursts)
    shuffle.shuffle(rows)
    assert group_bursts(*unzipped(rows), pair_error=PAIR_ERROR) == bursts


def unzipped(rows):
    return [photo for photo, _ in rows], [look for _, look in rows]


def test_the_best_comes_first_and_says_whether_it_is_too_close_to_call():
    frames = [frame(name, at=0.0) for name in "abc"]
    results = [result("a", 4.0), result("b", 6.0), result("c", 5.5)]
    [burst] = group_bursts(results, frames, pair_error=PAIR_ERROR)
    assert burst.paths == ("b", "c", "a")
    assert (burst.too_close, burst.over_next) == (True, pytest.approx(0.65))
    [sure] = group_bursts([results[0], result("b", 6.0)], frames[:2], pair_error=PAIR_ERROR)
    assert (sure.too_close, sure.over_next) == (False, pytest.approx(0.9))
    [unknown] = group_bursts(results, frames)
    assert (unknown.too_close, unknown.over_next) == (None, None)


def test_an_unreadable_photo_is_in_no_burst_and_no_keeper():
    failed = ScoredPhoto(path="b", model="tiny-1@0", scale=AVA_SCALE, error="broken")
    results = [result("a", 4.0), failed, result("c", 5.0)]
    bursts = group_bursts(results, [frame("a", at=0.0), None, frame("c", at=1.0)])
    assert [burst.paths for burst in bursts] == [("c", "a")]
    assert [photo.path for photo in keepers(results, bursts)] == ["c"]


@pytest.mark.parametrize(
    ("values", "message"),
    [({"window_s": -1}, "window .* got -1"), ({"similarity": 1.0}, "similarity .* got 1.0")],
)
def test_impossible_rules_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        BurstRule(**values)


SHARP = Detail(0.8, 0.9, 0.0, 1.0, 0.1, 0.2, (4000, 3000), ())
FINE = FineOrder(
    model="tiny", version="1", score=1.0, blur=4.0, noise=0.2, compression=1.0, pairs=9
)


def test_within_a_burst_detail_counts_too():
    burst = Burst((result("soft", 6.0), result("sharp", 5.9)), too_close=True, over_next=0.5)
    finer = with_detail(burst, [replace(SHARP, blur=1.6), SHARP], FINE)
    assert finer.paths == ("sharp", "soft")
    assert finer.too_close is False
    assert finer.over_next > 0.9
    assert finer.reasons == ("", "softer: 1.6 px of blur against 0.8")


def test_frames_alike_stay_too_close_to_call():
    burst = Burst((result("a", 6.0), result("b", 5.95)))
    finer = with_detail(burst, [SHARP, replace(SHARP, blur=0.82)], FINE)
    assert finer.close == (True, True)
    assert finer.reason(1) == "no clear difference"


def test_a_lower_score_is_a_reason_where_no_flaw_is_seen():
    burst = Burst((result("a", 7.0), result("b", 4.0)))
    assert with_detail(burst, [SHARP, SHARP], FINE).reason(1) == "lower score: 4.0 against 7.0"


def test_a_photo_that_detail_cannot_judge_leaves_the_order_of_the_scores():
    burst = Burst((result("a", 6.0), result("b", 5.0)), too_close=True, over_next=0.7)
    assert with_detail(burst, [SHARP, None], FINE) == burst


def test_without_an_order_for_the_model_only_reasons_are_given():
    burst = Burst((result("a", 6.0), result("b", 5.0)), too_close=True, over_next=0.7)
    finer = with_detail(burst, [replace(SHARP, noise=9.0), SHARP], None)
    assert (finer.paths, finer.too_close, finer.over_next) == (("a", "b"), True, 0.7)
    assert finer.reasons == ("", "no clear difference")
