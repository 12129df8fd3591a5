"""The front door: what is public, and what it must not drag in."""

import inspect
import subprocess
import sys
import typing

import pytest

import siamese_nima

BLOCKED = (
    "torch",
    "torchvision",
    "timm",
    "lightning",
    "pandas",
    "scipy",
    "h5py",
    "onnx",
    "safetensors",
)


def test_all_is_sorted_and_importable():
    assert list(siamese_nima.__all__) == sorted(siamese_nima.__all__)
    for name in siamese_nima.__all__:
        assert getattr(siamese_nima, name) is not None


def _classes(annotation):
    """The classes of this package that an annotation names."""
    parts = typing.get_args(annotation)
    if parts:
        return {found for part in parts for found in _classes(part)}
    ours = getattr(annotation, "__module__", "").startswith("siamese_nima")
    return {annotation} if ours and isinstance(annotation, type) else set()


def test_what_a_public_function_returns_can_be_named():
    for function in (getattr(siamese_nima, name) for name in siamese_nima.__all__):
        if inspect.isfunction(function):
            for found in _classes(typing.get_type_hints(function).get("return")):
                assert getattr(siamese_nima, found.__name__) is found


def test_every_name_that_can_be_imported_is_where_it_is_said_to_be():
    for name, home in siamese_nima._HOME_OF.items():
        found = getattr(siamese_nima, name)
        assert getattr(found, "__module__", home) == home or home == "siamese_nima.photos"


def test_the_package_itself_loads_nothing_heavy():
    program = (
        "import sys, time; start = time.process_time(); import siamese_nima\n"
        "heavy = {'numpy', 'PIL', 'onnxruntime', 'typer', 'rich'} & set(sys.modules)\n"
        "print(sorted(heavy), time.process_time() - start < 0.1)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "[] True\n"


def test_scoring_a_photo_waits_for_no_library_that_it_does_not_need(photo_folder):
    code = (
        "import sys\n"
        "from siamese_nima.__main__ import start\n"
        "try:\n"
        "    start()\n"
        "finally:\n"
        "    print({'pydantic', 'rich', 'asyncio', 'multiprocessing'} & set(sys.modules))\n"
    )
    options = ["score", "--quiet", "--no-cache", str(photo_folder / "photo3.png")]
    run = subprocess.run(
        [sys.executable, "-c", code, *options],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "photo3.png" in run.stdout
    assert run.stdout.endswith("set()\n")


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'siamese_nima' has no attribute 'nothing'"):
        siamese_nima.nothing  # noqa: B018


def run_without_extras(program: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a Python where every optional dependency is missing."""
    block = f"import sys\nfor name in {BLOCKED!r}: sys.modules[name] = None\n"
    command = [sys.executable, "-c", block + program]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_scoring_works_without_any_extra(photo_folder):
    done = run_without_extras(
        "from siamese_nima import Scorer, rank_photos\n"
        f"print(len(rank_photos(Scorer().score({str(photo_folder)!r}))))"
    )
    assert (done.stdout, done.stderr) == ("11\n", "")


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("from siamese_nima import SiameseNIMA", "SiameseNIMA needs an optional part: .*[train]'"),
        (
            "from siamese_nima.cli import main; sys.argv = ['nima', 'import', 'x.h5']; main()",
            "reading weight files needs an optional part: .*[train]'",
        ),
        (
            "from siamese_nima.cli import main\n"
            "sys.modules['pyarrow'] = None\n"
            "sys.argv = ['nima', 'score', '{folder}', '-o', 'x.parquet']; main()",
            "a Parquet table needs an optional part: .*[parquet]'",
        ),
    ],
)
def test_a_missing_extra_is_named(program, message, photo_folder):
    done = run_without_extras(program.replace("{folder}", str(photo_folder)))
    assert done.returncode == 1
    for part in message.split(".*"):
        assert part in done.stderr
