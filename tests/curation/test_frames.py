"""Frames: taken while photos are scored, or read afterwards, with the same outcome."""

from PIL import Image

from siamese_nima.curation.bursts import FrameReader
from siamese_nima.photos.read import read_photo


def same(first, second):
    return (
        first.path == second.path
        and first.difference_hash == second.difference_hash
        and (first.thumbnail == second.thumbnail).all()
        and first.capture == second.capture
    )


def test_a_photo_seen_while_it_is_scored_has_the_frame_of_one_read_later(tmp_path):
    path = str(tmp_path / "a.jpg")
    Image.linear_gradient("L").resize((700, 500)).save(path)
    seen = FrameReader(decode_px=200)
    seen.look(path, read_photo(path, min_short_side_px=200))
    read = FrameReader(decode_px=200)
    assert same(seen.frames([path])[0], read.frames([path])[0])


def test_frames_come_in_the_order_given_and_an_unreadable_photo_has_none(photo_folder):
    names = ["photo3.png", "missing.png", "photo1.png"]
    calls = []
    frames = FrameReader().frames(
        [photo_folder / name for name in names], report=lambda *counts: calls.append(counts)
    )
    assert frames[1] is None
    assert [frame and frame.path for frame in frames[::2]] == [
        str(photo_folder / name) for name in names[::2]
    ]
    assert calls == [(1, 3), (2, 3), (3, 3)]


def test_one_path_is_one_photo(photo_folder):
    (frame,) = FrameReader().frames(str(photo_folder / "photo1.png"))
    assert frame is not None
