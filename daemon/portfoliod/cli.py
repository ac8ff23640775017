"""The commands. Whatever takes time to import is imported by the command that needs it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from portfoliod.errors import SettingsError, UsageError

if TYPE_CHECKING:
    from portfoliod.settings import Settings
    from portfoliod.workspace import Workspace

WOULD_TRADE = 4
NOT_RUNNING = 3

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON in a stable format.")


class Context:
    """The workspace and the switches before the command."""

    def __init__(self, root: Path, *, verbose: bool) -> None:
        self.root = root
        self.verbose = verbose

    def workspace(self) -> Workspace:
        """Return the workspace that the command works in."""
        from portfoliod.workspace import Workspace

        if not self.root.is_dir():
            raise UsageError("no such folder", where=str(self.root), mend="create it, or name another --root")
        return Workspace(self.root)

    def settings(self) -> Settings:
        """Return the workspace's settings."""
        from portfoliod.settings import load_settings

        return load_settings(self.workspace().settings_file)


def _version(context: click.Context, _option: click.Parameter, asked: bool) -> None:
    if asked:
        from portfoliod.commands.version import report

        click.echo(report())
        context.exit()


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--root",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="PORTFOLIOD_ROOT",
    default=Path(),
    help="The workspace: strategies/, config/, var/. Default: $PORTFOLIOD_ROOT, else this folder.",
)
@click.option("-v", "--verbose", is_flag=True, help="Log at debug level.")
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_version,
    help="Show the version, and those of what it stands on, and exit.",
)
@click.pass_context
def cli(context: click.Context, *, root: Path, verbose: bool) -> None:
    """A portfolio daemon for systematic traders: strategies in, optimized positions on the exchange out."""
    context.obj = Context(root, verbose=verbose)


@cli.command()
@click.option("--live", is_flag=True, help='Trade on exchanges; mode = "live" in portfoliod.toml is needed too.')
@click.option("--once", is_flag=True, help="Reconcile once and exit.")
@click.option(
    "--log-format", type=click.Choice(["auto", "console", "journal", "json"]), default="auto", show_default=True
)
@click.pass_obj
def run(context: Context, *, live: bool, once: bool, log_format: str) -> None:
    """The daemon."""
    # One thread is enough for matrices of this size, and every idle one of BLAS costs memory.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    import asyncio
    import faulthandler

    from portfoliod.host import give_memory_back
    from portfoliod.logs import start_log
    from portfoliod.service import Service, exit_code_of

    settings = context.settings()
    if live and settings.mode != "live":
        raise UsageError(
            "--live needs a second yes",
            where="config/portfoliod.toml  mode",
            found=settings.mode,
            mend='write: mode = "live"',
        )
    start_log(log_format, verbose=context.verbose)  # type: ignore[arg-type]
    faulthandler.enable()  # systemd ends a loop that stalls with SIGABRT: the log then holds where it stood
    give_memory_back()
    service = Service(context.workspace(), settings, live=live)
    if once:
        raise SystemExit(exit_code_of(asyncio.run(service.once())))
    asyncio.run(service.run())


@cli.command()
@click.option("--target-vol", type=float, help="Annual, as a fraction; written to portfolio_config.json.")
@click.option("--lookback", type=click.IntRange(min=3), help="Calendar days; written to portfolio_config.json.")
@click.option("--allocator", help="slope_std, equal, inverse_vol, hrp, min_variance, or one that a package brings.")
@click.option("--dry-run", is_flag=True, help="Print the table, write nothing.")
@click.option("--apply", "apply_proposal", is_flag=True, help="Put var/proposal.json in force, if there is one.")
@json_option
@click.pass_obj
def optimize(
    context: Context,
    *,
    target_vol: float | None,
    lookback: int | None,
    allocator: str | None,
    dry_run: bool,
    apply_proposal: bool,
    as_json: bool,
) -> None:
    """Compute weights and leverage once, and write them."""
    from portfoliod.commands import optimize as command
    from portfoliod.commands import render
    from portfoliod.optimizer import Overrides

    workspace = context.workspace()
    settings = context.settings()
    if apply_proposal and workspace.proposal_file.exists():
        result = command.apply_proposal(workspace, settings, dry_run=dry_run)
    else:
        asked = Overrides(target_vol, lookback, allocator)
        result = command.optimize_now(workspace, settings, asked, dry_run=dry_run, apply=apply_proposal)
    render.show(result, as_json=as_json, table=render.optimization)


@cli.command()
@click.option("--lookback", type=click.IntRange(min=3), help="Calendar days of each window.")
@click.option(
    "--random",
    "random_portfolios",
    type=click.IntRange(0, 10_000),
    default=1000,
    show_default=True,
    help="Random portfolios to compare with.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the result. Default: var/backtest.")
