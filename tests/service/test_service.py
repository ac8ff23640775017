"""The daemon under a real systemd: the way from the installation to the end, in this order, on one machine.

`make test-service` runs it. What is asserted of times leaves room for a busy machine; benchmarks are elsewhere.
"""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest

from tests.harness.workspace import noisy_returns
from tests.service.machine import SOURCE, Machine

pytestmark = pytest.mark.service

HOME = "/srv/portfoliod"
UNIT = "portfoliod.service"
STRATEGY = "btc_trend_24h"
WATCHDOG_SECONDS = 3
IDLE_SECONDS = 60.0
GRACE_SECONDS = 3.0
"""For a machine that is busy with other things."""
BROKER = """
import ctypes
import json
import mmap
import os
import pathlib
import time

HERE = pathlib.Path(__file__).parent
KEY = (pathlib.Path(os.environ["CREDENTIALS_DIRECTORY"]) / "credentials.toml").read_text()


def denied(attempt):
    try:
        attempt()
    except Exception as error:
        return type(error).__name__
    return ""


def execute_data():
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)


def mount():
    if ctypes.CDLL(None, use_errno=True).mount(b"none", b"/mnt", b"tmpfs", 0, None):
        raise OSError(ctypes.get_errno(), "mount")


ATTEMPTS = {
    "write /etc": lambda: pathlib.Path("/etc/portfoliod.test").write_text("x"),
    "write /opt": lambda: pathlib.Path("/opt/portfoliod/test").write_text("x"),
    "write another workspace": lambda: pathlib.Path("/srv/portfoliod/test").write_text("x"),
    "read another user's file": lambda: pathlib.Path("/srv/secret").read_text(),
    "read /etc/shadow": lambda: pathlib.Path("/etc/shadow").read_text(),
    "list /root": lambda: list(pathlib.Path("/root").iterdir()),
    "execute data": execute_data,
    "mount": mount,
    "see other processes": lambda: pathlib.Path("/proc/1/cmdline").read_text(),
}
(HERE / "denied.json").write_text(json.dumps({name: denied(attempt) for name, attempt in ATTEMPTS.items()}))
(HERE / "key").write_text(str(len(KEY)))
HELD = HERE / "held.json"


def get_price(symbol):
    return 50000


async def get_positions():
    while (HERE / "stall").exists():
        time.sleep(0.01)
    return json.loads(HELD.read_text()) if HELD.exists() else {}


def place_order(symbol, quantity, reduce_only, client_order_id):
    held = json.loads(HELD.read_text()) if HELD.exists() else {}
    HELD.write_text(json.dumps({symbol: held.get(symbol, 0) + float(quantity)}))
"""


class Workspace:
    """A workspace on the machine, whose strategies are another user's."""

    def __init__(self, machine: Machine, root: str) -> None:
        self.root = root
        self._machine = machine

    def state(self, strategy: str, position: float, symbol: str = "BTCUSDT") -> None:
        """Publish a state."""
        self._write(
            f"strategies/{strategy}/state.json", {"position": position, "symbol": symbol}, "portfoliod-strategy"
        )

    def stats(self, strategy: str, seed: int) -> None:
        """Publish returns."""
        days = [str(day)[:10] for day in _days(120)]
        content = {"daily_dates": days, "daily_returns": noisy_returns(seed, 120, drift=0.003)}
        self._write(f"strategies/{strategy}/stats.json", content, "portfoliod-strategy")

    def portfolio(self, **keys: object) -> None:
        """Write portfolio_config.json."""
        self._write("config/portfolio_config.json", {"account_value": 10_000, "leverage": 1.0, **keys}, "portfoliod")

    def status(self) -> dict[str, Any]:
        """Return status.json."""
        found: dict[str, Any] = json.loads(self._machine.read(f"{self.root}/var/status.json"))
        return found

    def _write(self, path: str, content: object, owner: str) -> None:
        folder = f"{self.root}/{path}".rpartition("/")[0]
        self._machine.run("install", "-d", "-o", owner, "-g", owner, folder)
        self._machine.write(f"{self.root}/{path}", json.dumps(content), owner=owner)


def _days(count: int) -> Any:
    import numpy as np

    today = np.datetime64("today")
    return np.arange(today - count, today)


@pytest.fixture(scope="module")
def desk(machine: Machine) -> Workspace:
    return Workspace(machine, HOME)


