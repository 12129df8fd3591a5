"""What writing stars would change, in both conventions of sidecars."""

import math
import shutil
from pathlib import Path

import pytest
from PIL import Image

from metadata_files import FORMATS, block, xmp
from siamese_nima.curation.stars import embedded_rating, plan_stars
from siamese_nima.curation.xmp import RATING, Packet
from siamese_nima.errors import ConfigError
from siamese_nima.ratings import AVA_SCALE
from siamese_nima.scoring.results import ScoredPhoto
from sidecar_examples import WITH_RATING

EXIF_RATING, EXIF_PERCENT = 0x4746, 0x4749


@pytest.fixture
def folder(tmp_path):
    for name in ("a.jpg", "b.jpg"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    return tmp_path


def result(path, mean=6.0):
    return ScoredPhoto(path=str(path), model="tiny-1@0", scale=AVA_SCALE, score=mean)


def plan(*paths, stars=4, **options):
    return list(plan_stars([result(p) for p in paths], [stars] * len(paths), **options))


def summary(entries):
    return [(entry.action, entry.sidecar.name, entry.was) for entry in entries]


def sidecar(path, rating, program="darktable"):
    path.write_text(WITH_RATING[program].replace("{rating}", str(rating)))


def write(entries):
    for entry in entries:
        if entry.after:
            entry.sidecar.write_bytes(entry.after)


def test_without_sidecars_full_names_are_made(folder):
    entries = plan(folder / "a.jpg", folder / "b.jpg")
    assert summary(entries) == [("create", "a.jpg.xmp", None), ("create", "b.jpg.xmp", None)]
    assert not list(folder.glob("*.xmp"))


def test_the_convention_of_the_folder_is_followed(folder):
    sidecar(folder / "b.xmp", 0)
    assert summary(plan(folder / "a.jpg")) == [("create", "a.xmp", None)]
    assert summary(plan(folder / "a.jpg", naming="full")) == [("create", "a.jpg.xmp", None)]
    assert summary(plan(folder / "b.jpg")) == [("change", "b.xmp", None)]


def test_a_sidecar_in_capitals_is_used(folder):
    sidecar(folder / "a.XMP", 0)
    assert summary(plan(folder / "a.jpg")) == [("change", "a.XMP", None)]


def test_two_sidecars_of_one_photo_need_a_choice(folder):
    sidecar(folder / "a.xmp", 0)
    sidecar(folder / "a.jpg.xmp", 0)
    [entry] = plan(folder / "a.jpg")
    assert entry.action == "fail"
    assert "a.jpg: has two sidecars, a.jpg.xmp and a.xmp" in entry.error
    assert summary(plan(folder / "a.jpg", naming="stem")) == [("change", "a.xmp", None)]


@pytest.mark.parametrize("program", WITH_RATING)
@pytest.mark.parametrize("rating", [2, -1])
def test_a_persons_rating_stays_unless_told(folder, program, rating):
    sidecar(folder / "a.jpg.xmp", rating, program)
    assert summary(plan(folder / "a.jpg")) == [("keep", "a.jpg.xmp", rating)]
    [entry] = plan(folder / "a.jpg", overwrite=True)
    assert (entry.action, entry.was) == ("change", rating)
    assert Packet.parse(entry.after, "").rating == 4


def test_a_rating_in_the_other_sidecar_stays_too(folder):
    sidecar(folder / "a.xmp", 2)
    assert summary(plan(folder / "a.jpg", naming="full")) == [("keep", "a.jpg.xmp", 2)]


def test_a_rating_inside_the_photo_stays_too(folder):
    exif = Image.Exif()
    exif[EXIF_RATING] = 3
    Image.new("RGB", (8, 8)).save(folder / "a.jpg", exif=exif)
    xmp = WITH_RATING["adobe"].replace("{rating}", "5").encode()
    Image.new("RGB", (8, 8)).save(folder / "b.jpg", xmp=xmp)
    entries = plan(folder / "a.jpg", folder / "b.jpg")
    assert summary(entries) == [("keep", "a.jpg.xmp", 3), ("keep", "b.jpg.xmp", 5)]


def test_a_photo_without_readable_metadata_has_no_embedded_rating(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"broken")
    Image.new("RGB", (8, 8)).save(tmp_path / "b.jpg", xmp=b"<broken")
    assert embedded_rating(tmp_path / "a.jpg") is None
    assert embedded_rating(tmp_path / "b.jpg") is None


@pytest.mark.parametrize("ending", sorted(FORMATS))
def test_a_rating_inside_stays_whatever_the_format(tmp_path, ending):
    for name, exif, packet in (("x", None, xmp(2)), ("e", block({EXIF_RATING: 3}), None)):
        (tmp_path / f"{name}{ending}").write_bytes(FORMATS[ending](exif, packet))
    assert embedded_rating(tmp_path / f"x{ending}") == 2
    if ending != ".gif":
        assert embedded_rating(tmp_path / f"e{ending}") == 3
    [entry] = plan(tmp_path / f"x{ending}")
    assert (entry.action, entry.was) == ("keep", 2)


BROKEN = xmp(0)[:150]
CUT_OFF = xmp(4)[:-40]


@pytest.mark.parametrize(
    ("packet", "exif", "rating"),
    [
        (BROKEN, {EXIF_RATING: 3}, 3),
        (CUT_OFF, {}, 4),
        (CUT_OFF, {EXIF_RATING: 2}, 4),
        (xmp(0), {EXIF_RATING: 2}, 2),
        (xmp(0), {EXIF_RATING: 0, EXIF_PERCENT: 75}, 4),
        (xmp(5).decode().encode("utf-16"), {}, 5),
        (xmp(5).decode().encode("utf-16-be"), {}, 5),
        (xmp(5).decode().encode("utf-32"), {}, 5),
        (xmp(-1), {}, -1),
        *((xmp(0).replace(b"xmp", b"MicrosoftPhoto").replace(
            b"http://ns.adobe.com/xap/1.0/", b"http://ns.microsoft.com/photo/1.0" + end
        ).replace(b'"0"', b'"50"'), {}, 3) for end in (b"/", b"")),  # Windows; ExifTool
        (BROKEN, {}, None),
        (xmp(0), {}, None),
    ],
)  # fmt: skip
def test_ratings_of_all_kinds_are_found(tmp_path, packet, exif, rating):
    (tmp_path / "a.jpg").write_bytes(FORMATS[".jpg"](block(exif), packet))
    assert embedded_rating(tmp_path / "a.jpg") == rating


def test_a_rating_that_cannot_be_read_counts_as_one(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    (tmp_path / "a.x3f").write_bytes(b"FOVb" + bytes(60))
    [entry] = plan(tmp_path / "a.x3f")
    assert entry.action == "keep"
    assert math.isnan(entry.was)
    [entry] = plan(tmp_path / "a.x3f", overwrite=True)
    assert entry.action == "create"


def test_a_second_run_changes_nothing_and_new_stars_replace_only_our_own(folder):
    photos = folder / "a.jpg", folder / "b.jpg"
    write(plan(*photos))
    assert summary(plan(*photos)) == [("same", "a.jpg.xmp", 4), ("same", "b.jpg.xmp", 4)]
    by_hand = (folder / "b.jpg.xmp").read_bytes().replace(b'xmp:Rating="4"', b'xmp:Rating="1"')
    (folder / "b.jpg.xmp").write_bytes(by_hand)
    again = plan(*photos, stars=5)
    assert summary(again) == [("change", "a.jpg.xmp", 4), ("keep", "b.jpg.xmp", 1)]


def test_a_raw_file_and_its_jpeg_share_the_sidecar_and_the_better_counts(folder):
    (folder / "a.cr2").write_bytes(b"raw")
    results = [result(folder / "a.cr2", 5.0), result(folder / "a.jpg", 7.0)]
    [entry] = plan_stars(results, [2, 4], naming="stem")
    assert (entry.sidecar.name, entry.stars) == ("a.xmp", 4)
    assert Packet.parse(entry.after, "").value(RATING) == "4"
    both = list(plan_stars(results, [2, 4], naming="full"))
    assert [(e.sidecar.name, e.stars) for e in both] == [("a.cr2.xmp", 4), ("a.jpg.xmp", 4)]
    own = list(plan_stars(results, [2, 4], naming="full", apart=True))
    assert [(e.sidecar.name, e.stars) for e in own] == [("a.cr2.xmp", 2), ("a.jpg.xmp", 4)]


def test_one_rating_reaches_all_files_of_a_shot_unless_a_person_rated_one(folder):
    (folder / "a.cr2").write_bytes(b"raw")
    assert summary(plan(folder / "a.jpg")) == [
        ("create", "a.jpg.xmp", None),
        ("create", "a.cr2.xmp", None),
    ]
    assert summary(plan(folder / "a.jpg", apart=True)) == [("create", "a.jpg.xmp", None)]
    sidecar(folder / "a.cr2.xmp", 2)
    assert {entry.action for entry in plan(folder / "a.jpg")} == {"keep"}
    (folder / "b.heic").write_bytes(FORMATS[".heic"](block({EXIF_RATING: 3}), None))
    assert {(entry.action, entry.was) for entry in plan(folder / "b.jpg")} == {("keep", 3)}


@pytest.mark.parametrize(
    ("photo", "existing"),
    [
        ("IMG_1.JPG", "IMG_1.jpg.xmp"),
        ("IMG_1.JPG", "img_1.JPG.XMP"),
        ("a.jpg", "a.jpg.Xmp"),
        ("img_2.jpg", "IMG_2.xmp"),
        ("caf\u00e9.jpg", "cafe\u0301.jpg.xmp"),
        ("cafe\u0301.jpg", "caf\u00e9.xmp"),
    ],
)
def test_a_sidecar_in_other_letters_is_found(tmp_path, photo, existing):
    Image.new("RGB", (8, 8)).save(tmp_path / photo)
    sidecar(tmp_path / existing, 2)
    assert summary(plan(tmp_path / photo)) == [("keep", existing, 2)]
    sidecar(tmp_path / existing, 0)
    assert summary(plan(tmp_path / photo)) == [("change", existing, None)]


def test_a_sidecar_is_of_the_photo_that_is_spelled_as_it_is(folder):
    Image.new("RGB", (8, 8)).save(folder / "A.JPG")
    sidecar(folder / "A.JPG.xmp", 2)
    assert summary(plan(folder / "a.jpg", folder / "A.JPG")) == [
        ("create", "a.jpg.xmp", None),
        ("keep", "A.JPG.xmp", 2),
    ]


def test_two_sidecars_that_differ_in_capitals_only_are_named(folder):
    sidecar(folder / "a.jpg.xmp", 0)
    sidecar(folder / "a.jpg.XMP", 2)
    [entry] = plan(folder / "a.jpg")
    assert entry.action == "fail"
    assert "a.jpg: has two sidecars, a.jpg.XMP and a.jpg.xmp; remove one" in entry.error


def test_a_photo_is_found_under_a_name_in_composed_letters(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "cafe\u0301.jpg")
    assert summary(plan(tmp_path / "caf\u00e9.jpg")) == [("create", "cafe\u0301.jpg.xmp", None)]


def test_each_problem_is_named_and_the_others_go_on(folder, tmp_path_factory):
    (folder / "a.jpg.xmp").write_text("<broken")
    (folder / "b.jpg.xmp").symlink_to(tmp_path_factory.mktemp("elsewhere") / "b.xmp")
    (folder / "c.jpg.xmp").mkdir()
    for name in ("c.jpg", "d.jpg"):
        shutil.copy(folder / "a.jpg", folder / name)
    names = ("a.jpg", "b.jpg", "c.jpg", "d.jpg", "missing/e.jpg", "gone.jpg")
    entries = {Path(e.result.path).name: e for e in plan(*(folder / name for name in names))}
    assert [entries[name].action for name in ("a.jpg", "b.jpg", "c.jpg")] == ["fail"] * 3
    assert "a.jpg.xmp: broken XML" in entries["a.jpg"].error
    assert "b.jpg.xmp: a link" in entries["b.jpg"].error
    assert "c.jpg.xmp: not a regular file" in entries["c.jpg"].error
    assert entries["d.jpg"].action == "create"
    assert "missing: cannot be listed" in entries["e.jpg"].error
    assert "gone.jpg: no such photo" in entries["gone.jpg"].error


def test_an_unknown_convention_is_refused(folder):
    with pytest.raises(ConfigError, match="sidecars are auto, full, stem, not 'both'"):
        plan(folder / "a.jpg", naming="both")
