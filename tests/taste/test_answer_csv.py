import os
import unicodedata
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siamese_nima.errors import AnswerError
from siamese_nima.taste.answers import CHOICES, Answer, read_answers, write_answers

AT = "2026-05-01T09:30:00+00:00"


@pytest.fixture
def table(tmp_path):
    def write(text):
        path = tmp_path / "answers.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def names():
    text = st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1)
    return text.filter(lambda name: name not in (".", ".."))


@given(
    st.lists(
        st.builds(
            lambda left, right, choice, person, seconds: Answer(
                left=left, right=f"in/{right}", choice=choice, person=person, at=AT, seconds=seconds
            ),
            names(),
            names(),
            st.sampled_from(CHOICES),
            st.sampled_from(["me", "Ana", "李雷", 'q"uote', "a,b;c"]),
            st.none() | st.floats(0, 1e5),
        )
    )
)
def test_what_is_written_is_read_back(tmp_path_factory, answers):
    path = tmp_path_factory.mktemp("csv") / "answers.csv"
    write_answers(path, answers)
    assert read_answers(path) == answers


def test_a_name_that_is_not_unicode_comes_back(tmp_path):
    said = Answer(left=os.fsdecode(b"caf\xe9.jpg"), right="b.jpg", choice="tie", at=AT)
    write_answers(tmp_path / "a.csv", [said])
    assert b"caf\xe9.jpg" in (tmp_path / "a.csv").read_bytes()
    assert read_answers(tmp_path / "a.csv") == [said]


def test_the_file_is_readable_for_people(tmp_path):
    said = Answer(left="a.jpg", right="x, y.jpg", choice="right", at=AT, seconds=1.5)
    write_answers(tmp_path / "a.csv", [said])
    assert (tmp_path / "a.csv").read_text() == (
        f'left,right,choice,person,at,seconds\na.jpg,"x, y.jpg",right,me,{AT},1.5\n'
    )


def test_a_spreadsheet_may_have_saved_it(table):
    path = table(f"\ufeffLeft;Right;Choice;At\r\na.jpg;b.jpg;Tie;{AT}\r\n\r\n")
    assert read_answers(path) == [Answer(left="a.jpg", right="b.jpg", choice="tie", at=AT)]


def test_answers_can_be_given_another_name(table):
    path = table(f"left,right,choice,person,at\na.jpg,b.jpg,left,me,{AT}\n")
    assert [answer.person for answer in read_answers(path, person="Ana")] == ["Ana"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: no column 'left', found nothing; wanted left, right, choice, person"),
        ("left,right\n", "line 1: no column 'choice', found left, right"),
        ("left,right,choice,at,stars\n", "line 1: a column 'stars' too many"),
        ("left,left,right,choice,at\n", "line 1: a column 'left' too many"),
        (f"left,right,choice,at\na,b,left,{AT}\na,b,maybe,{AT}\n", "line 3: .* 'maybe', wanted"),
        (f'left,right,choice,at\n"a\nb",c,tie,{AT}\na,a,left,{AT}\n', "line 4: left and right are"),
        (f"left,right,choice,at\na,b,{AT}\n", "line 2: 3 cells, wanted 4"),
        (f"left,right,choice,at,seconds\na,b,tie,{AT},long\n", "line 2: seconds are 'long'"),
        ("left,right,choice,at\na,b,tie,noon\n", "line 2: the moment is 'noon'"),
        (f"left,right,choice,at\n../a,b,tie,{AT}\n", "line 2: the photo is '../a'"),
        ('left,right,choice,at\n"a,b,tie', "line 2: not a readable table"),
    ],
)
def test_a_wrong_line_is_named(table, text, message):
    path = table(text)
    with pytest.raises(AnswerError, match=rf"^{path} {message}"):
        read_answers(path)


def test_a_missing_file_and_a_missing_folder_are_named(tmp_path):
    with pytest.raises(AnswerError, match=r"x\.csv: cannot be read \(No such file"):
        read_answers(tmp_path / "x.csv")
    with pytest.raises(AnswerError, match=r"x\.csv: cannot be written \(No such file"):
        write_answers(tmp_path / "missing" / "x.csv", [])


@given(st.binary(max_size=200))
def test_any_bytes_are_answers_or_a_named_error(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("csv") / "answers.csv"
    path.write_bytes(b"left,right,choice,at\n" + content)
    with suppress(AnswerError):
        assert all(answer.person == "me" for answer in read_answers(path))


def test_a_list_of_winners_and_losers_is_enough_and_repeats_count(tmp_path):
    rows = ["winner,loser", "a.jpg,b.jpg", "b.jpg,a.jpg", "a.jpg,b.jpg", "day1\\c.jpg,a.jpg"]
    (tmp_path / "pairs.csv").write_text("\n".join(rows))
    answers = read_answers(tmp_path / "pairs.csv", person="Ana")
    assert [answer.better for answer in answers] == ["a.jpg", "b.jpg", "a.jpg", "day1/c.jpg"]
    assert {answer.person for answer in answers} == {"Ana"}
    assert len({answer.at for answer in answers}) == 4
    # The same list is not taken twice.
    assert read_answers(tmp_path / "pairs.csv", person="Ana") == answers


def test_answers_need_no_time(tmp_path):
    (tmp_path / "a.csv").write_text("left,right,choice\na.jpg,b.jpg,tie\na.jpg,b.jpg,right\n")
    assert [answer.choice for answer in read_answers(tmp_path / "a.csv")] == ["tie", "right"]


def test_names_find_photos_that_another_system_spelled_otherwise(tmp_path):
    (tmp_path / unicodedata.normalize("NFD", "caf\u00e9.jpg")).touch()
    (tmp_path / "a.csv").write_text("winner,loser\ncaf\u00e9.jpg,b.jpg\n", encoding="utf-16")
    [answer] = read_answers(tmp_path / "a.csv", folder=tmp_path)
    assert answer.left == unicodedata.normalize("NFD", "caf\u00e9.jpg")