def started(machine: Machine, unit: str) -> tuple[str, str]:
    """Return the state of a unit, and the process that it is."""
    return machine.show(unit, "ActiveState"), machine.show(unit, "MainPID")


def fields(event: dict[str, Any], *names: str) -> tuple[Any, ...]:
    """Return the fields of an entry; several of one name are a list."""
    return tuple(event.get(name) for name in names)


def until_ready_again(machine: Machine, unit: str, pid: str) -> None:
    """Wait until another process of a unit is ready."""
    machine.until(lambda: started(machine, unit), lambda seen: seen[0] == "active" and seen[1] not in {pid, "0"})


def seconds_until_ready(machine: Machine, unit: str, since: float) -> float:
    """Return how long after a moment of the monotonic clock a unit was ready."""
    return int(machine.show(unit, "ActiveEnterTimestampMonotonic")) / 1e6 - since


def test_it_starts_and_is_ready(machine: Machine) -> None:
    """`systemctl start` returns when it is."""
    machine.run("systemctl", "start", UNIT)
    assert machine.show(UNIT, "ActiveState") == "active"
    assert machine.events(UNIT, "daemon.ready")
    machine.until(lambda: machine.show(UNIT, "StatusText"), lambda text: text.startswith("running, paper; "))
    assert machine.show(UNIT, "WatchdogUSec") == "30s"


def test_it_trades_what_a_folder_says_that_is_dropped_in(machine: Machine, desk: Workspace) -> None:
    """From its returns to the fill, all of one cycle, found in the journal by what an operator knows."""
    desk.state(STRATEGY, 1.0)
    desk.stats(STRATEGY, 3)
    (filled,) = machine.until(lambda: machine.events(UNIT, "order.filled"))
    assert set(filled["SYMBOL"]) == {"BTC/USDT:USDT", "BTCUSDT"}
    assert fields(filled, "VENUE", "SIDE", "PRIORITY", "SYSLOG_IDENTIFIER") == ("paper", "buy", "6", "portfoliod")
    assert filled["MESSAGE"].startswith("order.filled venue=paper symbol=BTC/USDT:USDT side=buy ")
    assert not re.match(r"\d\d:\d\d|<\d>", filled["MESSAGE"])
    told = [entry["EVENT"] for entry in machine.journal(UNIT, f"CYCLE={filled['CYCLE']}")]
    chain = ["weights.optimized", "config.written", "config.accepted", "target.decided", "order.intended", "order.sent"]
    assert [event for event in told if event in chain] == chain
    assert machine.journal(UNIT, f"STRATEGY={STRATEGY}", "EVENT=target.decided")
    assert machine.journal(UNIT, "SYMBOL=BTCUSDT", "EVENT=order.filled")


def test_switches_reach_it(machine: Machine, desk: Workspace) -> None:
    """Commands that another user with the right to do so types."""
    command = ("runuser", "-u", "portfoliod", "--", "/opt/portfoliod/bin/portfoliod", "--root", HOME)
    machine.run(*command, "halt", "a look around")
    machine.until(lambda: machine.events(UNIT, "halt.tripped"))
    machine.run(*command, "resume")
    machine.until(lambda: machine.events(UNIT, "halt.cleared"))
    machine.write(f"{HOME}/strategies/{STRATEGY}/stats.json", "{", owner="portfoliod-strategy")
    machine.until(lambda: machine.events(UNIT, "stats.rejected"))
    desk.stats(STRATEGY, 3)
    machine.until(lambda: machine.show(UNIT, "StatusText"), lambda text: "problem" not in text)


def test_a_reload_reads_the_settings_again(machine: Machine) -> None:
    machine.write(f"{HOME}/config/portfoliod.toml", "[reconciler]\nresync_seconds = 5\n")
    machine.run("systemctl", "reload", UNIT)
    machine.until(lambda: machine.events(UNIT, "settings.accepted"))
    machine.until(lambda: machine.show(UNIT, "ActiveState"), lambda state: state == "active")


def test_after_a_kill_it_comes_back_without_a_second_order(machine: Machine, desk: Workspace) -> None:
    pid = machine.show(UNIT, "MainPID")
    machine.run("kill", "-9", pid)
    until_ready_again(machine, UNIT, pid)
    machine.until(lambda: [row["status"] for row in desk.status()["markets"]], lambda seen: seen == ["in_step"])
    assert len(machine.events(UNIT, "order.sent")) == 1


