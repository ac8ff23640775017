"""`portfoliod status` and var/status.json: the same content, from a running daemon or from what it left."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from portfoliod import __version__
from tests.harness.daemon import PATIENCE, Daemon, program, run_command
from tests.harness.workspace import Files
from tests.tasks.evidence import BTC, QUICK, flat_market, market, until

pytestmark = pytest.mark.slow

KEYS = {
    "": "version state mode pid started_at updated_at account_value leverage weights strategies venues markets"
    " problems",
    "strategies": "weight positions state_age_s stats_days problem",
    "venues": "driver connected equity position_mode problem",
    "markets": "venue symbol target position price status reason contributors",
    "problems": "what where found kept mend",
}
ADDITIONS = {"": {"halt_reason"}, "venues": {"prices"}, "markets": {"flat"}}
"""Keys that SPEC does not name."""


def assert_keys(status: dict[str, Any]) -> None:
    rows = {
        "": [status],
        "strategies": list(status["strategies"].values()),
        "venues": list(status["venues"].values()),
        "markets": status["markets"],
        "problems": status["problems"],
    }
    for place, found in rows.items():
        for row in found:
            assert row.keys() - ADDITIONS.get(place, set()) == set(KEYS[place].split()), place


def shown(root: Path, code: int) -> dict[str, Any]:
    ended = run_command(root, "status", "--json")
    assert ended.returncode == code, ended.stderr
    status: dict[str, Any] = json.loads(ended.stdout)
    assert_keys(status)
    return status


def test_without_a_daemon_it_exits_with_3_and_says_what_the_files_say(files: Files) -> None:
    files.portfolio({"trend": 0.5}, leverage=1.5)
    files.state("trend", 1.0)
    files.state("broken", 1.0)
    (files.root / "strategies/broken/state.json").write_text("{")
    status = shown(files.root, 3)
    assert (status["state"], status["pid"], status["leverage"]) == ("down", None, 1.5)
    assert status["strategies"]["trend"]["positions"] == {"BTCUSDT": 1.0}
    assert [problem["where"].partition(":")[0] for problem in status["problems"]] == ["strategies/broken/state.json"]
    screen = run_command(files.root, "status")
    assert (screen.returncode, "down" in screen.stdout, "trend" in screen.stdout) == (3, True, True)
    assert not (files.root / "var").exists()


def test_an_empty_folder_is_down_and_stays_empty(tmp_path: Path) -> None:
    assert shown(tmp_path, 3)["state"] == "down"
    assert list(tmp_path.iterdir()) == []


def test_the_life_of_a_daemon_in_its_status(files: Files) -> None:
    files.settings(QUICK + flat_market(files))
    files.portfolio({"trend": 0.5})
    files.state("trend", 1.0)
    with Daemon(files.root) as daemon:
        until(lambda: market(files.root, BTC)["status"] == "in_step")
        status = shown(files.root, 0)
        assert (status["version"], status["state"], status["mode"]) == (__version__, "running", "paper")
        assert status["pid"] == daemon.process.pid
        assert status.keys() == daemon.status().keys()
        assert status["markets"] == daemon.status()["markets"]
        row = status["markets"][0]
        assert (row["venue"], row["symbol"], row["target"], row["position"], row["price"]) == (
            "paper",
            BTC,
            "0.1",
            "0.1",
            "50000",
        )
        assert row["contributors"] == {"trend": 0.5}
        assert status["venues"]["paper"]["connected"] is True
        assert float(status["venues"]["paper"]["equity"]) > 9_900
        assert status["strategies"]["trend"]["state_age_s"] >= 0

        (files.root / "strategies/trend/state.json").write_text('{"position": "long", "symbol": "BTCUSDT"}')
        problem = until(lambda: daemon.status()["problems"])[0]
        assert problem["where"].startswith("strategies/trend/state.json")
        assert "long" in problem["found"]
        assert problem["kept"]
        assert problem["mend"]
        assert shown(files.root, 0)["strategies"]["trend"]["problem"]
        screen = run_command(files.root, "status")
        assert screen.returncode == 0
        assert all(text in screen.stdout for text in ("running", "trend", BTC, "state.json", "long"))
        files.state("trend", 1.0)
        until(lambda: daemon.status()["problems"] == [])

        assert run_command(files.root, "halt", "too hot").returncode == 0
        until(lambda: daemon.status()["state"] == "halted")
        assert "too hot" in run_command(files.root, "status").stdout
        assert daemon.terminate() == 0
    down = shown(files.root, 3)
    assert (down["state"], down["pid"]) == ("down", None)
    assert json.loads((files.root / "var/status.json").read_bytes())["state"] == "down"
    assert (down["markets"][0]["target"], down["markets"][0]["position"]) == ("0.1", "0.1")


def test_a_killed_daemon_is_down_at_once(files: Files) -> None:
    files.portfolio({"trend": 0.5})
    files.state("trend", 1.0)
    with Daemon(files.root) as daemon:
        until(lambda: market(files.root, BTC)["status"] == "in_step")
        daemon.kill()
    assert daemon.status()["state"] == "running", "the file was left behind"
    assert shown(files.root, 3)["state"] == "down"


def test_status_does_not_keep_a_daemon_from_starting(files: Files) -> None:
    """It looks at the lock; a start at that moment must not take that for another daemon."""
    files.portfolio({})
    for _ in range(3):
        with Daemon(files.root) as daemon:
            while not daemon.named("daemon.started"):
                assert run_command(files.root, "status", "--json").returncode in {0, 3}
            assert daemon.terminate() == 0


def test_watched_in_a_workspace_where_nothing_ever_ran_it_waits_for_a_daemon(files: Files) -> None:
    """On a terminal; neither the missing var/ nor its appearance ends it."""
    files.root.joinpath("config").mkdir(exist_ok=True)
    terminal, side = pty.openpty()
    command = [*program(files.root), "status", "--watch"]
    process = subprocess.Popen(command, stdin=side, stdout=side, stderr=side, start_new_session=True)
    os.close(side)
    try:
        _until_shown(terminal, b"down")
        assert not (files.root / "var").exists()
        with Daemon(files.root):
            _until_shown(terminal, b"running, paper")
        process.send_signal(signal.SIGINT)
        _until_shown(terminal, None)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()
        os.close(terminal)


def _until_shown(terminal: int, text: bytes | None) -> None:
    """Read what is shown until a text is, or with None until the end."""
    shown, deadline = b"", time.monotonic() + PATIENCE
    while text is None or text not in shown:
        ready, _, _ = select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, shown
        try:
            more = os.read(terminal, 65536)
        except OSError:  # the other side is closed
            more = b""
        if not more:
            assert text is None, shown
            return
        shown += more
