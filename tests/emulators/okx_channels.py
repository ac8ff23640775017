"""OKX's channels: which there are, what each pushes at first and when something changes."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Mapping, Sequence

import msgspec

from tests.emulators.account import Account
from tests.emulators.account_records import AccountEvent, Market, OrderEvent, Position
from tests.emulators.account_view import View
from tests.emulators.okx_balances import balance_row
from tests.emulators.okx_instruments import family, instrument_row, kind, plain
from tests.emulators.okx_market_data import (
    book_row,
    candle_row,
    funding_row,
    mark_price_row,
    seconds,
    ticker_row,
    trade_row,
)
from tests.emulators.okx_rows import UID, Row, order_push, position_id, position_row

PUBLIC = ("tickers", "mark-price", "bbo-tbt", "books", "books5", "trades", "funding-rate", "instruments")
PRIVATE = ("orders", "positions", "account", "balance_and_position")
DEPTHS = {"bbo-tbt": 1, "books5": 5, "books": 5}
CAUSES = {"order": "filled", "funding": "funding_fee", "deposit": "transferred", "adjustment": "transferred"}
"""What OKX calls the reasons for which balances and positions change."""


class Arg(msgspec.Struct, frozen=True):
    """What a subscription is to: a channel and its filters."""

    fields: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, row: Mapping[str, object]) -> Arg:
        """Return the subscription that a client asks for."""
        return cls(tuple(sorted((name, str(value)) for name, value in row.items())))

    @classmethod
    @functools.lru_cache
    def from_key(cls, key: str) -> Arg:
        """Return the subscription that has a key."""
        return cls.parse(msgspec.json.decode(key, type=dict[str, str]))

    @property
    def key(self) -> str:
        """What a socket remembers it by."""
        return msgspec.json.encode(dict(self.fields)).decode()

    def get(self, name: str) -> str:
        """Return a filter, empty if it is not set."""
        return dict(self.fields).get(name, "")

    @property
    def channel(self) -> str:
        """The channel's name."""
        return self.get("channel")

    def shows(self, market: Market) -> bool:
        """Return whether the filters let an instrument through."""
        return (
            self.get("instType") in ("", "ANY", kind(market))
            and self.get("instFamily") in ("", family(market))
            and self.get("uly") in ("", family(market))
            and self.get("instId") in ("", market.id)
        )

    def describe(self) -> str:
        """Return it as an error names it."""
        return ",".join(f"{name}:{value}" for name, value in self.fields)


class Push(msgspec.Struct, frozen=True):
    """Rows for the subscriptions of one channel; those about an instrument go only where it is shown."""

    channel: str
    rows: Sequence[tuple[Market | None, object]]
    extra: Mapping[str, object] = {}
    even_empty: bool = False

    def concerns(self, arg: Arg) -> bool:
        """Return whether a subscription gets anything of this."""
        return arg.channel == self.channel and (self.even_empty or bool(self._shown(arg)))

    def text(self, arg: Arg) -> str:
        """Return the message for a subscription."""
        named: dict[str, str] = dict(arg.fields)
        if self.channel in PRIVATE:
            named |= {"uid": UID}
        return msgspec.json.encode({"arg": named, **self.extra, "data": self._shown(arg)}).decode()

    def _shown(self, arg: Arg) -> list[object]:
        return [row for market, row in self.rows if market is None or arg.shows(market)]


