"""Run an emulated exchange in the foreground: `python -m tests.emulators NAME [--port N]`, NAME as `--help` lists them.

Prints the part of portfoliod.toml that points a venue to it, and ends on Ctrl-C.
"""

from __future__ import annotations

import argparse
import threading
from collections.abc import Callable

import msgspec

from tests.emulators.binance import BinanceFutures
from tests.emulators.binance_spot import BinanceSpot
from tests.emulators.btse import BtseFutures
from tests.emulators.bybit import BybitLinear
from tests.emulators.okx import OkxSwap
from tests.emulators.server import Exchange

EXCHANGES: dict[str, tuple[str, Callable[..., Exchange]]] = {
    "binance": ("binanceusdm", BinanceFutures),
    "binance-spot": ("binance", BinanceSpot),
    "btse": ("btse", BtseFutures),
    "bybit": ("bybit", BybitLinear),
    "okx": ("okx", OkxSwap),
}
"""By the name on the command line: ccxt's id, and the emulator."""


def snippet(exchange: Exchange, ccxt_id: str) -> str:
    """Return the TOML of a venue on this exchange; JSON strings, numbers and booleans are TOML too."""
    keys = "\n".join(f"# {name} = {value}" for name, value in exchange.credentials.items())
    return f'[venues.{exchange.name}]\nexchange = "{ccxt_id}"\noptions = {inline(exchange.options())}\n{keys}'


def inline(value: object) -> str:
    """Return a value as inline TOML."""
    if isinstance(value, dict):
        fields = ", ".join(f"{msgspec.json.encode(key).decode()} = {inline(item)}" for key, item in value.items())
        return f"{{ {fields} }}"
    if isinstance(value, list):
        return f"[{', '.join(inline(item) for item in value)}]"
    return msgspec.json.encode(value).decode()


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("exchange", choices=sorted(EXCHANGES))
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    arguments = parser.parse_args()
    kind, make = EXCHANGES[arguments.exchange]
    with make(port=arguments.port) as exchange:
        print(snippet(exchange, kind), flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print("stopped")


if __name__ == "__main__":
    main()
