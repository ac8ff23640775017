"""What the venue sets, what it tells of keys and clock, and that it never shows a credential."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import uuid
from collections.abc import Awaitable, Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest
import structlog

from portfoliod.errors import OrderRefused, OrderUnknown, PortfoliodError, SettingsError
from portfoliod.venues.ccxtpro.client import make_client
from portfoliod.venues.ccxtpro.dialects import dialect_of
from portfoliod.venues.ccxtpro.settings import CcxtSettings
from tests.emulators.binance import BinanceFutures
from tests.emulators.faults import Answer, BusinessError, Hang
from tests.emulators.okx import OkxSwap
from tests.venues.exchanges import open_on
from tests.venues.scenes import BINANCE, BOTH, OKX, On, Scene, name_of, play

pytestmark = pytest.mark.slow  # an exchange and its client in each test

on_both = pytest.mark.parametrize("on", BOTH, ids=name_of)
SETTINGS = ("set_leverage", "margin_mode", "set_mode")


@on_both
@pytest.mark.parametrize("hedged", [False, True])
def test_leverage_and_margin_mode_are_left_alone_unless_they_are_set(tmp_path: Path, on: On, hedged: bool) -> None:
    """Connecting, listening and trading change no setting of the account."""

    async def scenario(scene: Scene) -> None:
        before = dict(scene.exchange.account.leverages)
        async with scene.listening():
            await scene.order("0.2")
            await scene.order("-0.2", reduce_only=True)
        await scene.venue.verify()
        assert not any(scene.exchange.count(kind) for kind in SETTINGS)
        assert scene.exchange.account.leverages == before

    play(on, tmp_path, scenario, hedged=hedged)


@on_both
@pytest.mark.parametrize("margin", ["cross", "isolated"])
@pytest.mark.parametrize("hedged", [False, True])
def test_leverage_and_margin_mode_are_applied_where_they_are_set(
    tmp_path: Path, on: On, margin: str, hedged: bool
) -> None:
    """Before the first order in a market, once, and in no market that nobody names."""

    async def scenario(scene: Scene) -> None:
        account = scene.exchange.account
        await scene.order("0.2")
        assert account.leverage(on.eth) == 7
        assert account.margin_modes.get(on.eth, "cross") == margin
        asked = [scene.exchange.count(kind) for kind in SETTINGS]
        await scene.order("0.2")
        await scene.order("-0.4", reduce_only=True)
        assert [scene.exchange.count(kind) for kind in SETTINGS] == asked
        assert not scene.exchange.count("set_mode")
        assert set(account.leverages) <= {on.eth}

    play(on, tmp_path, scenario, hedged=hedged, set_leverage=7, margin_mode=margin)


@on_both
def test_settings_are_applied_at_the_start(tmp_path: Path, on: On) -> None:
    """To the markets that strategies name, without waiting for an order."""

    async def scenario(scene: Scene) -> None:
        async with scene.listening():
            await scene.exchange.until(lambda: scene.exchange.account.leverage(on.eth) == 7)

    play(on, tmp_path, scenario, set_leverage=7)


@on_both
def test_a_setting_that_is_refused_stops_no_order(tmp_path: Path, on: On) -> None:
    """The account's own stays, and a reduction above all goes out."""

    async def scenario(scene: Scene) -> None:
        code = -4028 if on is BINANCE else 59102
        scene.exchange.faults.add_lasting("set_leverage", BusinessError(code=code))
        before = scene.exchange.account.leverage(on.eth)
        assert (await scene.order("0.2")).filled == Decimal("0.2")
        assert scene.exchange.account.leverage(on.eth) == before

    play(on, tmp_path, scenario, set_leverage=7)


@on_both
def test_a_read_only_venue_sets_and_sends_nothing(tmp_path: Path, on: On) -> None:
    """Not even what its settings ask for."""

    async def scenario(scene: Scene) -> None:
        async with scene.listening():
            with pytest.raises(OrderRefused):
                await scene.venue.place(scene.intent("0.2"))
            await scene.venue.cancel(scene.intent("0.2"))
            await scene.venue.verify()
        assert not any(scene.exchange.count(kind) for kind in (*SETTINGS, "place", "cancel"))

    play(on, tmp_path, scenario, read_only=True, set_leverage=7, margin_mode="isolated")


def _allow(scene: Scene, *, trade: bool, withdraw: bool) -> None:
    if isinstance(scene.exchange, BinanceFutures):
        scene.exchange.settings.permissions.update(enableFutures=trade, enableWithdrawals=withdraw)
    else:
        allowed = ["read_only", *(["trade"] if trade else []), *(["withdraw"] if withdraw else [])]
        scene.exchange.permissions = ",".join(allowed)