class Channels:
    """What is pushed. Every method runs under the account's lock."""

    def __init__(self, account: Account, codes: Callable[[str], int]) -> None:
        self._account = account
        self._codes = codes
        self._books: dict[str, tuple[int, Row]] = {}

    def known(self, socket: str, arg: Arg) -> bool:
        """Return whether a kind of socket has this channel, and the instrument exists."""
        channel = arg.channel
        candle = channel.startswith("candle") and seconds(channel.removeprefix("candle")) is not None
        there = {"public": channel in PUBLIC, "private": channel in PRIVATE, "business": candle}[socket]
        by_name = socket != "private" and channel != "instruments"
        named = arg.get("instId")
        exists = named in self._account.markets if named or by_name else True
        typed = channel not in ("orders", "positions", "instruments") or bool(arg.get("instType"))
        return there and exists and typed

    def greeting(self, arg: Arg) -> list[Push]:
        """Return what a new subscription is sent at once."""
        pushes = {
            "positions": self._positions_snapshot,
            "account": self._account_snapshot,
            "balance_and_position": self._balance_snapshot,
        }
        if arg.channel in PRIVATE:
            return [pushes[arg.channel]()] if arg.channel in pushes else []
        if arg.channel == "books":
            number, book = self._fresh_book(arg.get("instId"))
            return [self._book_push(arg.get("instId"), book | {"prevSeqId": -1, "seqId": number}, "snapshot", book)]
        if arg.channel == "instruments":
            rows = [(market, self._instrument_row(market)) for market in self._account.markets.values()]
            return [Push("instruments", rows)]
        market = arg.get("instId")
        if arg.channel.startswith("candle"):
            return [push for push in self.candles(market) if push.concerns(arg)] or self._candle(arg)
        return [push for push in self.price(market, regular=True) if push.concerns(arg)]

    # Market data.

    def price(self, market_id: str, *, regular: bool = False) -> list[Push]:
        """Return what a price, new or `regular`ly repeated, is pushed as."""
        account, market = self._account, self._account.markets[market_id]
        pushes = [
            Push("tickers", [(market, ticker_row(account, market_id))]),
            Push("mark-price", [(market, mark_price_row(account, market_id))]),
        ]
        pushes += [
            Push(channel, [(market, self._numbered(market_id, book_row(account, market_id, DEPTHS[channel])))])
            for channel in ("bbo-tbt", "books5")
        ]
        pushes.append(Push("funding-rate", [(market, funding_row(account, market_id))]))
        pushes.append(Push("trades", [(market, trade_row(account, market_id))]))
        return pushes if regular else pushes + self._book_update(market_id)

    def candles(self, market_id: str) -> list[Push]:
        """Return the unfinished candles of every length."""
        market = self._account.markets[market_id]
        bars = ("1m", "3m", "5m", "15m", "30m", "1H", "2H", "4H", "6Hutc", "12Hutc", "1Dutc")
        return [
            Push(f"candle{bar}", [(market, candle_row(self._account, market_id, seconds(bar) or 60))]) for bar in bars
        ]

    def instrument(self, market_id: str) -> list[Push]:
        """Return the changed rules of an instrument."""
        market = self._account.markets[market_id]
        return [Push("instruments", [(market, self._instrument_row(market))])]

    def _instrument_row(self, market: Market) -> Row:
        return instrument_row(market, self._codes(market.id))

    def _candle(self, arg: Arg) -> list[Push]:
        length = seconds(arg.channel.removeprefix("candle")) or 60
        market = self._account.markets[arg.get("instId")]
        return [Push(arg.channel, [(market, candle_row(self._account, market.id, length))])]

    def _numbered(self, market_id: str, book: Row) -> Row:
        return book | {"instId": market_id, "seqId": self._book(market_id)[0]}

    def _book(self, market_id: str) -> tuple[int, Row]:
        """Return the book that clients of `books` have built, and its number."""
        if market_id not in self._books:
            self._books[market_id] = (1, book_row(self._account, market_id, DEPTHS["books"]))
        return self._books[market_id]

    def _fresh_book(self, market_id: str) -> tuple[int, Row]:
        """Return the same; while nobody listened the price may have moved on."""
        number, old = self._book(market_id)
        new = book_row(self._account, market_id, DEPTHS["books"])
        if new["bids"] != old["bids"]:
            self._books[market_id] = (number + 1, new)
        return self._book(market_id)

    def _book_update(self, market_id: str) -> list[Push]:
        number, old = self._book(market_id)
        new = book_row(self._account, market_id, DEPTHS["books"])
        self._books[market_id] = (number + 1, new)
        gone = {
            side: [[level[0], "0", "0", "0"] for level in _levels(old, side) if level not in _levels(new, side)]
            for side in ("asks", "bids")
        }
        change: Row = {side: gone[side] + _levels(new, side) for side in ("asks", "bids")}
        change |= {"ts": new["ts"], "prevSeqId": number, "seqId": number + 1}
        return [self._book_push(market_id, change, "update", new)]

    def _book_push(self, market_id: str, row: Row, action: str, whole: Row) -> Push:
        """Return a snapshot of the book, or an update to it with the checksum of what it then is."""
        market = self._account.markets[market_id]
        return Push("books", [(market, row | {"checksum": _checksum(whole)})], {"action": action})

    # The account.

    def order(self, event: OrderEvent) -> list[Push]:
        """Return what an order's change is pushed as."""
        market = self._account.markets[event.order.market]
        trades = [trade for trade in self._account.trades if trade.order_id == event.order.id]
        return [Push("orders", [(market, order_push(self._account, event.order, trades, event.trade))])]

    def account_changed(self, event: AccountEvent) -> list[Push]:
        """Return what a change of positions and balances is pushed as."""
        changed = {"eventType": "event_update"}
        pushes = []
        if event.positions:
            pushes.append(Push("positions", self._position_rows(event.positions), changed))
        currencies = event.currencies or tuple({self._settle(position) for position in event.positions})
        if currencies:
            row = balance_row(self._account, View(self._account), currencies)
            pushes.append(Push("account", [(None, row)], changed))
        row = self._balance_row(CAUSES.get(event.reason, event.reason), event.positions, currencies)
        pushes.append(Push("balance_and_position", [(None, row)]))
        return pushes

    def regular(self) -> list[Push]:
        """Return what `positions` and `account` repeat."""
        return [self._positions_snapshot(), self._account_snapshot()]

    def _positions_snapshot(self) -> Push:
        extra = {"eventType": "snapshot", "curPage": 1, "lastPage": True}
        return Push("positions", self._position_rows(self._account.positions), extra, even_empty=True)

    def _account_snapshot(self) -> Push:
        row = balance_row(self._account, View(self._account))
        return Push("account", [(None, row)], {"eventType": "snapshot", "curPage": 1, "lastPage": True})

    def _balance_snapshot(self) -> Push:
        row = self._balance_row("snapshot", self._account.positions, tuple(self._account.wallet))
        return Push("balance_and_position", [(None, row)])

    def _position_rows(self, positions: Sequence[Position]) -> list[tuple[Market | None, object]]:
        markets = self._account.markets
        return [(markets[each.market], position_row(self._account, each)) for each in positions]

    def _settle(self, position: Position) -> str:
        return self._account.markets[position.market].settle

    def _balance_row(self, cause: str, positions: Sequence[Position], currencies: Sequence[str]) -> Row:
        now, wallet = str(self._account.now()), self._account.wallet
        fields = (
            "avgPx", "ccy", "instId", "instType", "mgnMode", "nonSettleAvgPx", "pos", "posCcy", "posSide",
            "settledPnl", "tradeId", "uTime",
        )  # fmt: skip
        rows = [(position_row(self._account, each), position_id(each)) for each in positions]
        last = self._account.trades[-1:] if cause == "filled" else []
        return {
            "balData": [{"cashBal": plain(wallet[name]), "ccy": name, "uTime": now} for name in currencies],
            "eventType": cause,
            "pTime": now,
            "posData": [{"posId": number} | {name: row[name] for name in fields} for row, number in rows],
            "trades": [{"instId": trade.market, "tradeId": str(trade.id)} for trade in last],
        }


def _levels(book: Row, side: str) -> list[list[str]]:
    return msgspec.convert(book[side], list[list[str]])


def _checksum(book: Row) -> int:
    """Return the CRC-32 over the levels, bids and asks in turn, as a signed number."""
    pairs = zip(_levels(book, "bids"), _levels(book, "asks"), strict=True)
    text = ":".join(f"{bid[0]}:{bid[1]}:{ask[0]}:{ask[1]}" for bid, ask in pairs)
    number = zlib.crc32(text.encode())
    return number - 2**32 if number >= 2**31 else number
