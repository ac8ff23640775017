"""The OKX emulator is trustworthy: the real ccxt client trades on it, it enforces OKX's rules, its faults strike."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeVar

import aiohttp
import ccxt.pro
import msgspec
import pytest

from tests.emulators import okx_streams
from tests.emulators.account_records import Position
from tests.emulators.faults import (
    Action,
    BusinessError,
    Delay,
    Fills,
    Hang,
    HidePositions,
    Lag,
    Late,
    Lose,
    OrderLooks,
    OrderMissing,
    Reset,
    ShowPosition,
    Swap,
    Truncate,
    Twice,
    WalletLooks,
    empty,
    garbled,
    html,
)
from tests.emulators.okx import KEYS, OkxSwap
from tests.emulators.okx_instruments import markets
from tests.emulators.okx_signing import Keys

pytestmark = pytest.mark.slow  # an exchange and its client in each test

BTC, ETH, INVERSE = "BTC/USDT:USDT", "ETH/USDT:USDT", "BTC/USD:BTC"
SWAP = "BTC-USDT-SWAP"
PATIENCE = 30.0
T = TypeVar("T")
Json = Any
Client = Any
"""ccxt is not typed."""
Scenario = Callable[[Client], Coroutine[Any, Any, T]]


@pytest.fixture
def okx() -> Iterator[OkxSwap]:
    """A fresh emulator in one-way mode."""
    with OkxSwap() as running:
        yield running


@pytest.fixture
def hedged() -> Iterator[OkxSwap]:
    """A fresh emulator in hedge mode."""
    with OkxSwap(hedged=True) as running:
        yield running


def trade(okx: OkxSwap, scenario: Scenario[T], **options: object) -> T:
    """Run a scenario with a ccxt client on the emulator."""

    async def run() -> T:
        given = {**okx.options(), **okx.credentials, "enableRateLimit": False, "timeout_on_exit": 0, **options}
        client = ccxt.pro.okx(given)
        try:
            await client.load_markets()
            return await asyncio.wait_for(scenario(client), PATIENCE)
        finally:
            await client.close()

    return asyncio.run(run())


def call(
    okx: OkxSwap, method: str, path: str, body: object = None, *, keys: Keys | None = None, **headers: str
) -> tuple[int, Json]:
    """Send a signed request as the documentation says, and return the status and the JSON of the answer."""
    keys, target = keys or okx.keys, f"/api/v5/{path}"
    text = "" if body is None else json.dumps(body)
    stamp = datetime.fromtimestamp(okx.clock(), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    signed = {
        "OK-ACCESS-KEY": keys.api_key,
        "OK-ACCESS-SIGN": keys.signature(stamp + method + target + text),
        "OK-ACCESS-TIMESTAMP": stamp,
        "OK-ACCESS-PASSPHRASE": keys.passphrase,
        "Content-Type": "application/json",
    } | {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(
        okx.url + target, method=method, data=text.encode() or None, headers={k: v for k, v in signed.items() if v}
    )
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


ORDER = {"instId": SWAP, "tdMode": "cross", "side": "buy", "ordType": "market", "sz": "1"}


def place(okx: OkxSwap, **fields: str) -> Json:
    """Place an order by hand, a market order to buy one contract unless the fields say otherwise; return its row."""
    status, answer = call(okx, "POST", "trade/order", {k: v for k, v in (ORDER | fields).items() if v})
    assert status == 200
    assert answer["code"] == ("0" if answer["data"][0]["sCode"] == "0" else "1")
    return answer["data"][0]


def by_id(client_id: str) -> dict[str, str]:
    """Return the ccxt parameter that names an order of ours."""
    return {"clientOrderId": client_id}


# The client runs unmodified.


def test_markets_are_in_contracts(okx: OkxSwap) -> None:
    """Ccxt reads contract sizes, steps and minimums, of linear, inverse and dated instruments."""

    async def scenario(client: Client) -> None:
        linear, inverse = client.market(BTC), client.market(INVERSE)
        assert (linear["contractSize"], linear["precision"]["amount"], linear["limits"]["amount"]["min"]) == (
            0.01,
            0.01,
            0.01,
        )
        assert (inverse["contractSize"], inverse["inverse"], inverse["precision"]["amount"]) == (100, True, 1)
        assert [client.market(f"{base}/USDT:USDT")["contractSize"] for base in ("ETH", "SOL", "DOGE")] == [0.1, 1, 1000]
        dated = await client.fetch_markets_by_type("future")
        assert [market["symbol"].split("-")[0] for market in dated] == [BTC]
        assert dated[0]["expiry"] > client.milliseconds()

    trade(okx, scenario)


def test_the_dated_future_expires_on_the_last_friday_of_a_quarter() -> None:
    """Whatever the day, there is one dated future that has more than two weeks to go."""
    for month in range(1, 13):
        for day in (1, 14, 28):
            now = datetime(2026, month, day, tzinfo=UTC)
            expiry = datetime.fromtimestamp(next(m.expiry for m in markets(now) if m.expiry) / 1000, UTC)
            assert expiry.weekday() == 4
            assert expiry.month % 3 == 0
            assert 14 < (expiry - now).days < 120


def test_market_data(okx: OkxSwap) -> None:
    """Tickers, marks, books, candles, funding and the clock can be fetched."""

    async def scenario(client: Client) -> None:
        assert (await client.fetch_ticker(BTC))["last"] == 50_000
        assert (await client.fetch_tickers([BTC, ETH]))[ETH]["last"] == 2_500
        assert (await client.fetch_mark_price(BTC))["markPrice"] == 50_000
        assert (await client.fetch_order_book(BTC, 3))["asks"][0][0] == 50_000.1
        candles = await client.fetch_ohlcv(BTC, "1h", limit=5)
        assert [row[0] - candles[0][0] for row in candles] == [hour * 3_600_000 for hour in range(5)]
        assert (await client.fetch_funding_rate(BTC))["fundingRate"] == 0.0001
        assert abs(await client.fetch_time() - client.milliseconds()) < 2_000
        assert (await client.fetch_status())["status"] == "ok"
        assert (await client.fetch_trading_fee(BTC))["taker"] == 0.0005

    trade(okx, scenario)


def test_the_reply_to_an_order_says_nothing_of_its_state(okx: OkxSwap) -> None:
    """A fetch must follow, by client id or by id; then status, fill, price and fee are there."""

    async def scenario(client: Client) -> None:
        reply = await client.create_order(BTC, "market", "buy", "1.5", None, by_id("mine1"))
        assert (reply["status"], reply["filled"], reply["amount"], reply["clientOrderId"]) == (
            None,
            None,
            None,
            "mine1",
        )
        for found in (await client.fetch_order(None, BTC, by_id("mine1")), await client.fetch_order(reply["id"], BTC)):
            assert (found["status"], found["filled"], found["average"]) == ("closed", 1.5, 50_000)
            assert found["fee"] == {"cost": 0.375, "currency": "USDT"}
        (fill,) = await client.fetch_my_trades(BTC)
        assert (fill["amount"], fill["order"], fill["takerOrMaker"]) == (1.5, reply["id"], "taker")
        assert [row["id"] for row in await client.fetch_order_trades(reply["id"], BTC)] == [fill["id"]]
        assert [row["id"] for row in await client.fetch_closed_orders(BTC)] == [reply["id"]]

    trade(okx, scenario)
    assert okx.account.position(SWAP) == Decimal("1.5")


def test_positions_and_the_balance(okx: OkxSwap) -> None:
    """Net positions are signed contracts; closed ones are listed only when asked for by name."""

    async def scenario(client: Client) -> None:
        await client.create_order(ETH, "market", "buy", "2")
        await client.create_order(BTC, "market", "sell", "3")
        okx.account.set_price(SWAP, "49000")
        rows = {row["symbol"]: row for row in await client.fetch_positions()}
        short = rows[BTC]
        assert (short["side"], short["contracts"], short["unrealizedPnl"], short["hedged"]) == ("short", 3, 30, False)
        assert short["info"]["pos"] == "-3"
        assert short["notional"] == 1470
        balance = await client.fetch_balance()
        assert balance["USDT"]["total"] == pytest.approx(100_000 + 30 - 0.75 - 0.25)
        assert balance["USDT"]["free"] == pytest.approx(100_000 + 30 - 1 - 73.5 - 25)
        await client.create_order(BTC, "market", "buy", "3", None, {"reduceOnly": True})
        assert [row["symbol"] for row in await client.fetch_positions()] == [ETH]
        (closed,) = await client.fetch_positions([BTC])
        assert (closed["contracts"], closed["side"]) == (0, None)

    trade(okx, scenario)


def test_an_inverse_swap_settles_in_its_base(okx: OkxSwap) -> None:
    """A contract is worth 100 USD; profit and fees are in BTC."""

    async def scenario(client: Client) -> None:
        await client.create_order(INVERSE, "market", "buy", 10)
        okx.account.set_price("BTC-USD-SWAP", "100000")
        await client.create_order(INVERSE, "market", "sell", 10)
        assert (await client.fetch_balance())["BTC"]["total"] == pytest.approx(2 + 0.01 - 0.00001 - 0.000005)

    trade(okx, scenario)


def test_limit_orders_rest_fill_and_are_canceled(okx: OkxSwap) -> None:
    """A resting order is listed as open; it fills as maker when the price reaches it, or is canceled once."""

    async def scenario(client: Client) -> None:
        await client.create_order(BTC, "limit", "buy", 1, 49_000, by_id("rests"))
        await client.create_order(BTC, "limit", "buy", 2, 48_000, by_id("waits"))
        assert {row["clientOrderId"] for row in await client.fetch_open_orders(BTC)} == {"waits", "rests"}
        okx.account.set_price(SWAP, "48500")
        assert (await client.fetch_order(None, BTC, by_id("rests")))["average"] == 49_000
        await client.cancel_order(None, BTC, by_id("waits"))
        gone = await client.fetch_order(None, BTC, by_id("waits"))
        assert (gone["status"], gone["filled"], gone["info"]["cancelSource"]) == ("canceled", 0, "1")
        assert [row["clientOrderId"] for row in await client.fetch_canceled_orders(BTC)] == ["waits"]
        for name in ("waits", "rests", "never"):
            with pytest.raises(ccxt.OrderNotFound, match="51400"):
                await client.cancel_order(None, BTC, by_id(name))
        with pytest.raises(ccxt.OrderNotFound, match="51603"):
            await client.fetch_order(None, BTC, by_id("never"))

    trade(okx, scenario)


def test_what_a_limit_order_may_become(okx: OkxSwap) -> None:
    """Post-only never takes; ioc and fok never rest."""
    assert place(okx, ordType="post_only", px="50100", clOrdId="po")["sCode"] == "0"
    assert place(okx, ordType="ioc", px="49000", clOrdId="ioc")["sCode"] == "0"
    assert place(okx, ordType="fok", px="50100", clOrdId="fok")["sCode"] == "0"
    _, answer = call(okx, "GET", "trade/orders-history?instType=SWAP")
    assert {row["clOrdId"]: (row["state"], row["cancelSource"]) for row in answer["data"]} == {
        "po": ("canceled", "31"),
        "ioc": ("canceled", "14"),
        "fok": ("filled", ""),
    }


def test_leverage_and_margin_mode(okx: OkxSwap) -> None:
    """Leverage is set by instrument; an isolated order makes an isolated position."""

    async def scenario(client: Client) -> None:
        await client.set_leverage(7, BTC)
        assert (await client.fetch_leverage(BTC))["longLeverage"] == 7
        await client.set_margin_mode("isolated", BTC, {"lever": 5, "posSide": "net"})
        await client.create_order(BTC, "market", "buy", 1, None, {"marginMode": "isolated"})
        (row,) = await client.fetch_positions()
        assert (row["marginMode"], row["leverage"]) == ("isolated", 5)
        with pytest.raises(ccxt.ExchangeError, match="59102"):
            await client.set_leverage(125, BTC)

    trade(okx, scenario)


def test_hedge_mode_has_two_legs(hedged: OkxSwap) -> None:
    """`hedged` orders open and close legs; both are positive numbers of contracts on the wire."""

    async def scenario(client: Client) -> None:
        assert (await client.fetch_position_mode())["hedged"]
        await client.create_order(BTC, "market", "buy", 2, None, {"hedged": True})
        await client.create_order(BTC, "market", "sell", 3, None, {"hedged": True})
        await client.create_order(BTC, "market", "buy", 1, None, {"hedged": True, "reduceOnly": True})
        rows = await client.fetch_positions()
        assert {row["side"]: (row["contracts"], row["info"]["pos"]) for row in rows} == {
            "long": (2, "2"),
            "short": (2, "2"),
        }
        with pytest.raises(ccxt.BadRequest, match="posSide"):
            await client.create_order(BTC, "market", "buy", 1)
        for side, code in (("long", "51112"), ("short", "51112")):
            closing = "sell" if side == "long" else "buy"
            with pytest.raises(ccxt.InvalidOrder, match=code):
                await client.create_order(BTC, "market", closing, 5, None, {"positionSide": side})

    trade(hedged, scenario)
    assert hedged.account.position(SWAP) == 0


def test_the_position_mode_changes_only_when_flat(okx: OkxSwap) -> None:
    """59000 while something is held or open."""

    async def scenario(client: Client) -> None:
        await client.create_order(BTC, "market", "buy", 1)
        with pytest.raises(ccxt.ExchangeError, match="59000"):
            await client.set_position_mode(True)
        await client.create_order(BTC, "market", "sell", 1)
        await client.set_position_mode(True)
        assert (await client.fetch_position_mode())["hedged"]

    trade(okx, scenario)
    assert okx.account.hedged


# OKX's rules.


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"instId": "NOSUCH-USDT-SWAP"}, "51001"),
        ({"tdMode": "cash"}, "51010"),
        ({"tdMode": "both"}, "51000"),
        ({"side": "long"}, "51000"),
        ({"ordType": "stop"}, "51000"),
        ({"posSide": "long"}, "51000"),
        ({"clOrdId": "with-dash"}, "51000"),
        ({"clOrdId": "x" * 33}, "51000"),
        ({"tag": "with-dash"}, "51000"),
        ({"sz": "NaN"}, "51000"),
        ({"sz": "-1"}, "51000"),
        ({"sz": "0.005"}, "51020"),
        ({"sz": "1.005"}, "51121"),
        ({"sz": "12000.01"}, "51202"),
        ({"sz": "10000"}, "51008"),
        ({"ordType": "limit"}, "51204"),
        ({"ordType": "limit", "px": "49000.05"}, "51000"),
        ({"ordType": "limit", "px": "60000"}, "51006"),
        ({"reduceOnly": "true"}, "51169"),
    ],
)
def test_an_order_that_breaks_a_rule_is_refused_in_its_row(okx: OkxSwap, fields: dict[str, str], code: str) -> None:
    """HTTP 200, code 1, and the reason in sCode; nothing is ordered."""
    row = place(okx, **fields)
    assert (row["sCode"], row["ordId"]) == (code, "")
    assert row["sMsg"]
    assert okx.account.orders == []


def test_reduce_only_never_opens(okx: OkxSwap) -> None:
    """In the position's own direction it is refused; a larger one is amended to what is held."""
    okx.account.set_position(SWAP, "2")
    assert place(okx, side="buy", reduceOnly="true")["sCode"] == "51170"
    assert place(okx, side="sell", sz="5", reduceOnly="true")["sCode"] == "0"
    assert okx.account.position(SWAP) == 0
    assert okx.account.orders[-1].quantity == 2


