"""EXIF and XMP are found in the files of every format."""

import shutil
import struct
import subprocess
import time
import tracemalloc
import zlib

import pytest

from metadata_files import FORMATS, TIME, block, chunk, jpeg, jxl, segment, tiff, xmp
from siamese_nima.photos import metadata
from siamese_nima.photos.capture import read_capture
from siamese_nima.photos.metadata import MODEL, RATING, read_metadata

HAS_EXIF = sorted(FORMATS.keys() - {".gif"})
needs_exiftool = pytest.mark.skipif(not shutil.which("exiftool"), reason="exiftool is missing")


def photo(folder, ending, content):
    path = folder / f"a{ending}"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("ending", sorted(FORMATS))
def test_xmp_is_found(tmp_path, ending):
    path = photo(tmp_path, ending, FORMATS[ending](None, xmp(4)))
    found = read_metadata(path)
    assert found.xmp == [xmp(4)]
    assert found.complete


@pytest.mark.parametrize("ending", HAS_EXIF)
def test_rating_and_time_in_exif_are_found(tmp_path, ending):
    path = photo(tmp_path, ending, FORMATS[ending](block({RATING: 3}), None))
    found = read_metadata(path)
    assert found.tags[RATING] == 3
    assert found.tags[MODEL] == "Model X"
    capture = read_capture(path)
    assert capture.camera == "Maker Model X"
    assert capture.seconds % 60 == 0.25


@needs_exiftool
@pytest.mark.parametrize("ending", sorted(FORMATS))
def test_exiftool_finds_the_same_in_these_files(tmp_path, ending):
    path = photo(tmp_path, ending, FORMATS[ending](None, xmp(4)))
    command = ["exiftool", "-s3", "-XMP-xmp:Rating", path]
    assert subprocess.run(command, capture_output=True, timeout=60).stdout.split() == [b"4"]


def test_the_jpeg_in_a_panasonic_raw_file_tells_the_time(tmp_path):
    preview = jpeg(block({}), None)
    path = photo(tmp_path, ".rw2", tiff({0x2E: preview}, magic=b"IIU\0"))
    assert read_capture(path) is not None


def test_bigtiff_is_read(tmp_path):
    packet = xmp(2)
    entry = struct.pack("<HHQQ", 700, 1, len(packet), 16 + 8 + 20 + 8)
    head = b"II+\0\x08\0\0\0" + struct.pack("<Q", 16)
    content = head + struct.pack("<Q", 1) + entry + struct.pack("<Q", 0) + packet
    assert read_metadata(photo(tmp_path, ".tif", content)).xmp == [packet]


def test_a_long_packet_of_a_jpeg_goes_on_in_further_segments(tmp_path):
    name = b"http://ns.adobe.com/xmp/extension/\0" + b"0" * 32
    pieces = xmp(5)[:40], xmp(5)[40:]
    places = struct.pack(">II", 300, 0), struct.pack(">II", 300, 40)
    parts = [segment(name + place + piece) for place, piece in zip(places, pieces, strict=True)]
    content = b"\xff\xd8" + b"".join(parts) + b"\xff\xda\0\x02"
    assert read_metadata(photo(tmp_path, ".jpg", content)).xmp == [xmp(5)]


@needs_exiftool
def test_what_is_not_read_here_is_left_to_exiftool(tmp_path):
    content = FORMATS[".jpg"](block({RATING: 2}), None)
    found = read_metadata(photo(tmp_path, ".x3f", b"\0" * 4 + content))
    assert found.tags[RATING] == 2
    assert found.tags[metadata.TIME] == TIME[metadata.TIME]
    assert found.complete


@pytest.mark.parametrize("ending", [".x3f", ".crw"])
def test_without_exiftool_it_is_said_that_not_all_was_read(tmp_path, monkeypatch, ending):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert not read_metadata(photo(tmp_path, ending, b"FOVb" + b"\0" * 60)).complete


def test_a_packed_block_of_jpeg_xl_without_brotli_is_not_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    packed = jxl(None, None) + struct.pack(">I", 20) + b"brobxml " + bytes(8)
    assert not read_metadata(photo(tmp_path, ".jxl", packed)).complete


@pytest.mark.parametrize("ending", sorted(FORMATS))
def test_damage_anywhere_is_no_error(tmp_path, monkeypatch, ending):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    content = FORMATS[ending](block({RATING: 3}), xmp(3))
    for end in range(0, len(content), 7):
        read_metadata(photo(tmp_path, ending, content[:end]))
    for place in range(0, min(len(content), 400), 3):
        damaged = bytearray(content)
        damaged[place] ^= 0xFF
        read_metadata(photo(tmp_path, ending, bytes(damaged)))


def test_a_block_that_claims_to_be_huge_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    head = b"II*\0\x08\0\0\0" + struct.pack("<H", 1)
    entry = struct.pack("<HHII", 700, 1, 3_000_000_000, 26)
    found = read_metadata(photo(tmp_path, ".dng", head + entry + bytes(4)))
    assert found.xmp == []
    assert not found.complete


def test_what_is_missing_has_nothing(tmp_path):
    found = read_metadata(tmp_path / "missing.jpg")
    assert (found.tags, found.xmp, found.complete) == ({}, [], False)


def entries(tag, kind, count, where, times):
    """A directory that says the same many times."""
    entry = struct.pack("<HHII", tag, kind, count, where)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", times) + entry * times + bytes(4)


def test_blocks_that_are_read_again_and_again_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    many = entries(700, 1, 60_000, 0, 9_000)
    tracemalloc.start()
    found = read_metadata(photo(tmp_path, ".dng", many))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200e6
    assert not found.complete


def test_pictures_inside_of_each_other_end(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    inner = jpeg(entries(0x2E, 7, 40, 0, 3_000), None)
    content = entries(0x2E, 7, len(inner), 10 + 12 * 3_000 + 4, 3_000) + inner
    started = time.process_time()
    assert not read_metadata(photo(tmp_path, ".rw2", b"IIU\0" + content[4:])).complete
    assert time.process_time() - started < 30


def test_text_that_unpacks_to_much_more_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    text = b"Raw profile type xmp\0\0" + zlib.compress(bytes(15 << 20), 9)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"zTXt", text) * 40 + chunk(b"IEND", b"")
    assert not read_metadata(photo(tmp_path, ".png", bomb)).complete
