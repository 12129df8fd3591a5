"""`python -m siamese_nima` is the command `nima`."""

from __future__ import annotations

import gc
import sys

_INTERRUPTED = 130  # as shells report a process that Ctrl-C ended


def start() -> None:
    """Run the command; Ctrl-C while it still loads ends it as quietly as later."""
    # What modules consist of is no garbage: searching it again and again, while they load and when
    # the process ends, takes a fifth of the time of scoring one photo. `cli` begins the search.
    gc.disable()
    try:
        from siamese_nima.cli import main
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    except ImportError as error:
        if "failed to map" in str(error):  # by the system's loader, where memory is limited
            sys.exit("nima: there is not enough memory to start")
        if "DLL load failed" not in str(error):
            raise
        sys.exit(
            f"nima: {error}. On Windows this is mostly the Microsoft Visual C++ Redistributable "
            "that is missing: install its newest version for this processor (x64 or arm64) from "
            "Microsoft, then try again."
        )
    try:
        main()
    finally:
        gc.freeze()


if __name__ == "__main__":
    start()
