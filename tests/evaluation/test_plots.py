from xml.etree import ElementTree

import pytest

from rated_photos import rated
from siamese_nima.evaluation.calibration import calibration_table
from siamese_nima.evaluation.figures import measure_figures
from siamese_nima.evaluation.pair_error import measure_pair_error
from siamese_nima.evaluation.plots import (
    plot_calibration,
    plot_gaps,
    plot_pair_error,
    plot_scores,
)


def plots():
    photos = rated(80, subsets=2)
    gaps = measure_figures(photos, repeats=10).pairs.by_gap
    error = measure_pair_error(photos.scores, photos.labels, photos.scenes, repeats=10)
    return {
        "scores": plot_scores(photos),
        "calibration": plot_calibration(
            calibration_table(photos.scores, photos.labels), photos.scale
        ),
        "gaps": plot_gaps({"a": gaps, "b": gaps}),
        "pair error": plot_pair_error(error),
    }


@pytest.fixture(scope="module")
def drawn():
    return plots()


@pytest.mark.parametrize("name", ["scores", "calibration", "gaps", "pair error"])
def test_a_plot_is_a_self_contained_svg(drawn, name):
    root = ElementTree.fromstring(drawn[name])
    assert root.tag.endswith("svg")
    links = [v for e in root.iter() for k, v in e.attrib.items() if k.endswith("href")]
    assert all(link.startswith(("#", "data:")) for link in links)


def test_the_same_figures_give_the_same_file(drawn):
    assert plots() == drawn
