from pathlib import Path
from xml.etree import ElementTree

import pytest

from rated_photos import rated
from siamese_nima.errors import TableError
from siamese_nima.evaluation.figures import measure_figures
from siamese_nima.evaluation.metrics import calibration_table
from siamese_nima.evaluation.pairs import measure_pair_error
from siamese_nima.evaluation.plots import (
    learning_section,
    log_of,
    plot_calibration,
    plot_gaps,
    plot_learning_curves,
    plot_pair_error,
    plot_scores,
    read_log,
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


LOG = """stage,epoch,train_emd,val_emd,val_srcc,train_loss
1,0,0.2,0.21,0.3,
1,1,0.15,0.18,0.4,
2,0,,0.17,0.5,1.25
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "log.csv").write_text(LOG)
    return tmp_path / "log.csv"


def test_an_epoch_has_the_figures_that_were_logged(log):
    rows = read_log(log)
    assert rows[1] == {"stage": 1, "epoch": 1, "train_emd": 0.15, "val_emd": 0.18, "val_srcc": 0.4}
    assert rows[2]["train_loss"] == 1.25
    assert "train_emd" not in rows[2]


def test_the_picture_has_a_panel_for_each_sort_of_figure(log):
    svg = plot_learning_curves(read_log(log)).decode()
    ElementTree.fromstring(svg)
    for text in ("earth mover", "agreement on val", "loss of the Siamese stage", "stage 2"):
        assert text in svg
    assert "ladder" not in svg
    assert plot_learning_curves(read_log(log)) == svg.encode(), "the same log is the same file"
    assert plot_learning_curves(read_log(log)[:1], kind="png").startswith(b"\x89PNG")


def test_a_report_has_the_curves(log):
    section = learning_section(log)
    assert section.title == "Learning curves"
    assert section.paragraphs == ["3 epochs in 2 stages, on val photos."]
    assert section.plots[0].name == "learning-curves.svg"


def test_the_log_beside_a_model_file_is_its_own(log, tmp_path, monkeypatch):
    model = tmp_path / "model.onnx"
    assert log_of(str(model)) is None, "no such model"
    model.write_bytes(b"")
    assert log_of(str(model)) == log
    assert log_of("quality", tmp_path) == log
    assert log_of("quality", log) == log
    monkeypatch.chdir(tmp_path)
    assert log_of("quality") is None
    with pytest.raises(TableError, match=r"nowhere: no log\.csv of a training run there"):
        log_of("quality", tmp_path / "nowhere")


def test_another_table_is_no_log(tmp_path):
    (tmp_path / "log.csv").write_text("stage,epoch\n1,first\n")
    with pytest.raises(TableError, match=r"log\.csv: not a training log"):
        read_log(tmp_path / "log.csv")
    (tmp_path / "log.csv").write_text("score,mos\n2,1\n")
    with pytest.raises(TableError, match="a row has no stage"):
        read_log(tmp_path / "log.csv")
