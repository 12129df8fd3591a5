"""What training goes on from."""

from dataclasses import replace

import pytest
import timm
import torch

from siamese_nima.card import Population
from siamese_nima.errors import ConfigError, WeightsError
from siamese_nima.networks.checkpoint import load_checkpoint, save_checkpoint
from siamese_nima.networks.nima import build_nima_for
from siamese_nima.photos.views import ViewPolicy
from siamese_nima.ratings import RatingScale
from siamese_nima.scoring.catalogue import embedded_models
from siamese_nima.training.start import Start, read_start
from training_runs import write_start

CREATE = timm.create_model


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_start(tmp_path_factory.mktemp("start") / "tiny.safetensors")


def start_of(name, *, view=None, scale=None, seed=0):
    return read_start(str(name), view=view, scale=scale, seed=seed)


def test_a_checkpoint_goes_on_with_its_head_view_and_scale(checkpoint):
    start = start_of(checkpoint)
    nima, card = load_checkpoint(checkpoint)
    assert not start.new_head
    assert start.card == start.parent == card
    assert torch.equal(start.nima.head.weight, nima.head.weight)
    assert len(start.digest) == 64


@pytest.mark.parametrize(
    "changes",
    [{"scale": RatingScale(1, 5)}, {"view": ViewPolicy.parse("warp:32+centre:32@64")}],
    ids=["scale", "view"],
)
def test_another_scale_or_more_groups_of_views_need_a_new_head(checkpoint, changes):
    start = start_of(checkpoint, **changes)
    assert start.new_head
    assert start.nima.head.out_features == start.card.scale.size
    assert start.nima.group_sizes == start.card.view.group_sizes
    again = start_of(checkpoint, **changes)
    assert torch.equal(start.nima.head.weight, again.nima.head.weight), "seeded"
    other = start_of(checkpoint, seed=1, **changes)
    assert not torch.equal(start.nima.head.weight, other.nima.head.weight)


def test_five_crops_in_place_of_one_keep_the_head(checkpoint):
    start = start_of(checkpoint, view=ViewPolicy.parse("five:32@64"))
    assert not start.new_head
    assert start.nima.group_sizes == (5,)


def test_the_embedded_model_is_a_start_without_any_file():
    start = start_of("quality")
    assert not start.new_head
    assert start.card.name == "quality"
    assert start_of(embedded_models()["quality"]).digest == start.digest


def test_imagenet_weights_that_cannot_be_downloaded_are_an_error_that_says_so(monkeypatch):
    def offline(name, *, pretrained, **options):
        if pretrained:
            raise ConnectionError("no route to host")
        return CREATE(name, pretrained=False, **options)

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(WeightsError, match=r"nor could they be downloaded \(no route to host\)"):
        start_of("imagenet:mobilenetv1_100")
    with pytest.raises(ConfigError, match="no backbone 'mobilenet_v9'"):
        start_of("imagenet:mobilenet_v9")


def test_pretrained_weights_get_a_head_that_knows_nothing(monkeypatch):
    monkeypatch.setattr(
        timm, "create_model", lambda name, **k: CREATE(name, **{**k, "pretrained": False})
    )
    start = start_of("imagenet:mobilenetv1_100", scale=RatingScale(1, 5))
    assert start.new_head
    assert start.parent is None
    assert start.card.scale == RatingScale(1, 5)
    assert str(start.card.view) == "warp:224"
    assert start.card.normalisation.std[0] == pytest.approx(127.5)  # timm's own for this one
    with torch.no_grad():
        rated = start.nima(torch.rand(1, 1, 3, 64, 64))
    assert rated.numpy() == pytest.approx(0.2, abs=0.05)


def test_random_weights_are_had_by_that_name_only():
    start = start_of("random:mobilenetv1_100")
    assert start.new_head
    assert start.digest is None


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("none.safetensors", r"none\.safetensors: no such file to start from"),
        ("no/folder", "no/folder: no such file to start from"),
        ("qualty", "no model named 'qualty'"),
    ],
)
def test_what_is_not_there_is_named(wanted, message):
    with pytest.raises(WeightsError, match=message):
        start_of(wanted)


def with_levels(start: str, *levels: str) -> Start:
    return read_start(start, view=None, scale=None, seed=0, levels=levels)


def test_a_new_head_reads_early_blocks_beside_the_features():
    name = "random:mobilenetv2_035"
    plain, start = start_of(name), with_levels(name, "blocks.2.0", "blocks.0.0")
    assert start.new_head
    assert start.card.backbone_options["levels"] == ("blocks.0.0", "blocks.2.0")
    assert start.nima.head.in_features > plain.nima.head.in_features
    assert start.nima.head.weight.std() < 0.05
    with pytest.raises(ConfigError, match=r"no block 'blocks\.9\.9'"):
        with_levels(name, "blocks.9.9")


@pytest.mark.parametrize("view", ["warp:32", "warp:32+centre:32@64"])
def test_a_head_that_knows_something_begins_as_it_was_and_reads_early_blocks(tmp_path, view):
    checkpoint, policy = tmp_path / "known.safetensors", ViewPolicy.parse(view)
    _, tiny = load_checkpoint(write_start(checkpoint))
    card = replace(tiny, view=policy)
    save_checkpoint(checkpoint, build_nima_for(card).eval(), card)
    plain, start = start_of(checkpoint), with_levels(str(checkpoint), "blocks.2.0", "blocks.0.0")
    assert not start.new_head
    assert start.nima.head.in_features > plain.nima.head.in_features
    rebuilt = build_nima_for(start.card)
    rebuilt.load_state_dict(start.nima.state_dict())
    views = torch.rand(2, sum(start.card.view.group_sizes), 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(start.nima(views), plain.nima(views))
        torch.testing.assert_close(rebuilt.eval()(views), plain.nima(views))
    start.nima(views)[:, 0].sum().backward()
    assert (start.nima.head.weight.grad != 0).any(0).float().mean() > 0.5  # all can learn


def test_another_scale_than_the_starts_has_a_new_head(tmp_path):
    card = {"golden": (0.1,) * 10, "population": Population("some", (1.0, 2.0))}
    path = write_start(tmp_path / "known.safetensors", **card)
    start = start_of(path, scale=RatingScale(1, 7))
    assert start.new_head
    assert start.card.scale == RatingScale(1, 7)
    assert start.card.golden is None
