"""A picture of the bursts in a folder: one row each, the best photo first and framed.

python examples/contact_sheet.py examples/photos bursts.jpg
"""

import sys

from PIL import Image, ImageDraw, ImageFont

from siamese_nima import Burst, FrameReader, Scorer, group_bursts, read_photo

SIDE, GAP, TEXT = 150, 8, 20
GREEN, AMBER, GREY = "#1a7f37", "#b35900", "#57606a"


def find_bursts(folder: str) -> tuple[Burst, ...]:
    """Score a folder and group it; every photo is decoded once."""
    scorer = Scorer()
    reader = FrameReader(scorer.decode_px)
    results = list(scorer.score(folder, on_photo=reader.look))
    frames = reader.frames([result.path for result in results])
    return group_bursts(results, frames, pair_error=scorer.card.pair_error)


def contact_sheet(bursts: tuple[Burst, ...]) -> Image.Image:
    """One row per burst; the frame of the best is amber where it is too close to call."""
    columns = max(len(burst.photos) for burst in bursts)
    step, height = SIDE + GAP, SIDE + TEXT + GAP
    sheet = Image.new("RGB", (columns * step + GAP, len(bursts) * height + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(14)
    for row, burst in enumerate(bursts):
        for column, result in enumerate(burst.photos):
            left, top = GAP + column * step, GAP + row * height
            photo = read_photo(result.path, min_short_side_px=SIDE)
            photo.thumbnail((SIDE, SIDE))
            place = left + (SIDE - photo.width) // 2, top + SIDE - photo.height
            sheet.paste(photo, place)
            colour = (AMBER if burst.too_close else GREEN) if column == 0 else GREY
            label = f"{result.mean:.2f}" + (" best" if column == 0 else "")
            draw.text((left + SIDE / 2, top + SIDE + 2), label, colour, font, anchor="ma")
            if column == 0:
                box = (*place, place[0] + photo.width - 1, place[1] + photo.height - 1)
                draw.rectangle(box, outline=colour, width=4)
    return sheet


if __name__ == "__main__":
    contact_sheet(find_bursts(sys.argv[1])).save(sys.argv[2], quality=80)
