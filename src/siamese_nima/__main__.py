"""`python -m siamese_nima` is the command `nima`."""

from __future__ import annotations

import sys

_INTERRUPTED = 130  # as shells report a process that Ctrl-C ended


def start() -> None:
    """Run the command; Ctrl-C while it still loads ends it as quietly as later."""
    try:
        from siamese_nima.cli import main
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    main()


if __name__ == "__main__":
    start()
