"""A folder of photos with hostile names, scored and served by a real server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from photo_seeds import encoded, scene

HOSTILE = (
    "<img src=x onerror=alert(1)>.png",
    "\"quoted\" 'twice' & more.png",
    "two\nlines.png",
    "100%25 #1?.png",
    "日本 👍 é.png",
    "javascript:alert(3).png",
)


@pytest.fixture(scope="session")
def shoot(tmp_path_factory) -> Path:
    """Nine greys, brighter is better, three of them a burst; a TIFF; a broken photo; and a secret
    outside with a link to it."""
    folder = tmp_path_factory.mktemp("outside") / "shoot"
    folder.mkdir()
    names = ["photo1.png", "photo2.png", "photo10.png", *HOSTILE]
    for number, name in enumerate(names):
        Image.new("RGB", (600, 400), (20 + number * 20,) * 3).save(folder / name, format="PNG")
    (folder / "old.tif").write_bytes(encoded(scene(640, 480), "TIFF"))
    (folder / "broken.jpg").write_bytes(b"no photo")
    (folder.parent / "secret.jpg").write_bytes(b"a secret")
    (folder / "out.jpg").symlink_to("../secret.jpg")
    return folder


@pytest.fixture(scope="session")
def address(shoot, tiny_model) -> Iterator[str]:
    """Where `nima serve --folder` answers."""
    command = [sys.executable, "-m", "siamese_nima", "serve", "--folder", shoot.name]
    command += ["--port", "0", "--model", str(tiny_model), "--no-cache", "--workers", "1"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command, cwd=shoot.parent, stderr=subprocess.PIPE, text=True, env=environment
    )
    assert process.stderr is not None
    lines = iter(process.stderr.readline, "")
    said = []
    for line in lines:
        said.append(line)
        if found := re.search(r"address=(http://127\.0\.0\.1:\d+)/", line):
            break
    else:
        raise AssertionError("".join(said))
    yield found[1]
    process.terminate()
    process.communicate(timeout=20)
    assert process.returncode == 0
