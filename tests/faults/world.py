"""A real daemon that trades on an emulated exchange, and one look at whether the world is sound after a fault."""

from __future__ import annotations

import collections
import contextlib
import signal
from collections.abc import Mapping
from decimal import Decimal
from types import TracebackType
from typing import Any, Self, TypeAlias

import pytest

from tests.emulators.account_records import Market
from tests.emulators.binance import BinanceFutures
from tests.emulators.okx import OkxSwap
from tests.faults.unresolved import added_before_resolved
from tests.harness.daemon import PATIENCE, Daemon
from tests.harness.exchange import QUICK, live_daemon
from tests.harness.workspace import Files
from tests.tasks.evidence import journal, until

BASES = ("BTC", "ETH", "SOL", "BNB", "DOGE")
A_STRATEGY_WORTH = Decimal(100_000)
"""What a position of 1 of each strategy is worth, in USDT: there is one a base currency."""
Quantity: TypeAlias = str | int | Decimal

both_exchanges = pytest.mark.parametrize("kind", ["binanceusdm", "okx"])
both_modes = pytest.mark.parametrize("hedged", [False, True], ids=["one_way", "hedge"])

every_place = pytest.mark.parametrize(
    ("kind", "hedged"),
    [
        pytest.param("binanceusdm", False, id="binanceusdm-one_way"),
        pytest.param("okx", True, id="okx-hedge"),
        pytest.param("binanceusdm", True, id="binanceusdm-hedge", marks=pytest.mark.slow),
        pytest.param("okx", False, id="okx-one_way", marks=pytest.mark.slow),
    ],
)
"""Both exchanges in both position modes; each of them once is quick."""


