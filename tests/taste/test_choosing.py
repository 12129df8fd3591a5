import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siamese_nima.errors import ConfigError
from siamese_nima.taste.choosing import Asked, ChoosingRule, choose_pair
from siamese_nima.taste.strengths import Comparisons, estimate_strengths


def believed(scores, asked=(), outcomes=()):
    return estimate_strengths(
        scores, Comparisons.of([a.left for a in asked], [a.right for a in asked], outcomes)
    )


def session(scores, count, rule=None, *, true=None, bursts=(), learn=True):
    """The pairs that are chosen while a person answers by `true` strengths."""
    true = scores if true is None else true
    asked, outcomes, chosen = [], [], []
    for _ in range(count):
        strengths = believed(scores, asked, outcomes) if learn else believed(scores)
        pair = choose_pair(strengths, asked, rule, bursts=bursts)
        if pair is None:
            break
        chosen.append(pair)
        asked.append(Asked(pair.left, pair.right))
        outcomes.append(float(true[pair.left] > true[pair.right]))
    return chosen


def keys(pairs):
    return [frozenset((pair.left, pair.right)) for pair in pairs]


SCORES = np.random.default_rng(3).normal(5.5, 1.2, 60)
NO_REPEATS = ChoosingRule(repeats=0)
ACTIVE = ChoosingRule(repeats=0, random_share=0)


@settings(max_examples=20)
@given(
    photos=st.integers(2, 6),
    way=st.sampled_from(["active", "random"]),
    repeats=st.sampled_from([0.0, 0.3]),
    seed=st.integers(0, 3),
)
def test_every_pair_is_asked_once_before_the_end_whatever_the_folder(photos, way, repeats, seed):
    scores = np.linspace(3, 7, photos)
    rule = ChoosingRule(way=way, repeats=repeats, repeat_after=2, seed=seed)
    chosen = session(scores, 60, rule, learn=False)
    assert all(pair.left != pair.right for pair in chosen)
    fresh = keys(pair for pair in chosen if pair.why != "repeat")
    assert len(fresh) == len(set(fresh)) == photos * (photos - 1) // 2
    again = keys(pair for pair in chosen if pair.why == "repeat")
    assert len(again) == len(set(again))
    assert bool(again) == (repeats > 0 and len(fresh) > 1)


@pytest.mark.parametrize("way", ["active", "random"])
def test_the_same_seed_gives_the_same_pairs(way):
    first, again, other = (
        session(SCORES, 30, ChoosingRule(way=way, seed=seed)) for seed in (1, 1, 2)
    )
    assert first == again != other


def test_active_pairs_are_more_open_than_random_ones():
    strengths = believed(SCORES)

    def told(way):
        pairs = session(SCORES, 40, ChoosingRule(way=way, repeats=0, random_share=0))
        return np.mean([strengths.information(pair.left, pair.right) for pair in pairs])

    assert told("active") > 1.3 * told("random")


def test_active_answers_raise_agreement_more_than_random_ones():
    draw = np.random.default_rng(5)
    gains = {"active": [], "random": []}
    for way, found in gains.items():
        for _ in range(4):
            scores = draw.normal(5.5, 1.2, 100)
            true = scores + draw.normal(0, 1, 100)
            pairs = session(scores, 60, ChoosingRule(way=way, repeats=0, random_share=0), true=true)
            asked = [Asked(pair.left, pair.right) for pair in pairs]
            outcomes = [float(true[pair.left] > true[pair.right]) for pair in pairs]
            left, right = np.triu_indices(100, 1)
            truth = true[left] > true[right]
            values = believed(scores, asked, outcomes).values
            after = np.mean((values[left] > values[right]) == truth)
            before = np.mean((scores[left] > scores[right]) == truth)
            found.append(after - before)
    assert np.mean(gains["active"]) > 1.5 * np.mean(gains["random"]) > 0


def test_every_photo_gets_its_turn_and_none_is_asked_much_more_often():
    chosen = session(SCORES, 90, ACTIVE)
    times = np.bincount([photo for pair in chosen for photo in (pair.left, pair.right)])
    assert times.min() >= 1
    assert times.max() <= 3 + 2 * times.mean()