def test_a_client_id_is_unique_among_pending_orders_only(okx: OkxSwap) -> None:
    """51016 while the first one rests; the id of a filled order may be used again, and then names the later order."""
    assert place(okx, ordType="limit", px="49000", clOrdId="twice")["sCode"] == "0"
    assert place(okx, clOrdId="twice")["sCode"] == "51016"
    okx.account.set_price(SWAP, "48000")
    later = place(okx, side="sell", clOrdId="twice")
    assert later["sCode"] == "0"
    _, found = call(okx, "GET", f"trade/order?instId={SWAP}&clOrdId=twice")
    assert found["data"][0]["ordId"] == later["ordId"]


def test_a_batch_may_succeed_in_part(okx: OkxSwap) -> None:
    """Code 2, and every row says what came of it; more than twenty are refused."""
    status, answer = call(okx, "POST", "trade/batch-orders", [ORDER, ORDER | {"sz": "0"}])
    assert (status, answer["code"], [row["sCode"] for row in answer["data"]]) == (200, "2", ["0", "51000"])
    assert call(okx, "POST", "trade/batch-orders", [ORDER] * 21)[1]["code"] == "51111"
    assert okx.account.position(SWAP) == 1


@pytest.mark.parametrize(
    ("headers", "keys", "code"),
    [
        ({"OK_ACCESS_KEY": ""}, None, "50103"),
        ({"OK_ACCESS_PASSPHRASE": ""}, None, "50104"),
        ({"OK_ACCESS_SIGN": ""}, None, "50106"),
        ({"OK_ACCESS_TIMESTAMP": ""}, None, "50107"),
        ({"OK_ACCESS_TIMESTAMP": "now"}, None, "50112"),
        ({"OK_ACCESS_TIMESTAMP": "2020-01-01T00:00:00.000Z"}, None, "50102"),
        ({}, Keys("other", KEYS.secret, KEYS.passphrase), "50111"),
        ({}, Keys(KEYS.api_key, KEYS.secret, "other"), "50105"),
        ({}, Keys(KEYS.api_key, "other", KEYS.passphrase), "50113"),
    ],
)
def test_who_does_not_sign_is_refused(okx: OkxSwap, headers: dict[str, str], keys: Keys | None, code: str) -> None:
    """Every header is needed and must be right: HTTP 401 and the documented code."""
    status, answer = call(okx, "GET", "account/config", keys=keys, **headers)
    assert (status, answer["code"]) == (401, code)


