"""A folder of everything that can be wrong with photos, and what must become of each.

python tests/hostile_corpus.py FOLDER      writes the corpus and lists it
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from photo_seeds import damaged_at, encoded, scene, seeds

# What must become of an entry: a score, an error that contains some words, or nothing at all.
SCORE, SKIPPED = "score", "skipped"
_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
_ORIENTATION = 0x0112


def write_corpus(folder: Path) -> dict[str, str]:
    """Write the corpus; returns what is expected of each name, relative to `folder`.

    "score" and "skipped" stand for themselves. "error: WORDS" is an error whose message contains
    the words. "like NAME" is an error or the score of that entry: formats end in bytes that hold no
    pixels, without which the picture is complete. "any" is a score or an error.
    """
    folder.mkdir(parents=True)
    expected = {}
    for name, contents, outcome in [*_sound(), *_cut(), *_bombs(), *_broken(), *_odd_names()]:
        (folder / name).write_bytes(contents)
        expected[name] = outcome
    return expected | _special(folder)


Entry = tuple[str, bytes, str]


def _sound() -> Iterator[Entry]:
    """Photos that are unusual and all right."""
    picture = scene()
    for name, contents in seeds().items():
        outcome = SCORE if not name.startswith(("heic", "dng")) else "any"
        yield f"sound-{name}.jpg", contents, outcome  # all with a wrong extension
    for orientation in range(10):
        exif = Image.Exif()
        exif[_ORIENTATION] = orientation
        yield f"orientation-{orientation}.jpg", encoded(picture, "JPEG", exif=exif), SCORE
    cmyk = encoded(picture.convert("CMYK"), "JPEG")
    yield "cmyk-adobe.jpg", cmyk, SCORE
    adobe = cmyk.index(b"Adobe")
    yield "ycck.jpg", damaged_at(cmyk, adobe + 11, b"\2"), SCORE
    yield "cmyk-no-adobe.jpg", damaged_at(cmyk, adobe, b"xdobe"), SCORE
    for mode in ("1", "L", "LA", "P", "RGBA", "I;16"):
        wide = Image.fromarray(np.asarray(picture)[..., 0] * np.uint16(257))
        yield (
            f"mode-{mode}.png",
            encoded(wide if mode == "I;16" else picture.convert(mode), "PNG"),
            SCORE,
        )
    yield "rgb-16.png", _png(4, 4, bytes(4 * (1 + 4 * 6)), depth=16), SCORE
    for size in [(1, 1), (1, 60_000), (60_000, 1), (3, 1)]:
        for image_format in ("PNG", "JPEG", "TIFF"):
            name = f"{size[0]}x{size[1]}.{image_format.lower()}"
            yield name, encoded(Image.new("RGB", size, "red"), image_format), SCORE
    profiles = {"garbage": b"garbage", "cut": _SRGB[:200], "empty": b"", "zeros": bytes(500)}
    for name, profile in profiles.items():
        yield f"icc-{name}.png", encoded(picture, "PNG", icc_profile=profile), SCORE
        yield f"icc-{name}.jpg", encoded(picture, "JPEG", icc_profile=profile), SCORE
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    yield "icc-of-lab.png", encoded(picture, "PNG", icc_profile=lab), SCORE
    for name, exif in {
        "garbage": b"Exif\0\0garbage",
        "loop": b"Exif\0\0II*\0\x08\0\0\0\1\0\x69\x87\4\0\1\0\0\0\x08\0\0\0\x08\0\0\0",
        "cut": b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x12\x01" * 40,
    }.items():
        yield f"exif-{name}.jpg", encoded(picture, "JPEG", exif=exif), SCORE
    yield "trailing-junk.jpg", encoded(picture, "JPEG") + b"\xff\xd8junk" * 99, SCORE


def _cut() -> Iterator[Entry]:
    """Sound files cut off: JPEG at every marker, PNG at every chunk, all formats here and there."""
    for name, contents in seeds().items():
        for place, length in enumerate(_cuts(name, contents)):
            outcome = "error: " if length < len(contents) // 4 else f"like sound-{name}.jpg"
            yield f"cut-{name}-{place}.jpg", contents[:length], outcome


def _cuts(name: str, contents: bytes) -> list[int]:
    cuts = {1, 2, 7, 13, 30, *(len(contents) * part // 8 for part in range(1, 8))}
    cuts |= {len(contents) - rest for rest in (30, 9, 2, 1)}
    if name.startswith("jpeg") and not name.startswith("jpeg2000"):
        marks = [at for at in range(len(contents) - 1) if contents[at] == 255 and contents[at + 1]]
        cuts |= {at + extra for at in marks for extra in (0, 1, 2, 3, 5)}
    if name == "png":
        marks = [contents.find(kind) for kind in (b"IHDR", b"iCCP", b"eXIf", b"IDAT", b"IEND")]
        cuts |= {at + extra for at in marks for extra in (-4, 0, 4, 5)}
    return sorted(cut for cut in cuts if 0 < cut < len(contents))


def _bombs() -> Iterator[Entry]:
    """Small files that announce, or unpack to, very many pixels."""
    too_large = "error: more than the limit"
    yield "bomb-announced.png", _png(60_000, 50_000, bytes(100)), too_large
    yield "bomb-real.png", _png(20_000, 20_000, bytes(20_000 * 2501), depth=1, colour=0), too_large
    yield "bomb-below-limit.png", _png(17_000, 17_000, bytes(100)), "error: truncated"
    jpeg = encoded(scene(), "JPEG")
    size_at = jpeg.index(b"\xff\xc0") + 5
    yield "bomb.jpg", damaged_at(jpeg, size_at, struct.pack(">HH", 65_500, 65_500)), too_large
    gif = encoded(scene(), "GIF")
    yield "bomb.gif", damaged_at(gif, 6, struct.pack("<HH", 65_535, 65_535)), too_large
    tiff = struct.pack("<2sHI", b"II", 42, 8) + struct.pack("<H", 5)
    tags = [
        (256, 4, 1, 100_000),
        (257, 4, 1, 100_000),
        (258, 3, 1, 8),
        (262, 3, 1, 1),
        (273, 4, 1, 8),
    ]
    tiff += b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    yield "bomb.tif", tiff, too_large
    canvas = (16_383).to_bytes(3, "little") * 2
    webp = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + canvas
    yield "bomb.webp", b"RIFF" + struct.pack("<I", len(webp)) + webp, "error: "
    bmp = encoded(scene(), "BMP")
    yield "bomb.bmp", damaged_at(bmp, 18, struct.pack("<II", 50_000, 50_000)), too_large
    yield "bomb.qoi", b"qoif" + struct.pack(">II", 60_000, 60_000) + b"\3\0" + bytes(60), too_large
    text = b"Comment\0\0" + zlib.compress(bytes(80_000_000))
    whole = encoded(scene(), "PNG")
    yield "bomb-text.png", whole[:33] + _chunk(b"zTXt", text) + whole[33:], "any"


def _broken() -> Iterator[Entry]:
    """What is no photo, or no longer."""
    jpeg = encoded(scene(400, 300), "JPEG", quality=95)
    middle = len(jpeg) // 2
    noise = np.random.default_rng(0).bytes(3000)
    yield "zero-bytes.jpg", b"", "error: empty (0 bytes)"
    yield "zeros.jpg", bytes(5000), "error: not a photo"
    yield "random.jpg", noise, "error: not a photo"
    yield "text.jpg", b"just some text", "error: not a photo"
    yield "page.jpg", b"<html><body>404 Not Found</body></html>", "error: not a photo"
    yield "document.jpg", b"%PDF-1.7\n" + noise, "error: a PDF document"
    yield "film.jpg", b"\0\0\0\x18ftypmp42" + noise, "error: not a photo"
    yield "overwritten.jpg", damaged_at(jpeg, middle, noise), "error: breaks off at byte"
    yield "hole.jpg", damaged_at(jpeg, middle, bytes(2048)), "error: a hole of 2"
    yield "float.tif", encoded(Image.new("F", (9, 9), 7), "TIFF"), "error: floating-point"
    yield "float-sound.tif", encoded(Image.new("F", (9, 9), 0.5), "TIFF"), SCORE
    yield "int32.tif", encoded(Image.new("I", (9, 9)), "TIFF"), "error: signed integer"
    yield "no-width.png", _png(0, 5, b""), "error: "
    yield "broken.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + noise, "error: "
    yield "broken.nef", b"MM\0*" + noise, "error: "


def _odd_names() -> Iterator[Entry]:
    contents = encoded(scene(), "PNG")
    names = [
        *("new\nline.png", "tab\t.png", 'quote".png', "it's.png", "comma,.png", "semi;colon.png"),
        *("-dash.png", "--out.png", " space .png", "ünïcode-日本.png", "emoji-📷.png", "=1+1.png"),
        *("%s%n.png", "$HOME.png", "back\\slash.png", "a*b?[c].png", "rtl-\u202egnp.png"),
        *("carriage\rreturn.png", "bell\a.png", "x" * 250 + ".png", "UPPER.PNG", "a.jpg.png"),
        os.fsdecode(b"not-utf8-\xff\xfe.png"),
    ]
    for name in names:
        yield name, contents, SCORE


def _special(folder: Path) -> dict[str, str]:
    """Folders, links, pipes, sockets and devices."""
    expected = {}
    contents = encoded(scene(), "PNG")
    for name in ("album.jpg", "loops"):
        (folder / name).mkdir()
        (folder / name / "inside.png").write_bytes(contents)
        expected[f"{name}/inside.png"] = SCORE
    (folder / "empty.png").mkdir()
    (folder / "loops" / "again").symlink_to(folder, target_is_directory=True)
    (folder / "loops" / "here").symlink_to(".", target_is_directory=True)
    (folder / "broken-link.jpg").symlink_to("nowhere.jpg")
    (folder / "round-link.jpg").symlink_to("round-link.jpg")
    (folder / "repeat-link.jpg").symlink_to("1x1.png")
    (folder / "zero-link.jpg").symlink_to("/dev/zero")
    os.mkfifo(folder / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(folder)  # a socket's name may have 108 bytes only
        try:
            server.bind("socket.jpg")
        finally:
            os.chdir(here)
    (folder / ".hidden.jpg").write_bytes(contents)
    (folder / "notes.txt").write_text("not a photo")
    expected |= {"broken-link.jpg": "error: no such file", "round-link.jpg": "error: "}
    names = [
        "repeat-link.jpg",
        "zero-link.jpg",
        "pipe.jpg",
        "socket.jpg",
        ".hidden.jpg",
        "notes.txt",
    ]
    return expected | dict.fromkeys(names, SKIPPED)


def _chunk(kind: bytes, body: bytes) -> bytes:
    checked = kind + body
    return struct.pack(">I", len(body)) + checked + struct.pack(">I", zlib.crc32(checked))


def _png(width: int, height: int, rows: bytes, *, depth: int = 8, colour: int = 2) -> bytes:
    """A PNG that announces a size, whatever its rows hold."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


if __name__ == "__main__":
    for entry, outcome in write_corpus(Path(sys.argv[1])).items():
        print(f"{outcome:30} {entry!r}")
