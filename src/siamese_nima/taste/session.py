"""One person answers pairs of one folder's photos: what is asked, what was said, what is open."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from siamese_nima.errors import AnswerError
from siamese_nima.taste.answers import Answer, AnswerStore, Choice, check_person, now
from siamese_nima.taste.choosing import Asked, ChoosingRule, Why, choose_pair
from siamese_nima.taste.posterior import Posterior
from siamese_nima.taste.preference import PhotoFeatures
from siamese_nima.taste.strengths import (
    Comparisons,
    Strengths,
    TastePrior,
    estimate_strengths,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far one person is.

    Attributes:
        answers: What they said of pairs of these photos, in all sessions; flags left out.
        flags: Pairs they set aside.
        goal: Answers that are asked for, or as many pairs as there are.
        can_undo: Whether anything of this session can be taken back.
        judged: Answers of this session that were guessed before they were given, the last 50 at
            most; ties, flags and pairs that had been answered before are left out.
        foreseen: How many of these were guessed right from the answers before them.
        foreseen_by_model: How many the model's scores alone guessed right.
        repeated: Pairs that were answered a second time.
        same: How many of these got the same answer.
        decided: Answers that were no tie.
        as_model: How many of these preferred the photo with the higher score.
    """

    answers: int
    flags: int
    goal: int
    can_undo: bool
    judged: int
    foreseen: float
    foreseen_by_model: float
    repeated: int
    same: int
    decided: int
    as_model: int


def repeats(answers: Sequence[Answer]) -> tuple[int, int]:
    """How many pairs were answered a second time, and how many of these in the same way."""
    first: dict[tuple[str, str], Answer] = {}
    second: dict[tuple[str, str], Answer] = {}
    for answer in answers:
        if answer.pair in first:
            second.setdefault(answer.pair, answer)
        else:
            first[answer.pair] = answer
    same = sum(answer.better == first[pair].better for pair, answer in second.items())
    return len(second), same


REFIT = 10  # answers between two looks at what they say of the taste
TASTE_MODEL = "appeal"  # what a taste is put on: learnt from people who differ
GOAL = 200  # answers that a personal model can be learnt from
_JUDGED = 50  # choices that tell how well the next ones are foreseen
_AHEAD = 3  # pairs known in advance, the present one included


@dataclass(frozen=True, slots=True)
class Pair:
    """Two photos to show.

    Attributes:
        number: Of the pair in its session, from 1.
        left: Name of the photo on the left.
        right: Name of the photo on the right.
        why: Why it is asked.
    """

    number: int
    left: str
    right: str
    why: Why


# By what is known of the person, and by the model alone: 1 where an answer was foreseen, 0 where
# not, .5 where nothing spoke for either photo.
_Guess = tuple[float, float]


