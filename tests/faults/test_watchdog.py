"""An event loop that stalls: its signs of life to systemd stop, though other threads live, and it is started again."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator

import pytest

from tests.harness.daemon import Daemon
from tests.harness.supervisor import WATCHDOG_SECONDS, Systemd
from tests.harness.workspace import Files
from tests.tasks.evidence import intents, until

SETTINGS = """
mode = "live"
default_venue = "mine"
[reconciler]
resync_seconds = 0.1
[venues.mine]
driver = "script"
script = "config/my_broker.py"
timeout_seconds = 1
"""
BROKER = """
import json
import pathlib
import threading
import time

HERE = pathlib.Path(__file__).parent
HELD, PLACED, STALLED, BEATS = (HERE / name for name in ("held.json", "placed", "stalled", "beats"))


def live_on():
    number = 0
    while True:
        number += 1
        BEATS.write_text(str(number))
        time.sleep(0.01)


threading.Thread(target=live_on, daemon=True).start()


def stall_in(function):
    while (HERE / f"stall_in_{function}").exists():
        STALLED.touch()
        time.sleep(0.01)


def held():
    return json.loads(HELD.read_text()) if HELD.exists() else {}


def get_price(symbol):
    return 50000


KIND get_positions():
    stall_in("get_positions")
    return held()


KIND place_order(symbol, quantity, reduce_only, client_order_id):
    PLACED.open("a").write(client_order_id + "\\n")
    HELD.write_text(json.dumps({symbol: held().get(symbol, 0) + float(quantity)}))
    stall_in("place_order")
"""
"""A broker in a file that does not return as long as it is told not to, and whose thread goes on writing meanwhile."""


class Broker:
    """The broker's file, and what can be seen of it from outside."""

    def __init__(self, files: Files, *, kind: str) -> None:
        self._folder = files.root / "config"
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / "my_broker.py").write_text(BROKER.replace("KIND", kind))
        files.settings(SETTINGS)
        files.portfolio({"one": 0.5})
        files.state("one", 1.0)

    def stall_in(self, function: str) -> None:
        """Let calls of a function not return from now on."""
        (self._folder / f"stall_in_{function}").touch()

    def stalls(self) -> bool:
        """Return whether a call does not return."""
        return (self._folder / "stalled").exists()

    def go_on(self) -> None:
        """Let calls return again."""
        for path in self._folder.glob("stall*"):
            path.unlink()

    def let_live(self, seconds: float) -> None:
        """Wait until the broker's thread, in the daemon's process, has lived on for a time."""
        last = self._beats() + int(seconds / 0.01)
        until(lambda: self._beats() >= last)

    def held(self) -> dict[str, float]:
        """Return the positions."""
        path = self._folder / "held.json"
        found: dict[str, float] = json.loads(path.read_text() or "{}") if path.exists() else {}
        return found

    def placed(self) -> list[str]:
        """Return the client ids of all orders, in their order."""
        path = self._folder / "placed"
        return path.read_text().splitlines() if path.exists() else []

    def _beats(self) -> int:
        return int((self._folder / "beats").read_text() or 0)


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest) -> Iterator[Systemd]:
    """A socket of either kind; nothing was told yet."""
    with Systemd(request.param) as systemd:
        yield systemd


@pytest.mark.slow
def test_fault_44_a_loop_that_stalls_gives_no_sign_of_life_though_other_threads_live(
    files: Files, systemd: Systemd
) -> None:
    """It is ready once, gives signs of life while it turns and none while it does not, and says when it stops."""
    broker = Broker(files, kind="async def")
    with Daemon(files.root, "--live", environment=systemd.environment) as daemon:
        assert systemd.hear() == "READY=1"
        systemd.let_ping_until(lambda: daemon.named("order.filled"))
        broker.stall_in("get_positions")
        until(broker.stalls)
        systemd.heard()
        broker.let_live(5 * WATCHDOG_SECONDS)
        assert systemd.heard() == []
        broker.go_on()
        systemd.let_ping(3)
        assert daemon.terminate() == 0
        assert [message for message in systemd.heard() if message != "WATCHDOG=1"] == ["STOPPING=1"]


@pytest.mark.slow
def test_fault_44_a_broker_that_hangs_is_no_loop_that_stalls(files: Files) -> None:
    """Its plain function does not return, and the signs of life go on: a restart would not help."""
    broker = Broker(files, kind="def")
    with Systemd("path") as systemd, Daemon(files.root, "--live", environment=systemd.environment) as daemon:
        assert systemd.hear() == "READY=1"
        systemd.let_ping_until(lambda: daemon.named("order.filled"))
        broker.stall_in("get_positions")
        systemd.let_ping_until(broker.stalls)
        systemd.let_ping(15)
        broker.go_on()
        assert daemon.terminate() == 0


@pytest.mark.slow
def test_fault_44_a_daemon_that_is_ended_for_its_silence_goes_on_with_its_order_when_it_starts_again(
    files: Files,
) -> None:
    """The loop stalls after the broker took an order and before that is known; nothing is sent twice."""
    broker = Broker(files, kind="async def")
    broker.stall_in("place_order")
    with Systemd("path") as systemd:
        with Daemon(files.root, "--live", environment=systemd.environment) as daemon:
            until(broker.stalls)
            systemd.heard()
            broker.let_live(5 * WATCHDOG_SECONDS)
            assert systemd.heard() == []
            assert len(broker.placed()) == 1
            daemon.process.send_signal(signal.SIGABRT)
            assert daemon.wait() == -signal.SIGABRT
            assert [intent[4] for intent in intents(files.root)] == ["intended"]
        broker.go_on()
        with Daemon(files.root, "--live", environment=systemd.environment) as daemon:
            assert systemd.hear() == "READY=1"
            systemd.let_ping_until(lambda: [intent[4] for intent in intents(files.root)] == ["done"])
            files.state("one", 0.5)
            systemd.let_ping_until(lambda: broker.held() == {"BTCUSDT": 0.05})
            assert len(broker.placed()) == len(set(broker.placed())) == 2
            assert daemon.terminate() == 0


@pytest.mark.slow
def test_a_watchdog_that_waits_for_another_process_is_not_fed(files: Files) -> None:
    """What a shell around the daemon was given is not for it."""
    broker = Broker(files, kind="def")
    with Systemd("path") as systemd:
        others = systemd.environment | {"WATCHDOG_PID": str(os.getpid())}
        with Daemon(files.root, "--live", environment=others) as daemon:
            daemon.wait_for("order.filled")
            broker.let_live(5 * WATCHDOG_SECONDS)
            assert systemd.heard() == ["READY=1"]
            assert daemon.terminate() == 0


@pytest.mark.slow
def test_fault_44_a_supervisor_that_does_not_listen_stalls_nothing(files: Files) -> None:
    """What it does not take is lost: the loop trades on, and stops when it is told to."""
    broker = Broker(files, kind="def")
    with Systemd("path") as systemd, Daemon(files.root, "--live", environment=systemd.environment) as daemon:
        systemd.until_full()
        files.state("one", 0.5)
        until(lambda: broker.held() == {"BTCUSDT": 0.05})
        assert daemon.terminate() == 0
