"""What a script defines and returns: symbols, numbers, positions, rules, and what is none of these."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import structlog

from portfoliod.errors import SettingsError, UnknownSymbol, VenueUnreachable
from portfoliod.model import ZERO
from portfoliod.venues.script.names import market_name
from tests.venues.scripts import MEMORY, SYMBOL, Scripts, on_script, order


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("btcusdt", "BTCUSDT"),
        ("BTC/USDT:USDT", "BTCUSDT"),
        ("BTC_USDT", "BTCUSDT"),
        ("1000PEPE-USDT", "1000PEPEUSDT"),
        ("ES", "ES"),
        ("brk-b", "BRK-B"),
        ("EUR/USD", "EUR/USD"),
        ("BTC/USD:BTC", "BTC/USD:BTC"),
        ("BTC/USDT:USDT-251226", "BTC/USDT:USDT-251226"),
        ("USDT", "USDT"),
    ],
)
def test_only_what_is_quoted_in_the_venues_currency_loses_its_spelling(text: str, name: str) -> None:
    """The forms of one market are one name, and nothing else is touched but for capitals."""
    assert market_name(text, "USDT", spot=False) == name
    assert market_name(name, "USDT", spot=False) == name


def test_a_derivative_beside_a_spot_market_is_another_market() -> None:
    """On a spot venue a symbol with a settlement is not the spot market."""
    assert market_name("BTC/USDT:USDT", "USDT", spot=True) == "BTC/USDT:USDT"
    assert market_name("BTC/USDT", "USDT", spot=True) == "BTCUSDT"


def test_positions_may_be_spelled_in_any_form_but_each_market_once(tmp_path: Path) -> None:
    """A position under a unified symbol is found; two rows for one market are no answer."""

    async def scenario(scripts: Scripts) -> None:
        venue = await scripts.open(MEMORY)
        scripts.module.held.update({"BTC/USDT:USDT": "0.5", "ETH-USDT": 0})
        assert (await venue.positions(time.monotonic())).quantities == {SYMBOL: Decimal("0.5")}
        scripts.module.held["BTCUSDT"] = 1
        with pytest.raises(VenueUnreachable) as caught:
            await venue.positions(time.monotonic())
        assert "BTC/USDT:USDT" in caught.value.found

    on_script(tmp_path, scenario)


@pytest.mark.parametrize(
    ("returned", "found"),
    [
        ("None", "None"),
        ("[]", "[]"),
        ("{'BTCUSDT': None}", "None"),
        ("{'BTCUSDT': float('nan')}", "nan"),
        ("{'BTCUSDT': Decimal('Infinity')}", "Infinity"),
        ("{'BTCUSDT': True}", "True"),
        ("{'BTCUSDT': 'many'}", "many"),
        ("{1: 1}", "1"),
        ("{'?': 1}", "?"),
        ("1 / 0", "ZeroDivisionError"),
        ("exec('raise StopIteration')", "StopIteration"),
        ("exec('raise SystemExit(1)')", "SystemExit"),
    ],
)
def test_what_is_no_answer_is_never_flat(tmp_path: Path, returned: str, found: str) -> None:
    """None, NaN, a wrong type or an exception of get_positions is VenueUnreachable, which says what was found."""

    async def scenario(scripts: Scripts) -> None:
        with pytest.raises(VenueUnreachable) as caught:
            await scripts.open(MEMORY, f"def get_positions(): return {returned}")
        assert "get_positions" in caught.value.what
        assert found in caught.value.found

    on_script(tmp_path, scenario)


@pytest.mark.parametrize("number", ["0.3", "'0.3'", "Decimal('0.3')", "0.1 + 0.2", "__import__('numpy').float64(0.3)"])
def test_numbers_may_be_of_any_kind(tmp_path: Path, number: str) -> None:
    """Floats lose the noise of their arithmetic."""

    async def scenario(scripts: Scripts) -> None:
        venue = await scripts.open(
            MEMORY, f"def get_price(symbol): return {number}", f"def get_equity(): return {number}"
        )
        assert (await venue.price(SYMBOL)).value == Decimal("0.3")
        assert await venue.equity() == Decimal("0.3")

    on_script(tmp_path, scenario)


@pytest.mark.parametrize("price", ["0", "-1", "None", "float('inf')", "{}"])
def test_a_price_that_is_none_is_no_price(tmp_path: Path, price: str) -> None:
    """What is not above 0 is VenueUnreachable."""

    async def scenario(scripts: Scripts) -> None:
        venue = await scripts.open(MEMORY, f"def get_price(symbol): return {price}")
        with pytest.raises(VenueUnreachable, match="get_price"):
            await venue.price(SYMBOL)

    on_script(tmp_path, scenario)


@pytest.mark.parametrize(
    ("script", "named"),
    [
        ("import portfoliod\ndef get_positions(:\n", "my_broker.py:2"),
        ("x = 1\ny = x / 0\n", "my_broker.py:2"),
        ("import sys\n\nsys.exit(3)\n", "my_broker.py:3"),
        ("def get_positions(): return {}\n", "place_order(symbol, quantity, reduce_only, client_order_id)"),
        ("def get_positions(): ...\ndef place_order(symbol, quantity): ...\n", "my_broker.py:2"),
        ("def get_positions(): ...\nplace_order = 5\n", "place_order"),
        (textwrap.dedent(MEMORY) + "\ndef get_order(): ...\n", "get_order(client_order_id)"),
    ],
)
def test_a_script_that_cannot_be_used_is_an_error_in_the_settings(tmp_path: Path, script: str, named: str) -> None:
    """A mistake in the file, or a function that is missing or takes something else, names file, line and mend."""

    async def scenario(scripts: Scripts) -> None:
        scripts.write(script)
        with pytest.raises(SettingsError) as caught:
            await scripts.new().connect()
        assert "my_broker.py" in caught.value.where
        assert named in str(caught.value)
        assert caught.value.mend

    on_script(tmp_path, scenario)


@pytest.mark.parametrize(
    "table", [{"script": "config/other.py"}, {"script": ""}, {"timeout_seconds": 0}, {"scrip": "x"}]
)
def test_a_table_that_does_not_fit_is_an_error_in_the_settings(tmp_path: Path, table: Mapping[str, Any]) -> None:
    """A file that is not there, or a wrong key, is a SettingsError that names the key, before anything is run."""
    scripts = Scripts(tmp_path)
    scripts.write("raise SystemExit")
    with pytest.raises(SettingsError) as caught:
        scripts.new(**table)
    assert f"venues.mine.{next(iter(table))}" in caught.value.where


def test_what_is_lost_without_a_function_is_said_at_start(tmp_path: Path) -> None:
    """The log, the description and the inspection name each of the four functions that a minimal script lacks."""
    optional = {"get_price", "get_rules", "get_order", "get_equity"}

    async def scenario(scripts: Scripts) -> None:
        with structlog.testing.capture_logs() as logs:
            venue = await scripts.open(MEMORY)
            await venue.connect()
        loaded = [entry for entry in logs if entry["event"] == "venue.script_loaded"]
        lacks = {entry["function"]: entry["lost"] for entry in logs if entry["log_level"] == "warning"}
        assert [entry["functions"] for entry in loaded] == ["get_positions, place_order"]
        assert lacks.keys() == optional
        assert all(lacks.values())
        inspection = await venue.inspect()
        for name in optional:
            assert name in venue.describe()
            assert any(name in line for line in inspection.fine)

    on_script(tmp_path, scenario)


def test_without_a_price_nothing_can_be_sized_and_a_close_is_still_known(tmp_path: Path) -> None:
    """A price is VenueUnreachable with the mend; an order is confirmed all the same, at a price that nobody knows."""

    async def scenario(scripts: Scripts) -> None:
        venue = await scripts.open(MEMORY)
        with pytest.raises(VenueUnreachable) as caught:
            await venue.price(SYMBOL)
        assert "get_price" in caught.value.mend
        report = await venue.place(order("-0.5"))
        assert [(fill.quantity, fill.price) for fill in report.fills] == [(Decimal("0.5"), ZERO)]
        assert report.guessed

    on_script(tmp_path, scenario)


def test_rules_are_unknown_until_the_script_told_them(tmp_path: Path) -> None:
    """A market that was just named has no rules yet; once its price or the positions are read it has."""
    rules = "def get_rules(symbol): return {'step': 0.001, 'min_quantity': '0.002', 'min_notional': 5}"

    async def scenario(scripts: Scripts) -> None:
        venue = await scripts.open(MEMORY, rules, market_type="spot")
        with pytest.raises(UnknownSymbol):
            venue.rules(SYMBOL)
        await venue.positions(time.monotonic())
        found = venue.rules(SYMBOL)
        assert (found.step, found.min_quantity, found.min_notional) == (Decimal("0.001"), Decimal("0.002"), Decimal(5))
        assert found.spot

    on_script(tmp_path, scenario)


@pytest.mark.parametrize("rules", ["None", "{}", "{'step': 0}", "{'step': 1, 'tick': 1}", "{'step': 'x'}", "1 / 0"])
def test_rules_that_cannot_be_used_keep_the_market_from_being_traded(tmp_path: Path, rules: str) -> None:
    """They are UnknownSymbol that says what get_rules returned; a later answer mends it."""

    async def scenario(scripts: Scripts) -> None:
        venue = await scripts.open(
            MEMORY, f"good = []\ndef get_rules(symbol): return {{'step': 1}} if good else {rules}"
        )
        for _ in range(2):
            await venue.positions(time.monotonic())
            with pytest.raises(UnknownSymbol) as caught:
                venue.rules(venue.resolve(SYMBOL))
        assert "get_rules" in caught.value.what
        scripts.module.good.append(1)
        await venue.positions(time.monotonic())
        venue.resolve(SYMBOL)
        await venue.positions(time.monotonic())
        assert venue.rules(SYMBOL).step == 1

    on_script(tmp_path, scenario)
