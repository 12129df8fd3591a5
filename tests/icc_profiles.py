"""ICC profiles, written after the specification."""

from __future__ import annotations

import struct


def s15(value):
    return struct.pack(">i", round(value * 65536))


def curve(gamma):
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)


def icc_profile(colour_space, tags):
    """An ICC version 2 display profile of the given tags, as in ICC.1:2001-04."""
    tags = {b"wtpt": b"XYZ " + bytes(4) + s15(0.9642) + s15(1) + s15(0.8249), **tags}
    tags[b"desc"] = b"desc" + bytes(4) + struct.pack(">I", 2) + b"x\0" + bytes(78)
    tags[b"cprt"] = b"text" + bytes(4) + b"CC0\0"
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, tag in tags.items():
        table += name + struct.pack(">II", start + len(body), len(tag))
        body += tag + bytes(-len(tag) % 4)
    size = struct.pack(">I", start + len(body))
    head = size + bytes(4) + b"\x02\x10\0\0mntr" + colour_space + b"XYZ " + bytes(12) + b"acsp"
    head += bytes(28) + s15(0.9642) + s15(1) + s15(0.8249)
    return head + bytes(128 - len(head)) + table + body


def rgb_profile(columns, gamma):
    tags = {
        name: b"XYZ " + bytes(4) + b"".join(map(s15, column))
        for name, column in zip([b"rXYZ", b"gXYZ", b"bXYZ"], columns, strict=True)
    }
    return icc_profile(b"RGB ", tags | dict.fromkeys([b"rTRC", b"gTRC", b"bTRC"], curve(gamma)))


# Columns adapted to D50, from the ICC's registry of Adobe RGB (1998).
ADOBE_COLUMNS = [
    (0.60974, 0.31111, 0.01947),
    (0.20528, 0.62567, 0.06087),
    (0.14919, 0.06322, 0.74457),
]
ADOBE_RGB = rgb_profile(ADOBE_COLUMNS, 2.19921875)
GREY_GAMMA_1 = icc_profile(b"GRAY", {b"kTRC": curve(1.0)})
