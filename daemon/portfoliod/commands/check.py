"""`portfoliod check`: everything that a person can get wrong, found before the daemon finds it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import stat
from collections.abc import Mapping
from decimal import Decimal

import msgspec

from portfoliod.commands.accounts import Account, rewritten
from portfoliod.credentials import Credentials, find_credentials, places, read_file, variable_prefix
from portfoliod.documents import interval_of
from portfoliod.errors import AllocationError, PortfoliodError, SettingsError, UnknownSymbol, VenueUnreachable
from portfoliod.intake import Intake
from portfoliod.journal import LATEST, schema_of
from portfoliod.model import Problem
from portfoliod.outlets import check_outlets
from portfoliod.reconciler.connection import resolve
from portfoliod.service import open_connections
from portfoliod.settings import Settings, drivers, load_settings
from portfoliod.workspace import Workspace

VENUE_SECONDS = 30.0
"""How long a venue has for everything that `--online` asks of it."""
TOLERATED = Decimal("1.05")
"""By how much account_value may exceed the equity: fees and open losses alone are no mistake."""


class Findings(msgspec.Struct, frozen=True):
    """The content of `check --json`."""

    version: int
    fine: list[str]
    problems: list[Problem]
    exit_code: int


def check_workspace(
    workspace: Workspace,
    *,
    online: bool = False,
    environment: Mapping[str, str] = os.environ,
    seconds: float = VENUE_SECONDS,
) -> Findings:
    """Return what is right and what is wrong with a workspace, and the exit code that says it.

    Args:
        workspace: what to check; nothing in it is changed.
        online: connect every venue too, read-only.
        environment: where credentials are looked for first.
        seconds: how long a venue has for its answers.
    """
    report = _Report(workspace)
    settings = _settings(report)
    _look_at_permissions(report)
    if settings is None:
        return report.findings()
    try:
        check_outlets(settings)
        _load_allocator(settings.optimizer.allocator)
    except (SettingsError, AllocationError) as error:
        report.refused(error)
    try:
        if workspace.journal_file.exists():
            report.fine.append(_schema(workspace))
        intake = Intake.at_rest(workspace, settings.risk.max_position)
        report.fine += _sentences(intake)
        _compare_intervals(report, intake)
        accounts = _open(report, settings, environment)
        asyncio.run(_look(report, settings, intake, accounts, online=online, seconds=seconds))
        for problem in intake.problems.values():
            report.add(problem, exit_code=1)
    except PortfoliodError as error:
        report.refused(error)
    return report.findings()


class _Report:
    """What was found so far."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.fine: list[str] = []
        self._problems: list[Problem] = []
        self._exit_code = 0

    def add(self, problem: Problem, exit_code: int) -> None:
        """Add a problem, once, with the paths as they are seen from the workspace's root."""
        shown = rewritten(problem, lambda text: text.replace(f"{self.workspace.root}/", ""))
        if shown not in self._problems:
            self._problems.append(shown)
        # 78 settings, 77 keys, 75 unreachable, 1 anything else: the largest is to be mended first.
        self._exit_code = max(self._exit_code, exit_code)

    def refused(self, error: PortfoliodError) -> None:
        """Add an error, with its exit code."""
        self.add(_problem(error), error.exit_code)

    def findings(self) -> Findings:
        """Return the whole."""
        return Findings(1, self.fine, self._problems, self._exit_code)


def _settings(report: _Report) -> Settings | None:
    path = report.workspace.settings_file
    try:
        settings = load_settings(path)
    except SettingsError as error:
        report.refused(error)
        return None
    report.fine.append(f"settings: {report.workspace.shown(path) if path.exists() else 'all defaults'}")
    return settings


