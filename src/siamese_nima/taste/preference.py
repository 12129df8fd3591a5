"""A person's taste as a tilt of the general model's rating distributions.

The tilted distribution of a photo is p_k exp(t k) / sum: of all distributions with its mean, the
one nearest to the general model's p (in Kullback and Leibler's sense), so nothing is forgotten
that the answers do not contradict. How far a photo is tilted, t, is linear in the network's
features: a network with another head, and no photo needs a second look.

What the answers say of t is Thurstone's and Bradley and Terry's model again, as in `strengths`, but
shared by all photos through their features: answers about some photos order others. In numpy alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from siamese_nima.errors import RatingError
from siamese_nima.ratings import Floats, RatingScale
from siamese_nima.taste.strengths import Comparisons, Indices, TastePrior, logistic

_SPREADS = (0.25, 0.5, 1.0, 2.0, 4.0)  # of 1..10
# Where nothing is known of how tastes differ, beliefs about ratings: how far one person's spread,
# in spreads of the model's scores; variance of the taste and of the noise, of theirs 1.
_RATINGS_SPREADS = (1.0, 2.0, 4.0, 8.0)
_TASTE_VARIANCES = (0.05, 0.2, 0.8)
_RATINGS_NOISES = (0.3, 0.7)
_LEVEL_VARIANCE = 10.0  # of what a person's ratings are about, in squared spreads
_LOGISTIC = 0.588  # a logistic function of this unit is nearest to the normal one
_STEPS = 60
_HALVINGS = 12
_TOLERANCE = 1e-4  # of a rating point
_FLOOR = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Tastes:
    """How the tastes of many people were found to differ, for a new one to begin from.

    A person's ratings, in standard deviations of theirs, are the general model's score, and
    features times weights. The weights are normal: along each direction, and beside them for each
    feature on its own. So is the noise.

    Attributes:
        directions: Shape (F, D), on the features that the head reads, as long as people differ.
        alone: Shape (F,), standard deviations of the features' own weights.
        spread: Standard deviation of one person's ratings, in points of the model's scale.
        noise: Variance of a rating about what the person thinks, in squared spreads.
    """

    directions: Floats
    alone: Floats
    spread: float
    noise: float

    @property
    def of_pairs(self) -> TastePrior:
        """The same of answers about pairs: spread, and how sure a choice is."""
        noise = _LOGISTIC * self.spread * np.sqrt(2 * self.noise)
        return TastePrior(spread=self.spread, noise=float(noise))


@dataclass(frozen=True, slots=True, eq=False)
class PhotoFeatures:
    """What a network says of N photos.

    Attributes:
        features: Shape (N, F), averages over the photo of activations at several depths.
        logits: Shape (N, K), logarithms of its rating distributions up to a constant.
        scale: The rating scale.
        levels: How many of the features are of each depth; the last ones are what the head reads.
        tastes: How tastes differ on those of the last depth; None where that is not known.
    """

    features: Floats
    logits: Floats
    scale: RatingScale
    levels: tuple[int, ...]
    tastes: Tastes | None = None

    def __post_init__(self) -> None:
        if self.features.shape[1] != sum(self.levels) or not self.levels:
            raise RatingError(
                f"levels of {self.levels} features are not {self.features.shape[1]} in all"
            )
        if self.logits.shape != (len(self.features), self.scale.size):
            raise RatingError(
                f"{len(self.features)} photos rated on {self.scale} need logits of shape "
                f"({len(self.features)}, {self.scale.size}), got {self.logits.shape}"
            )

    def select(self, rows: np.ndarray) -> PhotoFeatures:
        """Some of the photos."""
        return replace(self, features=self.features[rows], logits=self.logits[rows])

    def tilted(self, tilts: Floats | float = 0.0) -> Floats:
        """Rating distributions, shape (N, K), tilted by `tilts`, shape (N,)."""
        steps = np.asarray(tilts, dtype=np.float64)[..., np.newaxis] * _centred(self.scale)
        raised = self.logits + steps
        weights = np.exp(raised - raised.max(axis=1, keepdims=True))
        return np.asarray(weights / weights.sum(axis=1, keepdims=True))

    def scores(self, tilts: Floats | float = 0.0) -> Floats:
        """Means of the tilted distributions, shape (N,)."""
        return np.asarray(self.tilted(tilts) @ self.scale.grades)


@dataclass(frozen=True, slots=True, eq=False)
class PreferenceModel:
    """A taste: how far each photo is tilted.

    Attributes:
        weights: Shape (F,), of the features.
        offset: Added to the sum.
        prior: What was believed before.
        evidence: Logarithm of how probable the answers were under that belief; higher is better.
    """

    weights: Floats
    offset: float
    prior: TastePrior
    evidence: float

    def tilts(self, features: Floats) -> Floats:
        """Tilts of photos, shape (N,), from features of shape (N, F)."""
        return np.asarray(features @ self.weights + self.offset)


@dataclass(frozen=True, slots=True, eq=False)
class _Kernel:
    """How alike photos are to people: products of centred features that are weighed.

    Attributes:
        centred: Shape (A, F).
        centre: Shape (F,), what was taken off.
        alone: Shape (F,), what each feature counts on its own.
        directions: Shape (F, D), on which photos are alike beside that.
        products: Shape (A, A).
    """

    centred: Floats
    centre: Floats
    alone: Floats
    directions: Floats
    products: Floats

    @classmethod
    def of(cls, rated: PhotoFeatures) -> _Kernel:
        """By what is known of tastes; else every depth as much as any other, 1 in all."""
        centre = rated.features.mean(axis=0)
        centred = rated.features - centre
        if rated.tastes is None:
            starts = np.cumsum((0, *rated.levels[:-1]))
            norms = np.sqrt(np.add.reduceat((centred**2).mean(axis=0), starts))
            alone = np.repeat(
                1 / (np.maximum(norms, _FLOOR) * np.sqrt(len(rated.levels))), rated.levels
            )
            directions = np.zeros((len(centre), 0))
        else:
            before = np.zeros(sum(rated.levels[:-1]))
            alone = np.concatenate([before, rated.tastes.alone])
            known = rated.tastes.directions
            directions = np.concatenate([np.zeros((len(before), known.shape[1])), known])
        scaled = np.concatenate([centred * alone, centred @ directions], axis=1)
        return cls(centred, centre, alone, directions, scaled @ scaled.T)

    def weights(self, dual: Floats) -> Floats:
        """Of features, shape (F,), such that photos get `products @ dual` up to a constant."""
        pulled = self.centred.T @ dual
        return np.asarray(pulled * self.alone**2 + self.directions @ (self.directions.T @ pulled))


def learn_preference(
    rated: PhotoFeatures, comparisons: Comparisons, priors: Sequence[TastePrior] | None = None
) -> PreferenceModel:
    """The taste that answers about some of the photos show; see `fit_preference`."""
    photos = photos_of(comparisons)
    place = np.full(len(rated.features), -1, dtype=np.intp)
    place[photos] = np.arange(photos.size)
    left, right = place[comparisons.left], place[comparisons.right]
    return fit_preference(
        rated.select(photos), Comparisons(left, right, comparisons.outcome), priors
    )


def photos_of(comparisons: Comparisons) -> Indices:
    """Numbers of the photos that answers are about, each once, ascending."""
    return np.unique(np.concatenate([comparisons.left, comparisons.right]))


def fit_preference(
    rated: PhotoFeatures, comparisons: Comparisons, priors: Sequence[TastePrior] | None = None
) -> PreferenceModel:
    """The most probable taste given a person's answers.

    Args:
        rated: The photos that the answers are about, and no others: features are measured by their
            mean and spread.
        comparisons: Answers, at least one.
        priors: Beliefs; of several, the one under which the answers are most probable is taken.

    Raises:
        RatingError: No answer.
    """
    if not len(comparisons):
        raise RatingError("a taste is learnt from answers, got none")
    kernel = _Kernel.of(rated)
    fits = [_fit(rated, kernel, comparisons, prior) for prior in priors or usual_priors(rated)]
    return max(fits, key=lambda fit: fit.evidence)


def fit_ratings(rated: PhotoFeatures, ratings: Floats) -> PreferenceModel:
    """The most probable taste given a person's ratings, whatever their scale: more is better.

    Gaussian regression of ratings, centred and of unit spread, on what is believed of tastes, with
    scores linear about the general model's.

    Args:
        rated: The photos.
        ratings: Shape (N,), of these photos; 2 or more, not all the same.

    Raises:
        RatingError: Ratings that do not differ, or not one per photo.
    """
    if ratings.shape != (len(rated.features),) or not np.ptp(ratings) > 0:
        raise RatingError("a taste is learnt from ratings that differ, one per photo")
    kernel = _Kernel.of(rated)
    standard = (ratings - ratings.mean()) / ratings.std()
    if rated.tastes is not None:
        return _fit_ratings(rated, kernel, standard, rated.tastes.spread, 1.0, rated.tastes.noise)
    own = max(float(rated.scores().std()), _FLOOR)
    fits = [
        _fit_ratings(rated, kernel, standard, own * spread, size, noise)
        for spread in _RATINGS_SPREADS
        for size in _TASTE_VARIANCES
        for noise in _RATINGS_NOISES
    ]
    return max(fits, key=lambda fit: fit.evidence)


def _fit_ratings(
    rated: PhotoFeatures,
    kernel: _Kernel,
    standard: Floats,
    spread: float,
    size: float,
    noise: float,
) -> PreferenceModel:
    distributions = rated.tilted()
    slopes, scores = variances(distributions, rated.scale), distributions @ rated.scale.grades
    per_tilt = spread / max(float(slopes.mean()), _FLOOR)
    tilts = size * per_tilt**2 * kernel.products
    missing = standard - (scores - scores.mean()) / spread
    covariance = tilts * np.outer(slopes, slopes) / spread**2 + _LEVEL_VARIANCE
    covariance[np.diag_indices_from(covariance)] += noise
    root = np.linalg.cholesky(covariance)
    white = np.linalg.solve(root, missing)
    evidence = -0.5 * float(white @ white) - float(np.log(np.diag(root)).sum())
    dual = slopes / spread * np.linalg.solve(root.T, white)
    weights = size * per_tilt**2 * kernel.weights(dual)
    prior = TastePrior(spread=spread, noise=_LOGISTIC * spread * float(np.sqrt(2 * noise)))
    return PreferenceModel(weights, -float(kernel.centre @ weights), prior, evidence)


def usual_priors(rated: PhotoFeatures) -> tuple[TastePrior, ...]:
    """What is known of people; else tastes from near the model's to far from it.

    One noise is enough: what counts is how large the spread is beside it.
    """
    if rated.tastes is not None:
        return (rated.tastes.of_pairs,)
    share = (rated.scale.high - rated.scale.low) / 9
    return tuple(TastePrior(spread=spread * share, noise=share) for spread in _SPREADS)


def _fit(
    rated: PhotoFeatures, kernel: _Kernel, answers: Comparisons, prior: TastePrior
) -> PreferenceModel:
    """Gauss and Newton's method, in as many unknowns as answers or photos, whichever are fewer.

    Tilts are a multiple of K b for the kernel K; every step makes scores linear about the tilts.
    """
    size = tilt_variance(rated, prior)
    covariance = size * kernel.products
    dual = np.zeros(len(rated.features))
    height = _height(rated, answers, prior, covariance, dual)
    evidence = height
    for _ in range(_STEPS):
        target, evidence = _step(rated, answers, prior, covariance, dual)
        change, share = target - dual, 1.0
        for _ in range(_HALVINGS):
            higher = _height(rated, answers, prior, covariance, dual + share * change)
            if higher >= height - 1e-10 * abs(height):
                break
            share /= 2
        moved = np.abs(covariance @ (share * change)) * prior.spread / size**0.5
        dual, height = dual + share * change, higher
        if moved.max() < _TOLERANCE:
            break
    weights = size * kernel.weights(dual)
    return PreferenceModel(weights, -float(kernel.centre @ weights), prior, evidence)


def _step(
    rated: PhotoFeatures, answers: Comparisons, prior: TastePrior, covariance: Floats, dual: Floats
) -> tuple[Floats, float]:
    """Where the next step leads, and the evidence as it is seen from here."""
    tilts = covariance @ dual
    distributions = rated.tilted(tilts)
    slopes, scores = variances(distributions, rated.scale), distributions @ rated.scale.grades
    left, right = answers.left, answers.right
    gaps = scores[left] - scores[right]
    chosen = logistic(gaps / prior.noise)
    weight = np.maximum(chosen * (1 - chosen), _FLOOR) / prior.noise**2
    linear = tilts[left] * slopes[left] - tilts[right] * slopes[right]
    pull = weight * linear + (answers.outcome - chosen) / prior.noise
    if len(rated.features) < len(answers):
        # In terms of photos: H is the curvature that answers give, g their pull.
        curvature = np.zeros_like(covariance)
        np.add.at(curvature, (left, left), weight * slopes[left] ** 2)
        np.add.at(curvature, (right, right), weight * slopes[right] ** 2)
        np.add.at(curvature, (left, right), -weight * slopes[left] * slopes[right])
        np.add.at(curvature, (right, left), -weight * slopes[left] * slopes[right])
        gradient = np.zeros_like(dual)
        np.add.at(gradient, left, slopes[left] * pull)
        np.add.at(gradient, right, -slopes[right] * pull)
        whole = np.eye(len(dual)) + curvature @ covariance
        height = _height(rated, answers, prior, covariance, dual)
        evidence = height - 0.5 * float(np.linalg.slogdet(whole)[1])
        target = np.zeros_like(dual)
        target += np.linalg.solve(whole, gradient)
        return target, evidence
    rows = (
        covariance[left] * slopes[left, np.newaxis] - covariance[right] * slopes[right, np.newaxis]
    )
    between = rows[:, left] * slopes[left] - rows[:, right] * slopes[right]
    root = np.sqrt(weight)
    inner = np.eye(len(answers)) + root[:, np.newaxis] * between * root
    alpha = pull - root * np.linalg.solve(inner, root * (between @ pull))
    target = np.zeros_like(dual)
    np.add.at(target, left, slopes[left] * alpha)
    np.add.at(target, right, -slopes[right] * alpha)
    height = _height(rated, answers, prior, covariance, dual)
    return target, height - 0.5 * float(np.linalg.slogdet(inner)[1])


def _height(
    rated: PhotoFeatures, answers: Comparisons, prior: TastePrior, covariance: Floats, dual: Floats
) -> float:
    """Logarithm of the posterior, up to a constant."""
    tilts = covariance @ dual
    scores = rated.scores(tilts)
    gaps = (scores[answers.left] - scores[answers.right]) / prior.noise
    likelihood = answers.outcome * gaps - np.logaddexp(0, gaps)
    return float(likelihood.sum() - dual @ tilts / 2)


def alikeness(rated: PhotoFeatures) -> Floats:
    """How alike photos are to people, shape (N, N), as far as is known; about 1 on average."""
    return _Kernel.of(rated).products


def tilt_variance(rated: PhotoFeatures, prior: TastePrior) -> float:
    """Variance of tilts, such that one standard deviation moves scores by about the spread."""
    moved = float(variances(rated.tilted(), rated.scale).mean())
    return (prior.spread / max(moved, _FLOOR)) ** 2


def variances(distributions: Floats, scale: RatingScale) -> Floats:
    """Of rating distributions, shape (N,): how fast their means rise with a tilt."""
    grades = scale.grades
    return np.asarray(distributions @ grades**2 - (distributions @ grades) ** 2)


def _centred(scale: RatingScale) -> Floats:
    return np.asarray(scale.grades - scale.grades.mean())
