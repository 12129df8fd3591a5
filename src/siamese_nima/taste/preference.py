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
_SHARED = (0.0, 0.4, 0.8)  # of what photos are alike in, directions in which tastes differ
_STEPS = 60
_HALVINGS = 12
_TOLERANCE = 1e-4  # of a rating point
_FLOOR = 1e-9
_LEAST_ANSWERS = 10  # below it a taste is not worth fitting
_LEAST_DOUBT = 1e-3  # of an answer: the variance of a choice, .25 at most
_LEAST_VARIANCE = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class PhotoFeatures:
    """What a network says of N photos.

    Attributes:
        features: Shape (N, F), averages over the photo of activations at several depths.
        logits: Shape (N, K), logarithms of its rating distributions up to a constant.
        scale: The rating scale.
        levels: How many of the features are of each depth; the last ones are what the head reads.
        directions: Shape (F of the last depth, D), in which the tastes of many people were found to
            differ; None where that is not known.
    """

    features: Floats
    logits: Floats
    scale: RatingScale
    levels: tuple[int, ...]
    directions: Floats | None = None

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
        result: Floats = weights / weights.sum(axis=1, keepdims=True)
        return result

    def scores(self, tilts: Floats | float = 0.0) -> Floats:
        """Means of the tilted distributions, shape (N,)."""
        result: Floats = self.tilted(tilts) @ self.scale.grades
        return result


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
        result: Floats = features @ self.weights + self.offset
        return result


@dataclass(frozen=True, slots=True, eq=False)
class _Kernel:
    """How alike photos are: products of centred features with a mean square norm of 1.

    Attributes:
        centred: Shape (A, F).
        centre: Shape (F,), what was taken off.
        unit: Shape (F,), what features are divided by; infinite for those that do not count.
        directions: Shape (F, D), on which photos are alike beside that.
        products: Shape (A, A).
    """

    centred: Floats
    centre: Floats
    unit: Floats
    directions: Floats
    products: Floats

    @classmethod
    def of(cls, rated: PhotoFeatures, shared: float = 0.0) -> _Kernel:
        """Features of which every depth has as much as any other; or where some is shared, those
        that the head reads, and by that share of the whole the directions in which tastes differ.
        """
        centre = rated.features.mean(axis=0)
        centred = rated.features - centre
        directions = np.zeros((len(centre), 0))
        counted = np.ones(len(rated.levels))
        if shared and rated.directions is not None:
            counted[:-1] = 0
            directions = np.zeros((len(centre), rated.directions.shape[1]))
            directions[-rated.levels[-1] :] = rated.directions
            norm = np.sqrt(np.mean(np.sum((centred @ directions) ** 2, axis=1)))
            directions *= np.sqrt(shared) / max(float(norm), _FLOOR)
        else:
            shared = 0.0
        ends = np.cumsum((0, *rated.levels))
        norms = np.sqrt(np.add.reduceat((centred**2).mean(axis=0), ends[:-1]))
        shares = np.sqrt((1 - shared) * counted / counted.sum())
        unit = np.maximum(norms, _FLOOR) / np.maximum(shares, _FLOOR)
        unit = np.repeat(np.where(shares > 0, unit, np.inf), rated.levels)
        scaled = np.concatenate([centred / unit, centred @ directions], axis=1)
        return cls(centred, centre, unit, directions, scaled @ scaled.T)

    def weights(self, dual: Floats) -> Floats:
        """Of features, shape (F,), such that photos get `products @ dual` up to a constant."""
        pulled = self.centred.T @ dual
        result: Floats = pulled / self.unit**2 + self.directions @ (self.directions.T @ pulled)
        return result


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
    fits = [
        _fit(rated, kernel, comparisons, prior)
        for kernel in _kernels(rated)
        for prior in priors or usual_priors(rated.scale)
    ]
    return max(fits, key=lambda fit: fit.evidence)


def _kernels(rated: PhotoFeatures) -> list[_Kernel]:
    """Beliefs about what a taste may rest on; with more or less of how tastes differ."""
    shares = (0.0,) if rated.directions is None else _SHARED
    return [_Kernel.of(rated, shared) for shared in shares]


def usual_priors(scale: RatingScale) -> tuple[TastePrior, ...]:
    """Tastes from near the model's to far from it.

    One noise is enough: what counts is how large the spread is beside it.
    """
    share = (scale.high - scale.low) / 9
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
    """How alike photos are to the network, shape (N, N): products of features of mean square 1."""
    return _kernels(rated)[-1].products


def tilt_variance(rated: PhotoFeatures, prior: TastePrior) -> float:
    """Variance of tilts, such that one standard deviation moves scores by about the spread."""
    moved = float(variances(rated.tilted(), rated.scale).mean())
    return (prior.spread / max(moved, _FLOOR)) ** 2


