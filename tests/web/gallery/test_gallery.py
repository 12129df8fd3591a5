"""What the gallery's addresses answer."""

from __future__ import annotations

import io
import re
import urllib.error
import urllib.request
from html import unescape
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")

from PIL import Image

from siamese_nima.web.report import SCRIPTS, STYLES, page_part


def get(address: str, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    request = urllib.request.Request(address + path, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read()


@pytest.fixture(scope="module")
def html(address) -> str:
    status, headers, body = get(address, "/")
    assert status == 200
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in headers["content-security-policy"]
    return body.decode()


def cards(html: str) -> dict[str, str]:
    """The HTML of every card by the path that it shows."""
    found = re.findall(r"<li.*?</li>", html, re.DOTALL)
    return {unescape(re.search(r'data-path="(.*?)"', card)[1]): card for card in found}


def link(card: str, kind: str) -> str:
    return "/" + re.search(rf'"\./({kind}/[0-9a-f]+/?)\d*"', card)[1]


def test_the_page_shows_paths_inside_the_folder_and_no_others(html, shoot):
    assert len(cards(html)) == 11
    assert {"photo10.png", "two\\nlines.png", "old.tif", "broken.jpg"} <= set(cards(html))
    assert str(shoot.parent) not in html
    assert "shoot/" not in html
    assert "secret" not in html
    assert "out.jpg" not in html
    assert 'class="failed"' in cards(html)["broken.jpg"]
    assert ">broken.jpg: not a photo" in cards(html)["broken.jpg"]


def test_nothing_is_inline(html):
    assert "<style" not in html
    assert re.findall(r"<script[^>]*>(.*?)</script>", html, re.DOTALL) == [""] * len(SCRIPTS)
    assert 'src="data:' not in html


@pytest.mark.parametrize(
    ("path", "kind"),
    [*((name, "css") for name in STYLES), *((name, "javascript") for name in SCRIPTS)],
)
def test_style_and_script_are_files_that_the_report_has_too(address, path, kind):
    status, headers, body = get(address, f"/{path}")
    assert (status, headers["content-type"]) == (200, f"text/{kind}; charset=utf-8")
    assert body.decode() == page_part(path)


def test_thumbnails_are_small_and_originals_are_the_files_themselves(address, html, shoot):
    for path, card in cards(html).items():
        if path == "broken.jpg":
            assert "thumbnails/" not in card
            continue
        status, headers, body = get(address, link(card, "thumbnails"))
        assert (status, headers["content-type"]) == (200, "image/webp")
        assert headers["cache-control"] == "private, max-age=300"
        assert max(Image.open(io.BytesIO(body)).size) == 240
        name = path.replace("\\n", "\n")
        status, headers, body = get(address, link(card, "photos"))
        assert (status, body) == (200, (shoot / name).read_bytes())
        expected = "image/png" if path.endswith(".png") else "application/octet-stream"
        assert headers["content-type"] == expected
        policy = headers["content-security-policy"]
        assert policy == "default-src 'none'; style-src 'unsafe-inline'; sandbox"
        assert headers["x-content-type-options"] == "nosniff"


def test_photos_have_pictures_for_screens_and_what_browsers_cannot_show_one_of_all_pixels(
    address, html
):
    found = [path for path, card in cards(html).items() if "data-full" in card]
    assert found == ["old.tif", "broken.jpg"][: len(found)]
    for side, size in ((640, (640, 480)), (8192, (640, 480))):
        path = link(cards(html)["old.tif"], "screens").rpartition("/")[0]
        status, headers, body = get(address, f"{path}/{side}")
        assert (status, headers["content-type"]) == (200, "image/jpeg")
        assert Image.open(io.BytesIO(body)).size == size
    assert get(address, f"{path}/641")[0] == 404


@pytest.mark.parametrize("kind", ["thumbnails", "screens", "photos"])
@pytest.mark.parametrize(
    "name",
    [
        *("0" * 20, "photo1.png", "..%2fsecret.jpg", "%2fetc%2fpasswd", "....//secret.jpg", "%00"),
        *("../../secret.jpg", "..\\secret.jpg", "x" * 4000, "%ff", "", "a/b"),
    ],
)
def test_no_address_leads_out_of_the_folder(address, kind, name):
    size = "/640" if kind == "screens" else ""
    status, headers, body = get(address, f"/{kind}/{name}{size}")
    assert status == 404
    assert headers["content-type"] == "application/problem+json"
    assert b"secret" not in body.replace(b"secret.jpg", b"")


def test_other_websites_get_nothing(address, html):
    photo = link(cards(html)["photo1.png"], "photos")
    embedded = {
        "Sec-Fetch-Site": "cross-site",
        "Sec-Fetch-Dest": "image",
        "Sec-Fetch-Mode": "no-cors",
    }
    assert get(address, photo, **embedded)[0] == 403
    assert get(address, "/", Host="evil.example")[0] == 421
    _, headers, _ = get(address, photo)
    assert headers["cross-origin-resource-policy"] == "same-origin"


def test_a_photo_that_is_deleted_is_missed(address, html, shoot):
    path = shoot / "two\nlines.png"
    card, content = cards(html)["two\\nlines.png"], path.read_bytes()
    path.unlink()
    try:
        status, _, body = get(address, link(card, "photos"))
    finally:
        path.write_bytes(content)
    assert status == 404
    assert b"No such file" in body


def test_the_page_stands_beside_the_service(address):
    assert get(address, "/v1/models")[0] == 200
    assert get(address, "/openapi.json")[2].count(b"thumbnails") == 0


def test_folders_without_photos_are_refused(tmp_path: Path, tiny_model):
    from typer.testing import CliRunner

    from siamese_nima.cli import app

    options = ["--folder", str(tmp_path), "--port", "0", "--model", str(tiny_model)]
    result = CliRunner().invoke(app, ["serve", *options])
    assert result.exit_code == 1
    assert str(result.exception) == f"no photo found in {tmp_path}"


def test_a_photo_without_faces_has_none_and_a_broken_one_is_missed(address, html):
    path = link(cards(html)["photo1.png"], "photos").replace("photos", "faces")
    status, _, body = get(address, path)
    assert (status, body) == (200, b"[]")
    assert get(address, "/faces/0")[0] == 404
