"""Losses between rating distributions, one small function each."""

from __future__ import annotations

import torch
from torch import Tensor

from siamese_nima.errors import RatingError

_ROOT_FLOOR = 1e-8  # keeps the slope of the square root finite where prediction meets label


def squared_emd(predicted: Tensor, target: Tensor) -> Tensor:
    """Squared earth mover's distance of order 2, one value per photo.

    The mean over the K grades of the squared difference of the cumulative distributions.

    Args:
        predicted: Shape (N, K); rows are probabilities that sum to 1.
        target: Shape (N, K), on the same rating scale.

    Returns:
        Shape (N,), from 0 (equal) to (K - 1) / K.

    Raises:
        RatingError: The shapes differ or are not (N, K).

    Reference:
        Talebi and Milanfar, "NIMA: Neural Image Assessment", 2018, equation 1 with r = 2, before
        the root. arXiv:1709.05424

    >>> squared_emd(torch.tensor([[1.0, 0, 0, 0]]), torch.tensor([[0, 0, 0, 1.0]])).tolist()
    [0.75]
    """
    if predicted.shape != target.shape or predicted.ndim != 2:
        raise RatingError(
            f"predicted and target distributions need one shape (N, K), got "
            f"{tuple(predicted.shape)} and {tuple(target.shape)}"
        )
    gaps = predicted.cumsum(-1) - target.cumsum(-1)
    return gaps.square().mean(-1)


def emd(predicted: Tensor, target: Tensor) -> Tensor:
    """Earth mover's distance of order 2, one value per photo; what NIMA is trained on.

    The square root of `squared_emd`. Photos that are far off pull no harder than others, where the
    square would let them rule the batch.

    Args:
        predicted: Shape (N, K); rows are probabilities that sum to 1.
        target: Shape (N, K), on the same rating scale.

    Returns:
        Shape (N,), from 1e-4 (equal) to sqrt((K - 1) / K). Differs from `ratings.emd` by at most
        1e-4: a small floor under the root bounds its gradient.

    Raises:
        RatingError: The shapes differ or are not (N, K).

    Reference:
        Talebi and Milanfar, "NIMA: Neural Image Assessment", 2018, equation 1. arXiv:1709.05424
    """
    return torch.sqrt(squared_emd(predicted, target) + _ROOT_FLOOR)
