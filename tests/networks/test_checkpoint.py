from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from siamese_nima.card import METADATA_KEY, ModelCard
from siamese_nima.errors import WeightsError
from siamese_nima.networks.checkpoint import load_checkpoint, save_checkpoint
from siamese_nima.networks.nima import NIMA, build_nima_for
from siamese_nima.photos.views import ViewPolicy

CARD = ModelCard(
    name="small",
    backbone="mobilenetv1_100",
    backbone_options={"bn_epsilon": 1e-3, "padding": "keras2", "width": 0.25},
    view=ViewPolicy.parse("warp:64+centre:64@96"),
    credits=("wonderful people",),
)


@pytest.fixture
def nima() -> NIMA:
    torch.manual_seed(0)
    return build_nima_for(CARD)


def test_a_checkpoint_comes_back_with_its_card_and_all_weights(nima: NIMA, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "small.safetensors", nima, CARD)
    loaded, card = load_checkpoint(tmp_path / "small.safetensors")
    assert card == CARD
    assert not loaded.training
    assert loaded.group_sizes == (1, 1)
    views = torch.randn(2, 2, 3, 64, 64)
    torch.testing.assert_close(loaded(views), nima.eval()(views), rtol=0, atol=0)


def test_it_is_one_plain_safetensors_file(nima: NIMA, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "small.safetensors", nima, CARD)
    assert [path.name for path in tmp_path.iterdir()] == ["small.safetensors"]
    with safe_open(tmp_path / "small.safetensors", framework="np") as file:
        assert ModelCard.from_json(file.metadata()[METADATA_KEY]) == CARD


def test_a_missing_file_is_an_error_and_never_random_weights(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"gone\.safetensors: no such checkpoint"):
        load_checkpoint(tmp_path / "gone.safetensors")


@pytest.mark.parametrize("content", [b"", b"not safetensors at all"])
def test_a_damaged_file_is_an_error_that_names_it(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.safetensors").write_bytes(content)
    with pytest.raises(WeightsError, match=r"bad\.safetensors: not a readable safetensors"):
        load_checkpoint(tmp_path / "bad.safetensors")


def test_a_truncated_file_is_an_error(nima: NIMA, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "cut.safetensors", nima, CARD)
    content = (tmp_path / "cut.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(content[:-100])
    with pytest.raises(WeightsError, match=r"cut\.safetensors: not a readable"):
        load_checkpoint(tmp_path / "cut.safetensors")


def test_a_file_without_a_card_is_an_error(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match=r"other\.safetensors: .* without a model card"):
        load_checkpoint(tmp_path / "other.safetensors")


def test_a_malformed_card_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    save_file({"w": torch.zeros(1)}, tmp_path / "odd.safetensors", metadata={METADATA_KEY: "{}"})
    with pytest.raises(WeightsError, match=r"odd\.safetensors: malformed model card"):
        load_checkpoint(tmp_path / "odd.safetensors")


def test_tensors_that_do_not_fit_are_listed(nima: NIMA, tmp_path: Path) -> None:
    path = tmp_path / "misfit.safetensors"
    save_checkpoint(path, nima, CARD)
    tensors = load_file(path)
    del tensors["head.bias"]
    tensors["extra"] = torch.zeros(1)
    tensors["backbone.conv_stem.weight"] = torch.zeros(4, 3, 3, 3)
    save_file(tensors, path, metadata={METADATA_KEY: CARD.to_json()})
    with pytest.raises(WeightsError) as error:
        load_checkpoint(path)
    assert "1 missing: head.bias" in str(error.value)
    assert "1 unknown: extra" in str(error.value)
    assert "conv_stem.weight is (4, 3, 3, 3), wanted (8, 3, 3, 3)" in str(error.value)


def test_a_backbone_that_timm_does_not_have_is_an_error(nima: NIMA, tmp_path: Path) -> None:
    path = tmp_path / "future.safetensors"
    save_checkpoint(path, nima, replace(CARD, backbone="mobilenet_of_2050"))
    with pytest.raises(WeightsError, match=r"future\.safetensors: .*'mobilenet_of_2050'"):
        load_checkpoint(path)


def test_a_card_for_another_network_is_not_written(nima: NIMA, tmp_path: Path) -> None:
    other = replace(CARD, view=ViewPolicy.parse("warp:64"))
    with pytest.raises(WeightsError, match=r"groups of \(1, 1\).* its card says \(1,\)"):
        save_checkpoint(tmp_path / "other.safetensors", nima, other)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_does_not_exist_is_an_error(nima: NIMA, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"nowhere.small\.safetensors: cannot be written"):
        save_checkpoint(tmp_path / "nowhere" / "small.safetensors", nima, CARD)


def test_an_interrupted_write_leaves_the_old_file(
    nima: NIMA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "small.safetensors"
    save_checkpoint(path, nima, CARD)
    before = path.read_bytes()

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("siamese_nima.networks.checkpoint.save_file", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(path, nima, CARD)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["small.safetensors"]