def variances(distributions: Floats, scale: RatingScale) -> Floats:
    """Of rating distributions, shape (N,): how fast their means rise with a tilt."""
    grades = scale.grades
    result: Floats = distributions @ grades**2 - (distributions @ grades) ** 2
    return result


def _centred(scale: RatingScale) -> Floats:
    result: Floats = scale.grades - scale.grades.mean()
    return result


class Posterior:
    """Scores after the answers, and how uncertain they are to each other.

    Answers about some photos say something of all others, through what the network sees in them.

    Attributes:
        photos: Shape (N,), the numbers that others know the photos by.
        values: Shape (N,), expected scores.
        covariance: Shape (N, N), of the scores before the answers, in squared rating points.
        prior: What was believed before.
    """

    def __init__(self, rated: PhotoFeatures, photos: Indices, answers: Comparisons) -> None:
        """What answers say.

        Args:
            rated: What the network sees of N photos.
            photos: Shape (N,), the numbers of these photos, different ones.
            answers: About photos by these numbers; about others they say nothing here.
        """
        self.photos = photos
        self.prior = TastePrior.on(rated.scale)
        self._place = {int(photo): place for place, photo in enumerate(photos)}
        known = np.isin(answers.left, photos) & np.isin(answers.right, photos)
        tilts = np.zeros(len(photos))
        if known.sum() >= _LEAST_ANSWERS:
            here = answers.select(known)
            left, right = self.places(here.left), self.places(here.right)
            given = Comparisons(left, right, here.outcome)
            tilts = learn_preference(rated, given, [self.prior]).tilts(rated.features)
        slopes = variances(rated.tilted(tilts), rated.scale)
        self.values = rated.scores(tilts)
        self.covariance = alikeness(rated) * np.outer(slopes, slopes)
        self.covariance *= tilt_variance(rated, self.prior)

    def expected_information(self, pairs: Indices, asked: Indices, others: Indices) -> Floats:
        """How much less uncertain other pairs become by an answer, in squared rating points.

        The sum over other pairs of the variance of their gaps that the answer takes away, each by
        how probable it is that their photos are equally good.

        Args:
            pairs: Shape (P, 2), places of photos in `photos`.
            asked: Shape (M, 2), pairs that were asked before.
            others: Shape (Q, 2), pairs that are to become less uncertain.

        Returns:
            Shape (P,).

        Reference:
            Yu, Bi and Tresp, "Active learning via transductive experimental design", ICML 2006.
            Differs: other pairs are weighed by how open their order is.
        """
        both = np.concatenate([pairs, others])
        root = np.linalg.cholesky(self._between(asked, asked) + np.diag(self._doubt(asked)))
        told = np.linalg.solve(root, self._between(asked, both))
        first, second = told[:, : len(pairs)], told[:, len(pairs) :]
        shared = self._between(pairs, others) - first.T @ second
        own = np.maximum(self._variance(pairs) - np.sum(first**2, axis=0), 0.0)
        open_by = np.sqrt(
            np.maximum(self._variance(others) - np.sum(second**2, axis=0), _LEAST_VARIANCE)
        )
        density = np.exp(-0.5 * (self._gaps(others) / open_by) ** 2) / open_by
        result: Floats = (shared**2 @ density) / (own + self._doubt(pairs))
        return result

    def places(self, photos: Indices) -> Indices:
        """Where photos are in `photos`; numbers of any shape."""
        places = [self._place[photo] for photo in photos.ravel().tolist()]
        return np.array(places, np.intp).reshape(photos.shape)

    def _gaps(self, pairs: Indices) -> Floats:
        gaps: Floats = self.values[pairs[:, 0]] - self.values[pairs[:, 1]]
        return gaps

    def _doubt(self, pairs: Indices) -> Floats:
        """Variance of an answer as a measurement of a gap."""
        chosen = logistic(self._gaps(pairs) / self.prior.noise)
        result: Floats = self.prior.noise**2 / np.maximum(chosen * (1 - chosen), _LEAST_DOUBT)
        return result

    def _variance(self, pairs: Indices) -> Floats:
        left, right = pairs.T
        own = self.covariance
        result: Floats = own[left, left] + own[right, right] - 2 * own[left, right]
        return result

    def _between(self, pairs: Indices, others: Indices) -> Floats:
        """Covariances of gaps, shape (P, Q)."""
        rows = self.covariance[pairs[:, 0]] - self.covariance[pairs[:, 1]]
        result: Floats = rows[:, others[:, 0]] - rows[:, others[:, 1]]
        return result
