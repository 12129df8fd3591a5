import json
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from siamese_nima.errors import ViewError
from siamese_nima.photos import Crops, Native, Pad, ViewPolicy, Warp, read_photo

RESAMPLES = ["nearest", "bilinear", "bicubic", "lanczos"]
SIZES = st.integers(1, 16384)
COLOURS = st.tuples(*[st.integers(0, 255)] * 3)


@st.composite
def policies(draw, sizes=SIZES):
    """Any valid policy."""
    if draw(st.booleans()) and draw(st.booleans()):
        groups = [Native()]
    else:
        size = draw(sizes)
        crops = st.builds(
            Crops,
            short_side_px=st.integers(size, max(size, min(3 * size, 16384))),
            size_px=st.just(size),
            layout=st.sampled_from(["centre", "five"]),
        )
        square = st.one_of(
            st.just(Warp(size)), st.builds(Pad, st.just(size), colour=COLOURS), crops
        )
        groups = draw(st.lists(square, min_size=1, max_size=4))
        if len(groups) == 1 and draw(st.booleans()):
            groups = [Warp(size, draw(sizes))]
    return ViewPolicy(tuple(groups), draw(st.sampled_from(RESAMPLES)))


photos = st.builds(
    lambda width, height, seed: Image.fromarray(
        np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    ),
    st.integers(1, 60),
    st.integers(1, 60),
    st.integers(0, 99),
)


@given(policies())
def test_text_and_json_give_the_policy_back(policy):
    assert ViewPolicy.parse(str(policy)) == policy
    assert ViewPolicy.from_json(json.loads(json.dumps(policy.to_json()))) == policy
    assert hash(ViewPolicy.parse(str(policy))) == hash(policy)


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("native", ViewPolicy((Native(),))),
        ("warp:224", ViewPolicy((Warp(224),))),
        ("warp:224x320/nearest", ViewPolicy((Warp(224, 320),), "nearest")),
        ("pad:224", ViewPolicy((Pad(224, (128, 128, 128)),))),
        ("pad:224#ff00A0", ViewPolicy((Pad(224, (255, 0, 160)),))),
        ("five:224@256", ViewPolicy((Crops(256, 224, "five"),))),
        (
            " warp:224 + centre:224@512/lanczos",
            ViewPolicy((Warp(224), Crops(short_side_px=512, size_px=224)), "lanczos"),
        ),
    ],
)
def test_text_forms_mean_what_they_say(text, policy):
    assert ViewPolicy.parse(text) == policy


def test_the_text_is_the_shortest_form():
    assert str(ViewPolicy.parse("warp:224x224 + pad:224#808080/bicubic")) == "warp:224+pad:224"


def test_json_is_plain_values():
    assert ViewPolicy.parse("pad:8#010203+five:8@9/nearest").to_json() == {
        "groups": [
            {"kind": "pad", "size_px": 8, "colour": [1, 2, 3]},
            {"kind": "crops", "short_side_px": 9, "size_px": 8, "layout": "five"},
        ],
        "resample": "nearest",
    }


