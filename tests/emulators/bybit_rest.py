"""Bybit's REST endpoints for market data and the account, v5."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.emulators.account import Account
from tests.emulators.account_records import Leg, Market, Position
from tests.emulators.bybit_rows import Row, category, instrument_row, position_row, text, ticker_row, wallet_row
from tests.emulators.bybit_trading import answer
from tests.emulators.faults import Request
from tests.emulators.server import Refusal, Reply, Route

if TYPE_CHECKING:
    from tests.emulators.bybit import BybitLinear


class Rest:
    """The handlers. They run under the account's lock."""

    def __init__(self, exchange: BybitLinear, account: Account) -> None:
        self._exchange = exchange
        self._account = account

    def routes(self) -> list[Route]:
        """Return the endpoints."""
        public = (
            ("time", "time", self.time),
            ("instruments-info", "markets", self.instruments),
            ("tickers", "ticker", self.tickers),
            ("orderbook", "book", self.book),
        )
        private = (
            ("GET", "user/query-api", "permissions", self.key),
            ("GET", "account/info", "config", self.info),
            ("GET", "account/wallet-balance", "balance", self.balance),
            ("GET", "position/list", "positions", self.positions),
            ("POST", "position/set-leverage", "set_leverage", self.set_leverage),
            ("POST", "position/switch-mode", "set_mode", self.set_mode),
            ("POST", "account/set-margin-mode", "margin_mode", self.set_margin_mode),
        )
        return [
            *(Route("GET", f"/v5/market/{path}", kind, handler, signed=False) for path, kind, handler in public),
            *(Route(method, f"/v5/{path}", kind, handler) for method, path, kind, handler in private),
        ]

    # Market data.

    def time(self, _request: Request) -> Reply:
        """GET market/time."""
        now = self._account.now()
        return answer({"timeSecond": str(now // 1000), "timeNano": f"{now}000000"})

    def instruments(self, request: Request) -> Reply:
        """GET market/instruments-info; nothing is in the state of a pre-launch."""
        listed = [] if request.params.get("status") == "PreLaunch" else self._matching(request)
        return self._rows(request, [instrument_row(market) for market in listed])

    def tickers(self, request: Request) -> Reply:
        """GET market/tickers."""
        return self._rows(request, [ticker_row(self._account, market) for market in self._matching(request)])

    def book(self, request: Request) -> Reply:
        """GET market/orderbook."""
        market = self._exchange.trading.market(request.params)
        price = self._account.prices[market.id]
        ask = [text(price + market.tick), "1000"]
        return answer({"s": market.id, "b": [[text(price), "1000"]], "a": [ask], "ts": self._account.now(), "u": 1})

    # The account.

    def key(self, _request: Request) -> Reply:
        """GET user/query-api."""
        return answer({
            "id": "13770661", "note": "portfoliod", "apiKey": self._exchange.credentials["apiKey"], "secret": "",
            "readOnly": int(self._exchange.read_only), "type": 1, "ips": ["127.0.0.1"], "deadlineDay": 83,
            "permissions": self._exchange.permissions, "unified": 0, "uta": 1, "userID": 24617703, "isMaster": True,
            "expiredAt": "2040-05-15T03:21:05Z", "createdAt": "2022-10-16T02:24:40Z",
        })  # fmt: skip

    def info(self, _request: Request) -> Reply:
        """GET account/info."""
        return answer({
            "marginMode": "REGULAR_MARGIN", "updatedTime": "1697078946000", "unifiedMarginStatus": 6,
            "dcpStatus": "OFF", "timeWindow": 10, "smpGroup": 0, "isMasterTrader": False, "spotHedgingStatus": "OFF",
        })  # fmt: skip

    def balance(self, request: Request) -> Reply:
        """GET account/wallet-balance of the unified account."""
        if request.params.get("accountType") != "UNIFIED":
            raise Refusal(10001, "accountType only support UNIFIED.")
        view = self._exchange.view(request)
        return answer({"list": [wallet_row(self._account, view.wallet, view.positions)]})

    def positions(self, request: Request) -> Reply:
        """GET position/list: of a settlement coin what is held, of a symbol also what is flat."""
        params, view = request.params, self._exchange.view(request)
        if params.get("category") not in {"linear", "inverse"}:
            raise Refusal(10001, "params error: category invalid")
        if params.get("symbol"):
            market = self._exchange.trading.market(params)
            legs: tuple[Leg, ...] = ("long", "short") if self._account.hedged else ("net",)
            held = {row.leg: row for row in view.positions if row.market == market.id}
            rows = [held.get(leg) or Position(market.id, leg) for leg in legs]
        elif params.get("settleCoin") or params["category"] == "inverse":
            rows = [row for row in view.positions if row.quantity and self._listed(row, params)]
        else:
            raise Refusal(10001, "Missing some parameters that must be filled in, symbol or settleCoin")
        return self._rows(request, [position_row(self._account, row) for row in rows])

    def set_leverage(self, request: Request) -> Reply:
        """POST position/set-leverage."""
        market = self._exchange.trading.market(request.params)
        buy, sell = request.params.get("buyLeverage", ""), request.params.get("sellLeverage", "")
        if buy != sell or not buy.isdigit() or not 1 <= int(buy) <= market.max_leverage:
            raise Refusal(110013, "cannot set leverage due to risk limit")
        if int(buy) == self._account.leverages.get(market.id):
            raise Refusal(110043, "leverage not modified")
        self._account.set_leverage(market.id, int(buy))
        return answer({})

    def set_mode(self, request: Request) -> Reply:
        """POST position/switch-mode."""
        hedged = request.params.get("mode") == "3"
        if hedged == self._account.hedged:
            raise Refusal(110025, "Position mode is not modified")
        if self._account.positions or self._account.open_orders():
            raise Refusal(110024, "You have an existing position, so the position mode cannot be switched.")
        self._account.set_hedged(hedged)
        return answer({})

    def set_margin_mode(self, request: Request) -> Reply:
        """POST account/set-margin-mode, which holds for the whole account."""
        if request.params.get("setMarginMode") not in {"ISOLATED_MARGIN", "REGULAR_MARGIN", "PORTFOLIO_MARGIN"}:
            raise Refusal(10001, "params error: setMarginMode invalid")
        return answer({"reasons": []})

    def _listed(self, row: Position, params: dict[str, str]) -> bool:
        market = self._account.markets[row.market]
        settled = params.get("settleCoin") in (None, "", market.settle)
        return category(market) == params["category"] and settled

    def _matching(self, request: Request) -> list[Market]:
        params = request.params
        if params.get("symbol"):
            return [self._exchange.trading.market(params)]
        return [market for market in self._account.markets.values() if category(market) == params.get("category")]

    def _rows(self, request: Request, rows: list[Row]) -> Reply:
        return answer({"category": request.params.get("category"), "list": rows, "nextPageCursor": ""})
