"""What an assistant can ask and do, by the SDK's own client."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

pytest.importorskip("mcp", reason="needs the extra mcp")
pytest.importorskip("fastapi", reason="needs the extra mcp")

import mcp
from PIL import Image

from siamese_nima.scoring.scorer import Scorer
from siamese_nima.web.assistant import assistant_server

READING = {"folders_named", "score", "rank", "bursts", "explain", "compare", "plan"}


@pytest.fixture
def shoot(tmp_path) -> Path:
    """Three greys, brighter with the number, a broken photo, and a secret outside with a link."""
    folder = tmp_path / "shoot"
    folder.mkdir()
    for number in range(1, 4):
        Image.new("RGB", (300, 200), (70 * number,) * 3).save(folder / f"photo{number}.png")
    (folder / "broken.jpg").write_bytes(b"no photo")
    Image.new("RGB", (300, 200)).save(tmp_path / "secret.png")
    (folder / "out.png").symlink_to("../secret.png")
    return folder


@pytest.fixture
def ask(shoot, tiny_model):
    """Call tools one after the other; a failure is told as a text."""
    server = assistant_server([shoot], Scorer(tiny_model))

    def ask(*calls: tuple[str, dict]) -> list:
        async def all_of() -> list:
            async with mcp.Client(server) as client:
                answers = [await client.call_tool(name, given) for name, given in calls]
            return [
                answer.content[0].text if answer.is_error else answer.structured_content
                for answer in answers
            ]

        return asyncio.run(all_of())

    ask.server = server
    return ask


def test_tools_say_whether_they_write(ask):
    async def tools():
        async with mcp.Client(ask.server) as client:
            return (await client.list_tools()).tools

    found = {tool.name: tool.annotations.read_only_hint for tool in asyncio.run(tools())}
    assert {name for name, reads in found.items() if reads} == READING
    assert {name for name, reads in found.items() if not reads} == {"write", "undo"}


def test_photos_are_ranked_scored_explained_and_compared(ask, shoot):
    photos = {"folder": "shoot", "photos": ["photo1.png"]}
    pair = {"folder": "shoot", "first": "photo1.png", "second": "photo3.png"}
    named, ranked, worst, scored, explained, compared, bursts = ask(
        ("folders_named", {}),
        ("rank", {"folder": "shoot", "top": 2}),
        ("rank", {"folder": "shoot", "top": 1, "worst_first": True}),
        ("score", photos),
        ("explain", {"folder": "shoot", "photo": "photo1.png"}),
        ("compare", pair),
        ("bursts", {"folder": "shoot"}),
    )
    assert named == {"shoot": 4}
    assert [photo["photo"] for photo in ranked["photos"]] == ["photo3.png", "photo2.png"]
    assert ranked["scored"] == 3
    assert "not a photo" in ranked["failed"][0]
    assert worst["photos"][0]["photo"] == "photo1.png"
    assert scored["result"][0]["score"] == worst["photos"][0]["score"] == explained["score"]
    assert explained["photo"] == "photo1.png"
    assert compared["better"] == "photo3.png"
    assert compared["against_the_other"]
    assert isinstance(bursts["result"], list)
    assert {path.name for path in shoot.iterdir()} == {
        *("photo1.png", "photo2.png", "photo3.png", "broken.jpg", "out.png")
    }


@pytest.mark.parametrize(
    ("tool", "given", "why"),
    [
        ("rank", {"folder": "other"}, "no folder 'other' was named; there are shoot"),
        ("score", {"folder": "shoot", "photos": ["out.png"]}, "no photo 'out.png'"),
        ("explain", {"folder": "shoot", "photo": "../secret.png"}, "no photo '../secret.png'"),
        ("explain", {"folder": "shoot", "photo": "broken.jpg"}, "not a photo"),
        ("undo", {"folder": "shoot", "log": "../x.undo.jsonl"}, "no such undo log"),
        ("plan", {"folder": "shoot", "choices": {"out.png": {"stars": 5}}}, "no photo has the id"),
        (
            "plan",
            {"folder": "shoot", "choices": {"photo1.png": {"stars": 9}}},
            "less than or equal",
        ),
    ],
)
def test_what_cannot_be_done_is_said(ask, tool, given, why):
    [answer] = ask((tool, given))
    assert isinstance(answer, str)
    assert why in answer


def test_stars_are_planned_then_written_then_undone(ask, shoot):
    choices = {"photo3.png": {"stars": 5, "flag": "pick"}, "photo1.png": {"flag": "reject"}}
    given = {"folder": "shoot", "choices": choices}
    [planned] = ask(("plan", given))
    assert planned["changes"] == 2
    assert "picked ★★★★★  photo3.png.xmp" in planned["lines"]
    assert not list(shoot.glob("*.xmp"))
    other = {**given, "choices": {"photo2.png": {"stars": 1}}, "digest": planned["digest"]}
    unseen, written = ask(("write", other), ("write", {**given, "digest": planned["digest"]}))
    assert "changed since this was shown" in unseen
    assert written["changes"] == 2
    assert {path.name for path in shoot.glob("*.xmp")} == {"photo3.png.xmp", "photo1.png.xmp"}
    assert not (shoot / "nima-choices.sqlite").exists()
    [undone] = ask(("undo", {"folder": "shoot", "log": written["undo"][0]["log"]}))
    assert undone["summary"] == ["2 new files removed again"]
    assert not list(shoot.glob("*.xmp"))


def test_the_command_speaks_over_standard_input_and_output(shoot, tiny_model):
    command = ["-m", "siamese_nima", "mcp", str(shoot), "--model", str(tiny_model), "--no-cache"]
    started = mcp.StdioServerParameters(command=sys.executable, args=command, env={**os.environ})

    async def ranked():
        async with mcp.Client(mcp.stdio_client(started)) as client:
            answer = await client.call_tool("rank", {"folder": "shoot", "top": 1})
            return answer.structured_content

    assert asyncio.run(ranked())["photos"][0]["photo"] == "photo3.png"


def test_camera_raw_and_jpeg_of_one_shot_are_one_photo(shoot, tiny_model):
    (shoot / "photo1.dng").write_bytes(b"raw")
    Image.new("RGB", (300, 200), "white").save(shoot / "photo1.jpg")
    server = assistant_server([shoot], Scorer(tiny_model))

    async def told():
        async with mcp.Client(server) as client:
            named = await client.call_tool("folders_named", {})
            both = ["photo1.jpg", "photo1.dng"]
            scores = await client.call_tool("score", {"folder": "shoot", "photos": both})
            return named.structured_content, scores.structured_content

    named, scores = asyncio.run(told())
    assert list(named["result"].values() if "result" in named else named.values()) == [5]
    first, second = scores["result"]
    assert first == second
    assert first["photo"] == "photo1.jpg"
