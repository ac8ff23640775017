"""Keys that stand for secrets in every test, and the search for them in what must not hold a secret.

Each is long, looks random and occurs nowhere else. The search finds every part of WINDOW characters: as it is, in
hexadecimal, in base64, quoted for a URL or for JSON, in whatever case.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

WINDOW = 12
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
FILTER_BITS = 20
SPREAD = np.uint64(0x9E3779B97F4A7C15)


def canary(name: str, length: int = 64) -> str:
    """Return the canary of a name, made of letters and digits: the same in every process."""
    digest = b"".join(hashlib.sha512(f"{name} {part}".encode()).digest() for part in range(length // 64 + 1))
    return "".join(LETTERS[byte % len(LETTERS)] for byte in digest[:length])


def awkward(name: str) -> str:
    """Return a canary with the characters that URLs, forms, JSON and shells write differently."""
    return f'{canary(name, 24)}/+=&%"{canary(f"{name}, the rest", 24)}'


EXCHANGES = ("binance", "binance spot", "btse", "bybit", "okx")
CANARIES = {
    **{f"{exchange} {field}": canary(f"{exchange} {field}") for exchange in EXCHANGES for field in ("key", "secret")},
    "okx password": awkward("okx password"),
    "listen key": canary("listen key"),
    "a strange variable": canary("a strange variable"),
    "a file's secret": canary("a file's secret"),
    "a script's token": canary("a script's token"),
    "a proxy's password": canary("a proxy's password"),
    "a notification's token": canary("a notification's token"),
}
"""Every canary, by what a finding calls it."""


def traces(data: bytes) -> list[str]:
    """Return which canaries some data gives away, in whole or in part, and in which form; never what it holds."""
    lowered = data.lower().ljust(WINDOW)
    found = set()
    for offset in (0, 4):  # a part of 12 bytes holds a whole block of 8 at a multiple of 4
        blocks = np.frombuffer(lowered, "<u8", count=(len(lowered) - offset) // 8, offset=offset)
        suspects = np.flatnonzero(_FILTER[(blocks * SPREAD) >> np.uint64(64 - FILTER_BITS)])
        for place in suspects[np.isin(blocks[suspects], _BLOCKS)]:
            at = int(place) * 8 + offset
            parts = (lowered[start : start + WINDOW] for start in range(max(0, at - 4), at + 1))
            found |= {_PARTS[part] for part in parts if part in _PARTS}
    return sorted(found)


def _forms(value: str) -> Iterator[tuple[str, bytes]]:
    raw = value.encode()
    yield "as it is", raw
    yield "in hexadecimal", raw.hex().encode()
    yield "quoted for a URL", quote(value, safe="").encode()
    yield "in JSON", json.dumps(value).encode()[1:-1]
    for shift in range(3):
        encoded = base64.b64encode(bytes(shift) + raw)[4 if shift else 0 : -4]
        yield "in base64", encoded
        yield "in base64", encoded.translate(bytes.maketrans(b"+/", b"-_"))


def _windows(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(len(data) - size + 1))


def _filter(blocks: NDArray[np.uint64]) -> NDArray[np.bool_]:
    table = np.zeros(1 << FILTER_BITS, dtype=bool)
    table[(blocks * SPREAD) >> np.uint64(64 - FILTER_BITS)] = True
    return table


_FORMS = [(f"the {name}, {form}", data.lower()) for name, value in CANARIES.items() for form, data in _forms(value)]
_PARTS = {part: said for said, data in reversed(_FORMS) for part in _windows(data, WINDOW)}
_BLOCKS = np.unique(np.frombuffer(b"".join(block for _, data in _FORMS for block in _windows(data, 8)), "<u8"))
_FILTER = _filter(_BLOCKS)