def test_keys_clocks_and_permissions(okx: OkxSwap) -> None:
    """A deleted key, a clock that is off and a key that may only read are told apart."""

    async def scenario(client: Client) -> None:
        okx.account.clock_offset = 60
        with pytest.raises(ccxt.InvalidNonce, match="50102"):
            await client.fetch_balance()
        await client.load_time_difference()
        await client.fetch_balance()
        okx.permissions = "read_only"
        with pytest.raises(ccxt.ExchangeError, match="50120"):
            await client.create_order(BTC, "market", "buy", 1)
        await client.fetch_positions()
        okx.revoke_keys()
        with pytest.raises(ccxt.AuthenticationError, match="50111"):
            await client.fetch_balance()

    trade(okx, scenario)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("market/ticker?instId=NOSUCH", 200, "51001"),
        ("market/ticker", 400, "50014"),
        ("public/instruments", 400, "50014"),
        ("account/positions?instType=NOSUCH", 400, "51000"),
        ("trade/orders-history", 400, "50014"),
        (f"trade/order?instId={SWAP}", 200, "51003"),
        ("no/such/path", 404, "404"),
    ],
)
def test_a_wrong_question_is_refused_as_a_whole(okx: OkxSwap, path: str, status: int, code: str) -> None:
    """The code stands at the top, there is no data."""
    answered, answer = call(okx, "GET", path)
    assert (answered, answer["code"], bool(answer["data"])) == (status, code, False)


