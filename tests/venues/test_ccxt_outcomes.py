"""What an error says of an order: the table row by row, and through the real clients."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import aiohttp
import ccxt
import pytest

from portfoliod.errors import KeysRefused, OrderRefused, OrderUnknown, VenueError
from portfoliod.venues.ccxtpro.client import make_client
from portfoliod.venues.ccxtpro.outcomes import Outcome, codes_in, outcome_of
from portfoliod.venues.ccxtpro.settings import CcxtSettings
from tests.emulators.faults import BusinessError
from tests.venues.scenes import BINANCE, BOTH, OKX, On, Scene, name_of, play

REFUSED, UNKNOWN, LATER, KEYS = Outcome.REFUSED, Outcome.UNKNOWN, Outcome.LATER, Outcome.KEYS
CLOCK, ABSENT, DUPLICATE, MODE = Outcome.CLOCK, Outcome.ABSENT, Outcome.DUPLICATE, Outcome.MODE

TYPES = [
    (ccxt.InsufficientFunds, REFUSED),
    (ccxt.InvalidOrder, REFUSED),
    (ccxt.OrderNotFillable, REFUSED),
    (ccxt.OrderImmediatelyFillable, REFUSED),
    (ccxt.BadRequest, REFUSED),
    (ccxt.BadSymbol, REFUSED),
    (ccxt.OperationRejected, REFUSED),
    (ccxt.MarketClosed, REFUSED),
    (ccxt.NotSupported, REFUSED),
    (ccxt.ArgumentsRequired, REFUSED),
    (ccxt.InvalidNonce, CLOCK),
    (ccxt.RateLimitExceeded, LATER),
    (ccxt.DDoSProtection, LATER),
    (ccxt.OnMaintenance, LATER),
    (ccxt.RequestTimeout, UNKNOWN),
    (ccxt.ExchangeNotAvailable, UNKNOWN),
    (ccxt.NetworkError, UNKNOWN),
    (ccxt.BadResponse, UNKNOWN),
    (ccxt.NullResponse, UNKNOWN),
    (ccxt.OperationFailed, UNKNOWN),
    (ccxt.ExchangeError, UNKNOWN),
    (ccxt.BaseError, UNKNOWN),
    (ccxt.AuthenticationError, KEYS),
    (ccxt.PermissionDenied, KEYS),
    (ccxt.AccountSuspended, KEYS),
    (ccxt.OrderNotFound, ABSENT),
    (ccxt.DuplicateOrderId, DUPLICATE),
    (RuntimeError, UNKNOWN),
    (KeyError, UNKNOWN),
    (TimeoutError, UNKNOWN),
]

BINANCE_CODES = {
    **dict.fromkeys((-1000, -1001, -1006, -1007), UNKNOWN),
    **dict.fromkeys((-1003, -1008, -1015), LATER),
    **dict.fromkeys((-1002, -1022, -2014, -2015), KEYS),
    -1021: CLOCK,
    **dict.fromkeys((-2011, -2013), ABSENT),
    -4116: DUPLICATE,
    **dict.fromkeys((-4060, -4061), MODE),
    **dict.fromkeys(
        (-1100, -1102, -1106, -1111, -1116, -1121, -2010, -2018, -2019, -2020, -2021, -2022, -2024, -2025, -2027),
        REFUSED,
    ),
    **dict.fromkeys(
        (-4003, -4004, -4005, -4023, -4048, -4131, -4140, -4164, -4183, -4192, -4400, -5021, -5022), REFUSED
    ),
}
OKX_CODES = {
    **dict.fromkeys((50001, 50004, 50013, 50026), UNKNOWN),
    **dict.fromkeys((50011, 50061), LATER),
    **dict.fromkeys((50101, 50105, 50110, 50111, 50113, 50114, 50119), KEYS),
    **dict.fromkeys((50102, 50112), CLOCK),
    51149: UNKNOWN,
    **dict.fromkeys((51400, 51603), ABSENT),
    51016: DUPLICATE,
    **dict.fromkeys((50014, 51000, 51001, 51008, 51010, 51020, 51112, 51121, 51127, 51169, 51170, 51202), REFUSED),
}
BYBIT_CODES = {
    **dict.fromkeys((10000, 10016), UNKNOWN),
    **dict.fromkeys((10006, 10018), LATER),
    **dict.fromkeys((10003, 10004, 10005, 10007, 10010, 33004), KEYS),
    10002: CLOCK,
    **dict.fromkeys((110001, 170213), ABSENT),
    **dict.fromkeys((110072, 170141), DUPLICATE),
    **dict.fromkeys((10001, 110003, 110004, 110007, 110009, 110012, 110017, 110020, 110094, 170131, 170140), REFUSED),
}
HTTP = {-1003: 429, -1008: 503, -1015: 429, -1007: 408, -2015: 401, 50001: 503, 50011: 429, 50013: 429, 50026: 500}


@functools.cache
def client_of(exchange: str) -> Any:
    """Return a client as the venue makes it."""
    return make_client(CcxtSettings(exchange=exchange), None, "here")


def error_of(exchange: str, reply: dict[str, object], status: int = 200) -> Exception:
    """Return what the real client raises for a reply."""
    client, body = client_of(exchange), json.dumps(reply)
    try:
        client.handle_errors(status, "", f"https://host/{exchange}", "POST", {}, body, reply, {}, "")
        client.handle_http_status_code(status, "", f"https://host/{exchange}", "POST", body)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is sorted
        return error
    raise AssertionError(f"{exchange} takes {body} for a success")


@pytest.mark.parametrize(("kind", "outcome"), TYPES, ids=lambda value: getattr(value, "__name__", value))
def test_a_type_without_a_code_decides(kind: type[Exception], outcome: Outcome) -> None:
    """On any exchange; also on those whose codes are known, when an error quotes none."""
    for exchange in ("binanceusdm", "okx", "bybit", "gate", "hyperliquid", "nothing-known"):
        assert outcome_of(exchange, kind(f"{exchange} it says no")) is outcome


@pytest.mark.parametrize(("code", "outcome"), BINANCE_CODES.items())
@pytest.mark.parametrize("exchange", ["binance", "binanceusdm", "binancecoinm"])
def test_binance_codes(exchange: str, code: int, outcome: Outcome) -> None:
    """Whatever type ccxt gives them, on the production url or elsewhere."""
    assert outcome_of(exchange, error_of(exchange, {"code": code, "msg": "It says."}, HTTP.get(code, 400))) is outcome


@pytest.mark.parametrize(("code", "outcome"), OKX_CODES.items())
@pytest.mark.parametrize("form", ["whole", "row"])
def test_okx_codes(form: str, code: int, outcome: Outcome) -> None:
    """At the top of a reply, and in the row of an order below a general code 1 or 2."""
    row = {"clOrdId": "a", "ordId": "", "sCode": str(code), "sMsg": "It says."}
    whole: dict[str, object] = {"code": str(code), "data": [], "msg": "It says."}
    reply: dict[str, object] = {"code": "1", "data": [row], "msg": "All operations failed"} if form == "row" else whole
    status = HTTP.get(code, 200) if form == "whole" else 200
    assert outcome_of("okx", error_of("okx", reply, status)) is outcome


@pytest.mark.parametrize(("code", "outcome"), BYBIT_CODES.items())
def test_bybit_codes(code: int, outcome: Outcome) -> None:
    """They come with HTTP 200."""
    reply: dict[str, object] = {"retCode": code, "retMsg": "It says.", "result": {}, "retExtInfo": {}, "time": 1}
    assert outcome_of("bybit", error_of("bybit", reply)) is outcome


@pytest.mark.parametrize("exchange", ["binanceusdm", "okx", "bybit"])
@pytest.mark.parametrize("status", [500, 502, 503, 504, 520, 522, 408])
def test_a_server_that_failed_knows_nothing(exchange: str, status: int) -> None:
    """An HTTP status without a code of the exchange proves nothing."""
    client = client_of(exchange)
    with pytest.raises(ccxt.BaseError) as caught:
        client.handle_http_status_code(status, "", "https://host", "POST", "<html>{no json</html>")
    assert outcome_of(exchange, caught.value) is UNKNOWN


@pytest.mark.parametrize(
    "cause", [aiohttp.ClientPayloadError(), aiohttp.ServerDisconnectedError(), OSError(), TimeoutError()]
)
@pytest.mark.parametrize("kind", [ccxt.ExchangeError, ccxt.BadRequest, ccxt.InvalidOrder])
def test_a_reply_that_was_cut_is_no_refusal(kind: type[Exception], cause: Exception) -> None:
    """Whatever ccxt makes of it: its cause is the wire."""
    error = kind("binanceusdm cut")
    error.__cause__ = cause
    assert outcome_of("binanceusdm", error) is UNKNOWN


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ('okx {"code":"1","data":[{"sCode":"51008","sMsg":"no {brackets}"}]} and more', ["51008", "1"]),
        ('binanceusdm {"code":-2019,"msg":"no"}', ["-2019"]),
        ('bybit {"retCode":10006,"result":{"code":"7"}}', ["10006", "7"]),
        ('gate {"label":"INVALID_PARAM_VALUE","message":"no"}', ["INVALID_PARAM_VALUE"]),
        ("okx GET https://host/x?y=[1", []),
        ('okx {"code": "50', []),
        ("okx", []),
        ("", []),
        ("x " + "[" * 100_000, []),
        ('x {"code": {"code": [1, {"code": "5"}]}, "code2": 1}', ["5"]),
        ('x {"code": null, "sCode": true}', ["True"]),
    ],
    ids=range(11),
)
def test_codes_are_read_from_what_an_error_quotes(text: str, codes: list[str]) -> None:
    """The most particular first; what is no reply has none, and breaks nothing."""
    assert list(codes_in(text)) == codes


EXPECTED = {
    REFUSED: OrderRefused,
    UNKNOWN: OrderUnknown,
    LATER: OrderRefused,
    KEYS: OrderRefused,
    CLOCK: OrderRefused,
    ABSENT: OrderUnknown,
    DUPLICATE: OrderUnknown,
    MODE: OrderRefused,
}
"""What an order that meets an outcome once is to the daemon; the keys are asked for a second time first."""


@pytest.mark.parametrize("on", BOTH, ids=name_of)
def test_business_errors_of_an_order_are_what_the_table_says(tmp_path: Path, on: On) -> None:
    """Each code through the real client, once: one request a place, and a pause where the exchange asks for it."""
    codes = BINANCE_CODES if on is BINANCE else OKX_CODES
    still = [code for code, outcome in codes.items() if outcome not in {LATER, KEYS} and code != 50013]

    async def scenario(scene: Scene) -> None:
        for number, code in enumerate(still, start=1):
            scene.exchange.faults.add("place", BusinessError(code=code, status=HTTP.get(code)))
            with pytest.raises(EXPECTED[codes[code]]):
                await scene.venue.place(scene.intent("0.1"))
            assert scene.exchange.count("place") == number, code
            assert scene.venue.pause() == 0, code
        assert (await scene.order("0.1")).filled == scene.truth

    play(on, tmp_path, scenario)


@pytest.mark.parametrize(
    ("on", "code"),
    [(BINANCE, -1003), (BINANCE, -1008), (BINANCE, -1015), (OKX, 50011), (OKX, 50061)],
    ids=lambda value: value.kind if isinstance(value, On) else None,
)
def test_an_exchange_that_is_busy_did_not_take_the_order_and_gets_a_pause(tmp_path: Path, on: On, code: int) -> None:
    """The order is refused, and until the pause ends nothing more is sent."""

    async def scenario(scene: Scene) -> None:
        scene.exchange.faults.add(
            "place", BusinessError(code=code, status=HTTP.get(code, 400 if on is BINANCE else 200))
        )
        with pytest.raises(OrderRefused):
            await scene.venue.place(scene.intent("0.1"))
        assert scene.venue.pause() > 0
        with pytest.raises(OrderRefused, match="not sent"):
            await scene.venue.place(scene.intent("0.1"))
        assert scene.exchange.count("place") == 1

    play(on, tmp_path, scenario)


@pytest.mark.parametrize(
    ("on", "code"),
    [(BINANCE, -2015), (BINANCE, -2014), (OKX, 50113), (OKX, 50111)],
    ids=lambda value: value.kind if isinstance(value, On) else None,
)
def test_keys_that_every_request_is_refused_for_halt(tmp_path: Path, on: On, code: int) -> None:
    """A read and an order are KeysRefused at once when the second question gets the same answer."""

    async def scenario(scene: Scene) -> None:
        scene.exchange.faults.add_lasting("*", BusinessError(code=code))
        with pytest.raises(KeysRefused):
            await scene.venue.place(scene.intent("0.1"))
        with pytest.raises(KeysRefused):
            await scene.position()
        assert scene.exchange.count("place") == 1

    play(on, tmp_path, scenario)


def test_every_outcome_of_an_order_is_an_error_of_portfoliod() -> None:
    """No outcome is forgotten."""
    assert set(EXPECTED) == set(Outcome)
    assert all(issubclass(kind, VenueError) for kind in EXPECTED.values())
