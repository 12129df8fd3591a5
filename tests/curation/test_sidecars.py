"""Sidecars are written so that everything can be put back."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from siamese_nima.curation.sidecars import UndoLog, undo_stars
from siamese_nima.errors import NimaError, SidecarError
from systems import needs_posix


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from("abcd"), st.none() | st.binary(max_size=20), min_size=1))
def test_undoing_gives_back_every_byte(tmp_path, before):
    log = tmp_path / "log"
    log.unlink(missing_ok=True)
    for name, content in before.items():
        (tmp_path / name).unlink(missing_ok=True)
        if content is not None:
            (tmp_path / name).write_bytes(content)
    with UndoLog(log) as writer:
        for name, content in before.items():
            writer.write(tmp_path / name, content, b"new " + name.encode())
    assert all((tmp_path / n).read_bytes() == b"new " + n.encode() for n in before)
    assert {done.action for done in undo_stars(log)} <= {"restored", "removed"}
    for name, content in before.items():
        path = tmp_path / name
        assert (path.read_bytes() if path.exists() else None) == content
    assert {done.action for done in undo_stars(log)} == {"untouched"}


def test_what_was_edited_since_is_left_as_it_is(tmp_path):
    with UndoLog(tmp_path / "log") as writer:
        writer.write(tmp_path / "a", None, b"ours")
        writer.write(tmp_path / "b", None, b"ours")
    (tmp_path / "a").write_bytes(b"edited")
    done = {undone.sidecar.name: undone for undone in undo_stars(tmp_path / "log")}
    assert (done["a"].action, done["b"].action) == ("failed", "removed")
    assert "a: changed since it got its stars" in done["a"].error
    assert (tmp_path / "a").read_bytes() == b"edited"


def test_a_file_that_changed_after_it_was_read_is_not_overwritten(tmp_path):
    (tmp_path / "a").write_bytes(b"meanwhile")
    with UndoLog(tmp_path / "log") as writer, pytest.raises(SidecarError, match="run again"):
        writer.write(tmp_path / "a", b"old", b"new")
    assert (tmp_path / "a").read_bytes() == b"meanwhile"


def test_a_line_cut_short_by_a_kill_is_passed_over(tmp_path):
    log = tmp_path / "log"
    with UndoLog(log) as writer:
        writer.write(tmp_path / "a", None, b"ours")
    with log.open("a") as file:
        file.write('{"sidecar": "/b", "bef')
    assert [undone.action for undone in undo_stars(log)] == ["removed"]


def test_a_kill_between_log_and_write_leaves_nothing_to_undo(tmp_path):
    log = tmp_path / "log"
    with UndoLog(log) as writer:
        writer.write(tmp_path / "a", None, b"ours")
    (tmp_path / "a").unlink()
    (tmp_path / ".a.0x1y2z.part").write_bytes(b"ou")
    assert [undone.action for undone in undo_stars(log)] == ["untouched"]
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


@needs_posix
def test_permissions_stay_and_no_parts_are_left(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / "a").chmod(0o640)
    with UndoLog(tmp_path / "log") as writer:
        writer.write(tmp_path / "a", b"old", b"new")
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "log"]


def test_a_folder_that_vanished_is_an_error_of_that_sidecar(tmp_path):
    with (
        UndoLog(tmp_path / "log") as writer,
        pytest.raises(SidecarError, match="cannot be written"),
    ):
        writer.write(tmp_path / "gone" / "a", None, b"new")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "empty"),
        ("path,mean\n", "line 1 is none"),
        ('{"a": 1}\n', "line 1 is none"),
        ("é", "cannot be read"),
    ],
)
def test_what_is_no_undo_log_is_refused(tmp_path, content, message):
    (tmp_path / "log").write_text(content, encoding="utf-8")
    with pytest.raises(NimaError, match=message):
        list(undo_stars(tmp_path / "log"))


def test_a_log_appears_with_the_first_change_and_is_never_overwritten(tmp_path):
    log = tmp_path / "log"
    with UndoLog(log) as writer:
        assert not log.exists()
        writer.write(tmp_path / "a", None, b"new")
        assert writer.begun
    with UndoLog(log) as writer, pytest.raises(NimaError, match="log: exists already"):
        writer.write(tmp_path / "b", None, b"new")
    assert not (tmp_path / "b").exists()


def test_a_bad_line_inside_a_log_is_refused(tmp_path):
    log = tmp_path / "log"
    with UndoLog(log) as writer:
        writer.write(tmp_path / "a", None, b"new")
    with log.open("a") as file:
        file.write(json.dumps({"sidecar": "a"}) + "\n" + json.dumps(1) + "\n")
    with pytest.raises(NimaError, match="line 3 is none"):
        list(undo_stars(log))
    assert (tmp_path / "a").exists()