def test_an_order_that_came_too_late_is_refused(okx: OkxSwap) -> None:
    """`expTime` is the client's own deadline."""
    assert call(okx, "POST", "trade/order", ORDER, expTime="1")[1]["code"] == "50037"
    assert okx.account.orders == []


def test_lists_come_in_pages(okx: OkxSwap) -> None:
    """Newest first; `after` is the next page, `before` what came since."""
    ids = [place(okx)["ordId"] for _ in range(5)]

    def page(query: str) -> list[str]:
        _, answer = call(okx, "GET", f"trade/orders-history?instType=SWAP{query}")
        return [row["ordId"] for row in answer["data"]]

    assert page("&limit=2") == [ids[4], ids[3]]
    assert page(f"&limit=2&after={ids[3]}") == [ids[2], ids[1]]
    assert page(f"&before={ids[3]}") == [ids[4]]
    assert page("&begin=9999999999999") == []


# Faults.


async def buy(client: Client, client_id: str = "faulty") -> Json:
    """Send the order that a fault hits."""
    return await client.create_order(BTC, "market", "buy", 1, None, by_id(client_id))


@pytest.mark.parametrize(
    ("fault", "error", "taken"),
    [
        (Hang(processed=True), ccxt.RequestTimeout, True),
        (Hang(processed=False), ccxt.RequestTimeout, False),
        (Reset(processed=True), ccxt.ExchangeNotAvailable, True),
        (Reset(processed=False), ccxt.ExchangeNotAvailable, False),
        (Truncate(), ccxt.ExchangeError, True),
        (html(502, processed=True), ccxt.ExchangeNotAvailable, True),
        (html(503), ccxt.ExchangeNotAvailable, False),
        (BusinessError(code=50001), ccxt.OnMaintenance, False),
        (BusinessError(code=50001, processed=True), ccxt.OnMaintenance, True),
        (BusinessError(code=50004, processed=True), ccxt.RequestTimeout, True),
        (BusinessError(code=50026, processed=True), ccxt.ExchangeNotAvailable, True),
        (BusinessError(code=50011), ccxt.RateLimitExceeded, False),
        (BusinessError(code=50061), ccxt.ExchangeError, False),
        (BusinessError(code=50111), ccxt.AuthenticationError, False),
        (BusinessError(code=51008), ccxt.InsufficientFunds, False),
        (BusinessError(code=51016), ccxt.InvalidOrder, False),
    ],
)
def test_what_the_client_hears_and_what_is_true(
    okx: OkxSwap, fault: Action, error: type[Exception], taken: bool
) -> None:
    """Every kind of broken answer reaches ccxt as its error, and the account knows whether the order was taken."""

    async def scenario(client: Client) -> None:
        okx.faults.add("place", fault)
        with pytest.raises(error):
            await buy(client)
        found = client.fetch_order(None, BTC, by_id("faulty"))
        if taken:
            assert (await found)["filled"] == 1
        else:
            with pytest.raises(ccxt.OrderNotFound):
                await found

    trade(okx, scenario, timeout=400)
    assert okx.account.position(SWAP) == (1 if taken else 0)


