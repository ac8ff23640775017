"""`portfoliod check`: everything that a person can get wrong, found before the daemon finds it."""

from __future__ import annotations

import asyncio
import stat

import msgspec

from portfoliod.errors import PortfoliodError, SettingsError, UnknownSymbol, VenueUnreachable
from portfoliod.intake import Intake
from portfoliod.journal import Journal
from portfoliod.model import Problem
from portfoliod.reconciler.connection import Connection, resolve
from portfoliod.service import open_connections
from portfoliod.settings import Settings, load_settings
from portfoliod.workspace import Workspace


class Findings(msgspec.Struct, frozen=True):
    """The content of `check --json`."""

    version: int
    fine: list[str]
    problems: list[Problem]
    exit_code: int


def check_workspace(workspace: Workspace) -> Findings:
    """Return what is right and what is wrong with a workspace, and the exit code that says it."""
    fine: list[str] = []
    problems: list[Problem] = []
    try:
        settings = load_settings(workspace.settings_file)
    except SettingsError as error:
        return Findings(1, fine, [_problem(error)], error.exit_code)
    fine.append(
        f"settings: {workspace.shown(workspace.settings_file) if workspace.settings_file.exists() else 'all defaults'}"
    )
    problems += _permissions(workspace)
    exit_code = 0
    try:
        intake = _read(workspace, settings)
        fine += _sentences(intake)
        problems += asyncio.run(_venues(workspace, settings, intake, fine))
        problems += intake.problems.values()
    except SettingsError as error:
        problems.append(_problem(error))
        exit_code = error.exit_code
    except PortfoliodError as error:
        problems.append(_problem(error))
    return Findings(1, fine, problems, exit_code or (1 if problems else 0))


def _permissions(workspace: Workspace) -> list[Problem]:
    credentials = workspace.config / "credentials.toml"
    if not credentials.exists() or not stat.S_IMODE(credentials.stat().st_mode) & 0o077:
        return []
    return [
        Problem(
            "others can read the credentials",
            where=workspace.shown(credentials),
            found=stat.filemode(credentials.stat().st_mode),
            kept="they are refused",
            mend=f"chmod 600 {workspace.shown(credentials)}",
        )
    ]


def _read(workspace: Workspace, settings: Settings) -> Intake:
    journal = Journal(workspace.journal_file, read_only=True) if workspace.journal_file.exists() else None
    intake = Intake(workspace, journal, settings.risk.max_position)
    intake.read_all()
    return intake


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


async def _venues(workspace: Workspace, settings: Settings, intake: Intake, fine: list[str]) -> list[Problem]:
    """Look at the venues that need no network, and whether they have what the strategies name."""
    problems = []
    connections = open_connections(workspace, settings, live=False, read_only=True)
    for name, connection in connections.items():
        if connection.driver == "paper":
            try:
                await connection.venue.connect()
            except SettingsError as error:
                problems.append(_problem(error))
                continue
            connection.known = True
            fine.append(f"venue {name}: {connection.venue.describe()}")
    problems += _markets(settings, intake, connections)
    for connection in connections.values():
        if connection.known:
            await connection.venue.close()
    return problems


def _markets(settings: Settings, intake: Intake, connections: dict[str, Connection]) -> list[Problem]:
    problems = []
    routes = {} if intake.portfolio is None else intake.portfolio.exchanges
    for name, state in sorted(intake.states.items()):
        for symbol in state.positions:
            try:
                resolve(connections, routes.get(name, settings.default_venue), symbol)
            except UnknownSymbol as error:
                kept = "what the strategy held stays in force; the others go on"
                where = f"strategies/{name}/state.json  {error.where}"
                problems.append(Problem(error.what, where=where, found=error.found, kept=kept, mend=error.mend))
            except VenueUnreachable:
                continue
    return problems


def _problem(error: PortfoliodError) -> Problem:
    return Problem(error.what, where=error.where, found=error.found, kept=error.kept, mend=error.mend)
