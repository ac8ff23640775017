"""The names of markets at a broker that lists none."""

from __future__ import annotations

import re

from portfoliod.errors import UnknownSymbol

LONGEST = 64


def market_name(text: str, quote: str, *, spot: bool) -> str | None:
    """Return the name under which a script knows a market, from any form in which a strategy may write it.

    That is what is written, in capitals. What is quoted in the venue's currency loses its separators and settlement:
    `BTCUSDT`, `btc-usdt`, `BTC/USDT` and, but for spot, `BTC/USDT:USDT` are all `BTCUSDT`. None where a text cannot
    be a market.
    """
    name = text.strip().upper()
    if not 0 < len(name) <= LONGEST or not name.isprintable() or not any(map(str.isalnum, name)):
        return None
    currency = re.escape(quote.upper())
    settlement = "" if spot else f"(:{currency})?"
    pair = re.fullmatch(f"([^/:_-]+)[/_-]?{currency}{settlement}", name)
    return f"{pair[1]}{quote.upper()}" if pair else name


def resolve(text: str, quote: str, *, spot: bool, venue: str) -> str:
    """Return a market's name as `market_name` does.

    Raises:
        UnknownSymbol: the text cannot be one.
    """
    name = market_name(text, quote, spot=spot)
    if name is None:
        raise UnknownSymbol(
            "no such market",
            where=f"venue {venue}",
            found=repr(text),
            mend=f"write a symbol such as BTC{quote.upper()}, or route the strategy elsewhere in `exchanges`",
        )
    return name
