"""Targets of notifications that are down, slow or hang: nothing waits for them, and no secret of theirs is told."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from portfoliod.journal import Noted, change
from tests.harness.canaries import traces
from tests.harness.daemon import PATIENCE, Daemon, run_command
from tests.harness.hook import TOKEN, Hook
from tests.harness.workspace import Files
from tests.tasks.evidence import QUICK, flat_market, journal, until
from tests.tasks.figures import sample, samples

pytestmark = pytest.mark.slow


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook() as hook:
        yield hook


def notifying(files: Files, *urls: str, others: str = "") -> None:
    """Write settings that send everything to some urls."""
    table = f'[notify]\nurls = {json.dumps(urls)}\nlevel = "info"\nevery_seconds = 1\n{others}\n'
    files.settings(QUICK + table + flat_market(files))
    files.portfolio({"trend": 1.0})


@pytest.mark.parametrize("behaviour", ["is down", "is slow", "hangs", "refuses"])
def test_fault_45_the_target_of_notifications_does_not_take_them(files: Files, hook: Hook, behaviour: str) -> None:
    """Orders go on as if there were none, the daemon stops in order, and what waited is told once it is well."""
    notifying(files, hook.url)
    hook.behaviour = behaviour.removeprefix("is ")
    if hook.behaviour == "down":
        hook.close()
    with Daemon(files.root) as daemon:
        daemon.wait_for("daemon.ready")
        for position in (1.0, -1.0, 0.5):
            since = daemon.mark()
            files.state("trend", position)
            daemon.wait_for("order.filled", since=since)
        if behaviour != "is slow":
            failed = daemon.wait_for("notify.failed")
            assert failed["target"] == "1 (json)"
            assert len(daemon.named("notify.failed")) == 1
        run_command(files.root, "halt", "a look around")
        daemon.wait_for("halt.tripped")
        hook.recover()
        until(lambda: hook.told, lambda told: "halt.tripped reason='a look around'" in told)
        assert hook.told.count("order.filled") >= 1
        assert daemon.terminate() == 0


def test_fault_45_a_target_that_hangs_keeps_neither_another_nor_the_end_waiting(files: Files, hook: Hook) -> None:
    with Hook() as other:
        other.behaviour = "hangs"
        notifying(files, other.url, hook.url)
        with Daemon(files.root) as daemon:
            files.state("trend", 1.0)
            assert other.tried.wait(PATIENCE)
            until(lambda: hook.told, lambda told: "order.filled venue=paper symbol=BTC/USDT:USDT side=buy" in told)
            assert daemon.terminate() == 0
        until(lambda: hook.told, lambda told: "daemon.stopped" in told)


def test_each_target_hears_from_its_own_level_on_and_of_the_end_of_what_it_heard_of(files: Files, hook: Hook) -> None:
    with Hook() as strict:
        notifying(files, hook.url)
        path = files.root / "config/portfoliod.toml"
        urls = f'[{json.dumps(hook.url)}, {{url = {json.dumps(strict.url)}, level = "error"}}]'
        path.write_text(path.read_text().replace(json.dumps((hook.url,)), urls))
        with Daemon(files.root) as daemon:
            files.state("trend", 1.0)
            daemon.wait_for("order.filled")
            run_command(files.root, "halt", "a look around")
            daemon.wait_for("halt.tripped")
            run_command(files.root, "resume")
            daemon.wait_for("halt.cleared")
            assert daemon.terminate() == 0
        until(lambda: "daemon.stopped" in hook.told)
        until(lambda: "halt.cleared" in strict.told)
        assert "order.filled" in hook.told
        assert "halt.tripped" in strict.told
        assert "order.filled" not in strict.told
        assert "cycle=" not in hook.told


def test_a_restart_over_the_hour_of_the_daily_summary_loses_neither_it_nor_the_fills_of_the_day(
    files: Files, hook: Hook
) -> None:
    """It is told at the next start, once, with what the journal knows of the day."""
    hour = datetime.fromtimestamp(time.time() - 3600, UTC)
    notifying(files, hook.url, others=f'daily = "{hour:%H:%M}"')
    with Daemon(files.root) as daemon:
        files.state("trend", 1.0)
        daemon.wait_for("order.filled")
        until(lambda: journal(files.root, "SELECT value FROM meta WHERE key = 'summed_up'"))
        assert daemon.terminate() == 0
        assert daemon.named("portfolio.summed_up") == []
    yesterday = time.time() - 86_400
    change(files.root / "var/journal.db", lambda store: store.store(Noted("summed_up", str(yesterday))))
    with Daemon(files.root) as daemon:
        assert daemon.wait_for("portfolio.summed_up")["fills"] == 1
        until(lambda: hook.told, lambda told: "portfolio.summed_up" in told)
        until(lambda: float(journal(files.root, "SELECT value FROM meta WHERE key = 'summed_up'")[0][0]) > yesterday)
        daemon.kill()
    with Daemon(files.root) as daemon:
        files.state("trend", -1.0)
        daemon.wait_for("order.filled")
        assert daemon.terminate() == 0
        assert daemon.named("portfolio.summed_up") == []


BROKEN = """
from portfoliod.notifications import Notifications


def broken(*_):
    raise RuntimeError("no summary today")


Notifications.note = broken
"""
"""A sitecustomize.py: what a mistake in the daily summary would do."""


def test_a_daily_summary_that_fails_keeps_neither_messages_nor_figures_from_being_told(
    files: Files, hook: Hook, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("site")
    (folder / "sitecustomize.py").write_text(BROKEN)
    notifying(files, hook.url, others='daily = "00:00"\n[metrics]\nlisten = "127.0.0.1:0"')
    with Daemon(files.root, environment={"PYTHONPATH": str(folder)}) as daemon:
        address = daemon.wait_for("metrics.served")["address"]
        assert "the daily one" in daemon.wait_for("notify.failed")["kept"]
        files.state("trend", 1.0)
        daemon.wait_for("order.filled")
        held = {"venue": "paper", "symbol": "BTC/USDT:USDT", "status": "in_step"}
        until(lambda: sample(samples(address), "portfoliod_market_status", **held) == 1)
        until(lambda: hook.told, lambda told: "order.filled" in told)
        assert len(daemon.named("notify.failed")) == 1
        assert daemon.named("metrics.failed") == []
        assert daemon.terminate() == 0


@pytest.mark.parametrize(
    ("urls", "said"),
    [
        ('["nonsense://{token}"]', "not a url that apprise knows"),
        ('["json//{token}"]', "not a url that apprise knows"),
        ('"json://127.0.0.1/{token}"', "notify.urls: (not shown)"),
        ('[{{url = "json://127.0.0.1/{token}", lvel = "info"}}]', "notify.urls: (not shown)"),
        ('[{{url = "json://127.0.0.1/{token}", level = "loud"}}]', "notify.urls: (not shown)"),
    ],
)
def test_a_url_that_does_not_fit_is_refused_and_not_shown(files: Files, urls: str, said: str) -> None:
    files.settings(f"[notify]\nurls = {urls.format(token=TOKEN)}\n")
    ended = run_command(files.root, "run")
    assert ended.returncode == 78
    assert said in ended.stderr
    assert not traces(ended.stderr.encode())
