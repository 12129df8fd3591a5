import numpy as np
import pytest
from PIL import Image, ImageFilter

from siamese_nima.datasets.near_copies import crossing_pairs, measure_leaks, near_copies
from siamese_nima.errors import TableError
from siamese_nima.photos.likeness import group_pairs
from siamese_nima.photos.signatures import Signatures, read_signatures


def scene(seed, size=(240, 160)):
    """A smooth picture with large structures, different for each seed."""
    noise = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


def flips(generator):
    """Zero to seven bits, spread over the 64."""
    places = generator.choice(64, generator.integers(0, 8), replace=False)
    return sum(1 << int(place) for place in places)


def signatures_of(count, seed=0):
    """Random points in small clusters, so that near-copies and strangers both occur."""
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(max(1, count // 3), 256))
    kinds = generator.integers(0, len(centres), count)
    noise = generator.uniform(0.05, 0.4, (count, 1)) * generator.normal(size=(count, 256))
    points = centres[kinds] + noise
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    hashes = generator.integers(0, 2**63, len(centres), dtype=np.uint64)
    hashes = hashes[kinds] ^ np.array([flips(generator) for _ in range(count)], dtype=np.uint64)
    return Signatures(hashes, points.astype(np.float32))


def by_brute_force(signatures):
    found = []
    for a in range(len(signatures)):
        for b in range(a + 1, len(signatures)):
            likeness = float(signatures.thumbnails[a] @ signatures.thumbnails[b])
            bits = int(signatures.hashes[a] ^ signatures.hashes[b]).bit_count()
            if likeness > 0.98 or (likeness > 0.9 and bits <= 6):
                found.append([a, b])
    return found


@pytest.mark.parametrize("count", [2, 50, 700])
def test_the_search_finds_what_comparing_all_pairs_finds(count):
    signatures = signatures_of(count)
    wanted = by_brute_force(signatures)
    assert near_copies(signatures).tolist() == wanted
    assert wanted or count < 50


def test_changed_copies_are_found_and_other_photos_are_not(tmp_path):
    photo = scene(1)
    photo.save(tmp_path / "a.png")
    photo.resize((120, 80)).save(tmp_path / "small.jpg", quality=60)
    photo.filter(ImageFilter.GaussianBlur(2)).save(tmp_path / "blurred.png")
    photo.point(lambda value: value * 0.8).save(tmp_path / "darker.png")
    scene(2).save(tmp_path / "other.png")
    photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "mirrored.png")
    names = ["a.png", "small.jpg", "blurred.png", "darker.png", "other.png", "mirrored.png"]
    signatures = read_signatures([tmp_path / name for name in names])
    assert group_pairs(6, near_copies(signatures)).tolist() == [0, 0, 0, 0, 4, 5]


def test_flat_and_unreadable_photos_are_near_copies_of_nothing(tmp_path):
    for name in ("white1.png", "white2.png"):
        Image.new("RGB", (64, 48), "white").save(tmp_path / name)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    names = ["white1.png", "white2.png", "broken.png", "missing.png"]
    signatures = read_signatures([tmp_path / name for name in names])
    assert [row for row, _ in signatures.unreadable] == [2, 3]
    assert near_copies(signatures).tolist() == []


def test_only_pairs_between_two_splits_cross():
    pairs = np.array([[0, 1], [1, 2], [2, 3]])
    assert crossing_pairs(pairs, ["train", "train", "test", ""]).tolist() == [[1, 2]]


def test_leaks_are_counted_per_split_and_subset():
    pairs = np.array([[0, 2], [1, 2], [3, 4]])
    splits = ["train", "train", "test", "test", "test"]
    leaks = measure_leaks(pairs, splits, ["a", "b", "a", "a", "a"])
    assert [str(leak) for leak in leaks] == [
        "1 of 1 train photos of a (100 %) have a near-copy in test",
        "1 of 1 train photos of b (100 %) have a near-copy in test",
        "1 of 3 test photos of a (33 %) have a near-copy in train",
    ]
    with pytest.raises(TableError, match="5 photos have 1 subsets"):
        measure_leaks(pairs, splits, ["a"])
