import numpy as np
import pytest
from PIL import Image, ImageFilter

from siamese_nima.datasets.checks import (
    check_photos,
    check_set,
    crossing_lines,
    crossing_pairs,
    measure_leaks,
    near_copies,
    table_of_folder,
    usable_photos,
)
from siamese_nima.datasets.rating_table import RatingTable
from siamese_nima.errors import TableError
from siamese_nima.photos.similarity import Signatures, group_pairs, read_signatures


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


def test_missing_and_broken_photos_are_listed_and_counted(tmp_path):
    paths = tuple(tmp_path / f"{n}.png" for n in range(4))
    Image.new("RGB", (40, 30)).save(paths[0])
    paths[1].write_bytes(b"no picture")
    Image.new("RGB", (40, 30)).save(paths[3])
    table = RatingTable(paths=paths, mos=[5.0] * 4)
    check = check_photos(table)
    assert check.missing == (paths[2],)
    assert [path for path, _ in check.broken] == [paths[1]]
    assert "1.png" in check.broken[0][1]
    assert check.usable == 2
    can, missing, broken = check.lines()
    assert (can, missing[:15]) == ("2 of 4 photos can be read", "1 are missing: ")
    assert broken.startswith("1 are broken: ")
    assert usable_photos(table, check).paths == (paths[0], paths[3])


def test_a_whole_table_has_nothing_to_tell(tmp_path):
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    check = check_photos(RatingTable(paths=(tmp_path / "a.png",), mos=[5.0]))
    assert check.lines() == ["1 of 1 photos can be read"]


def save(path, seed, size=(90, 60)):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).save(path)


def test_near_copies_across_subfolders_are_found(tmp_path):
    save(tmp_path / "train" / "a.png", 1)
    save(tmp_path / "train" / "b.png", 2)
    save(tmp_path / "test" / "a_small.jpg", 1, (45, 30))
    save(tmp_path / "test" / "c.png", 3)
    result = check_set(table_of_folder(tmp_path))
    assert [pair[1].name for pair in result.crossing] == ["a_small.jpg"]
    assert not result.passed
    assert "1 pairs of near-copies, 1 across splits" in result.describe()
    assert "1 of 2 test photos (50 %) have a near-copy in train" in result.describe()
    [line] = crossing_lines(result.crossing, 5)
    assert line.startswith("test: ")
    assert line.endswith("train/a.png")
    assert crossing_lines(result.crossing, 0) == ["... and 1 more pairs"]


def test_a_clean_set_passes(tmp_path):
    save(tmp_path / "train" / "a.png", 1)
    save(tmp_path / "test" / "c.png", 3)
    assert check_set(table_of_folder(tmp_path)).passed


def test_missing_and_broken_photos_are_told_apart(tmp_path):
    save(tmp_path / "a.png", 1)
    (tmp_path / "b.png").write_bytes(b"no picture")
    paths = tuple(tmp_path / name for name in ("a.png", "b.png", "c.png"))
    result = check_set(RatingTable(paths=paths, mos=[5.0] * 3))
    assert result.check.missing == paths[2:]
    assert len(result.check.broken) == 1
    assert result.describe().startswith("1 of 3 photos can be read\n1 are missing: ")
    assert not result.passed


def test_a_folder_without_photos_is_refused(tmp_path):
    with pytest.raises(TableError, match="no photo in it"):
        table_of_folder(tmp_path)


def test_the_work_does_not_grow_with_the_square_of_the_rows(tmp_path, monkeypatch):
    """Of AVA's rows hardly any photo may be there; each path is hashed a few times at most."""
    there = sorted((tmp_path / f"{place}.png" for place in (3, 150, 299)), key=str)
    for path in there:
        Image.new("RGB", (8, 8), (int(path.stem) % 256, 90, 20)).save(path)
    table = RatingTable(paths=tuple(tmp_path / f"{i}.png" for i in range(300)), mos=[5.0] * 300)
    hashed = []
    plain = type(tmp_path).__hash__
    monkeypatch.setattr(type(tmp_path), "__hash__", lambda path: hashed.append(path) or plain(path))
    result = check_set(table)
    assert len(hashed) < 10 * len(table)
    assert result.check.usable == 3
    assert result.check.missing == tuple(path for path in table.paths if path not in there)
    assert result.check.broken == ()