@on_both
def test_an_inspection_tells_what_a_key_may_do(tmp_path: Path, on: On) -> None:
    """Trading: fine; no trading and withdrawing are problems, each with its mend."""

    async def scenario(scene: Scene) -> None:
        fine = await scene.venue.inspect()
        assert not fine.problems
        assert any("trade" in sentence for sentence in fine.fine)
        assert any("one_way" in sentence for sentence in fine.fine)
        _allow(scene, trade=True, withdraw=True)
        assert ["withdraw" in problem.what for problem in (await scene.venue.inspect()).problems] == [True]
        _allow(scene, trade=False, withdraw=False)
        assert ["trade" in problem.what for problem in (await scene.venue.inspect()).problems] == [True]
        _allow(scene, trade=False, withdraw=True)
        problems = (await scene.venue.inspect()).problems
        assert len(problems) == 2
        assert all(problem.mend for problem in problems)

    play(on, tmp_path, scenario)


@on_both
@pytest.mark.parametrize("seconds", [30.0, -30.0])
def test_an_inspection_tells_a_clock_that_is_off(tmp_path: Path, on: On, seconds: float) -> None:
    """By how much, and what to do."""

    async def scenario(scene: Scene) -> None:
        scene.exchange.account.clock_offset = seconds
        problems = (await scene.venue.inspect()).problems
        assert len(problems) == 1
        assert f"{-seconds:+.1f} s" in problems[0].found
        assert "timedatectl" in problems[0].mend

    play(on, tmp_path, scenario)


def test_permissions_that_are_not_told_are_no_problem(tmp_path: Path) -> None:
    """The question itself fails: that is said, and nothing is claimed."""

    async def scenario(scene: Scene) -> None:
        scene.exchange.faults.add("permissions", Answer(status=404, body="{}"))
        inspection = await scene.venue.inspect()
        assert not inspection.problems
        assert any("not known" in sentence for sentence in inspection.fine)

    play(BINANCE, tmp_path, scenario)


