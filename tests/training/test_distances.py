import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from siamese_nima import ratings
from siamese_nima.errors import RatingError
from siamese_nima.training.objectives import emd, squared_emd

weights = hnp.arrays(np.float64, (3, 10), elements=st.floats(0.01, 1))


def distributions(values: np.ndarray) -> torch.Tensor:
    return torch.tensor(values / values.sum(axis=1, keepdims=True))


@settings(deadline=None)
@given(weights, weights)
def test_emd_agrees_with_the_rating_mathematics(first: np.ndarray, second: np.ndarray) -> None:
    a, b = distributions(first), distributions(second)
    expected = ratings.emd(a.numpy(), b.numpy(), r=2)
    np.testing.assert_allclose(squared_emd(a, b), expected**2, atol=1e-12)
    np.testing.assert_allclose(emd(a, b), expected, atol=1.01e-4)


@settings(deadline=None)
@given(weights, weights)
def test_the_distance_is_the_same_both_ways_and_bounded(
    first: np.ndarray, second: np.ndarray
) -> None:
    a, b = distributions(first), distributions(second)
    torch.testing.assert_close(squared_emd(a, b), squared_emd(b, a))
    assert torch.all(squared_emd(a, b) >= 0)
    assert torch.all(squared_emd(a, b) <= 0.9)


def test_opposite_ends_of_the_scale_are_the_furthest_apart() -> None:
    ends = torch.eye(10)
    assert squared_emd(ends[:1], ends[-1:]).item() == pytest.approx(0.9)


def test_a_perfect_prediction_has_a_finite_gradient() -> None:
    target = torch.full((2, 10), 0.1)
    predicted = target.clone().requires_grad_()
    emd(predicted, target).sum().backward()
    assert predicted.grad is not None
    assert torch.all(torch.isfinite(predicted.grad))


def test_a_step_down_the_gradient_comes_closer() -> None:
    logits = torch.zeros(1, 5, requires_grad=True)
    target = torch.tensor([[0.0, 0.0, 0.1, 0.3, 0.6]])
    before = emd(logits.softmax(-1), target).mean()
    before.backward()
    assert logits.grad is not None
    assert emd((logits - 0.1 * logits.grad).softmax(-1), target).mean() < before


@pytest.mark.parametrize("shape", [(2, 9), (3, 10), (10,)])
def test_shapes_that_differ_are_refused_with_both_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(RatingError, match=r"got \(2, 10\) and \(" + str(shape[0])):
        squared_emd(torch.zeros(2, 10), torch.zeros(shape))
