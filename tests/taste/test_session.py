import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siamese_nima.errors import AnswerError
from siamese_nima.ratings import AVA_SCALE
from siamese_nima.taste.answers import Answer, AnswerStore
from siamese_nima.taste.choosing import ChoosingRule
from siamese_nima.taste.posterior import Posterior
from siamese_nima.taste.preference import PhotoFeatures
from siamese_nima.taste.session import PickSession

SCORES = {f"photo{number}.jpg": 4 + 0.3 * number for number in range(8)}


@pytest.fixture
def store(tmp_path):
    with AnswerStore(tmp_path / "answers.sqlite") as opened:
        yield opened


def begun(store, scores=SCORES, person="me", **more):
    return PickSession(store, scores, person=person, **more)


def answer(session, choice="left", seconds=None):
    pair = session.queue[0]
    session.answer(pair.number, choice, seconds)
    return pair


def shown(pair):
    return pair.left, pair.right


def test_pairs_are_known_three_ahead_and_each_is_the_next_one_in_turn(store):
    session = begun(store)
    for _ in range(5):
        _, second, third = session.queue
        answer(session)
        assert session.queue[:2] == (second, third)
        assert len(session.queue) == 3


def test_every_answer_is_in_the_store_at_once(store):
    session = begun(store)
    pair = answer(session, "right", 1.5)
    (kept,) = store.records()
    assert (kept.left, kept.right, kept.choice, kept.person, kept.seconds) == (
        pair.left,
        pair.right,
        "right",
        "me",
        1.5,
    )
    assert session.given == [kept]


def test_an_answer_to_another_pair_is_refused_and_changes_nothing(store):
    session = begun(store)
    pair = answer(session)
    before = session.queue
    with pytest.raises(AnswerError, match=f"pair {pair.number} was answered already"):
        session.answer(pair.number, "left")
    with pytest.raises(AnswerError, match="another one is next"):
        session.answer(before[1].number, "left")
    assert session.queue == before
    assert len(store.records()) == 1


def test_an_answer_that_cannot_be_kept_leaves_the_pair(store, monkeypatch):
    session = begun(store)
    before = session.queue

    def full(answer):
        raise AnswerError("disk full")

    monkeypatch.setattr(store, "add", full)
    with pytest.raises(AnswerError, match="disk full"):
        answer(session)
    assert session.queue == before
    assert session.progress().answers == 0


def test_undo_asks_the_last_pair_again_and_forgets_its_answer(store):
    session = begun(store)
    first = answer(session)
    second = answer(session, "flag")
    waiting = session.queue
    assert session.undo()
    assert session.queue[0] == second
    assert session.queue[1:] == waiting
    assert session.undo()
    assert session.queue[0] == first
    assert store.records() == []
    assert not session.undo()


def test_undo_reaches_only_into_this_session(store):
    answer(begun(store))
    later = begun(store)
    assert not later.progress().can_undo
    assert not later.undo()
    assert len(store.records()) == 1


def test_undo_takes_nobody_elses_answer(store):
    mine, theirs = begun(store), begun(store, person="Ana")
    answer(mine)
    answer(theirs)
    assert mine.undo()
    assert [kept.person for kept in store.records()] == ["Ana"]


def test_a_later_session_goes_on_and_asks_nothing_twice(store):
    rule = ChoosingRule(repeats=0)
    asked = set()
    for _ in range(4):
        session = begun(store, rule=rule)
        for _ in range(7):
            asked.add(frozenset(shown(answer(session, "tie"))))
    assert len(asked) == 28
    finished = begun(store, rule=rule)
    assert finished.queue == ()
    assert finished.progress().answers == finished.progress().goal == 28


def test_people_do_not_see_each_others_answers(store):
    answer(begun(store))
    theirs = begun(store, person="Ana")
    assert theirs.progress().answers == 0
    assert theirs.given == []


def test_answers_about_photos_that_are_gone_are_kept_but_not_counted(store):
    session = begun(store)
    pair = answer(session)
    rest = {name: score for name, score in SCORES.items() if name != pair.left}
    later = begun(store, rest)
    assert later.progress().answers == 0
    assert len(store.records()) == 1
    assert all(pair.left not in shown(waiting) for waiting in later.queue)