@pytest.mark.parametrize(
    "text", ["", "warp", "warp:-1", "crop:224", "warp:224,", "five:224", "pad:2#12"]
)
def test_unknown_text_lists_what_is_possible(text):
    with pytest.raises(ViewError) as caught:
        ViewPolicy.parse(text)
    message = str(caught.value)
    assert message.startswith(f"view policy {text!r}: cannot read ")
    for form in ["native", "warp:224", "pad:224", "centre:224@512", "five:224@256", "/nearest"]:
        assert form in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "warp:2/cubic",
            "resize filter must be one of nearest, bilinear, bicubic, lanczos, got 'cubic'",
        ),
        ("warp:0", "warp: size_px must be an integer from 1 to 16384 pixels, got 0"),
        ("warp:2x99999", "warp: width_px must be an integer from 1 to 16384 pixels, got 99999"),
        ("pad:0", "pad: size_px must be an integer from 1 to 16384 pixels, got 0"),
        (
            "five:224@99999",
            "five: short_side_px must be an integer from 1 to 16384 pixels, got 99999",
        ),
        (
            "centre:224@223",
            "centre:224@223: a crop of 224 pixels does not fit into a photo with a short side of"
            " 223",
        ),
        (
            "warp:224+centre:256@512",
            "all groups of a view policy must give views of one size:"
            " warp:224 gives 224 x 224, centre:256@512 gives 256 x 256",
        ),
        (
            "native+warp:224",
            "all groups of a view policy must give views of one size:"
            " native gives the size of each photo, warp:224 gives 224 x 224",
        ),
        ("native+native", "native must be the only group of a view policy"),
    ],
)
def test_impossible_policies_say_what_is_wrong(text, message):
    with pytest.raises(ViewError) as caught:
        ViewPolicy.parse(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ({}, "a view policy in JSON has 'groups' and 'resample', got {}"),
        ([], "a view policy in JSON has 'groups' and 'resample', got []"),
        ({"groups": [], "resample": "bicubic"}, "a view policy needs at least one group of views"),
        ({"groups": [{"kind": "native"}], "x": 1}, "unknown ['x']; known are groups, resample"),
        ({"groups": ["warp"]}, "must have a kind of warp, crops, pad, native, got 'warp'"),
        ({"groups": [{"kind": "zoom"}]}, "must have a kind of warp, crops, pad, native"),
        ({"groups": [{"kind": []}]}, "must have a kind of warp, crops, pad, native"),
        ({"groups": [{"kind": "warp"}]}, "view group warp: "),
        ({"groups": [{"kind": "warp", "size_px": 8, "zoom": 1}]}, "zoom"),
        ({"groups": [{"kind": "warp", "size_px": 8.5}]}, "1 to 16384 pixels, got 8.5"),
        ({"groups": [{"kind": "warp", "size_px": True}]}, "1 to 16384 pixels, got True"),
        (
            {"groups": [{"kind": "pad", "size_px": 8, "colour": [1, 2]}]},
            "three integers from 0 to 255",
        ),
        ({"groups": [{"kind": "pad", "size_px": 8, "colour": 7}]}, "three integers from 0 to 255"),
        (
            {"groups": [{"kind": "crops", "size_px": 8, "short_side_px": 9, "layout": "ten"}]},
            "layout must be 'centre' or 'five', got 'ten'",
        ),
    ],
)
def test_impossible_json_says_what_is_wrong(policy, message):
    with pytest.raises(ViewError) as caught:
        ViewPolicy.from_json(policy)
    assert message in str(caught.value)


@given(policies(sizes=st.integers(1, 24)), photos)
@settings(max_examples=80)
def test_views_have_the_promised_shape(policy, photo):
    before = photo.tobytes()
    views = policy.views(photo)
    height, width = policy.view_size or (photo.height, photo.width)
    assert views.shape == (sum(policy.group_sizes), height, width, 3)
    assert views.dtype == np.uint8
    assert views.flags.c_contiguous
    assert views.flags.writeable
    views[:] = 0
    assert photo.tobytes() == before


@given(policies(sizes=st.integers(1, 24)), st.integers(1, 60), st.integers(1, 60), COLOURS)
@settings(max_examples=60)
def test_one_colour_stays_that_colour(policy, width, height, colour):
    views = policy.views(Image.new("RGB", (width, height), colour))
    allowed = {colour} | {group.colour for group in policy.groups if isinstance(group, Pad)}
    assert {tuple(pixel) for pixel in views.reshape(-1, 3).tolist()} <= allowed


@given(photos, st.sampled_from(RESAMPLES), st.integers(1, 20), st.sampled_from([1, 2]))
@settings(max_examples=60)
def test_groups_are_cut_one_after_another(photo, resample, size, factor):
    parts = [Warp(size), Crops(size * factor, size, "five"), Pad(size), Crops(2 * size, size)]
    together = ViewPolicy(tuple(parts), resample).views(photo)
    alone = [ViewPolicy((part,), resample).views(photo) for part in parts]
    assert np.array_equal(together, np.concatenate(alone))


