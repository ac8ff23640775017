"""`portfoliod --version`: what a report of a mistake needs to say."""

from __future__ import annotations

import platform
import sqlite3
import sys
from importlib import metadata

from portfoliod import __version__

LIBRARIES = (
    "ccxt",
    "numpy",
    "scipy",
    "watchfiles",
    "orjson",
    "msgspec",
    "structlog",
    "aiohttp",
    "uvloop",
    "prometheus-client",
    "apprise",
)


def report() -> str:
    """Return the version, and those of all that it stands on, one a line; nothing of it is imported."""
    system = " ".join((platform.system(), platform.release(), platform.machine(), *platform.libc_ver()))
    rows = {
        "python": f"{platform.python_version()} {platform.python_implementation()} {sys.executable}",
        "system": system,
        "sqlite": sqlite3.sqlite_version,
        **{name: _installed(name) for name in LIBRARIES},
    }
    lines = [f"{name:<18} {value}" for name, value in rows.items()]
    last = f"Please copy all of this into a report about portfoliod {__version__}"
    return "\n".join([f"portfoliod, version {__version__}", *lines, last])


def _installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
