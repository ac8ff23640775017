"""The watcher, where a change comes while it looks around."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

import portfoliod.watcher.watcher
from portfoliod.commands.switches import retire
from portfoliod.intake import Intake
from portfoliod.journal import Journal
from portfoliod.watcher import Watcher
from portfoliod.watcher.survey import Survey, survey
from portfoliod.workspace import Workspace
from tests.harness.daemon import PATIENCE
from tests.harness.workspace import Files


def test_a_strategy_that_is_retired_while_a_scan_looks_around_stays_retired(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the scan saw before is not a new folder of that name."""
    files.state("trend", 1.0)
    workspace = Workspace(files.root)
    workspace.create()

    async def scenario() -> None:
        async with Journal(workspace.journal_file) as journal:
            intake = Intake(workspace, journal, 10.0)
            watcher = Watcher(intake, journal, changed=lambda _: None, switched=lambda: None, retire_removed=False)
            await watcher.first_look()
            assert intake.states.keys() == {"trend"}
            loop = asyncio.get_running_loop()

            def look_around(*arguments: object) -> Survey:
                found = survey(*arguments)  # type: ignore[arg-type]
                if not intake.retired:
                    retire(workspace, "trend")
                    asyncio.run_coroutine_threadsafe(watcher._look_at_switches(), loop).result(PATIENCE)
                return found

            monkeypatch.setattr(portfoliod.watcher.watcher, "survey", look_around)
            await watcher.first_look()
            assert intake.retired.keys() == {"trend"}
            assert not intake.states
            assert [retirement.strategy for retirement in journal.retirements()] == ["trend"]

    asyncio.run(scenario())


def test_a_scan_that_can_read_nothing_is_a_sign_of_life_all_the_same(files: Files) -> None:
    """What is wrong is shown until it is over; no strategy is gone, and the portfolio's file is followed meanwhile."""
    files.state("trend", 1.0)
    files.portfolio({"trend": 0.5})
    workspace = Workspace(files.root)
    workspace.create()

    async def scenario() -> None:
        async with Journal(workspace.journal_file) as journal:
            intake = Intake(workspace, journal, 10.0)
            watcher = Watcher(intake, journal, changed=lambda _: None, switched=lambda: None, retire_removed=True)
            await watcher.first_look()
            before = watcher.scanned_at
            with away(workspace.strategies), capture_logs() as logs:
                files.portfolio({"trend": 0.25})
                for _ in range(2):
                    await watcher.first_look()
                assert watcher.scanned_at > before
                assert [problem.where for problem in intake.problems.values()] == ["strategies"]
                assert str(intake.portfolio and intake.portfolio.weights["trend"]) == "0.25"
            assert [line["event"] for line in logs if line["log_level"] == "error"] == ["watch.failed"]
            await watcher.first_look()
            assert intake.problems.values() == []
            assert intake.states.keys() == {"trend"}
            assert not intake.retired

    asyncio.run(scenario())


@pytest.mark.parametrize("mode", [0o000, 0o444], ids=["chmod 000", "chmod a-x"])
def test_what_may_not_be_looked_at_is_not_gone(mode: int) -> None:
    """Neither all strategies nor one: permissions that are lost close no position."""
    with tempfile.TemporaryDirectory() as root, unprivileged(Path(root)):
        files = Files(Path(root))
        for name in ("one", "two", "retired"):
            files.state(name, 1.0)
        workspace = Workspace(files.root)
        workspace.create()
        retired = {"retired": (workspace.strategies / "retired").stat().st_ino}
        before = survey(workspace, retired, ["one", "two"])
        for folder in (workspace.strategies / "one", workspace.strategies):
            folder.chmod(mode)
            now = survey(workspace, retired, ["one", "two"], before)
            folder.chmod(0o755)
            assert now.strategies == {"one", "two"}
            assert now.retired == {"retired"}


@contextlib.contextmanager
def away(folder: Path) -> Iterator[None]:
    """Put a file in the place of a folder meanwhile."""
    elsewhere = folder.rename(folder.with_name("elsewhere"))
    folder.touch()
    yield
    folder.unlink()
    elsewhere.rename(folder)


@contextlib.contextmanager
def unprivileged(folder: Path) -> Iterator[None]:
    """Be somebody whom permissions concern, and who owns the folder."""
    if os.geteuid() != 0:
        yield
        return
    os.chown(folder, 65534, 65534)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
