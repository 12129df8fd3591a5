"""Limits that contradict each other are refused at the start."""

import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")

from siamese_nima.errors import ConfigError
from siamese_nima.web.service.limits import Limits


@pytest.mark.parametrize(
    "name", ["photo_bytes", "photo_pixels", "request_photos", "request_s", "waiting_photos"]
)
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_limits_are_positive(name, value):
    with pytest.raises(ConfigError, match=f"the limit {name} must be above 0, got"):
        Limits(**{name: value})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"photo_bytes": 500_000_000}, "photo_bytes .500000000. must not be above request_bytes"),
        ({"request_bytes": 2_000_000_000}, "must not be above waiting_bytes .1000000000."),
        ({"waiting_photos": 63}, "request_photos .64. must not be above waiting_photos .63."),
    ],
)
def test_one_request_may_not_ask_for_more_than_all_together(options, words):
    with pytest.raises(ConfigError, match=words):
        Limits(**options)
