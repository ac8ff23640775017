"""What the commands do, as functions: they change files and the journal, and return what to say or show."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress

import msgspec

from portfoliod.errors import AllocationError, FileRejected, PortfoliodError, UsageError
from portfoliod.host import holder, start_log
from portfoliod.intake import Intake
from portfoliod.journal import Journal, Retirement, Store, change
from portfoliod.jsontext import replace_keys
from portfoliod.model import Key
from portfoliod.optimizer import OPTIMIZED, Optimized, Overrides, opening_keys, optimize, rules_in_force
from portfoliod.reconciler import Standing
from portfoliod.service import Service, exit_code_of
from portfoliod.settings import Settings
from portfoliod.status import MarketStatus, Status, VenueStatus, describe, market
from portfoliod.switches import HaltSwitch
from portfoliod.workspace import STRATEGY_NAME, Workspace, signature, write_atomically

OPTIMIZER_KEYS = (
    "weights",
    "ann_volatility_pct",
    "target_vol_pct",
    "leverage",
    "generated_at",
    "lookback_days",
    "allocator",
    "score",
    "optimality_gap",
    "excluded",
    "inputs_hash",
)
FLATTEN_SECONDS = 60.0


class OptimizeResult(msgspec.Struct, frozen=True):
    """The content of `optimize --json`."""

    version: int
    weights: dict[str, float]
    ann_volatility_pct: float
    target_vol_pct: float
    leverage: float
    score: float
    optimality_gap: float
    allocator: str
    lookback_days: int
    excluded: dict[str, str]
    notes: list[str]
    previous: dict[str, float]
    """The weights that were in force."""
    written: str | None
    """The file that was written, if one was."""


def optimize_now(workspace: Workspace, settings: Settings, asked: Overrides, *, dry_run: bool) -> OptimizeResult:
    """Optimize once with the files of this moment, and write the result unless it is a dry run.

    Raises:
        AllocationError: there are no trustworthy weights; nothing was written.
        FileRejected: portfolio_config.json does not fit, and is not overwritten.
    """
    if asked.target_vol is not None and not 0 < asked.target_vol <= 10:
        raise UsageError("--target-vol is a fraction", found=f"{asked.target_vol:g}", mend="write 0.30 for 30 % a year")
    intake = _intake(workspace, settings)
    shown = workspace.shown(workspace.portfolio_file)
    problem = intake.problems.get(shown)
    if problem is not None and workspace.portfolio_file.exists():
        raise FileRejected(
            problem.what, where=problem.where, found=problem.found, kept="nothing was written", mend=problem.mend
        )
    if not intake.histories:
        raise AllocationError(
            "no strategy has daily returns",
            where=workspace.shown(workspace.strategies),
            kept="nothing was written",
            mend="let a strategy write stats.json; portfoliod new NAME makes one that does",
        )
    rules = rules_in_force(settings.optimizer, intake.portfolio, asked)
    done = optimize(intake.histories, rules, intake.portfolio_raw, opening_keys(settings))
    written = None
    if not dry_run and (done.allocation.edge or rules.when_no_edge == "cash"):
        path = workspace.proposal_file if settings.optimizer.apply == "propose" else workspace.portfolio_file
        path.parent.mkdir(parents=True, exist_ok=True)
        _note_inputs(workspace, settings, intake, done)
        write_atomically(path, done.content)
        written = workspace.shown(path)
    return _result(done, intake, written)


def _note_inputs(workspace: Workspace, settings: Settings, intake: Intake, done: Optimized) -> None:
    """Tell the journal that these inputs are dealt with: the daemon is not to optimize them at once its own way."""
    if not workspace.journal_file.exists() or settings.optimizer.apply == "propose":
        return
    from portfoliod.allocation import inputs_hash
    from portfoliod.documents import parse_portfolio

    portfolio = parse_portfolio(done.content, "portfolio_config.json")
    digest = inputs_hash(intake.histories, rules_in_force(settings.optimizer, portfolio, Overrides()))
    change(workspace.journal_file, lambda store: store.put_meta(OPTIMIZED, digest))


def _result(done: Optimized, intake: Intake, written: str | None) -> OptimizeResult:
    allocation, rules = done.allocation, done.rules
    previous = (
        {} if intake.portfolio is None else {name: float(weight) for name, weight in intake.portfolio.weights.items()}
    )
    return OptimizeResult(
        version=1,
        weights=allocation.weights,
        ann_volatility_pct=round(allocation.ann_volatility * 100, 4),
        target_vol_pct=round(rules.target_vol * 100, 6),
        leverage=allocation.leverage,
        score=allocation.score,
        optimality_gap=allocation.optimality_gap,
        allocator=rules.allocator,
        lookback_days=rules.lookback_days,
        excluded=allocation.excluded,
        notes=[*allocation.notes, *(f"{problem.where}: {problem.what}" for problem in intake.problems.values())],
        previous=previous,
        written=written,
    )


def apply_proposal(workspace: Workspace, *, dry_run: bool) -> str:
    """Put the weights of var/proposal.json in force, leave the user's keys as they are, and say so."""
    proposal = msgspec.json.decode(workspace.proposal_file.read_bytes(), type=dict[str, object])
    try:
        current = workspace.portfolio_file.read_bytes()
    except FileNotFoundError:
        current = b""
    owned = {key: value for key, value in proposal.items() if key in OPTIMIZER_KEYS or not current}
    if dry_run:
        return f"would apply: {owned.get('weights')}, leverage {owned.get('leverage')}"
    write_atomically(workspace.portfolio_file, replace_keys(current, owned))
    workspace.proposal_file.unlink()
    return f"applied: leverage {owned.get('leverage')}"


