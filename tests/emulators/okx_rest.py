"""OKX's REST endpoints for market data and the account, v5."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from tests.emulators.account import Account
from tests.emulators.account_records import Market
from tests.emulators.faults import Request
from tests.emulators.okx_balances import balance_row, config_row, currency_row, fee_row, funding_balance_row
from tests.emulators.okx_errors import refused
from tests.emulators.okx_instruments import instrument_row
from tests.emulators.okx_market_data import (
    book_row,
    candle_row,
    funding_row,
    mark_price_row,
    seconds,
    ticker_row,
    trade_row,
)
from tests.emulators.okx_requests import PAGE, Fields, answer, check_instrument_type, matching_markets, named_market
from tests.emulators.okx_rows import Row, position_row
from tests.emulators.server import Reply, Route

if TYPE_CHECKING:
    from tests.emulators.okx import OkxSwap


class Rest:
    """The handlers for market data and the account. They run under the account's lock."""

    def __init__(self, exchange: OkxSwap, account: Account) -> None:
        self._exchange = exchange
        self._account = account

    def routes(self) -> list[Route]:
        """Return the endpoints."""
        return [*self._public_routes(), *self._account_routes()]

    def _public_routes(self) -> list[Route]:
        account = self._account

        def each(row: Callable[[str], Row]) -> Callable[[Request], Reply]:
            return lambda request: answer(row(market.id) for market in matching_markets(self._account, request.params))

        def one(rows: Callable[[Market, Fields], list[object]]) -> Callable[[Request], Reply]:
            return lambda request: answer(rows(named_market(self._account, request.params), request.params))

        public = (
            ("public/time", "time", lambda _: answer([{"ts": str(account.now())}])),
            ("system/status", "status", lambda _: answer([])),
            ("public/instruments", "markets", self.instruments),
            ("market/tickers", "ticker", each(lambda market: ticker_row(account, market))),
            ("market/ticker", "ticker", one(lambda market, _: [ticker_row(account, market.id)])),
            ("public/mark-price", "mark_price", each(lambda market: mark_price_row(account, market))),
            ("public/funding-rate", "funding", one(lambda market, _: [funding_row(account, market.id)])),
            ("market/books", "book", one(self._book)),
            ("market/candles", "candles", one(self._candles)),
            ("market/history-candles", "candles", one(self._candles)),
            ("market/trades", "public_trades", one(lambda market, _: [trade_row(account, market.id)])),
        )
        return [Route("GET", f"/api/v5/{path}", name, handler, signed=False) for path, name, handler in public]

    def _account_routes(self) -> list[Route]:
        private = (
            ("GET", "account/instruments", "markets", self.instruments),
            ("GET", "account/config", "mode", self.config),
            ("POST", "account/set-position-mode", "set_mode", self.set_mode),
            ("GET", "account/balance", "balance", self.balance),
            ("GET", "account/positions", "positions", self.positions),
            ("GET", "account/leverage-info", "leverage", self.leverage),
            ("POST", "account/set-leverage", "set_leverage", self.set_leverage),
            ("GET", "account/trade-fee", "fees", lambda request: answer([fee_row(self._account, request.params)])),
            ("GET", "asset/currencies", "currencies", lambda _: answer(map(currency_row, self._account.wallet))),
            (
                "GET",
                "asset/balances",
                "funding_balance",
                lambda _: answer(map(funding_balance_row, self._account.wallet)),
            ),
        )
        return [Route(method, f"/api/v5/{path}", name, handler) for method, path, name, handler in private]

    # Market data.

    def instruments(self, request: Request) -> Reply:
        """GET public/instruments and account/instruments."""
        check_instrument_type(request.params, required=True)
        codes = self._exchange.codes
        return answer(
            instrument_row(market, codes(market.id)) for market in matching_markets(self._account, request.params)
        )

    def _book(self, market: Market, fields: Fields) -> list[object]:
        return [book_row(self._account, market.id, max(1, min(int(fields.get("sz") or 1), 400)))]

    def _candles(self, market: Market, fields: Fields) -> list[object]:
        length = seconds(fields.get("bar") or "1m")
        if length is None:
            raise refused("51000", "bar")
        rows = [candle_row(self._account, market.id, length, back) for back in range(300)]
        after, before = int(fields.get("after") or 2**63), int(fields.get("before") or 0)
        chosen: list[object] = [row for row in rows if before < int(row[0]) < after]
        return chosen[: min(int(fields.get("limit") or PAGE), 300)]

    # The account.

    def config(self, request: Request) -> Reply:
        """GET account/config."""
        del request
        return answer([config_row(hedged=self._account.hedged, permissions=self._exchange.permissions)])

    def set_mode(self, request: Request) -> Reply:
        """POST account/set-position-mode; refused while anything is held or open."""
        mode = request.params.get("posMode")
        if mode not in ("net_mode", "long_short_mode"):
            raise refused("51000", "posMode")
        hedged = mode == "long_short_mode"
        if hedged is not self._account.hedged and (self._account.positions or self._account.open_orders()):
            raise refused("59000")
        if hedged is not self._account.hedged:
            self._account.set_hedged(hedged)
        return answer([{"posMode": mode}])

    def balance(self, request: Request) -> Reply:
        """GET account/balance."""
        wanted = [name for name in request.params.get("ccy", "").split(",") if name]
        return answer([balance_row(self._account, self._exchange.view(request), wanted)])

    def positions(self, request: Request) -> Reply:
        """GET account/positions: open ones; of the instruments asked for by name also those that were closed."""
        fields = request.params
        check_instrument_type(fields)
        named = [name for name in fields.get("instId", "").split(",") if name]
        for name in named:
            named_market(self._account, {"instId": name})
        shown = {market.id for market in matching_markets(self._account, {**fields, "instId": ""})}
        rows = [
            position_row(self._account, position)
            for position in self._exchange.view(request).positions
            if position.market in (named or shown) and (position.quantity or named)
        ]
        wanted = [name for name in fields.get("posId", "").split(",") if name]
        return answer(row for row in rows if not wanted or row["posId"] in wanted)

    def leverage(self, request: Request) -> Reply:
        """GET account/leverage-info: a row for each leg."""
        legs = ("long", "short") if self._account.hedged else ("net",)
        mode = self._mode(request.params)
        names = request.params.get("instId", "").split(",")
        markets = [named_market(self._account, {"instId": name}) for name in names]
        return answer(self._leverage_row(market.id, mode, leg) for market in markets for leg in legs)

    def set_leverage(self, request: Request) -> Reply:
        """POST account/set-leverage; one leverage for all legs of an instrument."""
        fields = request.params
        market, mode = named_market(self._account, fields), self._mode(fields)
        try:
            lever = Decimal(fields.get("lever", ""))
        except InvalidOperation:
            raise refused("51000", "lever") from None
        if not lever.is_finite() or lever < 1 or lever % 1:
            raise refused("51000", "lever")
        if lever > market.max_leverage:
            raise refused("59102")
        legs = ("long", "short") if self._account.hedged else ("net",)
        leg = fields.get("posSide", "") if mode == "isolated" else ""
        if mode == "isolated" and leg not in legs:
            raise refused("51000", "posSide")
        self._account.set_leverage(market.id, int(lever))
        if not self._account.position(market.id):
            self._account.set_margin_mode(market.id, mode)
        return answer([self._leverage_row(market.id, mode, leg)])

    def _leverage_row(self, market: str, mode: str, leg: str) -> Row:
        return {
            "ccy": "",
            "instId": market,
            "lever": str(self._account.leverage(market)),
            "mgnMode": mode,
            "posSide": leg,
        }

    def _mode(self, fields: Fields) -> str:
        mode = fields.get("mgnMode", "")
        if mode not in ("cross", "isolated"):
            raise refused("51000", "mgnMode")
        return mode
