"""The card travels as text and comes back unchanged, or is refused with a reason."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siamese_nima.card import ModelCard, Normalisation, Population, golden_photo
from siamese_nima.errors import CardError
from siamese_nima.photos import ViewPolicy
from siamese_nima.ratings import RatingScale

CARD = ModelCard(
    name="test",
    version="3",
    description="what it means",
    licence="MIT",
    backbone="mobilenetv1_100",
    backbone_options={"padding": "keras2", "bn_epsilon": 1e-3},
    scale=RatingScale(1, 5),
    view=ViewPolicy.parse("warp:224+centre:224@512/bilinear"),
    normalisation=Normalisation((1, 2, 3), (4, 5, 6)),
    training={"data": "somewhere", "photos": 12},
    metrics={"srcc": 0.5},
    population=Population("val", (1.5, 2.5, 2.5)),
    credits=("a", "b"),
    limits=("c",),
    parent="ab" * 32,
    golden=(0.1, 0.2, 0.3, 0.2, 0.2),
)
BARE = ModelCard(name="bare", backbone="resnet18", view=ViewPolicy.parse("native"))


@pytest.mark.parametrize("card", [CARD, BARE], ids=lambda card: card.name)
def test_a_card_comes_back_unchanged(card):
    assert ModelCard.from_json(card.to_json()) == card


@given(st.lists(st.floats(0, 1), min_size=10, max_size=10))
def test_the_golden_distribution_keeps_every_digit(distribution):
    card = BARE.with_golden(np.array(distribution))
    assert ModelCard.from_json(card.to_json()).golden == tuple(distribution)


def test_the_golden_photo_is_the_same_on_every_machine():
    pixels = np.asarray(golden_photo())
    assert pixels.shape == (240, 320, 3)
    # Weighted sums over all pixels, computed once; they change with any pixel.
    weights = np.arange(pixels.size, dtype=np.int64).reshape(pixels.shape) % 9973
    assert int(pixels.sum()) == 26_327_854
    assert int((pixels * weights).sum()) == 131_346_897_675


def changed(key: str, value: object) -> str:
    return json.dumps({**json.loads(BARE.to_json()), key: value})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "malformed model card"),
        ("[]", "malformed model card"),
        ("{}", "KeyError: 'format'"),
        (changed("format", 99), "format 99.* up to 1; update"),
        (changed("scale", [5, 5]), "got 5..5"),
        (changed("golden", [1.0]), "has 1 grades.*has 10"),
        (changed("view", {}), "view policy"),
        (
            json.dumps(
                {**json.loads(BARE.to_json()), "population": {"name": "p", "means": [2, 1]}}
            ),
            "'p' needs ascending",
        ),
    ],
)
def test_a_malformed_card_says_what_is_wrong(text, message):
    with pytest.raises(CardError, match=message):
        ModelCard.from_json(text)