class PickSession:
    """Asks one person about pairs of photos, and keeps what they say; safe to call from threads.

    The pairs that follow are known before they are needed, so that their photos can be loaded.
    """

    def __init__(
        self,
        store: AnswerStore,
        scores: Mapping[str, float],
        *,
        person: str,
        prior: TastePrior | None = None,
        rule: ChoosingRule | None = None,
        bursts: Iterable[Sequence[str]] = (),
        goal: int = GOAL,
    ) -> None:
        """Go on from what this person answered before.

        Args:
            store: Where answers are kept.
            scores: The model's score of each photo, by its name in answers.
            person: Who answers.
            prior: How far the person may be from the model; by default on the scale 1..10.
            rule: How pairs are chosen.
            bursts: Names of photos that show the same thing.
            goal: Answers that are asked for.

        Raises:
            AnswerError: The person's name is none, or the store cannot be read.
        """
        check_person(person)
        self.person = person
        self._store = store
        self._scores = dict(scores)
        self._prior = prior or TastePrior()
        self._rule = rule or ChoosingRule()
        self._bursts = [list(burst) for burst in bursts]
        self._goal = goal
        self._lock = threading.RLock()
        self._records = store.records([person])
        self._given: list[tuple[Pair, Answer, _Guess | None]] = []
        self._queue: list[Pair] = []
        self._numbers = 0
        self._strengths: Strengths | None = None
        self._features: tuple[list[str], PhotoFeatures] | None = None
        self._posterior: Posterior | None = None
        self._posterior_after = 0
        self._begin()

    @property
    def queue(self) -> tuple[Pair, ...]:
        """The present pair and those that follow; empty where nothing is left to ask."""
        with self._lock:
            return tuple(self._queue)

    @property
    def photos(self) -> list[str]:
        """Names of the photos that may be asked about."""
        with self._lock:
            return list(self._names)

    @property
    def asked(self) -> set[str]:
        """Names of the photos that were shown, in all sessions, or come next."""
        with self._lock:
            shown = [answer.pair for answer in self._here()]
            shown += [(pair.left, pair.right) for pair in self._queue]
            return {name for pair in shown for name in pair}

    @property
    def given(self) -> list[Answer]:
        """Answers and flags of this session."""
        with self._lock:
            return [answer for _, answer, _ in self._given]

    def answer(self, number: int, choice: Choice, seconds: float | None = None) -> None:
        """Keep what the person says of the present pair, and go on to the next.

        Raises:
            AnswerError: It is another pair's turn, the choice is none, or the answer cannot be
                written; the present pair stays then.
        """
        with self._lock:
            if not self._queue or self._queue[0].number != number:
                raise AnswerError(f"pair {number} was answered already; another one is next")
            pair = self._queue[0]
            answer = Answer(
                left=pair.left,
                right=pair.right,
                choice=choice,
                person=self.person,
                at=now(),
                seconds=seconds,
            )
            guess = self._guess(answer)
            self._store.add(answer)
            self._records.append(answer)
            self._given.append((pair, answer, guess))
            del self._queue[0]
            self._believe()

    def undo(self) -> bool:
        """Take back the last answer or flag of this session and ask that pair again; whether there
        was one.

        Raises:
            AnswerError: The store cannot be written.
        """
        with self._lock:
            if not self._given:
                return False
            pair, answer, _ = self._given[-1]
            self._store.take_back(answer)
            del self._given[-1]
            self._records.remove(answer)
            if pair.left in self._scores and pair.right in self._scores:
                self._queue.insert(0, pair)
            self._believe()
            return True

    def lose(self, photo: str) -> None:
        """Ask no more about a photo, which has turned out not to be readable."""
        with self._lock:
            if self._scores.pop(photo, None) is not None:
                self._queue = [pair for pair in self._queue if photo not in (pair.left, pair.right)]
                self._begin()

    def use_features(self, names: Sequence[str], rated: PhotoFeatures) -> None:
        """From now on choose pairs by what the network sees; those that are known already stay.

        Args:
            names: Photos, one each for those in `rated`; two or more.
            rated: What the network sees in them.
        """
        with self._lock:
            self._features = list(names), rated
            self._begin()

    def progress(self) -> Progress:
        """How far this person is."""
        with self._lock:
            here = self._here()
            answers = [answer for answer in here if answer.choice != "flag"]
            decided = [answer for answer in answers if answer.better]
            repeated, same = repeats(answers)
            guesses = [guess for _, _, guess in self._given if guess][-_JUDGED:]
            photos = len(self._scores)
            return Progress(
                answers=len(answers),
                flags=len(here) - len(answers),
                goal=min(self._goal, photos * (photos - 1) // 2),
                can_undo=bool(self._given),
                judged=len(guesses),
                foreseen=sum(personal for personal, _ in guesses),
                foreseen_by_model=sum(general for _, general in guesses),
                repeated=repeated,
                same=same,
                decided=len(decided),
                as_model=sum(
                    self._scores[a.better or ""] == max(self._scores[name] for name in a.pair)
                    for a in decided
                ),
            )

    def _guess(self, answer: Answer) -> _Guess | None:
        """How well an answer was foreseen by what was known before it."""
        if not answer.better or any(known.pair == answer.pair for known in self._records):
            return None
        if self._strengths is None:
            return None
        values = self._strengths.values
        left, right = self._number[answer.left], self._number[answer.right]
        if self._posterior and {left, right} <= set(self._posterior.photos.tolist()):
            values = self._posterior.values
            left, right = self._posterior.places(np.array([left, right])).tolist()
        side = 1 if answer.choice == "left" else -1
        return (
            _met(side * (values[left] - values[right])),
            _met(side * (self._scores[answer.left] - self._scores[answer.right])),
        )

    def _here(self) -> list[Answer]:
        known = self._scores
        return [a for a in self._records if a.left in known and a.right in known]

    def _begin(self) -> None:
        """Number the photos, which a lost one changes."""
        self._names = list(self._scores)
        self._number = {name: number for number, name in enumerate(self._names)}
        bursts = ([self._number[n] for n in burst if n in self._number] for burst in self._bursts)
        self._numbered_bursts = [burst for burst in bursts if len(burst) > 1]
        self._strengths = self._posterior = None
        self._believe()

    def _believe(self) -> None:
        """What follows from the answers: strengths, and the pairs to ask next."""
        here = self._here()
        comparisons = Comparisons.from_answers(here, self._number)
        self._strengths = estimate_strengths(
            list(self._scores.values()), comparisons, prior=self._prior, start=self._strengths
        )
        self._update_posterior(comparisons)
        asked = [self._asked(a.left, a.right, answered=a.choice != "flag") for a in here]
        asked += [self._asked(pair.left, pair.right) for pair in self._queue]
        while len(self._queue) < _AHEAD:
            chosen = choose_pair(
                self._strengths,
                asked,
                self._rule,
                bursts=self._numbered_bursts,
                posterior=self._posterior,
            )
            if chosen is None:
                return
            self._numbers += 1
            left, right = self._names[chosen.left], self._names[chosen.right]
            self._queue.append(Pair(self._numbers, left, right, chosen.why))
            asked.append(self._asked(left, right))

    def _update_posterior(self, comparisons: Comparisons) -> None:
        """What the answers say of the taste, every ten of them: it takes a tenth of a second."""
        if self._features is None:
            return
        if self._posterior and abs(len(comparisons) - self._posterior_after) < REFIT:
            return
        names, rated = self._features
        rows = [row for row, name in enumerate(names) if name in self._number]
        if len(rows) < 2:
            return
        photos = np.array([self._number[names[row]] for row in rows], np.intp)
        self._posterior = Posterior(rated.select(np.array(rows)), photos, comparisons)
        self._posterior_after = len(comparisons)

    def _asked(self, left: str, right: str, *, answered: bool = False) -> Asked:
        return Asked(self._number[left], self._number[right], answered)


def _met(gap: float) -> float:
    return 0.5 if gap == 0 else float(gap > 0)
