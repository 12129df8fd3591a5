"""Made-up scores and labels."""

import numpy as np

from siamese_nima.evaluation.figures import RatedPhotos
from siamese_nima.ratings import RatingScale


def rated(count=200, noise=0.8, seed=0, *, votes=False, subsets=1, scenes=3):
    """Labels on 1..10 and scores that miss them by `noise`; each scene has `scenes` photos."""
    generator = np.random.default_rng(seed)
    labels = generator.uniform(2, 9, count)
    scores = np.clip(labels + noise * np.random.default_rng(seed + 1).normal(size=count), 1, 10)
    shares = generator.dirichlet(np.ones(10), count) if votes else None
    return RatedPhotos(
        paths=tuple(f"{i}.jpg" for i in range(count)),
        scores=scores,
        labels=labels,
        scale=RatingScale(1, 10),
        scenes=tuple(f"s{i // scenes}" for i in range(count)),
        subsets=tuple(f"part{i % subsets}" for i in range(count)),
        distributions=shares,
        votes=shares,
    )