@pytest.mark.parametrize("fault", [garbled(), empty(), html(200, processed=True)])
def test_an_unreadable_200_raises_nothing_in_ccxt(okx: OkxSwap, fault: Action) -> None:
    """The order was taken, and the client returns one without id and status, or an error that does not say no."""

    async def scenario(client: Client) -> None:
        okx.faults.add("place", fault)
        with contextlib.suppress(ccxt.ExchangeNotAvailable):
            reply = await buy(client)
            assert (reply["id"], reply["status"]) == (None, None)

    trade(okx, scenario)
    assert okx.account.position(SWAP) == 1


def test_a_late_order_fills_after_it_was_not_found(okx: OkxSwap) -> None:
    """OrderNotFound right after a lost answer proves nothing."""

    async def scenario(client: Client) -> None:
        okx.faults.add("place", Late(seconds=0.3))
        with pytest.raises(ccxt.ExchangeNotAvailable):
            await buy(client)
        with pytest.raises(ccxt.OrderNotFound):
            await client.fetch_order(None, BTC, by_id("faulty"))
        await okx.until(lambda: okx.account.position(SWAP) == 1)
        assert (await client.fetch_order(None, BTC, by_id("faulty")))["status"] == "closed"

    trade(okx, scenario)


def test_fills_come_late_or_in_part(okx: OkxSwap) -> None:
    """An order is live before it fills; what is not filled is canceled."""

    async def scenario(client: Client) -> None:
        okx.faults.add("place", Fills(after=0.3))
        await buy(client, "late")
        assert (await client.fetch_order(None, BTC, by_id("late")))["status"] == "open"
        await okx.until(lambda: okx.account.position(SWAP) == 1)
        okx.faults.add("place", Fills(share=Decimal("0.4"), parts=2))
        await buy(client, "part")
        part = await client.fetch_order(None, BTC, by_id("part"))
        assert (part["status"], part["filled"], part["remaining"]) == ("canceled", 0.4, 0.6)
        assert [row["amount"] for row in await client.fetch_order_trades(part["id"], BTC)] == [0.2, 0.2]

    trade(okx, scenario)


def test_answers_may_show_another_account_than_the_true_one(okx: OkxSwap) -> None:
    """Positions lag, are hidden or made up; the balance is nonsense; an order looks canceled or is missing."""

    async def scenario(client: Client) -> None:
        await buy(client)
        okx.faults.add("positions", Lag(60))
        assert await client.fetch_positions() == []
        okx.faults.add("positions", HidePositions())
        assert await client.fetch_positions() == []
        okx.faults.add("positions", ShowPosition(Position("ETH-USDT-SWAP", "net", Decimal(-9), Decimal(2500))))
        assert {row["symbol"]: row["contracts"] for row in await client.fetch_positions()} == {BTC: 1, ETH: 9}
        okx.faults.add("order", OrderLooks("canceled"))
        looks = await client.fetch_order(None, BTC, by_id("faulty"))
        assert (looks["status"], looks["filled"], looks["fee"]["cost"]) == ("canceled", 0, 0)
        okx.faults.add("order", OrderMissing())
        with pytest.raises(ccxt.OrderNotFound):
            await client.fetch_order(None, BTC, by_id("faulty"))
        for amount in (0, 5_000_000):
            okx.faults.add("balance", WalletLooks("USDT", Decimal(amount)))
            assert (await client.fetch_balance())["USDT"]["total"] == amount
        okx.faults.add("balance", WalletLooks("USDT", Decimal("NaN")))
        with pytest.raises(ValueError, match="NaN"):  # ccxt's own parser stumbles over it
            await client.fetch_balance()
        assert len(await client.fetch_positions()) == 1

    trade(okx, scenario)


