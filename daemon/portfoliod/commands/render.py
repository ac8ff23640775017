"""Tables for people, JSON for programs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from portfoliod.commands.check import Findings
from portfoliod.commands.optimize import OptimizeResult, Volatility
from portfoliod.commands.plan import Preview
from portfoliod.model import Problem, Standing
from portfoliod.status import Status, sentence

Result = TypeVar("Result", bound=msgspec.Struct)

OPTIMIZING = ("slope_std", "min_variance")
"""The allocators whose weights are the best of something."""

COLOUR = {
    "running": "green",
    "halted": "red",
    "stopping": "yellow",
    "down": "red",
    Standing.IN_STEP: "green",
    Standing.WORKING: "cyan",
    Standing.UNKNOWN: "yellow",
    Standing.LOCKED: "red",
    Standing.REFUSED: "red",
}


def show(result: Result, *, as_json: bool, table: Callable[[Result], RenderableType]) -> None:
    """Print a result as JSON or as its table."""
    if as_json:
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")
        sys.stdout.flush()
    else:
        console, shown = Console(highlight=False), table(result)
        for part in shown.renderables if isinstance(shown, Group) else [shown]:
            console.print(part, soft_wrap=isinstance(part, Text))  # what is to be copied has no line breaks of ours


def watch(path: Path, read: Callable[[], Status]) -> None:
    """Show the status again whenever its file changes, until interrupted."""
    from rich.live import Live

    with Live(status(read()), auto_refresh=False, screen=True) as live:
        for _ in _changes(path):
            live.update(status(read()), refresh=True)


def _changes(path: Path) -> Iterator[object]:
    """Yield when a file changed, and once a second, also as long as there is no folder for it."""
    import watchfiles

    while not path.parent.is_dir():
        time.sleep(1)
        yield None
    yield from watchfiles.watch(
        path.parent, watch_filter=lambda _, name: name == str(path), rust_timeout=1000, yield_on_timeout=True
    )


def optimization(result: OptimizeResult) -> RenderableType:
    """Return the table of weights."""
    table = plain_table("strategy", ">weight", ">before", "why not")
    for name in sorted(result.weights, key=lambda name: (-result.weights[name], name)):
        before = result.previous.get(name)
        table.add_row(
            name,
            f"{result.weights[name]:.4f}",
            "" if before is None else f"{before:.4f}",
            result.excluded.get(name, ""),
        )
    proven = f", at most {result.optimality_gap:.1e} below the best" if result.allocator in OPTIMIZING else ""
    summary = Text(
        f"volatility {result.ann_volatility_pct:.2f} % a year, target {result.target_vol_pct:.2f} %, "
        f"leverage {result.leverage:g}\n{result.allocator} over {result.lookback_days} days: "
        f"score {result.score:.6f}{proven}"
    )
    notes = [Text(f"note: {note}", style="yellow") for note in result.notes]
    return Group(
        table,
        summary,
        *([_volatilities(result.volatilities)] if result.volatilities else []),
        *notes,
        Text(f"written: {result.written}" if result.written else "nothing was written", style="bold"),
    )


def _volatilities(estimates: list[Volatility]) -> Table:
    """Return the table of what each estimate of the volatility would make of the leverage."""
    table = plain_table("volatility by", ">a year", ">leverage", "")
    for estimate in estimates:
        halflife = "" if estimate.halflife_days is None else f", half-life {estimate.halflife_days:g}"
        table.add_row(
            f"{estimate.days} days{halflife}",
            f"{estimate.ann_volatility_pct:.2f} %",
            f"{estimate.leverage:.4f}",
            "in force" if estimate.in_force else "",
        )
    return table


def preview(result: Preview) -> RenderableType:
    """Return the orders and what is skipped."""
    parts: list[RenderableType] = []
    if result.orders:
        table = plain_table("venue", "symbol", "side", ">quantity", ">notional", "reduce", "why")
        for order in result.orders:
            side = Text(order.side, style="green" if order.side == "buy" else "red")
            table.add_row(
                order.venue,
                order.symbol,
                side,
                order.quantity,
                order.notional,
                "yes" if order.reduce_only else "",
                order.reason,
            )
        parts += [table, Text(f"turnover {result.turnover:.2%} of account_value; nothing was sent")]
    else:
        parts.append(Text("nothing would be traded", style="bold"))
    if result.skipped:
        table = plain_table("venue", "symbol", ">difference", "left alone because")
        for skip in result.skipped:
            table.add_row(skip.venue, skip.symbol, skip.difference, skip.reason)
        parts.append(table)
    return Group(*parts, *(Text(f"note: {note}", style="yellow") for note in result.notes))


def status(result: Status) -> RenderableType:
    """Return one screen."""
    head = Text.assemble(
        ("portfoliod ", "bold"),
        result.version,
        "  ",
        (result.state, f"bold {COLOUR[result.state]}"),
        f"  {result.mode}",
        f"  pid {result.pid}" if result.pid else "",
        f"  since {result.started_at}" if result.started_at else "",
    )
    account = "unknown" if result.account_value is None else f"{result.account_value:,.2f}"
    leverage = "none" if result.leverage is None else f"{result.leverage:g}"
    parts: list[RenderableType] = [head, Text(sentence(result)), Text(f"account value {account}  leverage {leverage}")]
    if result.halt_reason:
        parts.append(Text(f"halted: {result.halt_reason}   (portfoliod resume)", style="bold red"))
    parts += [_strategies(result), _markets(result), _venues(result), *(problem(row) for row in result.problems)]
    return Group(*parts)


def _strategies(result: Status) -> Table:
    table = plain_table("strategy", ">weight", "wants", ">age", ">days", "problem")
    for name, row in result.strategies.items():
        wants = ", ".join(f"{symbol} {position:g}" for symbol, position in row.positions.items())
        age = "" if row.state_age_s is None else _age(row.state_age_s)
        weight = "" if row.weight is None else f"{row.weight:.4f}"
        table.add_row(name, weight, wants, age, str(row.stats_days), Text(row.problem or "", style="red"))
    return table


def _markets(result: Status) -> Table:
    table = plain_table("venue", "market", ">target", ">position", ">price", "status", "why")
    for row in result.markets:
        table.add_row(
            row.venue,
            row.symbol,
            row.target,
            row.position or "?",
            row.price or "",
            Text(row.status, style=COLOUR[row.status]),
            row.reason,
        )
    return table


def _venues(result: Status) -> Table:
    table = plain_table("venue", "driver", "connected", ">equity", "prices", "problem")
    for name, row in result.venues.items():
        connected = Text("yes", style="green") if row.connected else Text("no", style="red")
        table.add_row(
            name, row.driver, connected, row.equity or "", row.prices or "", Text(row.problem or "", style="red")
        )
    return table


def findings(result: Findings) -> RenderableType:
    """Return what `check` found."""
    parts: list[RenderableType] = [Text(f"ok     {line}", style="green") for line in result.fine]
    return Group(*parts, *(problem(row) for row in result.problems))


def problem(row: Problem) -> Text:
    """Return a problem in the form of an error."""
    text = Text.assemble(("problem: ", "bold red"), row.what)
    if row.where:
        text.append(f"\n  --> {row.where}")
    for label, value in (("found", row.found), ("kept", row.kept), ("mend", row.mend)):
        if value:
            text.append(f"\n  {label:<6} {value}")
    return text


def plain_table(*columns: str) -> Table:
    """Return a table without lines; columns whose name begins with > have their text at the right."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column.lstrip(">"), justify="right" if column.startswith(">") else "left", overflow="fold")
    return table


def _age(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
