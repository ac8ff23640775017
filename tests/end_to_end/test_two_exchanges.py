"""Two accounts in one daemon, strategies routed by `exchanges`: one of them being away does not matter to the other."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from decimal import Decimal

import pytest

from tests.emulators.binance import BinanceFutures
from tests.emulators.faults import Action, Hang, Reset
from tests.emulators.okx import OkxSwap
from tests.emulators.server import Exchange
from tests.harness.daemon import PATIENCE, Daemon
from tests.harness.exchange import QUICK, venue_table
from tests.harness.workspace import Files
from tests.tasks.evidence import journal, until
from tests.venues.exchanges import environment_of

# An exchange and its client in each test.
pytestmark = [pytest.mark.slow, pytest.mark.started_anew]

IMPATIENT = {"timeout_seconds": 1}
DOWN = [
    pytest.param(Hang(processed=False), id="hangs"),
    pytest.param(Reset(processed=False), id="resets", marks=pytest.mark.slow),
]
UNITS = {"binance": ("ETHUSDT", Decimal(1)), "okx": ("ETH-USDT-SWAP", Decimal("0.1"))}


@contextlib.contextmanager
def two_exchanges() -> Iterator[dict[str, Exchange]]:
    """Yield an emulator of each, by the name of its venue."""
    with BinanceFutures() as binance, OkxSwap() as okx:
        yield {"binance": binance, "okx": okx}


def start(files: Files, exchanges: dict[str, Exchange]) -> Daemon:
    """Start a daemon on both, with a strategy for each."""
    tables = [
        venue_table(exchange, kind, IMPATIENT, venue=name)
        for (name, exchange), kind in zip(exchanges.items(), ("binanceusdm", "okx"), strict=True)
    ]
    files.settings("\n".join(['mode = "live"', 'default_venue = "binance"', QUICK, *tables]))
    files.portfolio(
        {"on_binance": 0.5, "on_okx": 0.5}, account_value=200_000, exchanges={"on_binance": "binance", "on_okx": "okx"}
    )
    environment: dict[str, str] = {}
    for name, exchange in exchanges.items():
        environment |= environment_of(exchange.credentials, name)
    return Daemon(files.root, "--live", environment=environment)


def want(files: Files, venue: str, quantity: str) -> None:
    """Let the strategy of a venue want this much ETH."""
    files.state(f"on_{venue}", float(Decimal(quantity) * 2500 / 100_000), symbol="ETHUSDT")


def held(exchange: Exchange, venue: str) -> Decimal:
    """Return how much ETH an account holds."""
    market, size = UNITS[venue]
    return exchange.account.position(market) * size


def until_held(exchanges: dict[str, Exchange], venue: str, quantity: str) -> None:
    """Wait until an account holds this much ETH."""
    exchanges[venue].wait_for(lambda: held(exchanges[venue], venue) == Decimal(quantity), PATIENCE)


def assert_all_explained(files: Files, exchanges: dict[str, Exchange]) -> None:
    """Each account's fills are in the journal under its venue, once each."""
    told = {(venue, str(trade.id)) for venue, exchange in exchanges.items() for trade in exchange.account.trades}
    until(lambda: set(journal(files.root, "SELECT venue, trade_id FROM fills")), lambda known: known == told)
    until(
        lambda: journal(files.root, "SELECT 1 FROM intents WHERE status NOT IN ('done', 'refused', 'cancelled')"),
        lambda unsettled: not unsettled,
    )
    for exchange in exchanges.values():
        ids = [order.client_id for order in exchange.account.orders]
        assert len(ids) == len(set(ids))


def test_strategies_trade_on_the_exchange_that_they_are_routed_to(files: Files) -> None:
    """The same market on both, long on one and short on the other; a new route closes here and opens there."""
    with two_exchanges() as exchanges:
        want(files, "binance", "3")
        want(files, "okx", "-2")
        with start(files, exchanges) as daemon:
            until_held(exchanges, "binance", "3")
            until_held(exchanges, "okx", "-2")
            venues = until(
                lambda: daemon.status()["venues"], lambda venues: all(venue["connected"] for venue in venues.values())
            )
            assert {"binance", "okx"} <= venues.keys()
            routes = {"on_binance": "okx", "on_okx": "okx"}
            files.portfolio({"on_binance": 0.5, "on_okx": 0.5}, account_value=200_000, exchanges=routes)
            until_held(exchanges, "binance", "0")
            until_held(exchanges, "okx", "1")
            assert_all_explained(files, exchanges)
            assert daemon.terminate() == 0


@pytest.mark.parametrize("down", ["binance", "okx"])
@pytest.mark.parametrize("fault", DOWN)
def test_an_exchange_that_is_down_at_the_start_keeps_the_other_from_nothing(
    files: Files, down: str, fault: Action
) -> None:
    """The other one is traded on before the first has ever answered; the first follows once it is there."""
    up = "okx" if down == "binance" else "binance"
    with two_exchanges() as exchanges:
        exchanges[down].faults.add_lasting("*", fault)
        want(files, "binance", "3")
        want(files, "okx", "-2")
        with start(files, exchanges) as daemon:
            until_held(exchanges, up, "3" if up == "binance" else "-2")
            assert not daemon.named("venue.connected", venue=down)
            daemon.wait_for("venue.unreachable", venue=down)
            status = until(daemon.status, lambda status: status["venues"].get(down, {}).get("problem"))
            assert (status["venues"][down]["connected"], status["venues"][up]["connected"]) == (False, True)
            assert status["state"] == "running"
            exchanges[down].faults.clear()
            until_held(exchanges, down, "3" if down == "binance" else "-2")
            assert_all_explained(files, exchanges)


@pytest.mark.parametrize("down", ["binance", "okx"])
@pytest.mark.parametrize("fault", DOWN)
def test_an_exchange_that_goes_down_later_keeps_the_other_from_nothing(files: Files, down: str, fault: Action) -> None:
    """While one does not answer, three targets in a row are reached on the other, across several resyncs."""
    up = "okx" if down == "binance" else "binance"
    with two_exchanges() as exchanges:
        want(files, "binance", "1")
        want(files, "okx", "1")
        with start(files, exchanges) as daemon:
            until_held(exchanges, "binance", "1")
            until_held(exchanges, "okx", "1")
            exchanges[down].faults.add_lasting("*", fault)
            exchanges[down].close_sockets()
            want(files, down, "2")
            daemon.wait_for("venue.unreachable", venue=down)
            for quantity in ("3", "-2", "4"):
                resyncs = exchanges[up].count("balance")
                want(files, up, quantity)
                until_held(exchanges, up, quantity)
                exchanges[up].wait_for(lambda seen=resyncs: exchanges[up].count("balance") > seen)  # type: ignore[misc]
            assert held(exchanges[down], down) == 1
            exchanges[down].faults.clear()
            until_held(exchanges, down, "2")
            daemon.wait_for("venue.recovered", venue=down)
            assert_all_explained(files, exchanges)