def test_what_happens_to_the_account_itself(okx: OkxSwap) -> None:
    """Liquidations carry their category; changed instruments and modes are seen; too many requests are 429."""

    async def scenario(client: Client) -> None:
        await buy(client)
        okx.account.force_close(SWAP)
        (liquidation,) = [row for row in await client.fetch_closed_orders(BTC) if row["side"] == "sell"]
        assert liquidation["info"]["category"] == "full_liquidation"
        okx.account.replace_market(
            msgspec.structs.replace(okx.account.markets[SWAP], contract_size=Decimal("0.1"), step=Decimal(1))
        )
        await client.load_markets(True)
        assert (client.market(BTC)["contractSize"], client.market(BTC)["precision"]["amount"]) == (0.1, 1)
        okx.account.set_hedged(True)
        with pytest.raises(ccxt.BadRequest, match="posSide"):
            await buy(client)
        okx.rate_limit = 0
        with pytest.raises(ccxt.RateLimitExceeded, match="50011"):
            await client.fetch_balance()

    trade(okx, scenario)


# Streams.


def subscribed(okx: OkxSwap, *channels: str) -> bool:
    """Return whether every one of these channels has a subscriber."""
    keys = [key for socket in okx.sockets for key in socket.subscriptions]
    return all(any(f'"channel":"{channel}"' in key for key in keys) for channel in channels)


async def eventually(okx: OkxSwap, watch: Callable[[], Coroutine[Any, Any, Any]], seen: Callable[[], T]) -> T:
    """Watch until the client's caches show something, and return it."""
    deadline = time.monotonic() + PATIENCE
    while not (result := seen()):
        assert time.monotonic() < deadline, f"never seen; requests: {okx.counts()}"
        await asyncio.wait_for(watch(), PATIENCE)
    return result


def test_market_streams(okx: OkxSwap) -> None:
    """Every public channel that ccxt watches follows the price."""

    async def scenario(client: Client) -> None:
        okx.account.set_price(SWAP, "51000")
        watched = await asyncio.gather(
            client.watch_ticker(BTC),
            client.watch_mark_price(BTC),
            client.watch_bids_asks([BTC]),
            client.watch_trades(BTC),
            client.watch_ohlcv(BTC, "1m"),
            client.watch_order_book(BTC),
            client.watch_funding_rate(BTC),
        )
        ticker, mark, best, trades, candles, book, funding = watched
        assert (ticker["last"], mark["markPrice"], best[BTC]["ask"]) == (51_000, 51_000, 51_000.1)
        assert (trades[-1]["price"], candles[-1][4], funding["fundingRate"]) == (51_000, 51_000, 0.0001)
        assert book["bids"][0][0] == 51_000
        okx.account.set_price(SWAP, "52000")
        while (await client.watch_order_book(BTC))["bids"][0][0] != 52_000:
            pass
        assert client.orderbooks[BTC]["asks"][0][0] == 52_000.1
        await eventually(okx, lambda: client.watch_tickers([BTC]), lambda: client.tickers[BTC]["last"] == 52_000)

    trade(okx, scenario)


def test_private_streams(okx: OkxSwap) -> None:
    """Snapshots at first; then orders (live, then filled), fills, positions and the balance."""

    async def scenario(client: Client) -> None:
        okx.account.set_position("ETH-USDT-SWAP", "3")
        assert [row["symbol"] for row in await client.watch_positions()] == [ETH]
        assert (await client.watch_balance())["USDT"]["total"] == 100_000
        orders, trades = asyncio.ensure_future(client.watch_orders()), asyncio.ensure_future(client.watch_my_trades())
        await okx.until(lambda: subscribed(okx, "orders", "positions", "account"))
        await buy(client, "streamed")
        assert (await orders)[-1]["clientOrderId"] == "streamed"
        (fill,) = await trades
        assert (fill["amount"], fill["price"], fill["fee"]["cost"]) == (1, 50_000, -0.25)
        await eventually(okx, client.watch_orders, lambda: client.orders[-1]["status"] == "closed")
        await eventually(
            okx, client.watch_positions, lambda: {p["symbol"]: p["contracts"] for p in client.positions}.get(BTC) == 1
        )
        await eventually(okx, client.watch_balance, lambda: client.balance["USDT"]["total"] == 99_999.75)

    trade(okx, scenario)


