"""The daemon and `portfoliod optimize` at the same moment: neither undoes what the other wrote."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest
from structlog.testing import capture_logs

from portfoliod.commands.optimize import optimize_now
from portfoliod.intake import PORTFOLIO, Intake
from portfoliod.journal import Journal
from portfoliod.optimizer import Optimizer, Overrides
from portfoliod.settings import Settings, load_settings
from portfoliod.workspace import Workspace
from tests.harness.daemon import PATIENCE
from tests.harness.workspace import Files, noisy_returns
from tests.tasks.evidence import config


@dataclass
class Scene:
    """A daemon's optimizer that has optimized one strategy, and sees a file change only when told to."""

    files: Files
    workspace: Workspace
    settings: Settings
    intake: Intake
    optimizer: Optimizer

    def command(self) -> None:
        """Run `portfoliod optimize --target-vol 0.15 --lookback 90`."""
        asked = Overrides(target_vol=0.15, lookback_days=90)
        optimize_now(self.workspace, self.settings, asked, dry_run=False, apply=False)


@contextlib.asynccontextmanager
async def begun(files: Files) -> AsyncIterator[Scene]:
    files.stats("one", noisy_returns(1, drift=0.003))
    workspace = Workspace(files.root)
    workspace.create()
    settings = load_settings(workspace.settings_file)
    async with Journal(workspace.journal_file) as journal:
        intake = Intake(workspace, journal, settings.risk.max_position)
        intake.read_all()
        optimizer = Optimizer(settings, intake, journal)
        await optimizer.look({"start"})
        intake.read_all()
        assert config(files.root)["target_vol_pct"] == 30.0
        yield Scene(files, workspace, settings, intake, optimizer)


def play(files: Files, scenario: Callable[[Scene], Awaitable[None]]) -> None:
    async def run() -> None:
        async with begun(files) as scene:
            await scenario(scene)
            assert config(files.root)["target_vol_pct"] == 15.0
            assert config(files.root)["lookback_days"] == 90

    asyncio.run(run())


def test_a_command_that_the_daemon_has_not_seen_yet_is_not_undone(files: Files) -> None:
    """What is in force is older than the file, and the journal knows of the command already."""

    async def scenario(scene: Scene) -> None:
        scene.command()
        written = scene.workspace.portfolio_file.read_bytes()
        await scene.optimizer.look({"portfolio_config.json"})
        assert scene.workspace.portfolio_file.read_bytes() == written

    play(files, scenario)


def test_a_command_that_writes_while_the_daemon_optimizes_is_not_undone(files: Files) -> None:
    """The daemon waits until the command is done, sees that the file is another one and optimizes on top of it."""

    async def scenario(scene: Scene) -> None:
        files.stats("two", noisy_returns(2, drift=0.003))
        scene.intake.read_all()
        with scene.workspace.sole_optimizer(0):
            look = asyncio.create_task(scene.optimizer.look({"two"}))
            await asyncio.wait({look}, timeout=0.3)
            assert not look.done()
            files.portfolio({"one": 1.0}, 0.5, target_vol_pct=15.0, lookback_days=90)
        await look
        names = scene.optimizer.mailbox.drain()
        assert names == {"two"}
        scene.intake.read_all()
        await scene.optimizer.look(names)
        assert set(config(files.root)["weights"]) == {"one", "two"}

    play(files, scenario)


def test_a_command_that_hangs_is_told_once_and_outwaited(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights in force stay meanwhile, and a daemon that is to stop does not wait for it either."""
    monkeypatch.setattr("portfoliod.optimizer.PATIENCE_SECONDS", 0.05)

    async def scenario(scene: Scene) -> None:
        files.stats("two", noisy_returns(2, drift=0.003))
        scene.intake.read_all()
        written = scene.workspace.portfolio_file.read_bytes()
        with capture_logs() as logs, scene.workspace.sole_optimizer(0):
            for _ in range(2):
                await scene.optimizer.look({"two"})
                assert scene.optimizer.mailbox.drain() == {"two"}
        assert scene.workspace.portfolio_file.read_bytes() == written
        (problem,) = scene.intake.problems.values()
        assert problem.what == "another process optimizes"
        assert [event["event"] for event in logs] == ["weights.refused"]
        scene.command()
        scene.intake.read_all()
        await scene.optimizer.look({"two"})
        assert not scene.intake.problems.values()

    play(files, scenario)


def test_its_own_write_does_not_wake_the_daemon_and_a_hand_edit_does(files: Files) -> None:
    """Also one in the same moment, and one that puts back what the daemon had written."""

    async def scenario() -> None:
        async with begun(files) as scene:
            path, mailbox = scene.workspace.portfolio_file, scene.optimizer.mailbox
            own = path.read_bytes()
            scene.optimizer.notice(PORTFOLIO)
            assert mailbox.drain() == set()
            for content in (own.replace(b"30.0", b"20.0"), own):
                path.write_bytes(content)
                assert scene.intake.accept(scene.intake.load(PORTFOLIO))
                scene.optimizer.notice(PORTFOLIO)
                assert mailbox.drain() == {"portfolio_config.json"}
            files.stats("two", noisy_returns(2, drift=0.003))
            scene.intake.read_all()
            await scene.optimizer.look({"two"})
            path.write_bytes(path.read_bytes().replace(b"30.0", b"20.0"))
            assert scene.intake.accept(scene.intake.load(PORTFOLIO))
            scene.optimizer.notice(PORTFOLIO)
            assert mailbox.drain() == {"portfolio_config.json"}

    asyncio.run(scenario())


def test_stats_that_came_while_the_portfolio_file_was_being_written_are_not_forgotten(files: Files) -> None:
    """The editor saves what was there before, so no change of the file asks for another look."""

    async def scenario() -> None:
        async with begun(files) as scene:
            path = scene.workspace.portfolio_file
            whole = path.read_bytes()
            files.stats("two", noisy_returns(2, drift=0.003))
            scene.intake.read_all()
            path.write_bytes(whole[:20])
            await scene.optimizer.look({"two"})
            assert [problem.where for problem in scene.intake.problems.values()] == ["optimizer"]
            path.write_bytes(whole)
            async with asyncio.timeout(PATIENCE):
                await scene.optimizer.look(await scene.optimizer.mailbox.take())
            assert set(config(files.root)["weights"]) == {"one", "two"}
            assert scene.intake.problems.values() == []

    asyncio.run(scenario())


def test_a_mistake_in_an_optimization_ends_nothing_else(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said with what was raised, the weights in force stay, and other inputs are tried."""

    def mistaken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("in the formulas")

    async def scenario() -> None:
        async with begun(files) as scene:
            before = scene.workspace.portfolio_file.read_bytes()
            files.stats("two", noisy_returns(2, drift=0.003))
            scene.intake.read_all()
            with monkeypatch.context() as patched, capture_logs() as logs:
                patched.setattr("portfoliod.optimizer.allocate", mistaken)
                await scene.optimizer.look({"two"})
            assert [line["event"] for line in logs] == ["weights.failed", "weights.refused"]
            assert [problem.found for problem in scene.intake.problems.values()] == [
                "ZeroDivisionError: in the formulas"
            ]
            assert scene.workspace.portfolio_file.read_bytes() == before
            await scene.optimizer.look({"two"})
            assert set(config(files.root)["weights"]) == {"one", "two"}
            assert scene.intake.problems.values() == []

    asyncio.run(scenario())