def current_status(workspace: Workspace, settings: Settings) -> Status:
    """Return what the running daemon says of itself, or what the files and the journal say where none runs."""
    pid = holder(workspace.lock_file)
    if pid is not None:
        with suppress(OSError, msgspec.DecodeError):
            status = msgspec.json.decode(workspace.status_file.read_bytes(), type=Status)
            if status.pid == pid:
                return status
    journal = Journal(workspace.journal_file, read_only=True) if workspace.journal_file.exists() else None
    intake = Intake(workspace, journal, settings.risk.max_position)
    intake.read_all()
    reason = HaltSwitch(workspace).reason()
    markets = [] if journal is None else [_market_at_rest(key, journal) for key in sorted(journal.targets)]
    return describe(
        intake,
        journal,
        state="down",
        mode=settings.mode,
        halt_reason=reason or None,
        venues={
            name: VenueStatus(str(table["driver"]), False, None, None, None) for name, table in settings.venues.items()
        },
        markets=markets,
        problems=list(intake.problems.values()),
    )


def _market_at_rest(key: Key, journal: Journal) -> MarketStatus:
    book, lock = journal.books.get(key), journal.locks.get(key)
    return market(
        key,
        journal,
        target=None,
        position=None if book is None else book.expected,
        price=None,
        standing=Standing.UNKNOWN if lock is None else Standing.LOCKED,
        reason="down; position by the journal" if lock is None else lock.reason,
    )


def halt(workspace: Workspace, reason: str) -> str:
    """Create var/HALT and say so."""
    switch = HaltSwitch(workspace)
    before = switch.reason()
    if before:
        return f"already halted: {before}"
    switch.trip(reason or "halted by the operator")
    _require_halt(workspace)
    return f"halted: {switch.reason()}\nnothing that adds exposure is sent until: portfoliod resume"


def resume(workspace: Workspace) -> str:
    """Remove var/HALT and say so."""
    was = HaltSwitch(workspace).clear()
    _wake(workspace)
    return "resumed: targets are traded again" if was else "not halted"


