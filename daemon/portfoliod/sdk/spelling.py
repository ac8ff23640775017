"""How symbols are written: by exchanges, by ccxt, by people."""

from __future__ import annotations

import re


def compact(symbol: str) -> str:
    """Return a symbol without separators and settlement currency: `BTC/USDT:USDT` and `BTC-USDT` are `BTCUSDT`."""
    return re.sub(r"[^A-Z0-9]", "", symbol.upper().split(":")[0])
