"""What the pages show works as it stands there."""

import ast
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from PIL import Image

from command import nima
from siamese_nima.cli import app

REPOSITORY = Path(__file__).parents[2]
PAGES = sorted([*REPOSITORY.glob("README*.md"), *REPOSITORY.glob("docs/**/*.md")])


def blocks() -> list[tuple[str, str]]:
    """(page, code) of every Python block of every page."""
    found = []
    for page in PAGES:
        for code in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
            found.append((page.relative_to(REPOSITORY).as_posix(), code))
    return found


@pytest.mark.parametrize(("page", "code"), blocks())
def test_python_blocks_of_the_pages_run(page, code, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    exec(compile(code, page, "exec"), {"__name__": "__main__"})


def commands() -> list[tuple[str, str]]:
    """(page, arguments) of every `nima ...` that pages show as a line of a shell."""
    found = []
    for page in PAGES:
        text = page.read_text().replace("\\\n", " ")
        for line in re.findall(r"^ {4}(?:\$ )?nima (.+)$", text, re.M):
            found.append((page.relative_to(REPOSITORY).as_posix(), line))
    return found


@pytest.mark.parametrize("page", sorted({page for page, _ in commands()}))
def test_commands_of_the_pages_are_there_with_their_options(page):
    for line in (line for where, line in commands() if where == page):
        words = shlex.split(re.split(r" [|>&;]", line)[0], comments=True)
        command = typer.main.get_command(app)
        context = command.context_class(command, info_name="nima")
        while hasattr(command, "commands") and words and not words[0].startswith("-"):
            _, command, words = command.resolve_command(context, words)
            context = command.context_class(command, parent=context)
        command.make_parser(context).parse_args(list(words))


# What no folder of photos alone can run: data, models and machines of others, and pages that stay.
ELSEWHERE = re.compile(
    r"ava:|ava\.toml|biq2021:|koniq10k:|s3://|my-taste|origin|mine|runs/|weights|int8|answers|wedding"
    r"|votes\.csv|sample\.csv|train-|grades=|--undo|PHOTOS|models (?:import|get|remove)"
    r"|ray|^(?:serve|cull|pick|mcp|train|learn) ?"
)
LONG = re.compile(r"features|quantise|export|appeal|^(?:report|explain|crop|bursts) |chelsea\*")


def runnable() -> list[Any]:
    """The lines that run on a few photos, each once, without what is said of them."""
    lines = {re.sub(r" +(?:#.*)?$", "", re.sub(" +", " ", line)) for _, line in commands()}
    lines = {re.split(r" +# ", line)[0] for line in lines}
    here = sorted(line for line in lines if not ELSEWHERE.search(line))
    return [pytest.param(x, marks=[pytest.mark.slow] * bool(LONG.search(x))) for x in here]


@pytest.fixture
def shoot(tmp_path, monkeypatch):
    """A folder in which the pages' names are those of small photos, a table and scores."""
    for name, photo in {
        "holiday/1.jpg": "chelsea",
        "holiday/2.jpg": "chelsea-blur",
        "holiday/3.jpg": "astronaut",
        "holiday/4.jpg": "astronaut-jpeg",
        "more/5.jpg": "astronaut-blur",
        "photos/a.jpg": "chelsea",
        "photos/b.jpg": "astronaut",
        "photo.jpg": "astronaut",
        "a.jpg": "chelsea",
        "b.jpg": "astronaut",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        with Image.open(REPOSITORY / "examples" / "photos" / f"{photo}.jpg") as picture:
            picture.resize((300, 200)).save(tmp_path / name, quality=90)
    (tmp_path / "examples").symlink_to(REPOSITORY / "examples")
    (tmp_path / "ratings.csv").write_text("path,mos\na.jpg,3\nb.jpg,4\n")
    (tmp_path / "scores.csv").write_text(
        "path,score,percentile,scale,model,error\n"
        "holiday/1.jpg,7.5,62,1..10,quality-4,\nholiday/3.jpg,8.1,77,1..10,quality-4,\n"
    )
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("line", runnable())
def test_commands_of_the_pages_run(shoot, line):
    said = ""
    for part in line.split(" | nima "):
        done = nima(*shlex.split(part.split(" > ")[0]), input=said)
        assert done.returncode == 0, done.stderr
        said = done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def defined_in(source: str) -> set[str]:
    """Functions and classes of a module, and methods as `Class.method`."""
    found = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
            inside = (part for part in getattr(node, "body", ()) if hasattr(part, "name"))
            found |= {f"{node.name}.{part.name}" for part in inside}
    return found


def test_the_ways_through_the_package_are_short_and_lead_through_what_there_is():
    package = REPOSITORY / "src" / "siamese_nima"
    ways = (REPOSITORY / "docs" / "design.md").read_text().split("\n## ")[1]
    everywhere = set().union(*(defined_in(path.read_text()) for path in package.rglob("*.py")))
    hops = re.findall(r"^\d+\. .*(?:\n   .*)?$", ways, re.M)
    for hop in hops:
        assert set(re.findall(r"`([\w.]+)`", hop)) <= everywhere, hop
        for name, module in re.findall(r"`([\w.]+)` \(([\w/]+\.py)\)", hop):
            assert name in defined_in((package / module).read_text()), hop
    numbers = [int(hop.split(".")[0]) for hop in hops]
    further = [4 if "five hops" in hop else 0 for hop in hops]
    starts = [place for place, number in enumerate(numbers) if number == 1]
    for first, end in zip(starts, [*starts[1:], len(hops)], strict=True):
        assert numbers[first:end] == list(range(1, end - first + 1))
        assert end - first + sum(further[first:end]) <= 12


def test_both_readmes_have_the_same_code_and_the_same_headings():
    english, chinese = ((REPOSITORY / name).read_text() for name in ("README.md", "README_zh.md"))
    for pattern in (r"```.*?```", r"\d+\.\d+"):
        assert re.findall(pattern, english, re.DOTALL) == re.findall(pattern, chinese, re.DOTALL)
    assert len(re.findall("^#", english, re.M)) == len(re.findall("^#", chinese, re.M))


@pytest.mark.slow
def test_the_demo_of_the_origins_api_rates_the_example_photos():
    done = subprocess.run(
        [sys.executable, "examples/demo_predict.py"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[:4] == ["source", "mean", "std", "scores"]
    assert len(done.stdout.splitlines()) == 1 + len(
        list((REPOSITORY / "examples/photos").glob("*.jpg"))
    )