class World:
    """An exchange, a workspace whose strategies `btc`, `eth`… trade on it, and the daemons that were started there."""

    def __init__(self, files: Files, kind: str, *, hedged: bool = False) -> None:
        self.files = files
        self.kind = kind
        self.exchange: BinanceFutures | OkxSwap = BinanceFutures() if kind == "binanceusdm" else OkxSwap()
        self.account = self.exchange.account
        self.account.hedged = hedged
        self.daemons: list[Daemon] = []

    def __enter__(self) -> Self:
        weights = {base.lower(): 1 / len(BASES) for base in BASES}
        self.files.portfolio(weights, account_value=float(A_STRATEGY_WORTH) * len(BASES))
        self.exchange.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for daemon in self.daemons:
            daemon.kill()
        self.exchange.__exit__(kind, error, trace)

    def start(
        self,
        *arguments: str,
        settings: str = QUICK,
        venue: Mapping[str, object] | None = None,
        environment: Mapping[str, str] | None = None,
        verbose: bool = False,
    ) -> Daemon:
        """Start a daemon on the exchange, the venue `main`; the last one must have ended."""
        daemon = live_daemon(
            self.files,
            self.exchange,
            self.kind,
            *arguments,
            settings=settings,
            venue=venue,
            environment=environment,
            verbose=verbose,
        )
        self.daemons.append(daemon)
        return daemon

    def want(self, base: str, quantity: Quantity) -> None:
        """Let the strategy of a base currency want this quantity of it, at the price of now."""
        worth = Decimal(quantity) * self.account.prices[self.market(base).id]
        self.files.state(base.lower(), float(worth / A_STRATEGY_WORTH), symbol=symbol(base))

    def market(self, base: str) -> Market:
        """Return the perpetual of a base currency that settles in USDT."""
        markets = self.account.markets.values()
        return next(one for one in markets if (one.base, one.settle, one.expiry) == (base, "USDT", None))

    def held(self, base: str) -> Decimal:
        """Return what the account holds, in the base currency."""
        market = self.market(base)
        return self.account.position(market.id) * market.contract_size

    def units(self, base: str, quantity: Quantity) -> Decimal:
        """Return a quantity of the base currency in the exchange's unit."""
        return Decimal(quantity) / self.market(base).contract_size

    def until_held(self, base: str, quantity: Quantity) -> None:
        """Wait until the account holds exactly this."""
        wanted = Decimal(quantity)
        try:
            self.exchange.wait_for(lambda: self.held(base) == wanted, PATIENCE)
        except TimeoutError:
            said = "\n".join(str(event) for daemon in self.daemons for event in daemon.events[-25:])
            raise AssertionError(
                f"still {self.held(base)} {base}, not {wanted}; the last of the log:\n{said}"
            ) from None

    def row(self, base: str) -> dict[str, Any]:
        """Return the market's row of status.json."""
        rows = self.status()["markets"]
        return next((row for row in rows if row["symbol"] == symbol(base)), {"status": "", "reason": ""})

    def status(self) -> dict[str, Any]:
        """Return status.json, which is empty until a daemon has written it."""
        with contextlib.suppress(FileNotFoundError):
            return self.daemons[-1].status()
        return {"markets": [], "halt_reason": None}

    def until_row(self, base: str, **fields: object) -> dict[str, Any]:
        """Wait until the market's row of status.json has these fields, and return it."""
        return until(lambda: self.row(base), lambda row: all(row.get(name) == value for name, value in fields.items()))

    def assert_sound(self) -> None:
        """Wait until everything is settled, and see that nothing was sent twice, lost or left unexplained."""
        until(lambda: self.unsettled() + self.unlogged(), lambda complaints: not complaints)
        wrong = self.wrong()
        assert not wrong, "\n".join(wrong)

    def unsettled(self) -> list[str]:
        """Return what is not, or not yet, as it should be."""
        root = self.files.root
        open_intents = journal(
            root, "SELECT client_id, status FROM intents WHERE status NOT IN ('done', 'refused', 'cancelled')"
        )
        complaints = [f"intent {client_id} is {status}" for client_id, status in open_intents]
        if self._filled() != self._journaled():
            complaints.append(f"filled: {self._filled() - self._journaled()}, journal: {self._journaled()}")
        locked = {name for (name,) in journal(root, "SELECT symbol FROM locks")}
        halted = (root / "var/HALT").exists()
        for name, target in journal(
            root, "SELECT t.symbol, d.quantity FROM targets t JOIN decisions d ON d.number = t.decision"
        ):
            base = str(name).split("/")[0]
            if name in locked:
                complaints += [] if self.row(base)["status"] == "locked" else [f"{name} is locked: status says nothing"]
            elif halted:
                complaints += [] if self.status()["halt_reason"] else ["halted: status says nothing"]
            elif abs(self.held(base) - Decimal(target)) > self._tolerated(base):
                complaints.append(f"{name}: held {self.held(base)}, wanted {target}")
        return complaints

    def wrong(self) -> list[str]:
        """Return what can never become right again."""
        known = {client_id for (client_id,) in journal(self.files.root, "SELECT client_id FROM intents")}
        sent = collections.Counter(order.client_id for order in self.account.orders if order.origin == "api")
        wrong = [f"order {client_id} is not in the journal" for client_id in sent if client_id not in known]
        wrong += [f"order {client_id} arrived {times} times" for client_id, times in sent.items() if times > 1]
        return wrong + added_before_resolved(self.exchange) + self._repriced() + self._unreasoned()

    def unlogged(self) -> list[str]:
        """Return the refused intents that no log speaks of; a killed daemon's log may end before its journal."""
        if any(daemon.process.poll() == -signal.SIGKILL for daemon in self.daemons):
            return []
        said = {event.get("client_id") for daemon in self.daemons for event in daemon.named("order.refused")}
        refused = journal(self.files.root, "SELECT client_id FROM intents WHERE status = 'refused'")
        return [f"the refusal of {client_id} is not logged" for (client_id,) in refused if client_id not in said]

    def _repriced(self) -> list[str]:
        """Return the decisions that decide again what was decided: a target keeps its price, over restarts too."""
        repeated = """
            SELECT later.number FROM decisions later JOIN decisions earlier ON earlier.number = (
                SELECT max(number) FROM decisions
                WHERE number < later.number AND venue = later.venue AND symbol = later.symbol
            ) WHERE earlier.notional = later.notional AND earlier.contributions = later.contributions
        """
        return [f"decision {number} repeats the one before it" for (number,) in journal(self.files.root, repeated)]

    def _unreasoned(self) -> list[str]:
        unreasoned = journal(self.files.root, "SELECT symbol FROM locks WHERE reason = ''")
        return [f"the lock of {name} has no reason" for (name,) in unreasoned]

    def _filled(self) -> collections.Counter[tuple[str, str, str, str, Decimal]]:
        """Return our fills as the exchange has them."""
        return collections.Counter(
            (
                f"{market.base}/{market.quote}:{market.settle}",
                str(trade.id),
                trade.client_id,
                trade.side,
                (trade.quantity * market.contract_size).normalize(),
            )
            for trade in self.account.trades
            for market in (self.account.markets[trade.market],)
            if getattr(self.account.order(trade.order_id), "origin", "") == "api"
        )

    def _journaled(self) -> collections.Counter[tuple[str, str, str, str, Decimal]]:
        rows = journal(self.files.root, "SELECT symbol, trade_id, client_id, side, quantity FROM fills")
        return collections.Counter((*row[:4], Decimal(row[4]).normalize()) for row in rows)

    def _tolerated(self, base: str) -> Decimal:
        market = self.market(base)
        return max(market.step * market.contract_size, abs(self.held(base)) * Decimal("0.05"))


def symbol(base: str) -> str:
    """Return the unified symbol of a perpetual."""
    return f"{base}/USDT:USDT"


def unhurried(world: World) -> dict[str, object]:
    """Return a venue table with more budget than the exchange gives, for tests that resync all the time."""
    return {"options": {**world.exchange.options(), "rateLimit": 1}}
