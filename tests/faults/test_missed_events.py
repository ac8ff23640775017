"""Changes that the kernel does not tell of, and more of them than anybody could look at."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults.file_world import COIN, FileWorld, market, targets, until
from tests.harness.workspace import replace
from tests.tasks.evidence import journal

pytestmark = pytest.mark.slow  # waits for scans

QUEUE = Path("/proc/sys/fs/inotify/max_queued_events")
MANY = 10_000


def test_fault_39_a_change_behind_a_link_is_found_by_the_scan(world: FileWorld) -> None:
    """Nothing tells of a file that is written where nobody watches."""
    elsewhere = world.root / "one.json"
    path = world.folder("one") / "state.json"
    elsewhere.write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(elsewhere)
    world.wait_for_a_scan()
    since = world.daemon.mark()
    elsewhere.write_text('{"position": 2.0, "symbol": "BTCUSDT"}')
    world.daemon.wait_for("order.filled", since=since, symbol=market(COIN))


def test_fault_39_a_queue_of_events_that_overflows_loses_no_state(world: FileWorld) -> None:
    """The daemon stands still while more happens than the kernel remembers; the last change is among what is lost."""
    since = world.daemon.mark()
    world.daemon.process.send_signal(signal.SIGSTOP)
    try:
        noise = [world.folder("one") / f"noise-{turn}" for turn in (0, 1)]
        noise[0].touch()
        for turn in range(int(QUEUE.read_text())):
            noise[turn % 2].rename(noise[1 - turn % 2])
        world.files.state("one", 2.0, f"{COIN}USDT")
    finally:
        world.daemon.process.send_signal(signal.SIGCONT)
    world.daemon.wait_for("order.filled", since=since, symbol=market(COIN))
    world.trade_other()


WITHOUT_WATCHES = 'echo 0 > /proc/sys/user/max_inotify_instances && exec "$@"'


def test_fault_39_without_any_watch_the_scan_finds_what_changes_and_that_is_said(tmp_path: Path) -> None:
    """In a user namespace of its own, so that nobody else's watches are taken away."""
    world = FileWorld(tmp_path)
    world.files.state("one", 1.0, f"{COIN}USDT")
    world.weights["one"] = 0.5
    replace(world.portfolio_file, world.portfolio())
    daemon = [sys.executable, "-m", "portfoliod", "--root", str(tmp_path), "run", "--log-format", "json"]
    command = ["unshare", "--user", "--map-root-user", "sh", "-c", WITHOUT_WATCHES, "sh", *daemon]
    log = tmp_path / "log"
    with (
        log.open("wb") as lines,
        subprocess.Popen(command, stderr=lines, stdout=subprocess.DEVNULL, env=os.environ) as process,
    ):
        try:
            until(lambda: process.poll() is not None or b"order.filled" in log.read_bytes(), "never traded")
            if process.poll() is not None and b"unshare" in log.read_bytes():
                pytest.skip("no user namespaces here")
            until(lambda: b"watch.failed" in log.read_bytes(), "never said")
            world.files.state("one", 2.0, f"{COIN}USDT")
            until(lambda: log.read_bytes().count(b"order.filled") == 2, "never found")
        finally:
            process.terminate()
    events = [json.loads(line) for line in log.read_bytes().splitlines()]
    (said,) = [event for event in events if event["event"] == "watch.failed"]
    assert "scan" in said["kept"]


def test_fault_48_of_ten_thousand_changes_the_last_one_wins(world: FileWorld) -> None:
    """As fast as they can be written: few are looked at, no queue grows, and the other strategy is traded meanwhile."""
    contents = [json.dumps({"position": 0.001 * (turn % 900), "symbol": "BTCUSDT"}).encode() for turn in range(MANY)]
    path = world.folder("one") / "state.json"
    began = time.monotonic()
    for turn, content in enumerate(contents):
        replace(path, content)
        if turn == MANY // 2:
            world.trade_other()
    seconds = time.monotonic() - began
    world.files.state("one", 1.5, f"{COIN}USDT")
    world.trade_other()
    until(lambda: world.problems("") == [], "something is wrong")
    until(lambda: targets_of_the_last_decision(world) == "75000", f"not the last of {MANY} in {seconds:.1f} s")
    targets(world)
    (orders,) = journal(world.root, "SELECT count(*) FROM intents WHERE symbol = ?", market(COIN))[0]
    assert orders < MANY / 10


def targets_of_the_last_decision(world: FileWorld) -> str:
    """Return the notional that is in force for the strategy's market, in whole units."""
    query = "SELECT notional FROM decisions WHERE symbol = ? ORDER BY number DESC LIMIT 1"
    return str(journal(world.root, query, market(COIN))[0][0]).partition(".")[0]
