"""Distortion ladders: each rung is further from the photo, and the same each time."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from siamese_nima.card import golden_photo
from siamese_nima.datasets.rating_table import RatingTable
from siamese_nima.errors import ConfigError, PhotoError, ViewError
from siamese_nima.photos.views import ViewPolicy
from siamese_nima.ratings import AVA_SCALE
from siamese_nima.training.ladders import DISTORTIONS, LEVELS, build_ladder_views, distort, ladder


def clouds(seed):
    """A picture with the spectrum of photos: every size of detail, mid tones."""
    rng = np.random.default_rng(seed)
    layers = np.zeros((160, 200, 3))
    for size in (3, 6, 12, 25, 50, 100):
        patch = rng.uniform(-1, 1, (size, size, 3)).astype(np.float32)
        bands = [
            Image.fromarray(patch[..., band]).resize((200, 160), Image.Resampling.BICUBIC)
            for band in range(3)
        ]
        layers += np.stack([np.asarray(band) for band in bands], axis=-1) / np.sqrt(size)
    pixels = 128 + 55 * layers / layers.std()
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8), "RGB")


POLICY = ViewPolicy.parse("warp:32")
PHOTOS = {"clouds 0": clouds(0), "clouds 1": clouds(1), "golden": golden_photo()}


def distance(one, two):
    return np.sqrt(np.mean((np.asarray(one, float) - np.asarray(two, float)) ** 2))


@pytest.mark.parametrize("distortion", DISTORTIONS)
@pytest.mark.parametrize("name", PHOTOS)
def test_each_rung_is_further_from_the_photo(name, distortion):
    steps = ladder(PHOTOS[name], distortion)
    distances = [distance(PHOTOS[name], step) for step in steps]
    assert distances[0] == 0
    # By more than rounding could do.
    assert all(b > 1.05 * a for a, b in itertools.pairwise(distances)), distances


@pytest.mark.parametrize("distortion", DISTORTIONS)
def test_a_rung_keeps_size_and_mode_and_is_the_same_again(distortion):
    photo = PHOTOS["clouds 0"]
    before = photo.tobytes()
    for level in range(LEVELS + 1):
        step = distort(photo, distortion, level, seed=4)
        assert (step.size, step.mode) == (photo.size, "RGB")
        assert step.tobytes() == distort(photo, distortion, level, seed=4).tobytes()
    assert photo.tobytes() == before


def test_another_seed_is_another_noise():
    photo = PHOTOS["clouds 0"]
    assert distort(photo, "noise", 2, seed=1) != distort(photo, "noise", 2, seed=2)


def test_noise_moves_every_pixel_ever_further_the_same_way():
    photo = PHOTOS["clouds 1"]
    original = np.asarray(photo, int)
    moves = [np.asarray(step, int) - original for step in ladder(photo, "noise")]
    for nearer, further in itertools.pairwise(moves):
        assert np.all(np.abs(further) >= np.abs(nearer))
        assert np.all(further * nearer >= 0)


def test_exposure_scales_light_and_keeps_black_and_white_where_they_must_stay():
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None, :, None].repeat(3, 2), "RGB")
    dark, bright = (
        np.asarray(distort(ramp, f"{way}exposure", 3))[0, :, 0] for way in ("under", "over")
    )
    assert dark[0] == bright[0] == 0
    assert bright[255] == 255
    # 1.9 stops below white: .268 of the light, 141 of 255 on the sRGB curve.
    assert dark[255] == 141
    assert np.all(np.diff(dark.astype(int)) >= 0)
    assert np.all(np.diff(bright.astype(int)) >= 0)


def test_a_photo_of_one_pixel_survives():
    for distortion in DISTORTIONS:
        assert distort(Image.new("RGB", (1, 1)), distortion, 5).size == (1, 1)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("haze", 1), ConfigError, "one of blur, noise, .*, got 'haze'"),
        (("blur", 6), ConfigError, "level must be 0 to 5, got 6"),
        (("blur", -1), ConfigError, "level must be 0 to 5, got -1"),
    ],
)
def test_an_unknown_distortion_or_level_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        distort(PHOTOS["golden"], *arguments)


def test_another_mode_than_rgb_is_refused():
    with pytest.raises(PhotoError, match="got mode L"):
        ladder(Image.new("L", (8, 8)), "blur")


def test_ladders_need_no_torch():
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "from siamese_nima.training.ladders import ladder\n"
        "from siamese_nima.card import golden_photo\n"
        "print(len(ladder(golden_photo(), 'jpeg')))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("6\n", "")


@pytest.fixture
def table(tmp_path):
    generator = np.random.default_rng(0)
    paths = [tmp_path / f"{i}.png" for i in range(4)]
    for path in paths:
        Image.fromarray(generator.integers(0, 255, (32, 40, 3), dtype=np.uint8)).save(path)
    return RatingTable(paths=tuple(paths), mos=np.array([3.0, 5.0, 7.0, 9.0]), scale=AVA_SCALE)


def check(built, table, ladders):
    """Whether views are those of ladders of (row, distortion)."""
    expected = [
        POLICY.views(rung)
        for row, name in ladders
        for rung in ladder(Image.open(table.paths[row]), name, seed=row)
    ]
    assert np.array_equal(built.pixels[0], expected)


def test_every_rung_is_the_view_of_the_distorted_photo(table, tmp_path):
    built = build_ladder_views(table, POLICY, tmp_path / "cache", per_photo=2)
    check(built, table, zip([0, 0, 1, 1, 2, 2, 3, 3], [*DISTORTIONS, *DISTORTIONS], strict=False))


def test_a_distortion_named_twice_among_the_turns_gets_twice_as_many_ladders(table, tmp_path):
    turns = ("jpeg", "jpeg", "noise")
    built = build_ladder_views(table, POLICY, tmp_path / "cache", per_photo=1, turns=turns)
    check(built, table, zip(range(4), ("jpeg", "jpeg", "noise", "jpeg"), strict=True))
    other = build_ladder_views(table, POLICY, tmp_path / "cache", per_photo=1)
    assert other.key != built.key


@pytest.mark.parametrize("turns", [("rain",), ("jpeg", "rain")])
def test_turns_are_distortions_that_there_are(table, tmp_path, turns):
    with pytest.raises(ConfigError, match="turns must be some of blur"):
        build_ladder_views(table, POLICY, tmp_path, turns=turns)


def test_views_are_cut_once(table, tmp_path):
    first = build_ladder_views(table, POLICY, tmp_path / "cache")
    for path in table.paths:
        Image.new("RGB", (40, 40)).save(path.with_suffix(".other.png"))
    (file,) = (tmp_path / "cache").glob("*.npy")
    stamp = file.stat().st_mtime_ns
    again = build_ladder_views(table, POLICY, tmp_path / "cache")
    assert file.stat().st_mtime_ns == stamp
    assert np.array_equal(first.pixels, again.pixels)


def test_large_photos_are_distorted_at_the_size_that_views_need(table, tmp_path):
    large = [Image.open(path).resize((400, 320)) for path in table.paths]
    paths = tuple(tmp_path / f"large{i}.png" for i in range(len(large)))
    for photo, path in zip(large, paths, strict=True):
        photo.save(path)
    same = RatingTable(paths=paths, mos=table.mos, scale=table.scale)
    built = build_ladder_views(same, POLICY, tmp_path / "cache", per_photo=1)
    reduced = large[0].resize((40, 32), Image.Resampling.BICUBIC)
    rungs = ladder(reduced, "blur", seed=0)
    assert np.array_equal(built.pixels[0, 3], POLICY.views(rungs[3]))


def test_views_without_one_size_are_refused(table, tmp_path):
    with pytest.raises(ViewError, match="no fixed size"):
        build_ladder_views(table, ViewPolicy.parse("native"), tmp_path)