def _look_at_permissions(report: _Report) -> None:
    """Report what others may read or write and should not; the settings' own are looked at as they are loaded."""
    try:
        read_file(report.workspace.config / "credentials.toml", private=True)
    except SettingsError as error:
        # Whether anything needs the file is not known yet: the exit code of bad settings comes with a venue's keys.
        report.add(_problem(error), exit_code=1)
    path = report.workspace.portfolio_file
    with contextlib.suppress(OSError):
        found = path.stat()
        if stat.S_ISREG(found.st_mode) and found.st_mode & stat.S_IWOTH:
            problem = Problem(
                "everybody can write the portfolio",
                where=str(path),
                found=stat.filemode(found.st_mode),
                kept="it is used all the same",
                mend=f"chmod o-w {shlex.quote(str(path))}",
            )
            report.add(problem, exit_code=1)


def _load_allocator(name: str) -> None:
    from portfoliod.optimizer import installed_allocator  # numpy takes a while

    installed_allocator(name)


def _schema(workspace: Workspace) -> str:
    """Return what a start of this version would do with the journal.

    Raises:
        JournalFailed: it cannot read it.
    """
    found, path = schema_of(workspace.journal_file), workspace.shown(workspace.journal_file)
    if found < LATEST:
        return f"journal: schema {found}; a start brings it to {LATEST}, and leaves a copy in {path}.v{found}"
    return f"journal: schema {found}, this version's"


def _sentences(intake: Intake) -> list[str]:
    fine = []
    for name in sorted(intake.strategies()):
        history = intake.histories.get(name)
        days = 0 if history is None else len(history.days)
        state = "a state" if name in intake.states else "no state yet"
        fine.append(f"strategy {name}: {state}, {days} days of returns")
    portfolio = intake.portfolio
    if portfolio is not None:
        fine.append(f"portfolio_config.json: {len(portfolio.weights)} weights, leverage {portfolio.leverage}")
    return fine


def _compare_intervals(report: _Report, intake: Intake) -> None:
    """Report strategies whose statistics and state are of different candles: the weight is not that of the position."""
    for name in sorted(intake.strategies()):
        told = [interval_of(file(name)) for file in (report.workspace.stats_file, report.workspace.state_file)]
        if None not in told and told[0] != told[1]:
            problem = Problem(
                "statistics and state are of different candles",
                where=f"strategies/{name}",
                found=f"interval {told[0]} in stats.json, {told[1]} in state.json",
                kept="both are in force",
                mend=f"write both anew: python strategies/{name}/strategy.py",
            )
            report.add(problem, exit_code=1)


def _open(report: _Report, settings: Settings, environment: Mapping[str, str]) -> dict[str, Account]:
    """Return the venues whose settings and credentials fit, not connected yet; each one's misfit is its own."""
    accounts = {}
    keys: dict[str, Credentials] = {}
    for name, table in settings.venues.items():
        alone = msgspec.structs.replace(settings, venues={name: table})
        try:
            credentials = None if table["driver"] == "paper" else _credentials(report, name, table, environment)
            connection = open_connections(report.workspace, alone, live=False, read_only=True)[name]
        except SettingsError as error:
            report.refused(error)
            continue
        accounts[name] = Account(connection, credentials)
        if credentials is not None:
            keys[name] = credentials
    _find_shared(report, keys)
    return accounts


def _credentials(
    report: _Report, name: str, table: Mapping[str, object], environment: Mapping[str, str]
) -> Credentials | None:
    """Return a venue's credentials, None where its driver may do without.

    Raises:
        SettingsError: they cannot be used, or an exchange has none.
    """
    credentials = find_credentials(name, report.workspace.config / "credentials.toml", environment)
    if credentials is not None:
        report.fine.append(f"venue {name}: {', '.join(credentials.given())} from {credentials.source}")
    elif table["driver"] == "ccxt":
        raise SettingsError(
            "the venue has no credentials",
            where=f"venue {name}",
            kept="it is not connected",
            mend=f"put them into the first of these that suits: {places(name)}",
        )
    return credentials


