"""What systemd is told: when the daemon is ready, how it is, that it reads its settings again."""

from __future__ import annotations

import re
import signal

import pytest

from tests.harness.daemon import Daemon, run_command
from tests.harness.supervisor import Systemd
from tests.harness.workspace import Files
from tests.tasks.evidence import QUICK, flat_market, until

SLOW_BROKER = """
import pathlib
import time

HERE = pathlib.Path(__file__).parent


def get_price(symbol):
    return 50000


def get_positions():
    (HERE / "asked").touch()
    while (HERE / "silent").exists():
        time.sleep(0.01)
    return {}


def place_order(symbol, quantity, reduce_only, client_order_id):
    pass
"""


def slow_venue(files: Files, timeout: float) -> str:
    """Return the settings of a broker that does not tell its positions yet."""
    (files.root / "config").mkdir(exist_ok=True)
    (files.root / "config/my_broker.py").write_text(SLOW_BROKER)
    (files.root / "config/silent").touch()
    files.portfolio({"one": 0.5}, exchanges={"elsewhere": "paper"})
    files.state("one", 1.0)
    files.state("elsewhere", 1.0)
    files.settings(
        'default_venue = "mine"\n[venues.mine]\ndriver = "script"\nscript = "config/my_broker.py"\n'
        f"timeout_seconds = {timeout}\n"
    )
    return "mine"


@pytest.mark.slow
def test_it_is_ready_when_every_venue_was_looked_at_and_not_before(files: Files) -> None:
    slow_venue(files, timeout=60)
    with Systemd("path") as systemd, Daemon(files.root, environment=systemd.environment) as daemon:
        until((files.root / "config/asked").exists)
        daemon.wait_for("venue.connected", venue="paper")
        assert systemd.heard() == []
        (files.root / "config/silent").unlink()
        assert systemd.hear() == "READY=1"
        assert daemon.wait_for("daemon.ready")["level"] == "info"


@pytest.mark.slow
def test_a_venue_that_does_not_answer_is_said_and_does_not_keep_it_from_being_ready(files: Files) -> None:
    slow_venue(files, timeout=0.5)
    with Systemd("path") as systemd, Daemon(files.root, environment=systemd.environment) as daemon:
        assert systemd.hear() == "READY=1"
        daemon.wait_for("daemon.ready")
        told = [event["event"] for event in daemon.events]
        assert told.index("venue.unreachable") < told.index("daemon.ready")
        until(lambda: [message for message in systemd.heard() + systemd.statuses if "not well: mine" in message])
        (files.root / "config/silent").unlink()


@pytest.mark.slow
def test_systemd_shows_the_sentence_that_status_prints(files: Files) -> None:
    """Told when it is new: an idle daemon tells nothing but that it lives."""
    files.settings(QUICK + flat_market(files))
    files.portfolio({"trend": 0.5})
    with Systemd("path") as systemd, Daemon(files.root, environment=systemd.environment) as daemon:
        assert systemd.hear() == "READY=1"
        files.state("trend", 1.0)
        told = "running, paper; markets: 1 in step"
        until(lambda: systemd.heard() is not None and systemd.statuses[-1:] == [f"STATUS={told}"])
        assert told in run_command(files.root, "status").stdout
        run_command(files.root, "halt", "going to sleep")
        told = "halted: going to sleep; markets: 1 in step"
        until(lambda: systemd.heard() is not None and systemd.statuses[-1:] == [f"STATUS={told}"])
        before = len(systemd.statuses)
        systemd.let_ping(20)
        assert len(systemd.statuses) == before
        assert daemon.terminate() == 0


@pytest.mark.slow
def test_a_reload_begins_and_ends_whether_or_not_the_settings_fit(files: Files) -> None:
    with Systemd("path") as systemd, Daemon(files.root, environment=systemd.environment) as daemon:
        assert systemd.hear() == "READY=1"
        for settings, event in (("[risk]\nmax_postion = 5\n", "settings.rejected"), (QUICK, "settings.accepted")):
            files.settings(settings)
            daemon.process.send_signal(signal.SIGHUP)
            daemon.wait_for(event)
            while (message := systemd.hear()) == "WATCHDOG=1":
                pass
            assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", message)
            assert systemd.hear() == "READY=1"
        assert daemon.terminate() == 0
