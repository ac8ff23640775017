"""Settings of the Binance USD-M emulator: position mode, leverage, margin mode, listen keys, permissions."""

from __future__ import annotations

import secrets

from tests.emulators.account_records import Market
from tests.emulators.binance_account import AccountPages
from tests.emulators.binance_markets import integer, market_of, required, text
from tests.emulators.faults import Request
from tests.emulators.server import Exchange, Refusal, Reply, Route
from tests.harness.canaries import CANARIES


class SettingPages:
    """The endpoints for what is set and allowed."""

    def __init__(self, exchange: Exchange, pages: AccountPages) -> None:
        self.listen_key: str | None = None
        """The one that is valid now."""
        self.permissions = {"enableReading": True, "enableFutures": True, "enableWithdrawals": False}
        self.multi_assets = False
        self._account = exchange.account
        self._pages = pages

    def routes(self) -> list[Route]:
        """Return the endpoints."""
        return [
            Route("GET", "/fapi/v1/positionSide/dual", "mode", self._mode),
            Route("POST", "/fapi/v1/positionSide/dual", "set_mode", self._set_mode),
            Route("GET", "/fapi/v1/multiAssetsMargin", "config", self._multi_assets),
            Route("POST", "/fapi/v1/multiAssetsMargin", "config", self._set_multi_assets),
            Route("GET", "/fapi/v1/accountConfig", "config", self._configuration),
            Route("GET", "/fapi/v1/symbolConfig", "leverage", self._symbol_configuration),
            Route("GET", "/fapi/v1/leverageBracket", "leverage", self._brackets),
            Route("POST", "/fapi/v1/leverage", "set_leverage", self._set_leverage),
            Route("POST", "/fapi/v1/marginType", "margin_mode", self._set_margin_mode),
            Route("GET", "/fapi/v1/commissionRate", "fees", self._fees),
            Route("POST", "/fapi/v1/listenKey", "listen_key", self._new_listen_key),
            Route("PUT", "/fapi/v1/listenKey", "listen_key", self._keep_listen_key),
            Route("DELETE", "/fapi/v1/listenKey", "listen_key", self._drop_listen_key),
            Route("GET", "/sapi/v1/account/apiRestrictions", "permissions", self._restrictions),
        ]

    def _mode(self, _: Request) -> Reply:
        return Reply({"dualSidePosition": self._account.hedged})

    def _set_mode(self, request: Request) -> Reply:
        hedged = required(request.params, "dualSidePosition").lower() == "true"
        if hedged is self._account.hedged:
            raise Refusal(-4059, "No need to change position side.")
        if self._account.open_orders():
            raise Refusal(-4067, "Position side cannot be changed if there exists open orders.")
        if self._account.positions:
            raise Refusal(-4068, "Position side cannot be changed if there exists position.")
        self._account.set_hedged(hedged)
        return Reply({"code": 200, "msg": "success"})

    def _multi_assets(self, _: Request) -> Reply:
        return Reply({"multiAssetsMargin": self.multi_assets})

    def _set_multi_assets(self, request: Request) -> Reply:
        wanted = required(request.params, "multiAssetsMargin").lower() == "true"
        if wanted is self.multi_assets:
            raise Refusal(-4171, "No need to change multi-assets mode.")
        self.multi_assets = wanted
        return Reply({"code": 200, "msg": "success"})

    def _configuration(self, _: Request) -> Reply:
        return Reply(
            {
                "feeTier": 0,
                "canTrade": self.permissions["enableFutures"],
                "canDeposit": True,
                "canWithdraw": True,
                "dualSidePosition": self._account.hedged,
                "multiAssetsMargin": self.multi_assets,
                "tradeGroupId": -1,
                "updateTime": 0,
            }
        )

    def _markets(self, request: Request) -> list[Market]:
        if "symbol" in request.params:
            return [market_of(self._account, request.params)]
        return list(self._account.markets.values())

    def _symbol_configuration(self, request: Request) -> Reply:
        return Reply(
            [
                {
                    "symbol": market.id,
                    "marginType": "ISOLATED" if self._pages.isolated(market.id) else "CROSSED",
                    "isAutoAddMargin": False,
                    "leverage": self._account.leverage(market.id),
                    "maxNotionalValue": "25000000",
                }
                for market in self._markets(request)
            ]
        )

    def _brackets(self, request: Request) -> Reply:
        return Reply(
            [
                {
                    "symbol": market.id,
                    "notionalCoef": 1.0,
                    "brackets": [
                        {
                            "bracket": 1,
                            "initialLeverage": market.max_leverage,
                            "notionalCap": 25_000_000,
                            "notionalFloor": 0,
                            "maintMarginRatio": 0.004,
                            "cum": 0.0,
                        }
                    ],
                }
                for market in self._markets(request)
            ]
        )

    def _set_leverage(self, request: Request) -> Reply:
        market = market_of(self._account, request.params)
        leverage = integer(request.params, "leverage", 0)
        if not 1 <= leverage <= market.max_leverage:
            raise Refusal(-4028, f"Leverage {leverage} is not valid")
        self._account.set_leverage(market.id, leverage)
        return Reply({"leverage": leverage, "maxNotionalValue": "25000000", "symbol": market.id})

    def _set_margin_mode(self, request: Request) -> Reply:
        market = market_of(self._account, request.params)
        mode = {"ISOLATED": "isolated", "CROSSED": "cross"}.get(required(request.params, "marginType"))
        if mode is None:
            raise Refusal(-4050, "Invalid margin type.")
        if mode == self._account.margin_modes.get(market.id, "cross"):
            raise Refusal(-4046, "No need to change margin type.")
        if self._account.position(market.id):
            raise Refusal(-4048, "Margin type cannot be changed if there exists position.")
        self._account.set_margin_mode(market.id, mode)
        return Reply({"code": 200, "msg": "success"})

    def _fees(self, request: Request) -> Reply:
        market = market_of(self._account, request.params)
        maker, taker = text(self._account.maker), text(self._account.taker)
        return Reply({"symbol": market.id, "makerCommissionRate": maker, "takerCommissionRate": taker})

    # Keys.

    def _new_listen_key(self, _: Request) -> Reply:
        self.listen_key = self.listen_key or CANARIES["listen key"] + secrets.token_hex(4)
        return Reply({"listenKey": self.listen_key})

    def _keep_listen_key(self, _: Request) -> Reply:
        if self.listen_key is None:
            raise Refusal(-1125, "This listenKey does not exist.")
        return Reply({"listenKey": self.listen_key})

    def _drop_listen_key(self, _: Request) -> Reply:
        self.listen_key = None
        return Reply({})

    def _restrictions(self, _: Request) -> Reply:
        others = ("enableInternalTransfer", "enableMargin", "permitsUniversalTransfer", "enableVanillaOptions")
        rest = dict.fromkeys((*others, "enableSpotAndMarginTrading", "enablePortfolioMarginTrading"), False)
        return Reply({"ipRestrict": True, "createTime": 1698645219000, **rest, **self.permissions})
