"""`portfoliod optimize`: weights and leverage once, and the proposal of a cautious operator."""

from __future__ import annotations

import contextlib

import msgspec

from portfoliod.allocation import inputs_hash
from portfoliod.documents import parse_portfolio
from portfoliod.errors import AllocationError, FileRejected
from portfoliod.intake import PORTFOLIO, Intake
from portfoliod.journal import Noted, change
from portfoliod.jsontext import replace_keys
from portfoliod.optimizer import (
    OPTIMIZED,
    PATIENCE_SECONDS,
    Optimized,
    Overrides,
    opening_keys,
    optimize,
    rules_in_force,
)
from portfoliod.problems import Owner
from portfoliod.settings import Settings
from portfoliod.workspace import Workspace, write_atomically

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


class Volatility(msgspec.Struct, frozen=True):
    """One estimate of the volatility of these weights, and the leverage that it would give."""

    days: int
    halflife_days: float | None
    ann_volatility_pct: float
    leverage: float
    in_force: bool


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
    volatilities: list[Volatility] = []
    """The one in force first; empty where weights are 0, and of a proposal."""


def optimize_now(
    workspace: Workspace, settings: Settings, asked: Overrides, *, dry_run: bool, apply: bool
) -> OptimizeResult:
    """Optimize once with the files of this moment, and write the result unless it is a dry run.

    With `apply` it goes into portfolio_config.json even where the settings ask for proposals.

    Raises:
        UsageError: what is asked for makes no sense.
        AllocationError: there are no trustworthy weights; nothing was written.
        FileRejected: portfolio_config.json does not fit, and is not overwritten.
    """
    asked.require_sense()
    with contextlib.nullcontext() if dry_run else workspace.sole_optimizer(PATIENCE_SECONDS):
        return _optimize(workspace, settings, asked, dry_run=dry_run, apply=apply)


def _optimize(
    workspace: Workspace, settings: Settings, asked: Overrides, *, dry_run: bool, apply: bool
) -> OptimizeResult:
    intake = Intake.at_rest(workspace, settings.risk.max_position)
    problem = intake.problems.get(Owner.INTAKE, PORTFOLIO)
    if problem is not None and workspace.portfolio_file.exists():
        raise FileRejected(
            problem.what, where=problem.where, found=problem.found, kept="nothing was written", mend=problem.mend
        )
    if not intake.histories:
        broken = [f"{problem.where}: {problem.what}" for problem in intake.problems.values()]
        raise AllocationError(
            "no strategy has daily returns",
            where=workspace.shown(workspace.strategies),
            found="\n         ".join(broken),
            kept="nothing was written",
            mend="let a strategy write stats.json; portfoliod new NAME makes one that does",
        )
    rules = rules_in_force(settings.optimizer, intake.portfolio, asked)
    try:
        digest = inputs_hash(intake.histories, rules)
        opening = opening_keys(settings)
        done = optimize(intake.histories, rules, intake.portfolio_raw, intake.portfolio, opening, digest=digest)
    except AllocationError as error:
        error.kept = "nothing was written: the weights in force stay"
        raise
    written = None
    if not dry_run and (done.allocation.edge or rules.when_no_edge == "cash"):
        propose = settings.optimizer.apply == "propose" and not apply
        path = workspace.proposal_file if propose else workspace.portfolio_file
        workspace.create()
        if not propose:
            _note_inputs(workspace, settings, intake, done.content)
        write_atomically(path, done.content)
        written = workspace.shown(path)
    return _result(done, intake, written)


def _note_inputs(workspace: Workspace, settings: Settings, intake: Intake, content: bytes) -> None:
    """Tell the journal that these inputs are dealt with: the daemon is not to optimize them at once its own way."""
    portfolio = parse_portfolio(content, "portfolio_config.json")
    digest = inputs_hash(intake.histories, rules_in_force(settings.optimizer, portfolio, Overrides()))
    change(workspace.journal_file, lambda store: store.store(Noted(OPTIMIZED, digest)))


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
        volatilities=[
            Volatility(
                estimate.days,
                estimate.halflife_days,
                round(estimate.ann_volatility * 100, 4),
                estimate.leverage,
                estimate.in_force,
            )
            for estimate in allocation.volatilities
        ],
    )


def apply_proposal(workspace: Workspace, settings: Settings, *, dry_run: bool) -> OptimizeResult:
    """Put the weights of var/proposal.json in force and leave the user's keys as they are.

    Raises:
        FileRejected: the proposal or portfolio_config.json does not fit; nothing was written.
    """
    with contextlib.nullcontext() if dry_run else workspace.sole_optimizer(PATIENCE_SECONDS):
        return _apply_proposal(workspace, settings, dry_run=dry_run)


def _apply_proposal(workspace: Workspace, settings: Settings, *, dry_run: bool) -> OptimizeResult:
    raw = workspace.proposal_file.read_bytes()
    parse_portfolio(raw, workspace.shown(workspace.proposal_file))
    proposal = msgspec.json.decode(raw, type=dict[str, object])
    try:
        current = workspace.portfolio_file.read_bytes()
    except FileNotFoundError:
        current = b""
    previous = parse_portfolio(current, workspace.shown(workspace.portfolio_file)).weights if current else {}
    owned = {key: value for key, value in proposal.items() if key in OPTIMIZER_KEYS or not current}
    if not dry_run:
        content = replace_keys(current, owned)
        _note_inputs(workspace, settings, Intake.at_rest(workspace, settings.risk.max_position), content)
        write_atomically(workspace.portfolio_file, content)
        workspace.proposal_file.unlink()
    facts = {
        "version": 1,
        "notes": [],
        "previous": {name: float(weight) for name, weight in previous.items()},
        "written": None if dry_run else workspace.shown(workspace.portfolio_file),
    }
    return msgspec.convert({**proposal, **facts}, OptimizeResult)
