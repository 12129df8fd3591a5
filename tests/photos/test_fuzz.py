import json
import subprocess
import sys
from pathlib import Path

import fuzz_photos
from siamese_nima.errors import PhotoError
from systems import needs_proc

FUZZER = Path(__file__).parents[1] / "fuzz_photos.py"


@needs_proc
def test_damaged_files_of_every_format_are_photos_or_errors_in_bounded_time_and_memory(tmp_path):
    report = tmp_path / "fuzz.json"
    command = [sys.executable, FUZZER, "--files", "1200", "--seconds", "500", "--out", report]
    done = subprocess.run(command, capture_output=True, timeout=600)
    found = json.loads(report.read_text())
    assert (done.returncode, found["findings"]) == (0, [])
    assert found["files"] > 0
    assert all(counts.get("error") for counts in found["outcomes"].values())


def test_a_lack_of_memory_is_a_finding(monkeypatch):
    def without_memory(*_, name, **__):
        raise PhotoError(f"{name}: not enough memory to decode it.") from MemoryError()

    monkeypatch.setattr(fuzz_photos, "read_photo", without_memory)
    assert fuzz_photos.outcome(b"", "bomb") == "memory: bomb: not enough memory to decode it."
