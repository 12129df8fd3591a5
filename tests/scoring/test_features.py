"""What a network sees is what its last layer reads."""

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from siamese_nima.card import METADATA_KEY, golden_photo
from siamese_nima.errors import ConfigError, WeightsError
from siamese_nima.scoring.catalogue import find_model
from siamese_nima.scoring.features import open_feature_table
from siamese_nima.scoring.scorer import Scorer
from tiny_model import tiny_graph


def head_of(path):
    """Weights and bias of the layer before the softmax, as the `onnx` package reads them."""
    graph = onnx.load(path).graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    makers = {node.output[0]: node for node in graph.node}
    # Weights that are stored in fewer bits come through a cast.
    names = [makers[n].input[0] if n in makers else n for n in graph.node[-2].input[1:]]
    return [numpy_helper.to_array(tensors[name]).astype(np.float64) for name in names]


@pytest.mark.parametrize("name", ["quality", "appeal"])
def test_the_head_makes_the_scores_of_them(name, photo_folder):
    scorer = Scorer(name, workers=1)
    names = [photo_folder / "photo1.png", photo_folder / "photo4.png"]
    vectors = list(scorer.features(names))
    weight, bias = head_of(find_model(name))
    for vector, result in zip(vectors, scorer.score(names), strict=True):
        assert vector.features.dtype == np.float16
        assert vector.features.shape == (weight.shape[1],)
        logits = vector.features.astype(np.float64) @ weight.T + bias
        shares = np.exp(logits - logits.max())
        assert shares / shares.sum() == pytest.approx(result.distribution, abs=5e-3)
        assert (vector.path, vector.model, vector.error) == (result.path, result.model, None)


def test_the_released_model_has_3104_of_them():
    [vector] = Scorer(workers=1).features(np.zeros((40, 60, 3), np.uint8))
    assert vector.features.shape == (3104,)


def test_a_broken_photo_has_an_error_in_its_place(photo_folder):
    (photo_folder / "photo2.png").write_bytes(b"broken")
    vectors = list(Scorer(workers=2).features(photo_folder))
    assert [vector.features is None for vector in vectors] == [n == 2 for n in range(1, 12)]
    assert "photo2.png: " in vectors[1].error


def test_a_model_without_a_linear_layer_says_so(tiny_card, tmp_path):
    model = tiny_graph(tiny_card)
    kept = [node for node in model.graph.node if node.op_type != "MatMul"]
    [linear] = [node for node in model.graph.node if node.op_type == "MatMul"]
    sums = helper.make_node("Einsum", linear.input, linear.output, equation="nc,ck->nk")
    place = list(model.graph.node).index(linear)
    del model.graph.node[:]
    model.graph.node.extend([*kept[:place], sums, *kept[place:]])
    helper.set_model_props(model, {METADATA_KEY: tiny_card.to_json()})
    onnx.save(model, tmp_path / "x.onnx")
    with pytest.raises(WeightsError, match=r"x\.onnx: no linear layer gives its ratings"):
        list(Scorer(tmp_path / "x.onnx").features([golden_photo()]))


def test_a_table_of_them_has_a_row_per_photo(tiny_model, photo_folder, tmp_path):
    pq = pytest.importorskip("pyarrow.parquet")
    (photo_folder / "photo1.png").write_bytes(b"broken")
    vectors = list(Scorer(tiny_model).features(photo_folder))
    with open_feature_table(tmp_path / "f.parquet") as table:
        for vector in vectors:
            table.write(vector)
    read = pq.read_table(tmp_path / "f.parquet")
    assert str(read.schema.field("features").type).startswith("fixed_size_list")
    rows = read.to_pylist()
    assert [row["path"] for row in rows] == [vector.path for vector in vectors]
    assert rows[0]["features"] is None
    assert "photo1.png" in rows[0]["error"]
    assert rows[1]["features"] == vectors[1].features.tolist()


def test_a_table_without_photos_or_with_another_ending(tmp_path):
    pq = pytest.importorskip("pyarrow.parquet")
    with open_feature_table(tmp_path / "f.parquet"):
        pass
    assert pq.read_table(tmp_path / "f.parquet").num_rows == 0
    with (
        pytest.raises(ConfigError, match=r"f.csv: a table of features ends in .parquet"),
        open_feature_table(tmp_path / "f.csv"),
    ):
        pass
