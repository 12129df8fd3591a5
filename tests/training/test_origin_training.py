"""The origin's training loop: what each objective learns from labels."""

import numpy as np
import pytest

from siamese_nima.errors import ConfigError
from siamese_nima.training.config import StageConfig


def test_signed_objectives_learn_the_order_of_labels(siamese, labelled, train):
    raw = siamese.load_data(labelled, labelled / "train_data.csv")
    history = train(objective="preference", epochs=24, batch_size=12, val_raw=raw)
    assert history[-1]["loss"] < history[0]["loss"]
    means = siamese.predict(raw)["mean"].to_numpy()
    labels = np.array(raw[1])
    assert means[labels == 2].mean() > means[labels == 1].mean() > means[labels == 0].mean()


def test_the_earth_movers_distance_can_stay_beside_the_objective(siamese, labelled, weights, train):
    paths, labels = siamese.load_data(labelled, labelled / "train_data.csv")
    objective = StageConfig(kind="siamese", emd_weight=1.0)
    with pytest.raises(ConfigError, match=r"run from 0 to 2; .* scale 1..10"):
        train(objective=objective)
    raw = (paths, labels * 2.5 + 1)
    history = siamese.train(
        raw, raw, weights, None, epochs=1, batch_size=6, objective=objective, verbose=0
    )
    assert history[0]["val_emd"] > 0.001


def test_mean_scores_with_decimals_make_no_classes(siamese, labelled, weights):
    paths, _ = siamese.load_data(labelled, labelled / "train_data.csv")
    with pytest.raises(ConfigError, match="mean scores with decimals must be put into buckets"):
        siamese.train((paths, np.linspace(1, 9, 12)), None, weights, None, verbose=0)
