"""Spread the scores as wide as the labels, inside the head: nothing changes at run time.

Trained on distances, a network keeps its scores closer together than people's. With logits l_k for
the grades g_k, the head is made to give a l_k + c g_k: a widens, c shifts. Two numbers keep the
order of photos but for changes of the distributions' shapes.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import fsolve
from scipy.special import log_softmax, softmax
from torch import nn

from siamese_nima.evaluation.metrics import rmse, srcc
from siamese_nima.ratings import RatingScale


def calibrate(
    head: nn.Linear,
    distributions: NDArray[np.floating],
    labels: ArrayLike,
    scale: RatingScale,
    *,
    spread_ratio: float,
) -> dict[str, float]:
    """Change the head so that scores have the labels' mean and a share of their spread.

    Args:
        head: From features to the logits of K grades; changed in place.
        distributions: Shape (N, K), what it gives now for photos that were not trained on.
        labels: Shape (N,), their mean opinion scores on `scale`.
        scale: The rating scale.
        spread_ratio: Wanted ratio of the standard deviation of scores to that of labels.

    Returns:
        The two numbers, and figures of these photos before and after: ratio of spreads, RMSE
        (rating points), SRCC.
    """
    logits = log_softmax(np.log(np.asarray(distributions, dtype=np.float64)), axis=1)
    wanted = np.asarray(labels, dtype=np.float64)

    def scores(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        widen, shift = numbers
        means: NDArray[np.float64] = (
            softmax(widen * logits + shift * scale.grades, axis=1) @ scale.grades
        )
        return means

    def misses(numbers: NDArray[np.float64]) -> list[float]:
        found = scores(numbers)
        return [found.mean() - wanted.mean(), found.std() / wanted.std() - spread_ratio]

    identity = np.array([1.0, 0.0])
    numbers = fsolve(misses, identity)
    with torch.no_grad():
        head.weight.mul_(numbers[0])
        head.bias.mul_(numbers[0])
        head.bias.add_(torch.as_tensor(numbers[1] * scale.grades, dtype=head.bias.dtype))
    before, after = scores(identity), scores(numbers)
    figures = {"widen": numbers[0], "shift": numbers[1]}
    for name, found in (("before", before), ("after", after)):
        figures |= {
            f"spread_ratio_{name}": found.std() / wanted.std(),
            f"rmse_{name}": rmse(found, wanted),
            f"srcc_{name}": srcc(found, wanted),
        }
    return {name: round(float(value), 4) for name, value in figures.items()}
