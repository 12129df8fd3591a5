"""What every benchmark result says about where it was measured."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def provenance() -> dict[str, Any]:
    """Date, machine, versions, commit, hash of src/ and command of this run.

    `dirty` says that files differed from the commit: such a result is not for a page.
    """
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": {"cpu": _cpu(), "cores": len(os.sched_getaffinity(0)), "os": platform.system()},
        "python": platform.python_version(),
        "commit": _git("describe", "--always"),
        "dirty": bool(_git("status", "--porcelain")),
        "source_sha256": source_hash(),
        "command": " ".join(["python", *(_shown(part) for part in sys.argv)]),
    }


def report(result: dict[str, Any], out: Path | None) -> None:
    """Print a result as JSON; write it too where `out` is given."""
    text = json.dumps(result, indent=1) + "\n"
    print(text)
    if out:
        out.write_text(text)


def commit_of(result: dict[str, Any]) -> str:
    """The commit of a recorded result in words, and that its files differed where they did."""
    commit, differed, _ = result["commit"].partition("-dirty")
    return f"commit {commit}" + (" with uncommitted changes" if differed else "")


def _shown(argument: str) -> str:
    """Without the folders of this machine."""
    name, equals, value = argument.rpartition("=")
    shown = Path(value).name if Path(value).is_absolute() else value
    return shlex.quote(f"{name}{equals}{shown}")


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def source_hash() -> str:
    """SHA-256 over the names and contents of all modules below src/."""
    folder = Path(__file__).parents[1] / "src"
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(f"{path.relative_to(folder).as_posix()}\n".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
