"""The best of bursts are copied, the rest moved, with all that belongs to them; nothing is lost."""

import errno
from pathlib import Path

import pytest

from siamese_nima.curation.bursts import Burst
from siamese_nima.curation.filing import FilingLog, file_photos, plan_filing_of_bursts, undo_filing
from siamese_nima.errors import ConfigError, NimaError
from siamese_nima.ratings import AVA_SCALE
from siamese_nima.scoring.results import ScoredPhoto

FILES = (
    *("in/a1.jpg", "in/a1.CR2", "in/a1.jpg.xmp", "in/a2.jpg", "in/a2.NEF", "in/a2.xmp"),
    *("in/sub/a3.jpg", "in/sub/a3.jpg.xmp", "in/single.jpg", "in/notes.txt"),
)


@pytest.fixture
def shoot(tmp_path):
    """A burst of three, the first the best, in two folders; and a photo alone."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    names = ("in/a1.jpg", "in/a2.jpg", "in/sub/a3.jpg", "in/single.jpg")
    results = [
        ScoredPhoto(path=str(tmp_path / name), model="m", scale=AVA_SCALE, score=9.0 - number)
        for number, name in enumerate(names)
    ]
    return results, [Burst(tuple(results[:3]), too_close=True)]


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "log"
    }


def run(folder, shoot, **options):
    with FilingLog(folder / "log") as log:
        return list(file_photos(plan_filing_of_bursts(*shoot, **options), log))


def test_the_best_and_single_photos_are_copied_with_what_belongs_to_them(tmp_path, shoot):
    before = contents(tmp_path)
    done = run(tmp_path, shoot, best_to=tmp_path / "best")
    assert {filed.how for filed in done} == {"copy"}
    names = ("a1.jpg", "a1.CR2", "a1.jpg.xmp", "single.jpg")
    assert contents(tmp_path / "best") == {name: f"in/{name}" for name in names}
    assert contents(tmp_path / "in") == {n.removeprefix("in/"): text for n, text in before.items()}
    assert {filed.how for filed in undo_filing(tmp_path / "log")} == {"removed"}
    assert contents(tmp_path) == before


def test_the_rest_is_moved_with_what_belongs_to_it_and_comes_back(tmp_path, shoot):
    before = contents(tmp_path)
    run(tmp_path, shoot, rest_to=tmp_path / "rest")
    names = ("a2.jpg", "a2.NEF", "a2.xmp", "sub/a3.jpg", "sub/a3.jpg.xmp")
    assert contents(tmp_path / "rest") == {name: f"in/{name}" for name in names}
    assert sorted(contents(tmp_path / "in")) == [
        *("a1.CR2", "a1.jpg", "a1.jpg.xmp", "notes.txt", "single.jpg")
    ]
    assert {filed.how for filed in undo_filing(tmp_path / "log")} == {"put back"}
    assert contents(tmp_path) == before
    assert {filed.how for filed in undo_filing(tmp_path / "log")} == {"untouched"}


def test_apart_only_the_photos_themselves_go(tmp_path, shoot):
    run(tmp_path, shoot, rest_to=tmp_path / "rest", apart=True)
    assert sorted(contents(tmp_path / "rest")) == ["a2.jpg", "sub/a3.jpg"]


def test_what_a_photo_shares_with_one_that_stays_stays(tmp_path, shoot):
    (tmp_path / "in/a2.png").write_text("another photo with the sidecar a2.xmp")
    results = [*shoot[0], ScoredPhoto(path=str(tmp_path / "in/a2.png"), model="m",
                                      scale=AVA_SCALE, score=1.0)]  # fmt: skip
    run(tmp_path, (results, shoot[1]), rest_to=tmp_path / "rest")
    assert "a2.xmp" not in contents(tmp_path / "rest")
    assert (tmp_path / "in/a2.xmp").exists()


def test_photos_without_a_score_stay(tmp_path, shoot):
    broken = ScoredPhoto(path=str(tmp_path / "in/b.jpg"), model="m", scale=AVA_SCALE, error="b: x")
    (tmp_path / "in/b.jpg").write_text("broken")
    plan = plan_filing_of_bursts(
        [*shoot[0], broken], shoot[1], best_to=tmp_path / "best", rest_to=tmp_path / "rest"
    )
    assert all(filed.source.name != "b.jpg" for filed in plan)


def test_nothing_is_overwritten_and_all_is_checked_first(tmp_path, shoot):
    (tmp_path / "rest/sub").mkdir(parents=True)
    (tmp_path / "rest/sub/a3.jpg").write_text("mine")
    before = contents(tmp_path)
    with pytest.raises(NimaError, match=r"a3.jpg: another file exists already"):
        run(tmp_path, shoot, rest_to=tmp_path / "rest")
    assert contents(tmp_path) == before
    (tmp_path / "best").mkdir()
    (tmp_path / "best/a1.jpg").write_text("in/a1.jpg")
    run(tmp_path, shoot, best_to=tmp_path / "best")
    assert len(contents(tmp_path / "best")) == 4


def test_a_name_that_is_taken_while_files_are_moved_is_left_alone(tmp_path, shoot):
    plan = plan_filing_of_bursts(*shoot, rest_to=tmp_path / "rest")
    (tmp_path / "rest").mkdir()
    (tmp_path / "rest/a2.jpg").write_text("mine")
    with FilingLog(tmp_path / "log") as log:
        done = {filed.source.name: filed.error for filed in file_photos(plan, log)}
    assert "not moved" in done["a2.jpg"]
    assert (tmp_path / "rest/a2.jpg").read_text() == "mine"
    assert (tmp_path / "in/a2.jpg").read_text() == "in/a2.jpg"
    assert done["a3.jpg"] is None


def test_to_another_disk_a_file_is_gone_only_when_it_is_there(tmp_path, shoot, monkeypatch):
    before, rename = contents(tmp_path), Path.rename

    def other_disk(self, target):
        if Path(target).suffix in (".jpg", ".NEF", ".xmp"):
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", other_disk)
    run(tmp_path, shoot, rest_to=tmp_path / "rest")
    assert len(contents(tmp_path / "rest")) == 5
    list(undo_filing(tmp_path / "log"))
    assert contents(tmp_path) == before


def test_copies_that_were_edited_and_names_that_were_taken_are_left_by_undoing(tmp_path, shoot):
    run(tmp_path, shoot, best_to=tmp_path / "best", rest_to=tmp_path / "rest")
    (tmp_path / "best/a1.jpg").write_text("edited")
    (tmp_path / "in/a2.jpg").write_text("new")
    errors = [filed.error for filed in undo_filing(tmp_path / "log") if filed.error]
    assert len(errors) == 2
    assert (tmp_path / "best/a1.jpg").read_text() == "edited"
    assert (tmp_path / "in/a2.jpg").read_text() == "new"
    assert (tmp_path / "rest/a2.jpg").read_text() == "in/a2.jpg"


def test_two_folders_of_one_name_are_kept_apart(tmp_path):
    results = []
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.jpg").write_text(folder)
        results.append(ScoredPhoto(path=str(tmp_path / folder / "a.jpg"), model="m",
                                   scale=AVA_SCALE, score=5.0))  # fmt: skip
    run(tmp_path, (results, []), best_to=tmp_path / "best")
    assert contents(tmp_path / "best") == {"x/a.jpg": "x", "y/a.jpg": "y"}


def test_one_folder_for_both_is_refused(tmp_path, shoot):
    with pytest.raises(ConfigError, match="need a folder each"):
        plan_filing_of_bursts(*shoot, best_to=tmp_path / "x", rest_to=tmp_path / "in/../x")


def test_a_log_of_stars_is_none_of_bursts(tmp_path):
    (tmp_path / "log").write_text('{"what": "siamese-nima stars, undo log", "format": 1}\n')
    with pytest.raises(NimaError, match="line 1 is none of an undo log of nima bursts"):
        list(undo_filing(tmp_path / "log"))


@pytest.mark.parametrize("options", [{"best_to": "best"}, {"rest_to": "rest"}], ids=str)
def test_files_held_for_a_moment_are_moved_and_put_back_after_it(
    tmp_path, shoot, held_files, monkeypatch, options
):
    before = contents(tmp_path)

    def let_go(seconds: float) -> None:
        held_files.clear()

    monkeypatch.setattr("time.sleep", let_go)
    held_files.add(str(tmp_path / "in/a2.jpg"))
    done = run(tmp_path, shoot, **{name: tmp_path / to for name, to in options.items()})
    held_files.update(str(filed.target) for filed in done)
    undone = list(undo_filing(tmp_path / "log"))
    assert [filed.error for filed in (*done, *undone) if filed.error] == []
    assert contents(tmp_path) == before
