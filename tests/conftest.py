"""A tiny model file and a few photos, made on the spot."""

from __future__ import annotations

import compileall
import errno
import io
import os
import shutil
import sqlite3
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import settings
from PIL import Image

import siamese_nima
from siamese_nima.card import ModelCard, Population, golden_photo
from siamese_nima.photos import ViewPolicy
from tiny_model import rate_tiny, write_model

# A busy machine is not a failure. `pytest --hypothesis-profile thorough` looks longer.
settings.register_profile("thorough", deadline=None, max_examples=200)
settings.register_profile("patient", deadline=None, max_examples=40)
settings.load_profile("patient")


class _HastyConnection(sqlite3.Connection):
    def __init__(self, *arguments, **options) -> None:
        super().__init__(*arguments, **options)
        super().execute("PRAGMA synchronous = OFF")

    def execute(self, statement: str, *values):
        if statement.startswith("PRAGMA synchronous"):
            statement = "PRAGMA synchronous = OFF"
        return super().execute(statement, *values)


def pytest_configure(config: pytest.Config) -> None:
    """Processes that run tests share the cores; each would else begin a thread for every one.

    They compute alike on every processor, and never wait for the disk: no test loses its power. And
    processes that tests begin find the package compiled, whatever this Python is told to write.
    """
    os.environ["SIAMESE_NIMA_8BIT"] = "0"
    os.fsync = lambda _: None
    sqlite3.connect = partial(sqlite3.connect, factory=_HastyConnection)
    if not hasattr(config, "workerinput"):
        compileall.compile_dir(Path(siamese_nima.__file__).parent, quiet=2)
    if processes := getattr(config.option, "numprocesses", None):
        share = max(1, (os.cpu_count() or 1) // processes)
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ.setdefault(name, str(share))


@pytest.fixture(scope="session")
def tiny_card() -> ModelCard:
    card = ModelCard(
        name="tiny",
        backbone="none",
        licence="MIT",
        description="brightness",
        view=ViewPolicy.parse("warp:32"),
        population=Population("greys", (2.0, 4.0, 5.0, 6.0)),
    )
    return replace(card, golden=tuple(rate_tiny(card, golden_photo())))


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory, tiny_card: ModelCard) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "tiny.onnx", tiny_card)


_tests = count()


@pytest.fixture(autouse=True)
def _own_user_folders(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Tests never see the models that the user has, nor results of earlier runs."""
    # Not `tmp_path`: making a folder for each of some thousand tests takes seconds.
    folder = tmp_path_factory.getbasetemp() / f"user-{next(_tests)}"
    monkeypatch.setenv("SIAMESE_NIMA_MODELS", str(folder / "models"))
    monkeypatch.setenv("SIAMESE_NIMA_CACHE", str(folder / "cache" / "results.sqlite"))
    yield
    if folder.exists():
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def photo_folder(tmp_path: Path) -> Path:
    """Eleven grey photos, brighter with the number, of two shapes; one hidden, one text file."""
    folder = tmp_path / "shoot"
    folder.mkdir()
    for number in range(1, 12):
        size = (60, 40) if number % 3 else (40, 70)
        Image.new("RGB", size, (number * 20,) * 3).save(folder / f"photo{number}.png")
    (folder / "notes.txt").write_text("not a photo")
    Image.new("RGB", (8, 8)).save(folder / ".hidden.png")
    return folder


# By module: its event loop runs while it is open, and tests of asyncio need their own.
@pytest.fixture(scope="module")
def chromium():
    """A real browser; its tests are skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next((found for name in names if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    # Chromium refuses its sandbox to root.
    arguments = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def held_files(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Files behave as on Windows: none is renamed, replaced or removed while somebody has it.

    This process has what it has open or mapped into memory; a test adds what others have.
    """
    if not Path("/proc/self/maps").exists():
        pytest.skip("needs /proc")
    others: set[str] = set()

    def held() -> set[str]:
        maps = Path("/proc/self/maps").read_text().splitlines()
        found = {line.split(maxsplit=5)[-1] for line in maps}
        for number in Path("/proc/self/fd").iterdir():
            with suppress(OSError):
                found.add(str(number.readlink()))
        return found | others

    def place(path: str | os.PathLike[str], folder: int | None) -> str:
        start = Path(f"/proc/self/fd/{folder}").readlink() if folder is not None else Path.cwd()
        return str(start / path)

    def refused(change):
        def call(path, *others, **options):
            named = [path, *others[: change.__name__ != "unlink"]]
            for name in named:
                if place(name, options.get("dir_fd")) in held():
                    raise PermissionError(errno.EACCES, "used by another process", os.fspath(name))
            return change(path, *others, **options)

        return call

    for name in ("rename", "replace", "unlink"):
        monkeypatch.setattr(os, name, refused(getattr(os, name)))
    monkeypatch.setattr("siamese_nima.atomic_write._PAUSES_S", (0.01, 0.01))
    return others


@pytest.fixture(scope="module")
def quick_export():
    """Networks become ONNX by torch's older exporter, in a tenth of the time of the one we use.

    For tests of what is done with a file; those of tests/networks/test_onnx_export.py are about how
    it is made.

    Yields:
        The exporter that we use.
    """
    torch = pytest.importorskip("torch")
    import onnx

    ours = torch.onnx.export

    def older(network, args, file=None, *, dynamic_shapes, **_):
        free = {axis: f"axis{axis}" for axis in dynamic_shapes[0]}
        made = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ours(
                *(network, args, made),
                dynamo=False,
                input_names=["views"],
                output_names=["distribution"],
                dynamic_axes={"views": free, "distribution": {0: "axis0"}},
            )
        if file is None:
            return SimpleNamespace(model_proto=onnx.load_from_string(made.getvalue()))
        return Path(file).write_bytes(made.getvalue())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.onnx, "export", older)
        yield ours
