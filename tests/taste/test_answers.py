import os
import signal
import sqlite3
import subprocess
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siamese_nima.errors import AnswerError
from siamese_nima.taste.answers import Answer, AnswerStore, answers_path, now


def answer(left="a.jpg", right="b.jpg", choice="left", person="me", second=0, **more):
    at = f"2026-05-01T09:30:{second:02d}+00:00"
    return Answer(left=left, right=right, choice=choice, person=person, at=at, **more)


@pytest.fixture
def store(tmp_path):
    with AnswerStore(tmp_path / "answers.sqlite") as opened:
        yield opened


def test_the_file_of_a_folder_lies_in_it(tmp_path):
    assert answers_path(tmp_path) == tmp_path / "nima-answers.sqlite"


def test_answers_come_back_in_their_order_and_flags_apart(store):
    said = [
        answer(),
        answer("c.jpg", "a.jpg", "tie", second=1, seconds=2.5),
        answer("c.jpg", "d.jpg", "flag", second=2),
        answer("b.jpg", "c.jpg", "right", second=3),
    ]
    for one in said:
        store.add(one)
    assert store.records() == said
    assert store.answers() == [said[0], said[1], said[3]]
    assert store.flags() == [said[2]]


def test_people_are_kept_apart_or_pooled(store):
    mine, yours = answer(person="Ana"), answer(person="李雷", second=1)
    flag = answer(person="Ana", choice="flag", second=2)
    for one in (mine, yours, flag):
        store.add(one)
    assert store.answers(["Ana"]) == [mine]
    assert store.answers({"Ana", "李雷"}) == store.answers() == [mine, yours]
    assert store.answers([]) == []
    assert store.people() == {"Ana": 1, "李雷": 1}


def test_an_answer_can_be_taken_back_once(store):
    first, second, other = answer(), answer(choice="flag", second=1), answer(person="Ana")
    for one in (first, second, other):
        store.add(one)
    assert store.take_back(first)
    assert not store.take_back(first)
    assert store.records() == [second, other]


def test_a_second_opening_finds_what_the_first_kept(tmp_path):
    path = tmp_path / "answers.sqlite"
    with AnswerStore(path) as store:
        store.add(answer())
    with AnswerStore(path) as store:
        store.add(answer(second=1))
    with AnswerStore(path, read_only=True) as store:
        assert len(store.answers()) == 2
    assert [file.name for file in tmp_path.iterdir()] == ["answers.sqlite"]


def test_two_openings_at_once_lose_nothing(tmp_path):
    path = tmp_path / "answers.sqlite"

    def work(person):
        with AnswerStore(path) as store:
            for second in range(10):
                store.add(answer(person=person, second=second))

    threads = [threading.Thread(target=work, args=[person]) for person in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with AnswerStore(path) as store:
        assert store.people() == {"a": 10, "b": 10, "c": 10}


def test_merging_twice_adds_nothing(store):
    said = [answer(), answer(second=1), answer(person="Ana")]
    store.add(said[0])
    assert store.merge(said) == 2
    assert store.merge(said) == 0
    assert store.records() == said


def test_merging_a_contradiction_changes_nothing(store):
    store.add(answer())
    with pytest.raises(AnswerError, match=r"me said 'left', not 'tie', of a\.jpg and b\.jpg at"):
        store.merge([answer(second=1), answer(choice="tie")])
    assert store.records() == [answer()]


# Any name that a file below a folder can have.
names = st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1).filter(
    lambda name: name not in (".", "..")
)


@given(
    names, names, st.sampled_from(["left", "right", "tie", "flag"]), st.floats(0, 1e6) | st.none()
)
def test_every_answer_comes_back_as_it_was(left, right, choice, seconds):
    if left == right:
        return
    with AnswerStore(":memory:") as store:
        said = Answer(left=left, right=f"in/{right}", choice=choice, at=now(), seconds=seconds)
        store.add(said)
        assert store.records() == [said]


def test_a_name_that_is_not_unicode_comes_back(store):
    said = answer(os.fsdecode(b"caf\xe9.jpg"))
    store.add(said)
    assert store.records() == [said]