def test_a_lost_photo_is_asked_about_no_more(store):
    session = begun(store)
    answer(session)
    lost = session.queue[0].left
    session.lose(lost)
    assert lost not in session.photos
    assert len(session.queue) == 3
    for _ in range(20):
        assert lost not in shown(answer(session))
        if not session.queue:
            break
    while session.undo():
        assert all(lost not in shown(pair) for pair in session.queue)


def test_two_photos_are_one_pair_and_then_the_end(store):
    session = begun(store, {"a.jpg": 5.0, "b.jpg": 6.0})
    assert len(session.queue) == 1
    answer(session)
    assert session.queue == ()
    assert session.progress().goal == 1
    session.lose("a.jpg")
    session.lose("b.jpg")
    assert session.queue == ()
    assert session.progress().answers == 0


def test_progress_counts_agreement_with_the_model_and_with_oneself(store):
    at = "2026-05-01T09:30:{:02d}+00:00".format
    low, mid, high = "photo0.jpg", "photo3.jpg", "photo7.jpg"
    said = [
        Answer(left=low, right=high, choice="right", at=at(0)),
        Answer(left=mid, right=low, choice="right", at=at(1)),
        Answer(left=mid, right=high, choice="tie", at=at(2)),
        Answer(left=high, right=low, choice="left", at=at(3)),
        Answer(left=high, right=mid, choice="left", at=at(4)),
        Answer(left=low, right="photo1.jpg", choice="flag", at=at(5)),
    ]
    store.merge(said)
    progress = begun(store).progress()
    assert (progress.answers, progress.flags) == (5, 1)
    assert (progress.decided, progress.as_model) == (4, 3)
    assert (progress.repeated, progress.same) == (2, 1)
    # Those were given in another session, and are not guessed after the fact.
    assert progress.judged == 0


def test_choices_are_guessed_before_they_are_made(store):
    """Somebody who likes what the model does not is foreseen by their answers, not by the model."""
    session = begun(store, rule=ChoosingRule(repeats=0))
    while session.queue:
        pair = session.queue[0]
        worse = "left" if SCORES[pair.left] < SCORES[pair.right] else "right"
        session.answer(pair.number, worse)
    progress = session.progress()
    assert progress.judged == 28
    assert progress.foreseen_by_model == 0
    assert progress.foreseen > 10
    session.undo()
    assert session.progress().judged == 27


def test_how_well_choices_are_foreseen_is_told_of_the_last_ones(store):
    """Somebody who first chose against the model and then with it is known by what came last."""
    scores = {f"photo{number}.jpg": float(number) for number in range(15)}
    session = begun(store, scores, rule=ChoosingRule(repeats=0))
    for count in range(80):
        pair = session.queue[0]
        better = "left" if scores[pair.left] > scores[pair.right] else "right"
        worse = "right" if better == "left" else "left"
        session.answer(pair.number, worse if count < 30 else better)
    progress = session.progress()
    assert progress.judged == 50
    assert progress.foreseen_by_model == 50


def test_ties_flags_and_repeats_are_not_guesses(store):
    session = begun(store, {"a.jpg": 5.0, "b.jpg": 6.0}, rule=ChoosingRule(repeats=0))
    session.answer(session.queue[0].number, "tie")
    assert session.progress().judged == 0
    session.undo()
    session.answer(session.queue[0].number, "flag")
    assert session.progress().judged == 0


def test_bursts_are_asked_first(store):
    burst = ["photo1.jpg", "photo2.jpg", "photo5.jpg", "gone.jpg"]
    session = begun(store, bursts=[burst], rule=ChoosingRule(bursts_first=True, repeats=0))
    assert session.queue[0].why == "burst"
    assert set(shown(session.queue[0])) <= set(burst)


def test_a_name_that_is_not_unicode_can_be_asked_about(store):
    name = os.fsdecode(b"caf\xe9.jpg")
    session = begun(store, {name: 5.0, "b.jpg": 5.1})
    answer(session)
    assert name in store.records()[0].pair


