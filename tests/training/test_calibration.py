"""Scores are spread as wide as asked, by two numbers inside the head."""

import numpy as np
import pytest
import torch
from torch import nn

from siamese_nima.errors import ConfigError
from siamese_nima.ratings import AVA_SCALE, distribution_from_mos, mean
from siamese_nima.training.calibration import calibrate

RANDOM = np.random.default_rng(0)
LABELS = RANDOM.uniform(2, 9, 200)


def rated(means):
    return distribution_from_mos(means, scale=AVA_SCALE)


@pytest.mark.parametrize("ratio", [0.5, 0.95, 1.1])
def test_scores_get_the_mean_and_the_spread_of_labels(ratio):
    narrow = rated(5 + 0.4 * (LABELS - LABELS.mean()))
    head = nn.Linear(10, 10)
    with torch.no_grad():
        head.weight.copy_(torch.eye(10))
        head.bias.zero_()
    numbers, placed = calibrate(head, narrow, LABELS, AVA_SCALE, ratio=ratio)
    with torch.no_grad():
        logits = head(torch.as_tensor(np.log(narrow), dtype=torch.float32))
    scores = mean(torch.softmax(logits, 1).numpy(), AVA_SCALE)
    np.testing.assert_allclose(placed, scores, atol=1e-4)
    assert scores.mean() == pytest.approx(LABELS.mean(), abs=1e-2)
    assert scores.std() / LABELS.std() == pytest.approx(ratio, abs=1e-2)
    assert numbers["spread_ratio_after"] == pytest.approx(ratio, abs=1e-3)


def test_photos_that_are_all_rated_alike_cannot_be_spread():
    alike = rated(np.full(200, 5.0))
    with pytest.raises(ConfigError, match="hardly tells these photos apart"):
        calibrate(nn.Linear(4, 10), alike, LABELS, AVA_SCALE, ratio=0.9)
