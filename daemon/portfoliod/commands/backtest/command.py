"""Read the files as `optimize` does, walk forward, and write what was found."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from portfoliod.allocation.walk_forward import Progress, Walk, unseen, walk_forward
from portfoliod.commands.backtest.report import Report
from portfoliod.commands.backtest.summary import summary
from portfoliod.errors import AllocationError, PortfoliodError, UsageError
from portfoliod.intake import Intake
from portfoliod.optimizer import Overrides, installed_allocator, rules_in_force
from portfoliod.settings import Settings
from portfoliod.workspace import Workspace, write_atomically

JSON_FILE = "walk_forward.json"
PICTURE_FILE = "walk_forward.png"


def backtest(
    workspace: Workspace, settings: Settings, asked: Overrides, walk: Walk, *, cost_bps: float | None, out: Path | None
) -> Report:
    """Walk forward with the files of this moment, and write the report and its picture into a folder.

    Args:
        workspace: whose files.
        settings: its settings.
        asked: what the command line asks for instead.
        walk: how, but for the costs.
        cost_bps: of what changes of weights trade; None: what the settings say that they cost.
        out: the folder; None: var/backtest.

    Returns:
        The report with the files that were written, without its series.

    Raises:
        UsageError: --target-vol, --allocator or --cost-bps makes no sense.
        AllocationError: fewer than two strategies, or too few days; nothing was written.
        PortfoliodError: the folder cannot be written.
    """
    asked.require_sense()
    if cost_bps is not None and not 0 <= cost_bps <= 10_000:
        raise UsageError("--cost-bps is in basis points", found=f"{cost_bps:g}", mend="write 5 for 0.05 %")
    folder = (workspace.backtest_folder if out is None else out).absolute()
    _require_room(folder)
    intake = Intake.at_rest(workspace, settings.risk.max_position)
    problems = [f"{problem.where}: {problem.what}" for problem in intake.problems.values()]
    rules = rules_in_force(settings.optimizer, intake.portfolio, asked)
    walk = msgspec.structs.replace(walk, cost_bps=rules.turnover_cost if cost_bps is None else cost_bps)
    try:
        with _progress_bar() as progress:
            found = walk_forward(intake.histories, rules, walk, installed_allocator(rules.allocator), progress)
    except AllocationError as error:
        raise AllocationError(
            error.what,
            where=error.where or workspace.shown(workspace.strategies),
            found="\n         ".join(filter(None, [error.found, *problems])),
            kept="nothing was written",
            mend=error.mend,
        ) from error
    now = datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds")
    report = summary(found, rules, walk, generated_at=now, problems=problems)
    contents = {JSON_FILE: _json(report), PICTURE_FILE: _picture(report)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            write_atomically(folder / name, content)
    except OSError as error:
        raise _unwritable(folder, error) from error
    return msgspec.structs.replace(
        report, series=msgspec.UNSET, written=[workspace.shown(folder / name) for name in contents]
    )


def _json(report: Report) -> bytes:
    """Return walk_forward.json: a key a line, as long as its value fits."""
    keys = msgspec.to_builtins(report)
    del keys["written"]
    series = keys.pop("series")
    head = msgspec.json.format(msgspec.json.encode(keys), indent=2).removesuffix(b"\n}")
    return head + b',\n  "series": ' + msgspec.json.encode(series) + b"\n}\n"


def _picture(report: Report) -> bytes:
    # It warns where it cannot keep its list of fonts in the user's home, and goes on without.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    from portfoliod.commands.backtest.picture import picture

    return picture(report)


def _require_room(folder: Path) -> None:
    """Say before the work what would be said after it."""
    try:
        existing = next(path for path in (folder, *folder.parents) if path.exists())
    except OSError as error:
        raise _unwritable(folder, error) from error
    if not existing.is_dir():
        raise _unwritable(folder, NotADirectoryError(0, f"{existing} is not a folder"))
    if not os.access(existing, os.W_OK | os.X_OK):
        raise _unwritable(folder, PermissionError(0, f"no permission to write in {existing}"))


def _unwritable(path: Path, error: OSError) -> PortfoliodError:
    return PortfoliodError(
        "the result of the backtest cannot be written",
        where=str(path),
        found=error.strerror or str(error),
        kept="what was there before",
        mend="make room and permit writing there, or name another folder: portfoliod backtest --out DIR",
    )


@contextmanager
def _progress_bar() -> Iterator[Progress]:
    """Show a bar on the terminal's standard error; where that is no terminal, nothing."""
    if not sys.stderr.isatty():
        yield unseen
        return
    from rich.console import Console
    from rich.progress import Progress as Bars

    with Bars(console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("walking forward", total=None)

        def show(done: int, days: int) -> None:
            bars.update(task, completed=done, total=days)

        yield show