def _find_shared(report: _Report, keys: Mapping[str, Credentials]) -> None:
    """Report venues that get the keys of each other, since their names become the same variable's."""
    readers: dict[str, list[str]] = {}
    for name, credentials in keys.items():
        if credentials.source.startswith(f"${variable_prefix(name)}_"):
            readers.setdefault(credentials.source, []).append(name)
    for source, names in readers.items():
        if len(names) > 1:
            problem = Problem(
                "venues share their keys",
                where=f"venues {', '.join(names)}",
                found=f"{source} is read by each",
                mend="rename one of them in portfoliod.toml, or give the keys by credentials.toml",
            )
            report.add(problem, exit_code=1)


async def _look(
    report: _Report,
    settings: Settings,
    intake: Intake,
    accounts: dict[str, Account],
    *,
    online: bool,
    seconds: float,
) -> None:
    """Look at the venues, offline at those that need no network, and whether they have what the strategies name."""
    used = intake.usage(settings.default_venue, drivers(settings)).opened(drivers(settings))
    report.fine += [f"venue {name}: not opened, nobody is routed to it" for name in sorted(accounts.keys() - used)]
    looked_at = [accounts[name] for name in accounts if name in used]
    looked_at = [account for account in looked_at if online or account.connection.driver == "paper"]
    try:
        await asyncio.gather(*(account.look(online=online, seconds=seconds) for account in looked_at))
        for account in looked_at:
            report.fine += account.fine
            for problem, exit_code in account.problems:
                report.add(problem, exit_code)
        found = _markets(report, settings, intake, accounts)
        if online:
            report.fine += found
            _compare_capital(report, settings, intake, accounts)
    finally:
        await asyncio.gather(*(account.connection.venue.close() for account in accounts.values()))


def _markets(report: _Report, settings: Settings, intake: Intake, accounts: Mapping[str, Account]) -> list[str]:
    """Report the markets that strategies name and their venue does not have; return a sentence for each other one."""
    connections = {name: account.connection for name, account in accounts.items()}
    routes = {} if intake.portfolio is None else intake.portfolio.exchanges
    found = []
    for name, state in sorted(intake.states.items()):
        venue = routes.get(name, settings.default_venue)
        if venue in settings.venues and venue not in connections:
            continue  # its settings were refused
        for symbol in state.positions:
            try:
                found.append(f"strategy {name}: {symbol} is {resolve(connections, venue, symbol)} on {venue}")
            except UnknownSymbol as error:
                kept = "what the strategy held stays in force; the others go on"
                where = f"strategies/{name}/state.json  {error.where}"
                problem = Problem(error.what, where=where, found=error.found, kept=kept, mend=error.mend)
                report.add(problem, exit_code=1)
            except VenueUnreachable:
                continue
    return found


def _compare_capital(report: _Report, settings: Settings, intake: Intake, accounts: Mapping[str, Account]) -> None:
    """Report an account_value that is more than the venues which the strategies trade on are worth together."""
    portfolio, usage = intake.portfolio, intake.usage(settings.default_venue, drivers(settings))
    equities = {name: account.equity for name, account in accounts.items()}
    view = usage.view(usage.shown(), equities, by_equity=settings.capital == "equity")
    total = view.equity
    if portfolio is None or total is None:
        return
    worth = f"the equity of {' and '.join(view.venues)}, {total:,.2f}"
    if settings.capital == "equity":
        report.fine.append(f"capital: {worth}")
    elif portfolio.account_value is not None and portfolio.account_value > total * TOLERATED:
        problem = Problem(
            "account_value is larger than the accounts are worth",
            where="config/portfolio_config.json  $.account_value",
            found=f"{portfolio.account_value:,.2f}; {worth}",
            kept="targets are sized with account_value",
            mend=f'write "account_value": {total:.2f} or less, or set capital = "equity" in portfoliod.toml',
        )
        report.add(problem, exit_code=1)
    elif portfolio.account_value is not None:
        report.fine.append(f"capital: account_value {portfolio.account_value:,.2f} beside {worth}")


def _problem(error: PortfoliodError) -> Problem:
    return Problem(error.what, where=error.where, found=error.found, kept=error.kept, mend=error.mend)
