"""Run an emulated exchange in the foreground: `python -m tests.emulators binance [--port N]`.

Prints the part of portfoliod.toml that points a venue to it, and ends on Ctrl-C.
"""

from __future__ import annotations

import argparse
import threading

import msgspec

from tests.emulators.binance import BinanceFutures
from tests.emulators.okx import OkxSwap
from tests.emulators.server import Exchange


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
    parser.add_argument("exchange", choices=["binance", "okx"])
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    arguments = parser.parse_args()
    chosen: tuple[Exchange, str]
    if arguments.exchange == "binance":
        chosen = BinanceFutures(port=arguments.port), "binanceusdm"
    else:
        chosen = OkxSwap(port=arguments.port), "okx"
    with chosen[0] as exchange:
        print(snippet(exchange, chosen[1]), flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print("stopped")


if __name__ == "__main__":
    main()
