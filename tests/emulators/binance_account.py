"""The account of the Binance USD-M emulator as its endpoints show it: balances and positions."""

from __future__ import annotations

from decimal import Decimal

from tests.emulators.account_records import ZERO, Leg, Position
from tests.emulators.account_view import View
from tests.emulators.binance_markets import POSITION_SIDE, market_of, text
from tests.emulators.faults import Request
from tests.emulators.server import Exchange, Reply, Route

MAINTENANCE = Decimal("0.004")
"""Share of the notional."""


class AccountPages:
    """The endpoints for balances and positions."""

    def __init__(self, exchange: Exchange) -> None:
        self.empty_legs = False
        """Whether positionRisk v3 lists flat legs in hedge mode, the long leg first."""
        self._exchange = exchange
        self._account = exchange.account

    def routes(self) -> list[Route]:
        """Return the endpoints."""
        return [
            Route("GET", "/fapi/v3/account", "balance", lambda request: Reply(self._summary(request, every=False))),
            Route("GET", "/fapi/v2/account", "balance", lambda request: Reply(self._summary(request, every=True))),
            Route("GET", "/fapi/v3/balance", "balance", self._balance),
            Route("GET", "/fapi/v2/balance", "balance", self._balance),
            Route("GET", "/fapi/v3/positionRisk", "positions", self._positions_v3),
            Route("GET", "/fapi/v2/positionRisk", "positions", self._positions_v2),
        ]

    # Balances.

    def _assets(self, view: View) -> list[dict[str, object]]:
        return [self._asset(view, currency, wallet) for currency, wallet in view.wallet.items()]

    def _asset(self, view: View, currency: str, wallet: Decimal) -> dict[str, object]:
        open_profit, initial, orders = self._used(view, currency)
        free = wallet + open_profit - initial - orders
        free = free if not free.is_finite() else max(free, ZERO)
        return {
            "asset": currency,
            "walletBalance": text(wallet),
            "unrealizedProfit": text(open_profit),
            "marginBalance": text(wallet + open_profit),
            "maintMargin": text(initial * MAINTENANCE),
            "initialMargin": text(initial + orders),
            "positionInitialMargin": text(initial),
            "openOrderInitialMargin": text(orders),
            "crossWalletBalance": text(wallet),
            "crossUnPnl": text(open_profit),
            "availableBalance": text(free),
            "maxWithdrawAmount": text(free),
            "marginAvailable": True,
            "updateTime": self._account.now(),
        }

    def _used(self, view: View, currency: str) -> tuple[Decimal, Decimal, Decimal]:
        """Return open profit, margin of positions, margin of open orders."""
        markets = self._account.markets
        held = [row for row in view.positions if markets[row.market].settle == currency]
        resting = [row for row in self._account.open_orders() if markets[row.market].settle == currency]
        return (
            view.unrealized(currency),
            sum((self._account.margin(row.market, row.quantity) for row in held), ZERO),
            sum((self._account.margin(row.market, row.remaining, row.price) for row in resting), ZERO),
        )

    def _balance(self, request: Request) -> Reply:
        return Reply(
            [
                {
                    "accountAlias": "SgsR",
                    "asset": row["asset"],
                    "balance": row["walletBalance"],
                    "crossWalletBalance": row["walletBalance"],
                    "crossUnPnl": row["unrealizedProfit"],
                    "availableBalance": row["availableBalance"],
                    "maxWithdrawAmount": row["availableBalance"],
                    "marginAvailable": True,
                    "updateTime": row["updateTime"],
                }
                for row in self._assets(self._exchange.view(request))
            ]
        )

    def _summary(self, request: Request, *, every: bool) -> dict[str, object]:
        """Return the account; its totals are those of USDT, as in single-asset mode."""
        view = self._exchange.view(request)
        assets = self._assets(view)
        main = next((row for row in assets if row["asset"] == "USDT"), assets[0])
        rows = self._legs(view, every=every)
        totals = {
            "totalInitialMargin": main["initialMargin"],
            "totalMaintMargin": main["maintMargin"],
            "totalWalletBalance": main["walletBalance"],
            "totalUnrealizedProfit": main["unrealizedProfit"],
            "totalMarginBalance": main["marginBalance"],
            "totalPositionInitialMargin": main["positionInitialMargin"],
            "totalOpenOrderInitialMargin": main["openOrderInitialMargin"],
            "totalCrossWalletBalance": main["crossWalletBalance"],
            "totalCrossUnPnl": main["crossUnPnl"],
            "availableBalance": main["availableBalance"],
            "maxWithdrawAmount": main["maxWithdrawAmount"],
        }
        trading = {"feeTier": 0, "canTrade": True, "canDeposit": True, "canWithdraw": True, "updateTime": 0}
        positions = [self._account_row(row, full=every) for row in rows]
        return {**(trading if every else {}), **totals, "assets": assets, "positions": positions}

    def _account_row(self, position: Position, *, full: bool) -> dict[str, object]:
        risk = self._risk(position)
        row: dict[str, object] = {
            "symbol": position.market,
            "positionSide": risk["positionSide"],
            "positionAmt": risk["positionAmt"],
            "unrealizedProfit": risk["unRealizedProfit"],
            "isolatedMargin": risk["isolatedMargin"],
            "notional": risk["notional"],
            "isolatedWallet": risk["isolatedWallet"],
            "initialMargin": risk["initialMargin"],
            "maintMargin": risk["maintMargin"],
            "updateTime": position.updated,
        }
        if full:
            row |= {
                "entryPrice": risk["entryPrice"],
                "leverage": str(self._account.leverage(position.market)),
                "isolated": self.isolated(position.market),
                "maxNotional": "25000000",
                "positionInitialMargin": risk["initialMargin"],
                "openOrderInitialMargin": "0",
                "breakEvenPrice": risk["breakEvenPrice"],
            }
        return row

    # Positions.

    def _legs(self, view: View, *, every: bool) -> list[Position]:
        """Return the open legs, or (`every`) those of all markets in the present mode and any other that is open."""
        open_legs = [row for row in view.positions if row.quantity]
        known = {(row.market, row.leg): row for row in view.positions}
        legs: tuple[Leg, ...] = ("long", "short") if self._account.hedged else ("net",)
        if every:
            rows = [known.get((each, leg), Position(each, leg)) for each in self._account.markets for leg in legs]
        elif self.empty_legs and self._account.hedged:
            held = dict.fromkeys(row.market for row in open_legs)
            rows = [known.get((each, leg), Position(each, leg)) for each in held for leg in legs]
        else:
            return open_legs
        return rows + [row for row in open_legs if row not in rows]

    def _positions_v3(self, request: Request) -> Reply:
        rows = self._chosen(request, self._legs(self._exchange.view(request), every=False))
        return Reply([self._risk(row) for row in rows])

    def _positions_v2(self, request: Request) -> Reply:
        rows = self._chosen(request, self._legs(self._exchange.view(request), every=True))
        settings = [
            {
                "leverage": str(self._account.leverage(row.market)),
                "maxNotionalValue": "25000000",
                "marginType": "isolated" if self.isolated(row.market) else "cross",
                "isAutoAddMargin": "false",
            }
            for row in rows
        ]
        return Reply([self._risk(row) | extra for row, extra in zip(rows, settings, strict=True)])

    def _chosen(self, request: Request, rows: list[Position]) -> list[Position]:
        if "symbol" not in request.params:
            return rows
        market = market_of(self._account, request.params).id
        return [row for row in rows if row.market == market]

    def _risk(self, position: Position) -> dict[str, object]:
        market, price = self._account.markets[position.market], self._account.prices[position.market]
        margin = text(self._account.margin(market.id, position.quantity))
        notional = position.quantity * price
        isolated = margin if self.isolated(market.id) else "0"
        return {
            "symbol": market.id,
            "positionSide": POSITION_SIDE[position.leg],
            "positionAmt": text(position.quantity),
            "entryPrice": text(position.entry),
            "breakEvenPrice": text(position.entry),
            "markPrice": text(price),
            "unRealizedProfit": text(self._account.unrealized(position)),
            "liquidationPrice": "0",
            "isolatedMargin": isolated,
            "notional": text(notional),
            "marginAsset": market.settle,
            "isolatedWallet": isolated,
            "initialMargin": margin,
            "maintMargin": text(abs(notional) * MAINTENANCE),
            "positionInitialMargin": margin,
            "openOrderInitialMargin": "0",
            "adl": 2,
            "bidNotional": "0",
            "askNotional": "0",
            "updateTime": position.updated,
        }

    def isolated(self, market: str) -> bool:
        """Return whether the margin of a market is isolated."""
        return self._account.margin_modes.get(market) == "isolated"
