"""Finding the market that a strategy means: `BTCUSDT`, `BTC/USDT:USDT`, `BTC/USDT` and `BTC-USDT` are all in use."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

import msgspec

from portfoliod.bounded import Bounded
from portfoliod.errors import UnknownSymbol

REMEMBERED = 1_000
"""Names that are not listed."""


class Listing(msgspec.Struct, frozen=True):
    """One market of a venue, as far as its names go."""

    symbol: str
    """Unified."""
    id: str
    """The exchange's own."""
    base: str
    quote: str
    kind: str
    """swap, future or spot."""

    def names(self) -> tuple[str, ...]:
        """Return every form in which a strategy may write it, in capitals."""
        pair = (f"{self.base}{separator}{self.quote}" for separator in ("/", "-", ""))
        return tuple(name.upper() for name in (self.symbol, self.id, *pair))


class Directory:
    """The markets of one venue by every name that they go by."""

    def __init__(
        self, venue: str, listings: Iterable[Listing], market_type: str, quote: str, suspended: Iterable[Listing] = ()
    ) -> None:
        self._venue = venue
        self._market_type = market_type
        self._quote = quote
        self._by_name: dict[str, list[Listing]] = {}
        self._symbols = {listing.symbol: listing for listing in listings}
        self._unlisted: Bounded[str, list[str]] = Bounded(REMEMBERED)
        """Names that were asked for and are not listed, with what reads like them."""
        for listing in (*self._symbols.values(), *suspended):
            for name in dict.fromkeys(listing.names()):
                self._by_name.setdefault(name, []).append(listing)

    @property
    def listings(self) -> Mapping[str, Listing]:
        """The markets that trade, by unified symbol."""
        return self._symbols

    def resolve(self, text: str) -> str:
        """Return the unified symbol that a text means.

        A symbol with a settlement currency (`BTC/USDT:USDT`) says which market it means; every other form prefers the
        venue's market type, then its quote currency. Of several that fit as well, those that trade go first.

        Raises:
            UnknownSymbol: there is no such market, or there are several.
        """
        name = text.strip().upper()
        if name in self._unlisted:
            raise self._unknown(text, name)
        candidates = self._by_name.get(name, [])
        exact = [listing for listing in candidates if ":" in name and listing.symbol.upper() == name]
        preferences = (
            exact,
            [listing for listing in candidates if self._fits(listing) and listing.quote == self._quote],
            [listing for listing in candidates if self._fits(listing)],
            candidates,
        )
        for fitting in preferences:
            preferred = [listing for listing in fitting if listing.symbol in self._symbols] or fitting
            if len(preferred) == 1:
                return preferred[0].symbol
            if preferred:
                raise self._ambiguous(text, preferred)
        self._unlisted[name] = self._nearest(name)
        raise self._unknown(text, name)

    def _fits(self, listing: Listing) -> bool:
        return listing.kind == self._market_type

    def _ambiguous(self, text: str, candidates: Iterable[Listing]) -> UnknownSymbol:
        names = ", ".join(sorted(listing.symbol for listing in candidates))
        return UnknownSymbol(
            "several markets go by this symbol",
            where=f"venue {self._venue}",
            found=f"{text}: {names}",
            mend="write the unified symbol of the one that is meant",
        )

    def _nearest(self, name: str) -> list[str]:
        """Return symbols that read like a name. It takes long among thousands, so it is done once for each."""
        near = [self._by_name[close][0].symbol for close in difflib.get_close_matches(name, self._by_name, n=3)]
        return list(dict.fromkeys(near))

    def _unknown(self, text: str, name: str) -> UnknownSymbol:
        near = self._unlisted[name]
        hint = f"; the nearest are {', '.join(near)}" if near else ""
        return UnknownSymbol(
            "no such market",
            where=f"venue {self._venue}",
            found=f"{text}{hint}",
            mend="write a symbol that the venue lists, or route the strategy elsewhere in `exchanges`",
        )