@contextlib.contextmanager
def logged() -> Iterator[io.StringIO]:
    """Yield what structlog and logging write, down to the least."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(written))
    try:
        yield written
    finally:
        structlog.reset_defaults()
        root.removeHandler(handler)
        root.setLevel(before)


@on_both
def test_no_credential_is_shown(tmp_path: Path, on: On) -> None:
    """An exchange that repeats them in every form: no error, log line, description or inspection holds one."""
    said: list[object] = []

    async def scenario(scene: Scene) -> None:
        secrets = list(scene.exchange.credentials.values())
        echo = " ".join([*secrets, *(each.upper() for each in secrets), f"key={secrets[0]}&x=1"])
        reply = {"code": -1, "msg": echo} if on is BINANCE else {"code": "50000", "msg": echo, "data": []}
        for body in (str(reply).replace("'", '"'), echo, f"<html>{echo}</html>"):
            for status in (200, 400, 401, 429, 500):
                for kind in (
                    "place",
                    "order",
                    "positions",
                    "balance",
                    "mode",
                    "ticker",
                    "time",
                    "cancel",
                    "permissions",
                ):
                    scene.exchange.faults.add(kind, Answer(status=status, body=body, headers={"Retry-After": "0"}))
                await said_by(scene)
                scene.exchange.faults.clear()
        async with scene.listening():
            scene.exchange.close_sockets()
            said.extend(scene.heard)

    async def said_by(scene: Scene) -> None:
        venue, intent = scene.venue, scene.intent("0.1")
        asks: list[Callable[[], Awaitable[object]]] = [
            lambda: venue.place(intent),
            lambda: venue.find(intent),
            lambda: venue.cancel(intent),
            scene.position,
            venue.equity,
            venue.verify,
            venue.inspect,
            lambda: venue.price(scene.symbol),
        ]
        for ask in asks:
            try:
                said.append(await ask())
            except PortfoliodError as error:
                said.extend((error, vars(error), error.args))
        said.extend((venue.describe(), venue, repr(venue)))

    with logged() as written:
        play(on, tmp_path, scenario, timeout_seconds=2.0)
    text = written.getvalue() + "".join(f"{one}{one!r}" for one in said)
    assert len(said) > 100
    with on.make() as exchange:
        for secret in exchange.credentials.values():
            assert secret.lower() not in text.lower()


@pytest.mark.parametrize("name", ["apiKey", "secret", "password", "privateKey"])
def test_credentials_in_the_options_are_refused_without_showing_them(tmp_path: Path, name: str) -> None:
    """They belong elsewhere; the error names the place and not the value."""
    for emulator in (BinanceFutures(), OkxSwap()):
        kind = "okx" if isinstance(emulator, OkxSwap) else "binanceusdm"
        venue = open_on(emulator, kind, tmp_path, options={name: "hush-hush-hush"})
        with pytest.raises(SettingsError) as caught:
            venue.describe()
        assert name in str(caught.value)
        assert "hush" not in f"{caught.value!s}{caught.value!r}"


@on_both
def test_an_order_is_one_request_even_if_the_options_ask_for_retries(tmp_path: Path, on: On) -> None:
    """`maxRetriesOnFailure` sends an order again after a timeout, and that doubled a position."""

    async def scenario(scene: Scene) -> None:
        scene.exchange.faults.add("place", Hang(processed=True))
        with pytest.raises(OrderUnknown):
            await scene.venue.place(scene.intent("0.2"))
        assert scene.exchange.count("place") == 1
        assert scene.truth == Decimal("0.2")

    three = {"maxRetriesOnFailure": 3, "maxRetriesOnFailureDelay": 1}
    retries = {"options": {**three, "order": three, "trade/batch-orders": three}}
    play(on, tmp_path, scenario, options=retries, timeout_seconds=0.3)


FORMS = {
    "binanceusdm": r"[.A-Z:/a-z0-9_-]{1,36}",
    "okx": r"[A-Za-z0-9]{1,32}",
    "bybit": r"[A-Za-z0-9_-]{1,36}",
    "gate": r"(?!t)[A-Za-z0-9_.-]{1,28}",
    "hyperliquid": r"0x[0-9a-f]{32}",
    "kraken": r"[0-9a-f]{32}",
    "bitvavo": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "woo": r"\d{1,19}",
    "bitfinex": r"\d{1,14}",
    "an-exchange-without-a-row": r"[0-9a-f]{28}",
}


@pytest.mark.parametrize(("exchange", "form"), FORMS.items())
def test_client_order_ids_have_the_form_that_the_exchange_takes(exchange: str, form: str) -> None:
    """The same of the same intent, another of another; within the numbers that the exchange can count."""
    intents = [uuid.uuid4().hex[:28] for _ in range(300)] + ["0" * 28, "f" * 28]
    told = [dialect_of(exchange).client_order_id(intent) for intent in intents]
    assert told == [dialect_of(exchange).client_order_id(intent) for intent in intents]
    assert len(set(told)) == len(intents)
    assert all(re.fullmatch(form, each) for each in told)
    largest = {"woo": 2**63, "bitfinex": 2**45}.get(exchange)
    assert largest is None or all(int(each) < largest for each in told)


@on_both
def test_the_client_order_id_reaches_the_exchange_as_it_is(tmp_path: Path, on: On) -> None:
    """28 hexadecimal digits, in the exchange's own field."""

    async def scenario(scene: Scene) -> None:
        intent = scene.intent("0.2")
        await scene.venue.place(intent)
        assert intent.client_id in scene.sent_fields()["newClientOrderId" if on is BINANCE else "clOrdId"]

    play(on, tmp_path, scenario)


def test_ccxt_never_limits_or_retries_by_itself() -> None:
    """Its own limiter is a queue, in which an order stands behind reads."""
    for on in (BINANCE, OKX):
        client = make_client(CcxtSettings(exchange=on.kind), None, "here")
        assert client.options["maxRetriesOnFailure"] == 0
        assert client.options["adjustForTimeDifference"] is False


@on_both
def test_a_setting_that_got_no_answer_is_applied_before_the_next_order(tmp_path: Path, on: On) -> None:
    """A 503 leaves the account's own leverage only until the exchange answers."""

    async def scenario(scene: Scene) -> None:
        scene.exchange.faults.add("set_leverage", Answer(status=503, body="<html>busy</html>"))
        await scene.order("0.2")
        await scene.order("0.2")
        await scene.order("0.2")
        assert scene.exchange.count("set_leverage") == 2
        assert scene.exchange.account.leverage(on.eth) == 7

    play(on, tmp_path, scenario, set_leverage=7)


def test_the_test_network_is_a_line_and_urls_of_ones_own_stand_above_it() -> None:
    """`sandbox = true` takes ccxt's urls of the test network; what `options` says of urls stays said."""
    own = {"urls": {"api": {"fapiPublic": "http://127.0.0.1:1/fapi/v1"}}}
    live = make_client(CcxtSettings(exchange="binanceusdm"), None, "venues.main")
    test = make_client(CcxtSettings(exchange="binanceusdm", sandbox=True, options=own), None, "venues.main")
    assert "testnet" not in live.urls["api"]["fapiPrivate"]
    assert "testnet" in test.urls["api"]["fapiPrivate"]
    assert test.urls["api"]["fapiPublic"] == "http://127.0.0.1:1/fapi/v1"
