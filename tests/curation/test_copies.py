"""Copies bear their rank, nothing is overwritten, and nothing but earlier copies is replaced."""

import os
import shutil

import pytest

from siamese_nima.curation.copies import copy_name, copy_ranked, plan_copies
from siamese_nima.errors import NimaError
from siamese_nima.ratings import AVA_SCALE
from siamese_nima.scoring.results import ScoredPhoto
from systems import needs_posix


def result(path: str, mean: float | None) -> ScoredPhoto:
    error = f"{path}: broken" if mean is None else None
    return ScoredPhoto(path=path, model="m", scale=AVA_SCALE, score=mean, error=error)


def test_copies_bear_their_rank_and_content(tmp_path):
    for name in ("x.jpg", "y.jpg"):
        (tmp_path / name).write_text(name)
    ranked = [result(str(tmp_path / n), m) for n, m in (("y.jpg", 9), ("x.jpg", 2), ("z", None))]
    copies = copy_ranked(ranked, tmp_path / "best")
    assert [copy.name for copy in copies] == ["0001-y.jpg", "0002-x.jpg"]
    assert [copy.read_text() for copy in copies] == ["y.jpg", "x.jpg"]
    assert sorted(p.name for p in (tmp_path / "best").iterdir()) == ["0001-y.jpg", "0002-x.jpg"]


def test_copies_of_a_run_that_was_cut_short_are_completed(tmp_path):
    for name in ("x.jpg", "y.jpg"):
        (tmp_path / name).write_text(name)
    ranked = [result(str(tmp_path / n), m) for n, m in (("y.jpg", 9), ("x.jpg", 2))]
    copy_ranked(ranked[:1], tmp_path / "best")
    copies = copy_ranked(ranked, tmp_path / "best")
    assert [copy.read_text() for copy in copies] == ["y.jpg", "x.jpg"]


def test_an_existing_copy_is_never_overwritten(tmp_path):
    (tmp_path / "x.jpg").write_text("new")
    (tmp_path / "0001-x.jpg").write_text("mine")
    with pytest.raises(NimaError, match=r"0001-x.jpg: another file exists already"):
        copy_ranked([result(str(tmp_path / "x.jpg"), 5)], tmp_path)
    assert (tmp_path / "0001-x.jpg").read_text() == "mine"


@pytest.fixture
def photos(tmp_path):
    """Three ranked photos."""
    for name in ("x.jpg", "y.jpg", "z.jpg"):
        (tmp_path / name).write_text(name)
    return [result(str(tmp_path / f"{name}.jpg"), m) for name, m in (("x", 9), ("y", 8), ("z", 7))]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("stem", ["n" * 251, "照" * 83, "é" * 125])
def test_names_that_would_be_too_long_are_shortened_and_keep_their_ending(tmp_path, stem):
    photo = tmp_path / f"{stem}.jpg"
    photo.write_text("x")
    [copy] = copy_ranked([result(str(photo), 5)], tmp_path / "best")
    assert copy.read_text() == "x"
    assert copy.name.startswith(f"0001-{stem[:80]}")
    assert copy.suffix == ".jpg"
    assert 250 <= len(os.fsencode(copy.name)) <= 255
    assert copy_ranked([result(str(photo), 5)], tmp_path / "best") == [copy]


def test_a_name_without_an_end_is_shortened_too():
    assert copy_name(12345, "n" * 255) == "12345-" + "n" * 249


def test_copies_of_an_earlier_ranking_are_named_and_nothing_is_changed(photos, tmp_path):
    best = tmp_path / "best"
    copy_ranked(photos, best)
    with pytest.raises(NimaError, match=r"has 3 copies of an earlier ranking, such as 0001-x.jpg"):
        copy_ranked([photos[1], photos[0]], best, among=photos)
    assert names(best) == ["0001-x.jpg", "0002-y.jpg", "0003-z.jpg"]


def test_exactly_the_copies_of_an_earlier_ranking_are_replaced(photos, tmp_path):
    best = tmp_path / "best"
    copy_ranked(photos, best)
    (best / "0003-z.jpg").write_text("edited by a person")
    (best / "0004-y.jpg").symlink_to(tmp_path / "y.jpg")
    (best / "mine.jpg").write_text("mine")
    (best / "0009-foreign.jpg").write_text("of another folder")
    plan = plan_copies([photos[1], photos[0]], best, among=photos)
    assert [path.name for path in plan.stale] == ["0001-x.jpg", "0002-y.jpg"]
    assert [path.name for path in plan.other] == ["0003-z.jpg", "0009-foreign.jpg"]
    plan.write(replace=True)
    assert names(best) == [
        *("0001-y.jpg", "0002-x.jpg", "0003-z.jpg", "0004-y.jpg"),
        *("0009-foreign.jpg", "mine.jpg"),
    ]
    assert (best / "0003-z.jpg").read_text() == "edited by a person"
    assert (best / "0001-y.jpg").read_text() == "y.jpg"


def test_fewer_of_the_same_ranking_are_a_later_ranking_too(photos, tmp_path):
    best = tmp_path / "best"
    copy_ranked(photos, best)
    assert len(copy_ranked(photos[:2], best, among=photos, replace=True)) == 2
    assert names(best) == ["0001-x.jpg", "0002-y.jpg"]


def test_a_disk_that_is_full_half_way_says_how_far_it_came(photos, tmp_path, monkeypatch):
    def full(source, target):
        if str(source).endswith("z.jpg"):
            raise OSError(28, "No space left on device")
        target.write_bytes(source.read_bytes())

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(NimaError, match=r"2 of 3 copies made, then .*No space left"):
        copy_ranked(photos, tmp_path / "best")
    assert names(tmp_path / "best") == ["0001-x.jpg", "0002-y.jpg"]
    monkeypatch.undo()
    copy_ranked(photos, tmp_path / "best")
    assert len(names(tmp_path / "best")) == 3


@needs_posix
def test_copies_can_be_written_and_removed_even_if_the_photos_cannot(photos, tmp_path):
    (tmp_path / "x.jpg").chmod(0o400)
    [copy] = copy_ranked(photos[:1], tmp_path / "best")
    assert copy.stat().st_mode & 0o200
    assert copy.stat().st_mtime_ns == (tmp_path / "x.jpg").stat().st_mtime_ns


def test_with_a_copy_go_its_raw_file_and_the_sidecars_unless_apart(tmp_path):
    for name in ("x.jpg", "X.CR2", "x.jpg.xmp", "X.XMP", "x.CR2.pp3", "y.jpg", "xy.CR2"):
        (tmp_path / name).write_text(name)
    ranked = [result(str(tmp_path / "y.jpg"), 9), result(str(tmp_path / "x.jpg"), 2)]
    copies = copy_ranked(ranked, tmp_path / "best")
    assert sorted(copy.name for copy in copies) == [
        *("0001-y.jpg", "0002-X.CR2", "0002-X.XMP"),
        *("0002-x.CR2.pp3", "0002-x.jpg", "0002-x.jpg.xmp"),
    ]
    assert all(copy.read_text() == copy.name[5:] for copy in copies)
    assert len(copy_ranked(ranked[:1], tmp_path / "best", among=ranked, replace=True)) == 1
    assert names(tmp_path / "best") == ["0001-y.jpg"]
    alone = copy_ranked(ranked, tmp_path / "alone", apart=True)
    assert [copy.name for copy in alone] == ["0001-y.jpg", "0002-x.jpg"]
