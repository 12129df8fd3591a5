"""Who may reach the service: this machine, or others with a key."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from siamese_nima.errors import ConfigError
from siamese_nima.web.service.api_key import KEY_VARIABLE


def check_binding(host: str, keys: Sequence[str], *, without_key: bool) -> None:
    """Refuse to listen beyond this machine unless somebody has thought about who may ask.

    Raises:
        ConfigError: `host` is not a loopback address, and there is neither a key nor the word that
            none is wanted.
    """
    if not (_is_loopback(host) or keys or without_key):
        raise ConfigError(
            f"--host {host} lets other machines use this server. Give it an API key by "
            f"--api-key-file or the environment variable {KEY_VARIABLE}, or say --without-key."
        )


def _is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
