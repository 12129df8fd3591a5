"""Limits that contradict each other are refused at the start."""

import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")

from siamese_nima.errors import ConfigError
from siamese_nima.web.service.uploads import Limits


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("photo_bytes", "max-photo-mb"),
        ("photo_pixels", "max-megapixels"),
        ("request_photos", "max-photos"),
        ("request_s", "timeout"),
        ("waiting_photos", "max-waiting"),
    ],
)
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_limits_are_positive(name, option, value):
    with pytest.raises(ConfigError, match=f"--{option} must be above 0, got"):
        Limits(**{name: value})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"photo_bytes": 500_000_000},
            "mb .500. must not be above --max-request-mb .256.",
        ),
        (
            {"request_bytes": 2_000_000_000},
            "must not be above the memory for all .* .1000.",
        ),
        ({"waiting_photos": 63}, "max-photos .64. must not be above --max-waiting .63."),
    ],
)
def test_one_request_may_not_ask_for_more_than_all_together(options, words):
    with pytest.raises(ConfigError, match=words):
        Limits(**options)