def test_the_operators_one_liners_find_what_they_promise(machine: Machine) -> None:
    """Each line of docs/operations.md, as it stands there."""
    text = (SOURCE / "docs/operations.md").read_text()
    lines = re.findall(r"^    (journalctl .*?)(?:\s+# .*)?$", text, re.MULTILINE)
    assert len(lines) == 10
    for line in lines:
        found = machine.run("bash", "-c", f"set -o pipefail; SYSTEMD_PAGER= {line}", check=False)
        assert (found.returncode, found.stderr) == (0, ""), line
        assert found.stdout.strip() not in {"", "-- No entries --"}, line


@pytest.fixture(scope="module")
def instance(machine: Machine) -> Workspace:
    """One of several accounts, on a broker of its own, with keys that systemd hands over."""
    workspace = Workspace(machine, f"{HOME}/two")
    machine.run("install", "-d", "-o", "portfoliod", "-g", "portfoliod", workspace.root, f"{workspace.root}/config")
    settings = 'mode = "live"\ndefault_venue = "mine"\n[reconciler]\nresync_seconds = 1\n'
    table = '[venues.mine]\ndriver = "script"\nscript = "config/my_broker.py"\n'
    machine.write(f"{workspace.root}/config/portfoliod.toml", settings + table)
    machine.write(f"{workspace.root}/config/my_broker.py", BROKER, owner="portfoliod")
    machine.write("/etc/portfoliod/two/credentials.toml", '[mine]\napi_key = "0123456789abcdef"\n', mode=0o600)
    machine.write("/srv/secret", "another user's", owner="portfoliod-strategy", mode=0o600)
    workspace.state("one", 1.0)
    workspace.portfolio(weights={"one": 0.5})
    drop_in = (
        f"[Service]\nWatchdogSec={WATCHDOG_SECONDS}\nExecStart=\nExecStart=/opt/portfoliod/bin/portfoliod run --live\n"
        "LoadCredential=credentials.toml:/etc/portfoliod/two/credentials.toml\n"
    )
    machine.write("/etc/systemd/system/portfoliod@two.service.d/test.conf", drop_in)
    machine.run("systemctl", "daemon-reload")
    return workspace


def test_an_instance_trades_its_account_with_the_keys_that_systemd_hands_over(
    machine: Machine, instance: Workspace
) -> None:
    machine.run("systemctl", "start", "portfoliod@two")
    machine.until(lambda: machine.events("portfoliod@two", "order.filled"))
    assert machine.read(f"{instance.root}/config/key") == str(len('[mine]\napi_key = "0123456789abcdef"\n'))
    told = machine.run("journalctl", "--no-pager", "-o", "json").stdout
    assert "0123456789abcdef" not in told


def test_the_hardening_denies_what_no_daemon_needs(machine: Machine, instance: Workspace) -> None:
    """Tried from within, by the broker's script."""
    denied = json.loads(machine.read(f"{instance.root}/config/denied.json"))
    assert {name for name, error in denied.items() if not error} == set(), denied


def test_a_loop_that_stalls_is_ended_and_started_again(machine: Machine, instance: Workspace) -> None:
    """Within WatchdogSec and two seconds of its last sign of life, and the log says where it stood."""
    unit = "portfoliod@two"
    pid = machine.show(unit, "MainPID")
    orders = len(machine.events(unit, "order.sent"))
    stalled = time.monotonic()
    machine.run("touch", f"{instance.root}/config/stall")
    machine.until(lambda: machine.show(unit, "MainPID"), lambda now: now not in {pid, "0"})
    machine.run("rm", f"{instance.root}/config/stall")
    began = int(machine.show(unit, "ExecMainStartTimestampMonotonic")) / 1e6 - stalled
    print(f"from a stall to the start of another process, with WatchdogSec={WATCHDOG_SECONDS}: {began:.2f} s")
    assert 0 < began < WATCHDOG_SECONDS + 2 + GRACE_SECONDS
    until_ready_again(machine, unit, pid)
    assert machine.show(unit, "NRestarts") == "1"
    assert any("get_positions" in entry["MESSAGE"] for entry in machine.journal(unit) if "MESSAGE" in entry)
    assert len(machine.events(unit, "order.sent")) == orders
    machine.run("systemctl", "stop", unit)