def test_a_trade_by_hand_and_a_closed_position_are_streamed(okx: OkxSwap) -> None:
    """A flat position is pushed with pos 0, which ccxt stores for both sides."""

    async def scenario(client: Client) -> None:
        await client.watch_positions()
        okx.account.trade(SWAP, "sell", "2")
        await eventually(okx, client.watch_positions, lambda: [p for p in client.positions if p["contracts"] == 2])
        okx.account.trade(SWAP, "buy", "2")
        await eventually(okx, client.watch_positions, lambda: all(not p["contracts"] for p in client.positions))
        assert {p["side"] for p in client.positions} == {"long", "short"}

    trade(okx, scenario)


def test_orders_over_the_socket(okx: OkxSwap) -> None:
    """Orders are placed and canceled, and a refusal is an ExchangeError whose class does not tell why."""

    async def scenario(client: Client) -> None:
        reply = await client.create_order_ws(BTC, "limit", "buy", 1, 49_000, by_id("ws1"))
        assert (reply["clientOrderId"], reply["status"]) == ("ws1", None)
        await client.cancel_order_ws(reply["id"], BTC)
        assert okx.account.orders[0].status == "canceled"
        with pytest.raises(ccxt.ExchangeError, match="51121"):
            await client.create_order_ws(BTC, "market", "buy", 1, None, {"sz": "1.005"})

    trade(okx, scenario)


def test_the_private_socket_wants_a_login(okx: OkxSwap) -> None:
    """A wrong secret, a wrong channel and a missing login are refused with the documented codes."""

    async def wrong(client: Client) -> None:
        client.secret = "other"
        with pytest.raises(ccxt.AuthenticationError, match="60007"):
            await client.watch_orders()

    async def absent(client: Client) -> None:
        with pytest.raises(ccxt.BadRequest, match="60018"):
            await client.watch_ticker(BTC, {"channel": "no-such-channel"})

    async def unknown(client: Client) -> None:
        with pytest.raises(ccxt.AuthenticationError, match="60011"):
            await client.subscribe("private", "orders", "orders", None, {"instType": "ANY"})

    for scenario in (wrong, absent, unknown):
        trade(okx, scenario)


def test_a_lost_message_is_lost_for_good(okx: OkxSwap) -> None:
    """The positions that ccxt caches stay wrong until something else happens, while REST is right."""

    async def scenario(client: Client) -> None:
        await client.watch_positions()
        rule = okx.faults.add_stream(Lose(), name="positions")
        await buy(client)
        await okx.until(lambda: rule.hits)
        assert not list(client.positions)
        assert (await client.fetch_positions())[0]["contracts"] == 1

    trade(okx, scenario)


def test_sockets_are_cut_and_fall_silent(okx: OkxSwap) -> None:
    """A cut ends the watch; a silent socket is found by the pings that nobody answers; then a new one works."""

    async def scenario(client: Client) -> None:
        for injure in (okx.close_sockets, okx.silence):
            await client.watch_positions()
            waiting = asyncio.ensure_future(client.watch_positions())
            await okx.until(lambda: subscribed(okx, "positions"))
            injure("private")
            with pytest.raises(ccxt.NetworkError):
                await waiting
        assert await client.watch_positions() == []

    trade(okx, scenario, streaming={"keepAlive": 200})


def test_a_revoked_key_closes_the_private_socket(okx: OkxSwap) -> None:
    """The next login says that the key does not exist."""

    async def scenario(client: Client) -> None:
        await client.watch_positions()
        waiting = asyncio.ensure_future(client.watch_positions())
        await okx.until(lambda: subscribed(okx, "positions"))
        okx.revoke_keys()
        with pytest.raises(ccxt.NetworkError):
            await waiting
        with pytest.raises(ccxt.AuthenticationError, match="60032"):
            await client.watch_positions()

    trade(okx, scenario)


# The protocol of the sockets, without ccxt.