@click.option("--every", type=click.IntRange(min=1), default=1, show_default=True, help="Decide every so many days.")
@click.option("--cost-bps", type=float, help="Cost of what changes of weights trade. Default: turnover_cost, else 0.")
@click.option("--allocator", help="slope_std, equal, inverse_vol, hrp, min_variance, or one that a package brings.")
@click.option("--target-vol", type=float, help="Annual, as a fraction.")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Of the random portfolios.")
@json_option
@click.pass_obj
def backtest(
    context: Context,
    *,
    lookback: int | None,
    random_portfolios: int,
    out: Path | None,
    every: int,
    cost_bps: float | None,
    allocator: str | None,
    target_vol: float | None,
    seed: int,
    as_json: bool,
) -> None:
    """Walk the allocation forward: does it beat equal weight and chance on days that it has not seen?"""
    # One thread is as fast for matrices of this size, and gives the same digits on every machine load.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from portfoliod.allocation.walk_forward import Walk
    from portfoliod.commands import backtest as command
    from portfoliod.commands import render
    from portfoliod.optimizer import Overrides

    result = command.backtest(
        context.workspace(),
        context.settings(),
        Overrides(target_vol, lookback, allocator),
        Walk(every=every, random=random_portfolios, seed=seed),
        cost_bps=cost_bps,
        out=out,
    )
    render.show(result, as_json=as_json, table=command.table)


@cli.command()
@click.option("--exit-code", is_flag=True, help="Exit with 4 where something would be traded.")
@json_option
@click.pass_obj
def plan(context: Context, *, exit_code: bool, as_json: bool) -> None:
    """What would be traded now, and why, or why not. Sends nothing."""
    import asyncio

    from portfoliod.commands import render
    from portfoliod.commands.plan import preview
    from portfoliod.logs import start_log

    start_log("auto", verbose=context.verbose)
    result = asyncio.run(preview(context.workspace(), context.settings()))
    render.show(result, as_json=as_json, table=render.preview)
    if exit_code and result.orders:
        raise SystemExit(WOULD_TRADE)


@cli.command()
@click.option("--watch", is_flag=True, help="Refresh until interrupted.")
@json_option
@click.pass_obj
def status(context: Context, *, watch: bool, as_json: bool) -> None:
    """One screen: daemon, weights, targets beside positions, locks, rejected files, venues."""
    from portfoliod.commands import render
    from portfoliod.commands.status import current_status, daemon_status
    from portfoliod.settings import Settings

    workspace = context.workspace()
    try:
        settings = context.settings()
    except SettingsError:
        if daemon_status(workspace) is None:
            raise
        settings = Settings()  # not asked for while a daemon runs
    if watch and not as_json:
        with contextlib.suppress(KeyboardInterrupt):
            render.watch(workspace.status_file, lambda: current_status(workspace, settings))
        return
    result = current_status(workspace, settings)
    render.show(result, as_json=as_json, table=render.status)
    if result.state == "down":
        raise SystemExit(NOT_RUNNING)


@cli.command()
@click.argument("reason", required=False, default="")
@click.pass_obj
def halt(context: Context, reason: str) -> None:
    """Send nothing that adds exposure until `resume`; reductions go on."""
    from portfoliod.commands import switches

    click.echo(switches.halt(context.workspace(), reason))


@cli.command()
@click.pass_obj
def resume(context: Context) -> None:
    """Clear a halt."""
    from portfoliod.commands import switches

    click.echo(switches.resume(context.workspace()))


@cli.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def flatten(context: Context, *, yes: bool) -> None:
    """Halt, then close every managed position."""
    from portfoliod.commands import switches

    if not yes:
        click.confirm("Halt and close every managed position at the market?", abort=True)
    code, sentence = switches.flatten(context.workspace(), context.settings(), verbose=context.verbose)
    click.echo(sentence)
    raise SystemExit(code)


@cli.command()
@click.argument("symbol")
@click.pass_obj
def unlock(context: Context, symbol: str) -> None:
    """Trade a locked market again, from the position that it has now."""
    from portfoliod.commands import switches

    click.echo(switches.unlock(context.workspace(), symbol))


@cli.command()
@click.argument("symbol")
@click.pass_obj
def forget(context: Context, symbol: str) -> None:
    """Take a market that is gone out of the books: nothing of it is followed any more."""
    from portfoliod.commands import switches

    click.echo(switches.forget(context.workspace(), symbol))


@cli.command()
@click.argument("name")
@click.pass_obj
def retire(context: Context, name: str) -> None:
    """Take a strategy out of the targets and out of the optimizer."""
    from portfoliod.commands import switches

    click.echo(switches.retire(context.workspace(), name))


@cli.command()
@click.argument("name")
@click.pass_obj
def new(context: Context, name: str) -> None:
    """A strategy folder with a working strategy.py."""
    from portfoliod.commands.new import create_strategy

    click.echo(create_strategy(context.workspace(), name))


@cli.command()
@click.option("--online", is_flag=True, help="Connect the venues too, read-only: keys, clock, markets, equity.")
@json_option
@click.pass_obj
def check(context: Context, *, online: bool, as_json: bool) -> None:
    """Settings, files, permissions, venues: every problem with its mend."""
    import structlog

    from portfoliod.commands import render
    from portfoliod.commands.check import check_workspace

    # What drivers log could hold keys and would mix with the JSON; the findings say it, redacted.
    structlog.configure(processors=[], logger_factory=structlog.ReturnLoggerFactory())
    result = check_workspace(context.workspace(), online=online)
    render.show(result, as_json=as_json, table=render.findings)
    raise SystemExit(result.exit_code)


@cli.command()
@click.option("--seconds", type=click.IntRange(min=5), default=25, show_default=True, help="How long it trades.")
@click.pass_obj
def demo(context: Context, seconds: int) -> None:
    """A temporary workspace, sample strategies, the paper venue: no keys, no network."""
    from portfoliod.demo import run_demo

    del context
    raise SystemExit(run_demo(seconds))
