"""Where this user's results and models are kept, as the platform has it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import platformdirs

from siamese_nima.errors import ConfigError

_NAME = "siamese-nima"


def cache_folder() -> Path:
    """For what can be made again; on Linux ~/.cache/siamese-nima, or below XDG_CACHE_HOME.

    Raises:
        ConfigError: This user has no home folder.
    """
    return _found(lambda: platformdirs.user_cache_path(_NAME, appauthor=False))


def data_folder() -> Path:
    """For what is to stay; on Linux ~/.local/share/siamese-nima, or below XDG_DATA_HOME.

    Raises:
        ConfigError: This user has no home folder.
    """
    return _found(lambda: platformdirs.user_data_path(_NAME, appauthor=False))


def _found(find: Callable[[], Path]) -> Path:
    try:
        return find()
    except RuntimeError as error:
        raise ConfigError(
            "this user has no home folder to keep anything in; set HOME, or XDG_CACHE_HOME and "
            "XDG_DATA_HOME"
        ) from error
