"""Photos on a card: exFAT, which folds upper and lower case and knows no permissions or links."""

import os
import shutil
import subprocess

import pytest
from PIL import Image
from typer.testing import CliRunner

from siamese_nima.cli import app

MB = 2**20


@pytest.fixture(scope="module")
def card(tmp_path_factory):
    """The folder at which an exFAT disk is mounted."""
    needed = ("mkfs.exfat", "losetup", "mount", "umount")
    if not all(map(shutil.which, needed)) or os.geteuid():
        pytest.skip("needs exfatprogs, and may only be mounted by root")
    place = tmp_path_factory.mktemp("card")
    image, folder = place / "card.img", place / "card"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(16 * MB)
    subprocess.run(["mkfs.exfat", image], check=True, capture_output=True)
    found = subprocess.run(["losetup", "--find", "--show", image], capture_output=True, text=True)
    if found.returncode:
        pytest.skip("loop devices cannot be had here")
    device = found.stdout.strip()
    try:
        for command in (["mount", "-t", "exfat"], ["mount.exfat-fuse"]):
            if (
                shutil.which(command[0])
                and not subprocess.run([*command, device, folder], capture_output=True).returncode
            ):
                break
        else:
            pytest.skip("this system cannot mount exFAT")
        yield folder
        subprocess.run(["umount", folder], check=True)
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


def nima(*arguments):
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, (done.output, done.exception)
    return done.output


def test_tables_caches_and_stars_on_a_card(card, tiny_model):
    names = ["img_1.jpg", "img_2.jpg", "\u7167\u7247.jpg"]
    for number, name in enumerate(names):
        Image.new("RGB", (64, 48), (90 * number,) * 3).save(card / name)
    # Of a program that writes names in capitals: the same file for this disk.
    theirs = card / "IMG_2.xmp"
    theirs.write_text(
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-'
        'syntax-ns#"><rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
        'xmp:Rating="4"/></rdf:RDF></x:xmpmeta>'
    )
    content = theirs.read_bytes()
    table, cache, log = card / "t.csv", card / "c.sqlite", card / "log.jsonl"
    options = ["--model", tiny_model, "--cache", cache]
    for _ in range(2):
        nima("score", card, *options, "--out", table)
    assert len(table.read_text().splitlines()) == 4
    print(nima("stars", card, *options, "--log", log))
    assert theirs.read_bytes() == content
    sidecars = sorted(path.name for path in card.glob("*.[xX][mM][pP]"))
    assert sidecars == ["IMG_2.xmp", "img_1.xmp", "\u7167\u7247.xmp"]
    nima("stars", "--undo", log)
    assert [path.name for path in card.glob("*.xmp")] == ["IMG_2.xmp"]