def test_fifty_strategies_are_ready_again_within_seconds_of_a_kill(machine: Machine) -> None:
    unit = "portfoliod@fifty"
    workspace = Workspace(machine, f"{HOME}/fifty")
    source = f"{workspace.root}/strategies/s0"
    workspace.state("s0", 1.0)
    workspace.stats("s0", 1)
    script = f"for n in $(seq 1 49); do cp -rp {source} {workspace.root}/strategies/s$n; done"
    machine.run("bash", "-c", f"chown portfoliod: {workspace.root}; {script}")
    workspace.portfolio(weights={f"s{number}": 0.02 for number in range(50)})
    machine.run("systemctl", "start", unit)
    machine.until(lambda: machine.events(unit, "order.filled"))
    pid = machine.show(unit, "MainPID")
    killed = time.monotonic()
    machine.run("kill", "-9", pid)
    until_ready_again(machine, unit, pid)
    seconds = seconds_until_ready(machine, unit, killed)
    print(f"from SIGKILL to READY with 50 strategies: {seconds:.2f} s")
    assert 0 < seconds < 3 + GRACE_SECONDS
    machine.run("systemctl", "stop", unit)


def test_bad_settings_do_not_restart_in_a_loop(machine: Machine) -> None:
    unit = "portfoliod@bad"
    machine.run("install", "-d", "-o", "portfoliod", f"{HOME}/bad/config")
    machine.write(f"{HOME}/bad/config/portfoliod.toml", "[optimzer]\n")
    assert machine.run("systemctl", "start", unit, check=False).returncode != 0
    machine.until(lambda: machine.show(unit, "ActiveState"), lambda state: state == "failed")
    assert (machine.show(unit, "ExecMainStatus"), machine.show(unit, "NRestarts")) == ("78", "0")
    assert any("the nearest known one is `optimizer`" in entry.get("MESSAGE", "") for entry in machine.journal(unit))


def test_a_strategy_runs_as_another_user_and_writes_its_own_folder_only(machine: Machine, desk: Workspace) -> None:
    run = ["/opt/portfoliod/bin/portfoliod", "--root", HOME, "new"]
    for name in ("mine", "theirs"):
        machine.run(*run, name)
        machine.run("chown", "-R", "portfoliod-strategy:", f"{HOME}/strategies/{name}")
    trespass = f"\nimport pathlib\npathlib.Path('{HOME}/strategies/theirs/state.json').write_text('x')\n"
    machine.run("systemctl", "start", "portfoliod-strategy@mine")
    assert machine.exists(f"{HOME}/strategies/mine/state.json")
    machine.until(lambda: desk.status()["strategies"], lambda seen: "mine" in seen)
    program = machine.read(f"{HOME}/strategies/mine/strategy.py")
    machine.write(f"{HOME}/strategies/mine/strategy.py", trespass + program, owner="portfoliod-strategy")
    assert machine.run("systemctl", "start", "portfoliod-strategy@mine", check=False).returncode != 0
    assert any("Read-only file system" in entry["MESSAGE"] for entry in machine.journal("portfoliod-strategy@mine"))
    machine.run("systemctl", "start", "portfoliod-strategy@mine.timer")
    assert "portfoliod-strategy@mine.timer" in machine.run("systemctl", "list-timers", "--no-pager").stdout


def test_an_idle_minute_logs_nothing(machine: Machine) -> None:
    """With positions that are held, prices that move, and a resync every five seconds."""
    machine.run("systemctl", "stop", "portfoliod-strategy@mine.timer")
    machine.until(lambda: machine.events(UNIT, "drawdown.marked"))
    since = machine.run("date", "+%F %T.%6N").stdout.strip()
    time.sleep(IDLE_SECONDS)
    assert machine.journal(UNIT, f"--since={since}") == []


def test_it_stops_in_order(machine: Machine) -> None:
    """Exit 0, within the bound that the unit gives it."""
    before = time.monotonic()
    machine.run("systemctl", "stop", UNIT)
    assert time.monotonic() - before < 30
    assert (machine.show(UNIT, "Result"), machine.show(UNIT, "ExecMainStatus")) == ("success", "0")
    assert machine.events(UNIT, "daemon.stopped")
