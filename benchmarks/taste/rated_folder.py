"""How long `nima learn` takes from a folder that somebody rated, as a user runs it.

    python benchmarks/taste/rated_folder.py --oasis oasis --out benchmarks/taste/rated_folder.json

500 photos of OASIS with stars in XMP sidecars, taken from the people's mean; `appeal` was made from
them, so the agreement that is printed says nothing and is not kept. A new process, no cache.
"""

from __future__ import annotations

import argparse
import csv
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from machine import provenance, report

PHOTOS = 500
XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    'xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="{}"/></rdf:RDF></x:xmpmeta>'
)


def main() -> None:
    """Make the folder, learn, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--oasis", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "holiday"
        folder.mkdir()
        with (options.oasis / "photos.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))[:PHOTOS]
        for row in rows:
            photo = shutil.copy(options.oasis / "photos" / row["file_name"], folder)
            stars = min(5, max(1, round(float(row["mean"]) - 1)))
            Path(photo).with_suffix(".xmp").write_text(XMP.format(stars))
        command = ["learn", "holiday", "--stars", "--model", "appeal", "--name", "mine", "--keep"]
        begin, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        said = subprocess.run(
            [sys.executable, "-m", "siamese_nima", *command],
            cwd=work,
            env={**os.environ, "SIAMESE_NIMA_MODELS": str(Path(work) / "models")},
            check=True,
            capture_output=True,
            text=True,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        result = {
            **provenance(),
            "photos": len(rows),
            "seconds": round(time.perf_counter() - begin, 1),
            "processor_seconds": round(used, 1),
            "niceness": os.nice(0),
            "load_average": round(os.getloadavg()[0], 1),
            "said": said.stdout.splitlines()[0],
        }
    report(result, options.out)


if __name__ == "__main__":
    main()
