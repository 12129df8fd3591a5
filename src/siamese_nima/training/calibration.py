"""Spread the scores as wide as the labels, inside the head: nothing changes at run time.

Trained on distances, a network keeps its scores closer together than people's. With logits l_k for
the grades g_k, the head is made to give a l_k + c g_k: a widens, c shifts. Two numbers keep the
order of photos but for changes of the distributions' shapes.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import log_softmax, softmax
from torch import nn

from siamese_nima.errors import ConfigError
from siamese_nima.evaluation.metrics import rmse, spread_ratio, srcc
from siamese_nima.ratings import Floats, RatingScale

_WIDEST = 2.0**14


def calibrate(
    head: nn.Linear,
    distributions: NDArray[np.floating],
    labels: ArrayLike,
    scale: RatingScale,
    *,
    ratio: float,
) -> tuple[dict[str, float], Floats]:
    """Change the head so that scores have the labels' mean and a share of their spread.

    Args:
        head: From features to the logits of K grades; changed in place.
        distributions: Shape (N, K), what it gives now for photos that were not trained on.
        labels: Shape (N,), their mean opinion scores on `scale`.
        scale: The rating scale.
        ratio: Wanted, of the standard deviation of scores to that of labels.

    Returns:
        The two numbers, and figures of these photos before and after: ratio of spreads, RMSE
        (rating points), SRCC; and the scores after, shape (N,).

    Raises:
        ConfigError: The network does not tell the photos apart well enough to be spread so wide.
    """
    logits = log_softmax(np.log(np.asarray(distributions, dtype=np.float64)), axis=1)
    wanted = np.asarray(labels, dtype=np.float64)

    def scores(widen: float, shift: float) -> Floats:
        spread: Floats = softmax(widen * logits + shift * scale.grades, axis=1)
        return spread @ scale.grades

    def shift_for(widen: float) -> float:
        """The mean of the scores rises with the shift, so there is one."""
        reach = 100 * max(widen, 1.0)
        return float(brentq(lambda c: scores(widen, c).mean() - wanted.mean(), -reach, reach))

    def too_wide(widen: float) -> float:
        return float(scores(widen, shift_for(widen)).std() / wanted.std()) - ratio

    most = 1.0
    while too_wide(most) < 0:
        most *= 2
        if most > _WIDEST:
            raise ConfigError(
                f"scores cannot be spread {ratio:g} times as wide as ratings: the network "
                "hardly tells these photos apart"
            )
    widen = float(brentq(too_wide, 1e-3, most))
    shift = shift_for(widen)
    with torch.no_grad():
        head.weight.mul_(widen)
        head.bias.mul_(widen)
        head.bias.add_(torch.as_tensor(shift * scale.grades, dtype=head.bias.dtype))
    after = scores(widen, shift)
    figures = {"widen": widen, "shift": shift}
    for when, found in (("before", scores(1.0, 0.0)), ("after", after)):
        for measure in (spread_ratio, rmse, srcc):
            figures[f"{measure.__name__}_{when}"] = measure(found, wanted)
    return {name: round(value, 4) for name, value in figures.items()}, after
