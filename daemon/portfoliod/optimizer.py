"""Dirty stats in, portfolio_config.json out. What follows from the file is not this task's business."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib.metadata
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import cast

import msgspec
import structlog

from portfoliod.allocation import ALLOCATORS, Allocation, Allocator, Rules, allocate, inputs_hash
from portfoliod.backoff import Backoff
from portfoliod.documents import parse_portfolio
from portfoliod.errors import AllocationError, FileRejected, JournalFailed, LockHeld, UsageError
from portfoliod.intake import PORTFOLIO, Intake, Kind, Source
from portfoliod.journal import Journal
from portfoliod.jsontext import replace_keys
from portfoliod.mailbox import Mailbox
from portfoliod.model import History, PortfolioConfig, Problem
from portfoliod.problems import Owner, Part
from portfoliod.settings import ALLOCATOR_GROUP, OptimizerSettings, Settings, unknown_allocator
from portfoliod.workspace import Unsettled, read_settled, write_atomically

log: structlog.stdlib.BoundLogger = structlog.get_logger()

OPTIMIZED = "optimized_inputs"
"""The journal's fact: the inputs of the last optimization, so that a restart does not undo a hand edit."""
DEFAULT_TARGET_VOL = 0.30
DEFAULT_LOOKBACK = 365
PATIENCE_SECONDS = 5.0
"""How long a command that optimizes is waited for at once; then it is tried again."""
FIRST_PAUSE = 1.0
"""Seconds before what may be over by itself is tried again."""
PORTFOLIO_FILE = "portfolio_config.json"
"""Its name in the mailbox."""


class Overrides(msgspec.Struct, frozen=True):
    """What a command line asks for instead of the settings."""

    target_vol: float | None = None
    lookback_days: int | None = None
    allocator: str | None = None

    def require_sense(self) -> None:
        """Find out whether it can be asked for.

        Raises:
            UsageError: a volatility that is none, or an allocator that there is not.
        """
        vol = self.target_vol
        if vol is not None and not 0 < vol <= 10:
            raise UsageError("--target-vol is a fraction", found=f"{vol:g}", mend="write 0.30 for 30 % a year")
        if self.allocator is not None and (unknown := unknown_allocator(self.allocator)):
            what, mend = unknown
            raise UsageError(what, where="--allocator", found=self.allocator, mend=mend)


class Optimized(msgspec.Struct, frozen=True):
    """One optimization: what came out, what went in, and the file that says so."""

    allocation: Allocation
    rules: Rules
    inputs_hash: str
    content: bytes
    """portfolio_config.json as it would be written."""


def rules_in_force(settings: OptimizerSettings, portfolio: PortfolioConfig | None, asked: Overrides) -> Rules:
    """Return the rules of an optimization: what is asked for, else the settings, else the file, else the default."""
    percent = None if portfolio is None else portfolio.target_vol_pct
    days = None if portfolio is None else portfolio.lookback_days
    vol = _first(asked.target_vol, settings.target_vol, None if percent is None else percent / 100, DEFAULT_TARGET_VOL)
    lookback = int(_first(asked.lookback_days, settings.lookback_days, days, DEFAULT_LOOKBACK))
    chosen = {"target_vol": vol, "lookback_days": lookback, "allocator": asked.allocator or settings.allocator}
    # What the formulas read of the table has the same names there.
    return msgspec.convert({**msgspec.structs.asdict(settings), **chosen}, Rules, from_attributes=True)


def _first(*values: float | None) -> float:
    return next(value for value in values if value is not None)


def optimize(
    histories: Mapping[str, History],
    rules: Rules,
    current: bytes,
    in_force: PortfolioConfig | None,
    opening: Mapping[str, object],
    *,
    digest: str,
) -> Optimized:
    """Return the weights and leverage for some histories, and the file that holds them.

    Args:
        histories: daily returns of each strategy that has any.
        rules: how.
        current: portfolio_config.json as it is, b"" for none. Keys that the optimizer does not own stay byte for byte.
        in_force: what that file says: changes of its weights cost turnover.
        opening: the keys that a new file begins with.
        digest: the hash of these inputs.

    Raises:
        AllocationError: no trustworthy weights exist.
    """
    allocation = allocate(histories, rules, installed_allocator(rules.allocator), previous=_held(in_force))
    keys: dict[str, object] = {} if current else dict(opening)
    keys |= {
        "weights": allocation.weights,
        "ann_volatility_pct": round(allocation.ann_volatility * 100, 4),
        "target_vol_pct": round(rules.target_vol * 100, 6),
        "leverage": allocation.leverage,
        "generated_at": datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds"),
        "lookback_days": rules.lookback_days,
        "allocator": rules.allocator,
        "score": float(f"{allocation.score:.9g}"),
        "optimality_gap": float(f"{allocation.optimality_gap:.3g}"),
        "excluded": allocation.excluded,
        "inputs_hash": digest,
    }
    return Optimized(allocation, rules, digest, replace_keys(current, keys))


