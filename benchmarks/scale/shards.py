"""Score many photos in tar shards, here and on Ray, kill both runs and go on with them.

    python benchmarks/scale/shards.py --work ../speed --out benchmarks/scale/shards.json

Photos are tiny, and so is the view: what is tried is that no photo is lost, doubled or mixed up,
not how fast a network is. The tables of both engines must be equal, row by row, and name every
photo once.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
from machine import provenance, report

_SIDE_PX = 32
_PATIENCE_S = 3000


def write_shards(folder: Path, shards: int, photos: int) -> list[Path]:
    """Shards as WebDataset has them: a JPEG and a class for each sample; all photos differ."""
    paths = [folder / f"shard-{number:06d}.tar" for number in range(shards)]
    each = -(-photos // shards)
    for number, path in enumerate(paths):
        if path.exists():
            continue
        part = path.with_suffix(".part")
        with tarfile.open(part, "w") as tar:
            for photo in range(number * each, min(photos, (number + 1) * each)):
                _add(tar, f"{photo:08d}.jpg", _jpeg(photo))
                _add(tar, f"{photo:08d}.cls", b"0")
        part.replace(path)
    return paths


def _jpeg(number: int) -> bytes:
    random = np.random.default_rng(number)
    small = Image.fromarray(random.integers(0, 255, (5, 5, 3), np.uint8))
    file = io.BytesIO()
    small.resize((_SIDE_PX, _SIDE_PX)).save(file, "JPEG", quality=85)
    return file.getvalue()


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


def run(command: list[str], killed_when: Callable[[], bool] | None = None) -> dict[str, Any]:
    """Run a command to its end, or until it is killed."""
    started = time.perf_counter()
    with subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True) as process:
        while killed_when and process.poll() is None and not killed_when():
            time.sleep(0.2)
            if time.perf_counter() - started > _PATIENCE_S:
                raise SystemExit("the run does not get on")
        if killed_when:
            if process.poll() is not None:
                said = process.communicate()[1].decode(errors="replace")
                raise SystemExit(f"the run was over before it could be killed: {said[-2000:]}")
            os.killpg(process.pid, signal.SIGKILL)
        _, told = process.communicate()
    lines = told.decode(errors="replace").splitlines()
    summary = next((line for line in lines if " photos scored in " in line), "")
    if not killed_when and process.returncode:
        raise SystemExit("\n".join(lines[-20:]))
    return {"seconds": round(time.perf_counter() - started, 1), "summary": summary}


def main() -> None:
    """Run all, compare, and print; with --out, write the JSON too."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="where shards are kept")
    parser.add_argument("--photos", type=int, default=20_000)
    parser.add_argument("--shards", type=int, default=20)
    parser.add_argument("--model", default="quality")
    parser.add_argument("--view", default=f"warp:{_SIDE_PX}+centre:{_SIDE_PX}@{_SIDE_PX}")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    work = options.work.resolve() / f"shards-{options.photos}-{options.shards}"
    work.mkdir(parents=True, exist_ok=True)
    shards = [str(path) for path in write_shards(work, options.shards, options.photos)]
    command = [sys.executable, "-m", "siamese_nima", "score", "--model", options.model]
    command += ["--view", options.view, *shards]
    cache, table, ray = work / "cache.sqlite", work / "local.parquet", work / "ray"
    for path in work.glob("cache.sqlite*"):
        path.unlink()
    shutil.rmtree(ray, ignore_errors=True)
    here = [*command, "--distribution", "--out", str(table), "--cache", str(cache)]
    many = [*command, "--engine", "ray", "--no-cache", "--out", str(ray)]
    many += ["--photos-per-file", str(max(1, options.photos // 100))]
    third = options.photos // 3
    runs = {"local, killed": run(here, lambda: _cached(cache) > third)}
    runs["local, gone on with"] = run(here)
    runs["Ray, killed"] = run(many, lambda: len([*ray.glob("part-*.parquet")]) > 33)
    kept = len([*ray.glob("part-*.parquet")])
    runs["Ray, gone on with"] = run(many)
    local, distributed = pq.read_table(table), pq.read_table(ray)
    names = local.column("path").to_pylist()
    result = {
        **provenance(),
        "photos": options.photos,
        "shards": options.shards,
        "runs": runs,
        "files_of_the_killed_ray_run": kept,
        "rows": len(names),
        "rows_named_once": len({*names}),
        "rows_with_a_score": len(names) - local.column("score").null_count,
        "same_rows": bool(local.equals(distributed)),
    }
    report(result, options.out)
    if not (result["same_rows"] and options.photos == result["rows_named_once"]):
        raise SystemExit("rows were lost, doubled or mixed up")


def _cached(cache: Path) -> int:
    """Rows that are in the cache."""
    import sqlite3

    try:
        with sqlite3.connect(f"file:{cache}?mode=ro", uri=True) as database:
            return int(database.execute("SELECT count(*) FROM scores").fetchone()[0])
    except sqlite3.Error:
        return 0


if __name__ == "__main__":
    main()
