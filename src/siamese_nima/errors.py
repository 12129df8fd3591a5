"""Every error this package raises on purpose.

    NimaError
    ├── PhotoError           one photo cannot be found, read or scored
    │   └── FetchError       a photo's URL is not fetched, or could not be
    ├── ViewError            a view policy is malformed or does not fit the model
    ├── RatingError          votes, a mean or a distribution break the rating scale
    ├── SidecarError         one XMP sidecar cannot be read or written
    ├── TableError           a rating table (CSV and the like) is malformed
    ├── AnswerError          an answer of a person, or a file of answers, cannot be used
    ├── WeightsError         a checkpoint, model file or Keras weight file cannot be used
    ├── CardError            a model card is malformed
    ├── ConfigError          an option has an impossible value
    ├── ContaminationError   a model would be evaluated on its own training photos
    └── MissingExtraError    an optional dependency is not installed

Messages name the file, what was found, what was wanted and what to do next. The command line prints
them without a traceback.
"""

import os
import sys
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

_LISTED = 5  # names shown in a message before "and N more"


class NimaError(Exception):
    """Base of all errors raised on purpose by siamese-nima."""


class PhotoError(NimaError):
    """One photo cannot be found, read or scored; other photos are not concerned."""


class FetchError(PhotoError):
    """A photo's URL is not fetched, or could not be.

    Attributes:
        kind: "url-refused", "url-failed" or "too-large".
    """

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


class ViewError(NimaError, ValueError):
    """A view policy is malformed, or does not fit the model it is used with."""


class RatingError(NimaError, ValueError):
    """Votes, a mean opinion score or a rating distribution break the rating scale."""


class SidecarError(NimaError):
    """One XMP sidecar cannot be read or written; other photos are not concerned."""


class TableError(NimaError):
    """A rating table is malformed."""


class AnswerError(NimaError, ValueError):
    """An answer of a person, or a file of answers, cannot be used."""


class WeightsError(NimaError):
    """A checkpoint, model file or weight file is missing, damaged or of the wrong kind."""


class CardError(NimaError, ValueError):
    """A model card is malformed."""


class ConfigError(NimaError, ValueError):
    """An option has an impossible value."""


class ContaminationError(NimaError):
    """A model would be evaluated on photos that it was trained on."""


# As bootstrap.py has them, which runs before this package is installed.
_NOT_ON_WINDOWS_ARM = {"train": "PyTorch", "parquet": "pyarrow", "scale": "Ray and pyarrow"}


class MissingExtraError(NimaError, ImportError):
    """An optional dependency is not installed; the message says which extra brings it."""

    @classmethod
    def of(cls, purpose: str, extra: str) -> "MissingExtraError":
        """The error for `purpose` (starts the sentence), which needs the optional `extra`."""
        import platform

        missing = _NOT_ON_WINDOWS_ARM.get(extra)
        if missing and (platform.system(), platform.machine()) == ("Windows", "ARM64"):
            return cls(
                f"{purpose} needs {missing}, which Windows on ARM has no build of: use Python for "
                "x64, which runs there too"
            )
        return cls(f"{purpose} needs an optional part: {_install_command(extra)}")

    @classmethod
    def of_import(cls, error: ImportError, purpose: str, extra: str) -> ImportError:
        """The same for an import that failed; an error of our own modules stays itself."""
        if (error.name or "").startswith("siamese_nima"):
            return error
        return cls.of(purpose, extra)


def name_some(items: Sequence[object]) -> str:
    """The first few items for a message, and how many more there are."""
    shown = ", ".join(str(item) for item in items[:_LISTED])
    more = len(items) - _LISTED
    return f"{shown} and {more} more" if more > 0 else shown


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a message about a name that is not known; empty if none is like it.

    >>> did_you_mean("qualty", ["quality", "appeal"])
    " (did you mean 'quality'?)"
    """
    near = get_close_matches(name, known, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _install_command(extra: str) -> str:
    """What installs an extra into the environment at hand."""
    # Here, as every start of the command would wait for them.
    import json
    import shlex
    from contextlib import suppress
    from importlib.metadata import PackageNotFoundError, distribution
    from importlib.util import find_spec
    from urllib.parse import urlsplit
    from urllib.request import url2pathname

    package, pip = f"siamese-nima[{extra}]", "pip"
    with suppress(PackageNotFoundError, ValueError, KeyError):
        # Installed from a clone or a file, it must come from there again.
        direct = distribution("siamese-nima").read_text("direct_url.json")
        url = urlsplit(json.loads(direct)["url"]) if direct else None
        if url is None or url.scheme != "file":
            return f"{pip} install '{package}'"
        package = f"{url2pathname(url.path)}[{extra}]"
        # Called by its path the command is of an environment that the shell's pip is not of.
        if os.environ.get("VIRTUAL_ENV") != sys.prefix and sys.prefix != sys.base_prefix:
            pip = f"{shlex.quote(sys.executable)} -m pip"
        if find_spec("pip") is None:
            return f"uv pip install --python {shlex.quote(sys.executable)} '{package}'"
    return f"{pip} install '{package}'"
