"""The watcher, where a change comes while it looks around."""

from __future__ import annotations

import asyncio

import pytest

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