def flatten(workspace: Workspace, settings: Settings, *, verbose: bool) -> tuple[int, str]:
    """Halt, close every managed position, and return the exit code and what to say."""
    HaltSwitch(workspace).trip("flattened by the operator", flatten=True)
    _require_halt(workspace)
    again = "halted; after `portfoliod resume` the targets are traded again"
    if holder(workspace.lock_file) is None:
        start_log("auto", verbose=verbose)
        looks = asyncio.run(Service(workspace, settings, live=True).once())
        code = exit_code_of(looks)
        open_keys = [str(key) for key, look in looks.items() if look.standing is not Standing.IN_STEP]
    else:
        _wake(workspace)
        open_keys = _wait_until_flat(workspace, settings)
        code = 1 if open_keys else 0
    if open_keys:
        return max(code, 1), f"not closed yet: {', '.join(open_keys)}\n{again}"
    return 0, f"every managed position is closed\n{again}"


def _wait_until_flat(workspace: Workspace, settings: Settings) -> list[str]:
    """Wait for a status of the running daemon that is newer than the halt and shows no position."""
    since = time.time()
    deadline = time.monotonic() + FLATTEN_SECONDS
    while True:
        status = current_status(workspace, settings)
        still = [
            row.symbol
            for row in status.markets
            if row.status is not Standing.IN_STEP or (row.position not in {None, "0"} and "step" not in row.reason)
        ]
        fresh = (found := signature(workspace.status_file)) is not None and found.modified_ns / 1e9 > since
        if (fresh and not still) or time.monotonic() > deadline or status.state == "down":
            return still
        time.sleep(0.1)


def unlock(workspace: Workspace, symbol: str) -> str:
    """Lift the locks of a symbol and say which.

    Raises:
        UsageError: nothing of that name is locked.
    """
    wanted = _letters(symbol)

    def lift(store: Store) -> tuple[list[Key], list[Key]]:
        locked = [lock.key for lock in store.locks()]
        meant = [key for key in locked if wanted in {_letters(key.symbol), _letters(key.symbol.partition(":")[0])}]
        for key in meant:
            store.delete_lock(key)
            store.delete_book(key)
        return meant, locked

    lifted, locked = change(workspace.journal_file, lift) if workspace.journal_file.exists() else ([], [])
    if not lifted:
        names = ", ".join(str(key) for key in locked) or "nothing"
        raise PortfoliodError(
            "not locked", where=symbol, found=f"locked is: {names}", mend="portfoliod status shows the locks"
        )
    _wake(workspace)
    return "\n".join(f"unlocked: {key}; its position is taken over as it is" for key in lifted)


def retire(workspace: Workspace, name: str) -> str:
    """Take a strategy out for good and say so.

    Raises:
        UsageError: there is no such strategy.
    """
    folder = workspace.strategies / name
    found = signature(folder) if STRATEGY_NAME.fullmatch(name) else None
    prefix = f"strategies/{name}/"

    def take_out(store: Store) -> bool:
        known = found is not None or any(document.name.startswith(prefix) for document in store.documents())
        if known:
            store.retire(Retirement(name, None if found is None else found.inode), time.time())
        return known

    if not workspace.journal_file.exists() or not change(workspace.journal_file, take_out):
        raise PortfoliodError(
            "no such strategy", where=str(folder), kept="nothing was changed", mend="portfoliod status lists them"
        )
    _wake(workspace)
    if found is None:
        return f"retired: {name}; what it held is closed, and a folder of that name is a new strategy"
    return f"retired: {name}; what it held is closed, and its folder is ignored until it was away"


def _intake(workspace: Workspace, settings: Settings) -> Intake:
    journal = Journal(workspace.journal_file, read_only=True) if workspace.journal_file.exists() else None
    intake = Intake(workspace, journal, settings.risk.max_position)
    intake.read_all()
    return intake


def _require_halt(workspace: Workspace) -> None:
    if not workspace.halted():
        raise PortfoliodError(
            "var/HALT cannot be written",
            where=str(workspace.halt_file),
            kept="the daemon is not halted",
            mend=f"free the disk or mend var/; or stop the daemon, process {holder(workspace.lock_file)}",
        )


def _wake(workspace: Workspace) -> None:
    """Let a running daemon look at the journal and the switches."""
    with suppress(OSError):
        workspace.wake_file.touch()
        os.utime(workspace.wake_file)


def _letters(symbol: str) -> str:
    return "".join(letter for letter in symbol.upper() if letter.isalnum())
