"""Every limit that refuses an order, as an operator meets it: the event, the row in `status`, the exit code."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from portfoliod.settings import RiskSettings
from tests.harness.daemon import Daemon, run_command
from tests.harness.workspace import Files
from tests.tasks.evidence import BTC, ETH, QUICK, flat_market, positions, until

pytestmark = pytest.mark.slow  # a daemon or two in each test

NO_REFUSALS = {
    "max_position": "refuses a file: test_a_position_beyond_max_position_…",
    "max_order_notional": "splits: test_max_order_notional_splits_…",
    "max_drawdown": "halts: test_a_drawdown_halts_…, and then it is the halt that refuses",
}
"""What the other limits do instead."""


def long_bitcoin(files: Files) -> None:
    """Let one strategy want bitcoin for the whole account."""
    files.state("trend", 1.0)


def an_hour_ago(files: Files) -> None:
    """Let it have wanted that for an hour."""
    files.state("trend", 1.0, updated_at=time.time() - 3600)


def in_two_markets(files: Files) -> None:
    """Let two strategies want something at once."""
    files.state("trend", 0.5)
    files.state("other", 0.5, symbol="ETHUSDT")


def while_halted(files: Files) -> None:
    """Halt, as a person does who has nothing but a shell."""
    long_bitcoin(files)
    (files.root / "var").mkdir()
    (files.root / "var/HALT").touch()


class Limit(NamedTuple):
    """A setting, what it refuses, and the value that the event names."""

    setting: str
    wanted: Callable[[Files], None]
    value: str


LIMITS = {
    "max_gross_leverage": Limit("max_gross_leverage = 0.5", long_bitcoin, "1.0000"),
    "max_symbol_notional": Limit("max_symbol_notional = 5000", long_bitcoin, "10000.00"),
    "max_orders_per_minute": Limit("max_orders_per_minute = 1", in_two_markets, "1"),
    "state_max_age_seconds": Limit("state_max_age_seconds = 600", an_hour_ago, "trend"),
    "halt": Limit("", while_halted, "var/HALT exists"),
}


@pytest.fixture(params=LIMITS)
def limited(request: pytest.FixtureRequest, files: Files) -> tuple[str, Limit]:
    """A workspace in which a limit is going to refuse something."""
    limit = LIMITS[request.param]
    files.settings(f"{QUICK}\n[risk]\n{limit.setting}\n{flat_market(files)}")
    files.portfolio({"trend": 0.5, "other": 0.5}, leverage=2.0)
    limit.wanted(files)
    return request.param, limit


def test_no_limit_is_without_a_test() -> None:
    """Each key of [risk], and the halt."""
    assert {*LIMITS, *NO_REFUSALS} == {*RiskSettings.__struct_fields__, "halt"}


def test_once_says_which_limit_refused_and_exits_with_5(files: Files, limited: tuple[str, Limit]) -> None:
    """The event names the limit, the value and the order; nothing beyond the limit was sent."""
    name, limit = limited
    with Daemon(files.root, "--once") as daemon:
        assert daemon.wait() == 5
        (refused,) = daemon.named("risk.refused")
        assert not daemon.named("order.sent", symbol=refused["symbol"])
    assert (refused["limit"], refused["value"]) == (name, limit.value)
    assert refused["symbol"] in {BTC, ETH}
    assert (refused["venue"], refused["side"]) == ("paper", "buy")
    assert float(refused["quantity"]) > 0
    assert refused["symbol"] not in positions(files.root)


def test_status_shows_which_limit_refuses_and_the_plan_says_why(files: Files, limited: tuple[str, Limit]) -> None:
    """As long as it does so."""
    name, _ = limited

    def refused_row(status: dict[str, Any]) -> dict[str, Any]:
        return next((row for row in status["markets"] if row["status"] == "refused"), {})

    with Daemon(files.root) as daemon:
        refused = daemon.wait_for("risk.refused", limit=name)
        status = until(
            lambda: json.loads(run_command(files.root, "status", "--json").stdout),
            lambda found: bool(refused_row(found)),
        )
        row = refused_row(status)
        assert row["symbol"] == refused["symbol"]
        assert row["reason"] == refused["reason"]
        assert status["state"] == ("halted" if name == "halt" else "running")
        if name != "max_orders_per_minute":  # which is not over when it is read
            planned = json.loads(run_command(files.root, "plan", "--json").stdout)
            assert planned["orders"] == []
            assert [skipped["reason"] for skipped in planned["skipped"]] == [row["reason"]]
        assert daemon.terminate() == 0