def test_a_pair_is_the_same_whichever_side_its_photos_were_on():
    first, second = answer(choice="left"), answer("b.jpg", "a.jpg", "right")
    assert first.pair == second.pair == ("a.jpg", "b.jpg")
    assert first.better == second.better == "a.jpg"
    assert answer(choice="tie").better is None


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"right": "a.jpg"}, "left and right are both 'a.jpg'"),
        ({"left": "/a.jpg"}, "the photo is '/a.jpg'; wanted a path below the folder"),
        ({"left": "../a.jpg"}, "the photo is '../a.jpg'"),
        ({"left": "x//a.jpg"}, "the photo is 'x//a.jpg'"),
        ({"left": ""}, "the photo is ''"),
        ({"choice": "maybe"}, "the choice is 'maybe', wanted left, right, tie, flag"),
        ({"person": " "}, "the person is ' '; wanted a name of 1 to 80"),
        ({"person": "a\nb"}, r"the person is 'a\\nb'"),
        ({"person": "x" * 81}, "wanted a name of 1 to 80"),
        ({"seconds": -1.0}, "seconds must be 0 or more, got -1.0"),
        ({"seconds": float("nan")}, "seconds must be 0 or more, got nan"),
        ({"at": "yesterday"}, "the moment is 'yesterday'"),
        ({"at": "2026-05-01T09:30:00"}, "wanted ISO 8601 with a time zone"),
    ],
)
def test_what_cannot_be_an_answer_is_refused(wrong, message):
    given = {"left": "a.jpg", "right": "b.jpg", "choice": "left", "at": now()} | wrong
    with pytest.raises(AnswerError, match=message):
        Answer(**given)


def test_another_file_is_left_as_it_is(tmp_path):
    path = tmp_path / "x"
    path.write_text("holiday notes, and they are long enough to be read as a header " * 20)
    before = path.read_bytes()
    with pytest.raises(AnswerError, match=rf"{path}: not a file of answers"):
        AnswerStore(path)
    assert path.read_bytes() == before
    database = tmp_path / "other.sqlite"
    with sqlite3.connect(database) as other:
        other.execute("CREATE TABLE mine(x)")
    other.close()
    with pytest.raises(AnswerError, match="an SQLite file, but not of answers"):
        AnswerStore(database)


def test_a_newer_format_is_not_touched(tmp_path):
    path = tmp_path / "answers.sqlite"
    AnswerStore(path).close()
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 9")
    database.close()
    with pytest.raises(AnswerError, match=r"written by a newer siamese-nima \(format 9\)"):
        AnswerStore(path)


def test_a_damaged_file_says_so(tmp_path):
    path = tmp_path / "answers.sqlite"
    with AnswerStore(path) as store:
        for second in range(50):
            store.add(answer(second=second))
    content = bytearray(path.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(AnswerError, match=rf"{path}: the file of answers is damaged"):
        AnswerStore(path).records()


def test_where_nothing_can_be_written_another_file_is_named(tmp_path):
    with pytest.raises(AnswerError, match="name another file with --answers"):
        AnswerStore(tmp_path / "missing" / "answers.sqlite")


def test_reading_makes_no_file(tmp_path):
    with pytest.raises(AnswerError, match="no answers yet; 'nima pick' gathers them"):
        AnswerStore(tmp_path / "answers.sqlite", read_only=True)
    assert not list(tmp_path.iterdir())


def test_reading_only_writes_nothing(tmp_path):
    path = tmp_path / "answers.sqlite"
    AnswerStore(path).close()
    with AnswerStore(path, read_only=True) as store, pytest.raises(AnswerError, match="written"):
        store.add(answer())


_WRITER = """
import sys
from siamese_nima.taste.answers import Answer
from siamese_nima.taste.answers import AnswerStore
store = AnswerStore(sys.argv[1])
for number in range(100_000):
    at = f"2026-05-01T09:30:00.{number:06d}+00:00"
    store.add(Answer(left="a.jpg", right="b.jpg", choice="left", at=at))
    print(number, flush=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kills a process")
@pytest.mark.parametrize("seen", [1, 7, 30])
def test_what_was_said_outlives_a_process_that_is_killed(tmp_path, seen):
    path = tmp_path / "answers.sqlite"
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, text=True
    ) as writer:
        lines = [writer.stdout.readline() for _ in range(seen)]
        writer.kill()
        told = int((lines + writer.stdout.readlines())[-1])
    with AnswerStore(path) as store:
        kept = len(store.answers())
    # The one that was being written may have arrived too.
    assert told + 1 <= kept <= told + 2