@given(
    st.integers(1, 90),
    st.integers(1, 90),
    st.integers(1, 40),
    st.integers(0, 40),
    st.sampled_from(["bilinear", "bicubic", "lanczos"]),
    st.integers(0, 99),
)
@settings(max_examples=150)
def test_crops_equal_resizing_the_whole_photo_and_then_cropping(
    width, height, size, more, resample, seed
):
    # Far from black and white: Pillow clips overshoot between its two passes, in either order.
    pixels = np.random.default_rng(seed).integers(80, 176, (height, width, 3), dtype=np.uint8)
    photo = Image.fromarray(pixels)
    short_side = size + more
    scale = Fraction(short_side, min(width, height))
    new_width, new_height = (max(short_side, round(float(side * scale))) for side in photo.size)
    whole = np.asarray(
        photo.resize((new_width, new_height), Image.Resampling[resample.upper()]), dtype=np.int16
    )
    right, bottom = new_width - size, new_height - size
    corners = [(0, 0), (right, 0), (0, bottom), (right, bottom), (right // 2, bottom // 2)]
    expected = np.stack([whole[y : y + size, x : x + size] for x, y in corners])
    views = ViewPolicy((Crops(short_side, size, "five"),), resample).views(photo)
    centre = ViewPolicy((Crops(short_side, size),), resample).views(photo)
    # It also rounds to 8 bits between them.
    assert np.abs(views - expected).max() <= 2
    assert np.array_equal(views[4:], centre)


def test_nearest_crops_take_the_photos_own_pixels():
    pixels = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    views = ViewPolicy.parse("five:16@64/nearest").views(Image.fromarray(pixels))
    assert np.array_equal(views[0], pixels[:16, :16])
    assert np.array_equal(views[3], pixels[-16:, -16:])
    assert np.array_equal(views[4], pixels[24:40, 40:56])


@pytest.mark.parametrize("resample", RESAMPLES)
def test_a_warp_is_pillows_resize(scene, resample):
    policy = ViewPolicy((Warp(30, 50),), resample)
    expected = scene.resize((50, 30), Image.Resampling[resample.upper()])
    assert np.array_equal(policy.views(scene)[0], np.asarray(expected))


@given(photos)
@settings(max_examples=30)
def test_native_is_the_photo_itself(photo):
    assert np.array_equal(ViewPolicy.parse("native").views(photo)[0], np.asarray(photo))


@pytest.mark.parametrize(("width", "height"), [(40, 20), (20, 40), (3, 1), (1, 5000), (8, 8)])
def test_pad_shows_the_whole_photo_in_its_own_shape(width, height):
    (view,) = ViewPolicy.parse("pad:8#0000ff").views(Image.new("RGB", (width, height), "red"))
    red = (view == (255, 0, 0)).all(axis=-1)
    rows, columns = np.nonzero(red.any(axis=1))[0], np.nonzero(red.any(axis=0))[0]
    shown = np.ptp(columns) + 1, np.ptp(rows) + 1
    scale = 8 / max(width, height)
    assert shown == (max(1, round(width * scale)), max(1, round(height * scale)))
    assert (view[~red] == (0, 0, 255)).all()
    assert red[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()


@pytest.mark.parametrize("size", [(1, 5000), (5000, 1), (1, 1), (2, 3)])
@pytest.mark.parametrize("text", ["warp:224", "pad:224", "five:224@512", "centre:224@224/lanczos"])
def test_extreme_shapes_give_ordinary_views(size, text):
    views = ViewPolicy.parse(text).views(Image.new("RGB", size, (9, 99, 199)))
    assert views.shape[1:] == (224, 224, 3)
    assert (views == (9, 99, 199)).all(axis=-1).any()


def test_a_photo_smaller_than_the_crop_is_enlarged_to_it():
    views = ViewPolicy.parse("centre:224@512").views(Image.new("RGB", (30, 20), "red"))
    assert (views == (255, 0, 0)).all()


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK"])
def test_views_of_an_unread_photo_are_refused(mode):
    with pytest.raises(ViewError, match=rf"RGB photos \(see read_photo\), got mode {mode}"):
        ViewPolicy.parse("warp:8").views(Image.new(mode, (8, 8)))


@pytest.mark.parametrize(
    ("text", "need", "group_sizes"),
    [
        ("native", None, (1,)),
        ("warp:224", 224, (1,)),
        ("warp:224x320", 320, (1,)),
        ("pad:300", 300, (1,)),
        ("warp:224+five:224@512+centre:224@256", 512, (1, 5, 1)),
    ],
)
def test_a_policy_says_how_large_the_photo_must_be_and_how_many_views_come(text, need, group_sizes):
    policy = ViewPolicy.parse(text)
    assert policy.short_side_px == need
    assert policy.group_sizes == group_sizes


@pytest.mark.parametrize("text", ["warp:64", "centre:64@128", "five:64@100", "pad:64"])
def test_views_of_a_reduced_jpeg_are_close_to_those_of_the_whole(scene, encoded, difference, text):
    """Detail down to single pixels, as in a sharp photo: smooth pictures would differ less."""
    policy = ViewPolicy.parse(text)
    grain = np.random.default_rng(0).normal(0, 12, (800, 1200, 3))
    large = np.asarray(scene.resize((1200, 800)), dtype=np.float64) + grain
    contents = encoded(Image.fromarray(large.clip(0, 255).astype(np.uint8)), "JPEG", quality=90)
    reduced = read_photo(contents, min_short_side_px=policy.short_side_px)
    assert reduced.width < 1200
    assert difference(policy.views(reduced), policy.views(read_photo(contents))) < 2


def test_a_policy_is_a_value():
    policy = ViewPolicy([Warp(8), Warp(8, 8)])
    assert policy == ViewPolicy((Warp(8), Warp(8)))
    with pytest.raises(AttributeError):
        policy.resample = "nearest"