class Wire:
    """A client that speaks plain JSON on one socket."""

    def __init__(self, okx: OkxSwap, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._okx = okx
        self.socket = socket
        self._kept: list[Json] = []

    async def say(self, **message: object) -> None:
        """Send a message."""
        await self.socket.send_json(message)

    async def text(self) -> str:
        """Return the next message as it is."""
        return await self.socket.receive_str(timeout=PATIENCE)

    async def hear(self, channel: str = "") -> Json:
        """Return the next push of a channel, or the next message that tells an event; others are kept for later."""

        def meant(message: Json) -> bool:
            if channel:
                return "data" in message and bool(message["arg"]["channel"] == channel)
            return "event" in message

        while not any(map(meant, self._kept)):
            self._kept.append(json.loads(await self.text()))
        found = next(filter(meant, self._kept))
        self._kept.remove(found)
        return found

    async def closed(self) -> int | None:
        """Return the code with which the exchange closes."""
        while not self.socket.closed:
            await self.socket.receive(PATIENCE)
        return self.socket.close_code

    async def login(self) -> Json:
        """Log in and return the answer."""
        stamp, keys = str(int(self._okx.clock())), self._okx.keys
        sign = keys.signature(stamp + "GET/users/self/verify")
        arg = {"apiKey": keys.api_key, "passphrase": keys.passphrase, "timestamp": stamp, "sign": sign}
        await self.say(op="login", args=[arg])
        return await self.hear()

    async def subscribe(self, **arg: str) -> Json:
        """Subscribe to a channel and return the answer."""
        await self.say(op="subscribe", args=[arg])
        return await self.hear()


def wire(okx: OkxSwap, kind: str, scenario: Callable[[Wire], Coroutine[Any, Any, None]]) -> None:
    """Run a scenario on a socket of a kind; on the private one the client is logged in."""

    async def run() -> None:
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{okx.ws_url}/ws/v5/{kind}") as socket:
            client = Wire(okx, socket)
            if kind == "private":
                assert (await client.login())["code"] == "0"
            await asyncio.wait_for(scenario(client), PATIENCE)

    asyncio.run(run())


def test_what_a_private_socket_hears_of_a_fill(okx: OkxSwap) -> None:
    """The documented messages: subscription, connection count, snapshot, and the updates of one order."""

    async def scenario(client: Wire) -> None:
        for channel in ("orders", "positions"):
            answer = await client.subscribe(channel=channel, instType="SWAP")
            assert (answer["event"], answer["arg"]) == ("subscribe", {"channel": channel, "instType": "SWAP"})
            assert (await client.hear())["event"] == "channel-conn-count"
        snapshot = await client.hear("positions")
        assert (snapshot["eventType"], snapshot["lastPage"], snapshot["data"]) == ("snapshot", True, [])
        assert snapshot["arg"]["uid"]
        await client.subscribe(channel="balance_and_position")
        assert (await client.hear("balance_and_position"))["data"][0]["eventType"] == "snapshot"
        place(okx, clOrdId="pushed")
        (live,) = (await client.hear("orders"))["data"]
        assert (live["state"], live["tradeId"], live["clOrdId"], live["accFillSz"]) == ("live", "", "pushed", "0")
        update = await client.hear("positions")
        assert (update["eventType"], update["data"][0]["pos"]) == ("event_update", "1")
        changed = (await client.hear("balance_and_position"))["data"][0]
        assert (changed["eventType"], changed["balData"][0]["cashBal"]) == ("filled", "99999.75")
        (filled,) = (await client.hear("orders"))["data"]
        assert (filled["state"], filled["fillSz"], filled["fillFee"], filled["execType"]) == (
            "filled",
            "1",
            "-0.25",
            "T",
        )

    wire(okx, "private", scenario)


def test_messages_are_lost_doubled_and_swapped(okx: OkxSwap) -> None:
    """Each stream fault strikes the message of its channel that it was meant for."""

    async def scenario(client: Wire) -> None:
        await client.subscribe(channel="orders", instType="ANY")
        okx.faults.add_stream(Lose(), socket="private", name="orders")
        okx.faults.add_stream(Twice(), socket="private", name="orders", skip=1)
        okx.faults.add_stream(Swap(), socket="private", name="orders", skip=2)
        okx.faults.add_stream(Delay(before=0.1), socket="private", name="orders", skip=5)
        for number in (1, 2, 3):
            place(okx, clOrdId=f"o{number}")
        rows = [(await client.hear("orders"))["data"][0] for _ in range(6)]
        assert [f"{row['clOrdId']} {row['state']}" for row in rows] == [
            "o1 filled",
            "o1 filled",
            "o2 filled",
            "o2 live",
            "o3 live",
            "o3 filled",
        ]

    wire(okx, "private", scenario)


def test_filters_unsubscribing_and_bad_words(okx: OkxSwap) -> None:
    """A subscription shows its own instruments only, ends when told so, and nonsense is an error."""

    async def scenario(client: Wire) -> None:
        await client.say(op="dance")
        assert (await client.hear())["code"] == "60012"
        assert (await client.subscribe(channel="orders", instType="ANY"))["code"] == "60018"
        assert (await client.subscribe(channel="tickers", instId="NOSUCH"))["code"] == "60018"
        await client.subscribe(channel="tickers", instId=SWAP)
        await client.subscribe(channel="instruments", instType="SWAP")
        assert {row["instType"] for row in (await client.hear("instruments"))["data"]} == {"SWAP"}
        okx.account.set_price("ETH-USDT-SWAP", "1")
        okx.account.set_price(SWAP, "2")
        while (row := (await client.hear("tickers"))["data"][0])["last"] != "2":
            assert row["instId"] == SWAP
        okx.account.replace_market(msgspec.structs.replace(okx.account.markets[SWAP], minimum=Decimal(5)))
        assert (await client.hear("instruments"))["data"][0]["minSz"] == "5"
        await client.say(op="unsubscribe", args=[{"channel": "tickers", "instId": SWAP}])
        assert (await client.hear())["event"] == "unsubscribe"
        await okx.until(lambda: not subscribed(okx, "tickers"))

    wire(okx, "public", scenario)


def test_pings_are_answered_and_quiet_sockets_closed(okx: OkxSwap, monkeypatch: pytest.MonkeyPatch) -> None:
    """OKX's pings are plain text; who neither speaks nor hears anything is closed with 4004."""

    async def scenario(client: Wire) -> None:
        await client.socket.send_str("ping")
        assert await client.text() == "pong"
        monkeypatch.setattr(okx_streams, "QUIET", 0)
        assert await client.closed() == 4004

    wire(okx, "business", scenario)
