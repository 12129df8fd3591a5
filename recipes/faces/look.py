"""A picture of every face in a folder of photos with what is said of its eyes, to be looked at.

    python recipes/faces/look.py BIQ2021/Images --limit 1500 --out runs/faces.png

Closed eyes come first, then open ones, then those that cannot be told, each from the least open on.
Prints how many there are of each, and what looking for them costs beside decoding.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import Counter
from pathlib import Path
from statistics import median

from PIL import Image, ImageDraw

from siamese_nima.errors import PhotoError
from siamese_nima.photos.find import find_photos
from siamese_nima.photos.read import open_photo
from siamese_nima.scoring.faces import Face, find_faces

_SIDE, _WORDS, _COLUMNS = 110, 14, 14
_ORDER = {"closed": 0, "open": 1, "unclear": 2}


def main() -> None:
    """Find, draw, count."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", nargs="+")
    parser.add_argument("--limit", type=int, help="so many photos, drawn at random")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    paths = sorted(str(path) for path in find_photos(options.photos).paths)
    random.Random(0).shuffle(paths)
    found: list[tuple[Face, Image.Image]] = []
    paths = paths[: options.limit]
    seconds = []
    for path in paths:
        try:
            photo = open_photo(path)
            photo.resize((8, 8))  # decodes it
            begun = time.process_time()
            faces = find_faces(photo)
            seconds.append(time.process_time() - begun)
            found += [(face, _around(photo.whole(), face)) for face in faces]
        except PhotoError as error:
            print(error)
    found.sort(key=lambda pair: (_ORDER[pair[0].eyes], sum(pair[0].openness)))
    rows = max(-(-len(found) // _COLUMNS), 1)
    sheet = Image.new("RGB", (_COLUMNS * _SIDE, rows * (_SIDE + _WORDS)), "white")
    pen = ImageDraw.Draw(sheet)
    for place, (face, picture) in enumerate(found):
        x, y = place % _COLUMNS * _SIDE, place // _COLUMNS * (_SIDE + _WORDS)
        sheet.paste(picture, (x, y))
        pen.text((x, y + _SIDE), f"{face.eyes} {min(face.openness):.2f}", fill=0)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(options.out)
    print(f"{len(paths)} photos, {len(found)} faces: {dict(Counter(f.eyes for f, _ in found))}")
    print(f"{1000 * median(seconds):.0f} ms of processor time a photo (median)")


def _around(photo: Image.Image, face: Face) -> Image.Image:
    left, top, width, height = face.box
    edges = (left - 0.2 * width, top - 0.4 * height, left + 1.2 * width, top + 1.1 * height)
    box = [round(edge * side) for edge, side in zip(edges, photo.size * 2, strict=True)]
    return photo.crop((box[0], box[1], box[2], box[3])).resize((_SIDE, _SIDE))


if __name__ == "__main__":
    main()