def _held(portfolio: PortfolioConfig | None) -> dict[str, float] | None:
    """Return the weights in force, None where nothing is held."""
    weights = {} if portfolio is None else {name: float(weight) for name, weight in portfolio.weights.items()}
    return weights if any(weights.values()) else None


def installed_allocator(name: str) -> Allocator | None:
    """Return the allocator that an installed package registers under a name, None for our own.

    Raises:
        AllocationError: it cannot be loaded.
    """
    if name in ALLOCATORS:
        return None
    try:
        for entry in importlib.metadata.entry_points(group=ALLOCATOR_GROUP, name=name):
            return cast("Allocator", entry.load())
    except (Exception, SystemExit) as error:
        raise AllocationError(
            f'the allocator "{name}" cannot be loaded',
            where="optimizer.allocator",
            found=f"{type(error).__name__}: {error}",
            kept="the weights in force stay",
            mend="mend the package that registers it, or choose another allocator",
        ) from error
    return None


class Optimizer:
    """Waits for names of strategies whose stats changed, and re-optimizes once they have been quiet for a while."""

    def __init__(self, settings: Settings, intake: Intake, journal: Journal) -> None:
        self.mailbox: Mailbox[str] = Mailbox()
        self.settings = settings
        self._intake = intake
        self._journal = journal
        self._cycle = ""
        self._seen = 0
        """The number of the last change that an optimization dealt with."""
        self._written = ""
        """The hash of the portfolio_config.json that was written last, until it is seen."""
        self._backoff = Backoff(FIRST_PAUSE)
        self._unfinished: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Optimize when asked to, until cancelled."""
        while True:
            options = self.settings.optimizer
            names = await self.mailbox.settle(options.quiet_ms / 1000, options.max_wait_ms / 1000)
            await self.look(names)

    def notice(self, source: Source) -> None:
        """Be woken by a file that changed, unless it is as this task has just written it."""
        if source == PORTFOLIO:
            own, self._written = self._written == self._intake.hash_of(source), ""
            if not own:
                self.mailbox.put(PORTFOLIO_FILE)
        elif source.kind is Kind.STATS:
            self.mailbox.put(source.strategy)

    async def look(self, names: set[str]) -> None:
        """Optimize if the inputs are not those of the last optimization, and write the file.

        A failure leaves the file in force as it is, and says why; what may be over by itself is tried again.
        """
        intake = self._intake
        if not intake.histories:
            intake.problems.set(Owner.OPTIMIZER, Part.OPTIMIZER, None)
            return
        changed = [PORTFOLIO if name == PORTFOLIO_FILE else Source(Kind.STATS, name) for name in names]
        self._cycle, newest = intake.cycles.since(self._seen, changed), intake.cycles.number
        try:
            if await self._optimize(dict(intake.histories), names):
                self._seen = newest
                self._backoff.reset()
                self._unfinished.clear()
                intake.problems.set(Owner.OPTIMIZER, Part.OPTIMIZER, None)
        except FileRejected as error:
            self._refuse(f"{error.what}: it is not overwritten", error.found, error.mend, error.where)
            if isinstance(error, Unsettled):
                self._try_again_later(names)
        except (AllocationError, JournalFailed, LockHeld) as error:
            self._refuse(error.what, error.found, error.mend, error.where)
            if isinstance(error, LockHeld):
                self.mailbox.put(*names)  # it has been waited for
            elif isinstance(error, JournalFailed):
                self._try_again_later(names)
        except OSError as error:
            self._refuse("portfolio_config.json cannot be written", error.strerror or str(error), "mend config/")
            self._try_again_later(names)
        except Exception as error:
            log.exception("weights.failed", cycle=self._cycle)
            mend = "report it with what the log says; other inputs may do"
            self._refuse("the optimization failed", f"{type(error).__name__}: {error}", mend)

    def _try_again_later(self, names: set[str]) -> None:
        """Put the names into the mailbox again after a while; every look before that is a try, too."""
        self._unfinished |= names
        if self._timer is not None:
            self._timer.cancel()
        pause = self._backoff.after_failure()
        self._timer = asyncio.get_running_loop().call_later(pause, self.mailbox.put, *self._unfinished)

    async def _optimize(self, histories: Mapping[str, History], names: set[str]) -> bool:
        """Return whether the file holds what follows from the inputs; where not, the names are in the mailbox again."""
        misfit = None
        try:
            current, portfolio = self._current()  # a command may have written it a moment ago
        except FileRejected as error:
            current, portfolio, misfit = b"", self._intake.portfolio, error
        rules = rules_in_force(self.settings.optimizer, portfolio, Overrides())
        digest = await asyncio.to_thread(inputs_hash, histories, rules)
        if digest == await self._last_inputs():
            return True
        if misfit is not None:
            raise misfit
        opening = opening_keys(self.settings)
        done = await asyncio.to_thread(optimize, histories, rules, current, portfolio, opening, digest=digest)
        with contextlib.ExitStack() as alone:
            await asyncio.to_thread(alone.enter_context, self._intake.workspace.sole_optimizer(PATIENCE_SECONDS))
            if self._current()[0] != current:
                self.mailbox.put(*names)  # a hand edit or a command came in between: once more, on top of it
                return False
            await self._apply(done, names)
        return True

    async def _apply(self, done: Optimized, names: set[str]) -> None:
        workspace = self._intake.workspace
        allocation = done.allocation
        for note in allocation.notes:
            log.warning("weights.limited", note=note, cycle=self._cycle)
        if not allocation.edge and done.rules.when_no_edge == "keep":
            log.warning(
                "weights.kept",
                reason="no allocation has a positive score",
                after=", ".join(sorted(names)),
                cycle=self._cycle,
            )
        else:
            propose = self.settings.optimizer.apply == "propose"
            path = workspace.proposal_file if propose else workspace.portfolio_file
            digest = hashlib.sha256(done.content).hexdigest()
            self._intake.cycles.wrote(digest, self._cycle)
            if not propose:
                self._written = digest  # before the write: it is seen at once
            await asyncio.to_thread(write_atomically, path, done.content)
            log.info(
                "weights.optimized",
                leverage=allocation.leverage,
                volatility=f"{allocation.ann_volatility:.2%}",
                gap=f"{allocation.optimality_gap:.1e}",
                after=", ".join(sorted(names)),
                weights=", ".join(f"{name} {weight:g}" for name, weight in allocation.weights.items()),
                cycle=self._cycle,
            )
            log.info("config.written", file=workspace.shown(path), cycle=self._cycle)
        await self._journal.put_meta(OPTIMIZED, done.inputs_hash)

    def _current(self) -> tuple[bytes, PortfolioConfig | None]:
        """Return portfolio_config.json as it is now and what it says; where there is none, the last good one.

        Raises:
            FileRejected: it does not fit.
        """
        workspace = self._intake.workspace
        shown = workspace.shown(workspace.portfolio_file)
        try:
            raw, _ = read_settled(workspace.portfolio_file, shown)
        except FileNotFoundError:
            return self._intake.portfolio_raw, self._intake.portfolio
        return raw, parse_portfolio(raw, shown)

    async def _last_inputs(self) -> str | None:
        known = await self._journal.meta(OPTIMIZED)
        if known is not None:
            return known
        return None if self._intake.portfolio is None else self._intake.portfolio.inputs_hash

    def _refuse(self, what: str, found: str, mend: str, where: str = "") -> None:
        self._written = ""  # whatever is in the file next asks for another look
        kept = "the weights in force stay"
        problem = Problem(what, where="optimizer", found=found, kept=kept, mend=mend)
        if self._intake.problems.set(Owner.OPTIMIZER, Part.OPTIMIZER, problem):
            fields = {"where": where, "found": found, "kept": kept, "mend": mend, "cycle": self._cycle}
            log.error("weights.refused", reason=what, **fields)


def opening_keys(settings: Settings) -> dict[str, object]:
    """Return what a new portfolio_config.json begins with: on paper the account's balance, elsewhere nothing."""
    table = settings.venues[settings.default_venue]
    if table.get("driver") != "paper":
        return {}
    return {"account_value": table.get("balance", 10000)}