def test_a_person_needs_a_name(store):
    with pytest.raises(AnswerError, match="wanted a name"):
        begun(store, person="")


def test_the_same_answers_give_the_same_pairs(store, tmp_path):
    session = begun(store)
    pairs = [shown(answer(session)) for _ in range(10)]
    with AnswerStore(tmp_path / "other.sqlite") as other:
        again = begun(other)
        for pair in pairs:
            assert shown(again.queue[0]) == pair
            answer(again)


@pytest.fixture
def seen():
    """What a network sees in photos 0 to 5; not in the two others."""
    draw = np.random.default_rng(0)
    logits = draw.normal(0, 1, (6, 10))
    return list(SCORES)[:6], PhotoFeatures(draw.normal(0, 1, (6, 3)), logits, AVA_SCALE, (3,))


def test_what_is_seen_chooses_the_pairs_after_those_known_already(store, seen):
    session = begun(store, rule=ChoosingRule(repeats=0))
    known = session.queue
    session.use_features(*seen)
    assert session.queue == known
    for _ in range(3):
        answer(session)
    for _ in range(9):
        assert session.queue[0].why == "informative"
        assert {*shown(answer(session))} <= set(seen[0])


def test_a_taste_is_fitted_every_ten_answers(store, seen, monkeypatch):
    fitted = []
    whole = Posterior.__init__

    def counted(self, rated, photos, comparisons):
        fitted.append((len(photos), len(comparisons)))
        whole(self, rated, photos, comparisons)

    monkeypatch.setattr(Posterior, "__init__", counted)
    session = begun(store, rule=ChoosingRule(repeats=0))
    first = answer(session)
    session.use_features(*seen)
    given = [answer(session) for _ in range(12)]
    session.lose("photo0.jpg")
    for _ in range(3):
        session.undo()
    left = sum("photo0.jpg" not in shown(pair) for pair in [first, *given])
    assert fitted == [(6, 1), (6, 11), (5, left)]


def test_a_photo_that_is_lost_is_lost_to_what_is_seen_too(store, seen):
    session = begun(store, rule=ChoosingRule(repeats=0))
    session.use_features(*seen)
    for photo in seen[0][:4]:
        session.lose(photo)
    while session.queue:
        assert not {*shown(answer(session))} & {*seen[0][:4]}
    assert len(session.given) == 6  # all pairs of the four that are left


def test_photos_shown_or_coming_next_are_known(store):
    session = begun(store)
    first = answer(session)
    coming = {name for pair in session.queue for name in shown(pair)}
    assert session.asked == {*shown(first)} | coming
    assert begun(store).asked >= {*shown(first)}


@settings(max_examples=25)
@given(
    steps=st.lists(
        st.sampled_from(["left", "right", "tie", "flag", "undo", "lose", "restart"]), max_size=40
    ),
    seed=st.integers(0, 5),
)
def test_whatever_a_person_does_nothing_is_lost_and_no_pair_is_asked_twice(steps, seed):
    rule = ChoosingRule(repeats=0, seed=seed)
    photos = dict(SCORES)
    with AnswerStore(":memory:") as store:
        session = begun(store, rule=rule)
        kept = []
        for step in steps:
            if step == "undo":
                count = len(session.given)
                assert session.undo() == (count > 0)
                del kept[len(kept) - min(count, 1) :]
            elif step == "lose" and len(photos) > 3:
                lost = session.photos[-1]
                session.lose(lost)
                del photos[lost]
            elif step == "restart":
                session = begun(store, photos, rule=rule)
            elif step in ("left", "right", "tie", "flag") and session.queue:
                pair = answer(session, step)
                kept.append((pair.left, pair.right, step))
            assert [(k.left, k.right, k.choice) for k in store.records()] == kept
            waiting = [frozenset(shown(pair)) for pair in session.queue]
            said = [frozenset(pair[:2]) for pair in kept]
            assert len(set(waiting + said)) == len(waiting) + len(said)
            assert all(pair <= set(photos) for pair in waiting)