def test_no_photo_is_shown_twice_within_four_pairs():
    chosen = session(SCORES, 60, ACTIVE)
    shown = [{pair.left, pair.right} for pair in chosen]
    for place in range(3, len(shown)):
        assert not shown[place] & set.union(*shown[place - 3 : place])


def test_half_of_the_pairs_are_random_unless_told_otherwise():
    whys = [pair.why for pair in session(SCORES, 120, NO_REPEATS, learn=False)]
    assert 40 <= whys.count("random") <= 80
    assert {pair.why for pair in session(SCORES, 20, ACTIVE)} == {"informative"}


def test_sides_are_drawn():
    chosen = session(SCORES, 120, NO_REPEATS, learn=False)
    higher_left = np.mean([SCORES[pair.left] > SCORES[pair.right] for pair in chosen])
    assert 0.3 < higher_left < 0.7


def test_repeats_are_a_tenth_swap_sides_and_come_late_enough():
    chosen = session(SCORES, 150, learn=False)
    again = [place for place, pair in enumerate(chosen) if pair.why == "repeat"]
    assert 8 <= len(again) <= 22
    for place in again:
        pair = chosen[place]
        (before,) = [
            p for p, q in enumerate(chosen[:place]) if (q.left, q.right) == (pair.right, pair.left)
        ]
        assert place - before >= 12


def test_what_was_set_aside_or_waits_for_its_answer_is_not_repeated():
    asked = [Asked(0, 1, answered=False), Asked(1, 2), Asked(0, 2, answered=False)]
    rule = ChoosingRule(repeats=0.5, repeat_after=1)
    chosen = [
        choose_pair(believed([5, 5, 5]), asked, ChoosingRule(repeats=0.5, repeat_after=1, seed=s))
        for s in range(20)
    ]
    assert {(pair.left, pair.right, pair.why) for pair in chosen} == {(2, 1, "repeat")}
    assert choose_pair(believed([5, 5, 5]), [*asked, Asked(2, 1)], rule) is None


def test_bursts_come_first_when_asked_until_each_photo_had_its_turns():
    bursts = [[0, 1, 2], [10, 11]]
    rule = ChoosingRule(repeats=0, bursts_first=True)
    scores = SCORES.copy()
    scores[[0, 1, 2, 10, 11]] = 5.5
    chosen = session(scores, 6, rule, bursts=bursts, true=SCORES)
    inside = [pair.why == "burst" for pair in chosen]
    count = sum(inside)
    assert inside == [True] * count + [False] * (6 - count)
    assert 3 <= count <= 4
    for pair in chosen[:count]:
        assert any({pair.left, pair.right} <= set(burst) for burst in bursts)


def test_a_burst_of_thousands_is_asked_about_as_fast():
    many = np.full(3000, 5.0)
    rule = ChoosingRule(bursts_first=True, repeats=0)
    chosen = session(many, 5, rule, bursts=[range(3000)])
    assert [pair.why for pair in chosen] == ["burst"] * 5


def test_a_pair_of_a_burst_whose_order_is_known_is_not_asked():
    scores = np.array([9.0, 2.0, 5.0, 5.1, 5.2])
    pair = choose_pair(
        believed(scores),
        [],
        ChoosingRule(bursts_first=True, repeats=0, random_share=0),
        bursts=[[0, 1]],
    )
    assert pair is not None
    assert pair.why == "informative"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"way": "clever"}, "is 'clever', wanted active or random"),
        ({"random_share": 1.5}, "from 0 to 1, got 1.5"),
        ({"repeats": 0.6}, "from 0 to .5, got 0.6"),
        ({"repeat_after": 0}, "after 1 pair or more, got 0"),
    ],
)
def test_an_impossible_rule_is_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        ChoosingRule(**wrong)


def test_nothing_is_asked_of_one_photo():
    assert choose_pair(believed([5.0]), []) is None
