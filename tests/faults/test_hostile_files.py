"""What is no file, or no file that anybody could mean, under a name that the daemon reads: refused, without a hang."""

from __future__ import annotations

import os
import re
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.file_world import FileWorld, until
from tests.harness.daemon import Daemon, run_command
from tests.harness.workspace import Files, replace

pytestmark = pytest.mark.slow  # a real daemon, and files of many megabytes

MOST_MEMORY = 1024
"""MiB that the daemon may ever take, whatever lies in its folders."""
SIZE = 64 * 1024 * 1024


def fifo(path: Path) -> None:
    """Whoever opens it waits for a writer."""
    os.mkfifo(path)


def listening_socket(path: Path) -> None:
    """A socket's name."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        there = os.getcwd()
        os.chdir(path.parent)  # a socket's path may not be long
        try:
            server.bind(path.name)
        finally:
            os.chdir(there)


def endless_device(path: Path) -> None:
    """Whoever reads it to its end reads for ever."""
    path.symlink_to("/dev/zero")


def folder(path: Path) -> None:
    """A folder of that name."""
    path.mkdir()


def link_to_itself(path: Path) -> None:
    """Whoever follows it goes round in circles."""
    path.symlink_to(path)


def file_of_the_kernel(path: Path) -> None:
    """It says that it is empty, and is not."""
    path.symlink_to("/proc/self/mountinfo")


NOT_FILES = (fifo, listening_socket, endless_device, folder, link_to_itself, file_of_the_kernel)
not_files = pytest.mark.parametrize("make", NOT_FILES, ids=lambda make: make.__name__)
Make = Callable[[Path], None]


def remove(path: Path) -> None:
    """Remove whatever is there."""
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink()


@not_files
def test_fault_38_what_is_no_file_is_refused_and_the_last_good_content_stays(world: FileWorld, make: Make) -> None:
    """Under each of the three names that are read live; the other strategy trades on meanwhile."""
    held = world.held()
    world.files.stats("one", [0.001, -0.002] * 50)
    world.daemon.wait_for("stats.accepted")
    paths = {
        "state": world.folder("one") / "state.json",
        "stats": world.folder("one") / "stats.json",
        "config": world.portfolio_file,
    }
    for kind, path in paths.items():
        good = path.read_bytes()
        since = world.daemon.mark()
        remove(path)
        make(path)
        shown = str(path.relative_to(world.root))
        problem = world.wait_until_shown(shown)
        assert problem["kept"], kind
        assert problem["mend"], kind
        world.trade_other()
        assert world.held() == held
        remove(path)
        replace(path, good)
        world.wait_until_fine(shown)
        assert not [event for event in world.daemon.events[since:] if event["event"] == "look.failed"]


@not_files
@pytest.mark.parametrize("name", ["portfoliod.toml", "credentials.toml"])
def test_fault_38_settings_that_are_no_file_are_78(files: Files, make: Make, name: str) -> None:
    """At once, from the daemon and from `check`."""
    config = files.root / "config"
    config.mkdir()
    if name == "credentials.toml":
        files.settings(
            'mode = "live"\ndefault_venue = "main"\n[venues.main]\ndriver = "ccxt"\nexchange = "binanceusdm"\n'
        )
    make(config / name)
    with Daemon(files.root) as daemon:
        assert daemon.wait() == 78
        assert name in "\n".join(daemon.other_output)
    checked = run_command(files.root, "check")
    assert checked.returncode == 78
    assert name in checked.stdout + checked.stderr


def test_fault_38_settings_that_everybody_can_write_are_refused(files: Files) -> None:
    """With the command that mends it; group members may, if the operator wants that."""
    path = files.settings("[risk]\nmax_position = 5.0\n")
    files.portfolio({})
    path.chmod(0o666)
    refused = run_command(files.root, "check")
    assert refused.returncode == 78
    assert "chmod o-w" in refused.stdout + refused.stderr
    with Daemon(files.root) as daemon:
        assert daemon.wait() == 78
    path.chmod(0o664)
    assert run_command(files.root, "check").returncode == 0
    path.parent.chmod(0o777)
    assert run_command(files.root, "check").returncode == 78


def repeated(piece: bytes, before: bytes = b"", after: bytes = b"") -> bytes:
    """Return a content of the largest size that is read at all."""
    return before + piece * ((SIZE - len(before) - len(after)) // len(piece)) + after


HUGE = {
    "nested lists": lambda: repeated(b"["),
    "nested objects": lambda: repeated(b'{"a":'),
    "one text": lambda: repeated(b"x", b'{"position": "', b'"}'),
    "one number": lambda: repeated(b"1", b'{"position": ', b"}"),
    "nothing but space": lambda: repeated(b" "),
    "numbers": lambda: repeated(b"0,", b'{"daily_returns": [', b"0]}"),
    "days": lambda: repeated(b'"2024-01-01",', b'{"daily_dates": [', b'""], "daily_returns": []}'),
    "markets": lambda: repeated(b'"A":1,', b'{"positions": {', b'"B":1}}'),
    "unknown keys": lambda: repeated(b'"a":[{}],', b"{", b'"position": "9", "daily_returns": 1}'),
    "zeros": lambda: repeated(b"\0"),
}


@pytest.mark.started_anew
@pytest.mark.parametrize("huge", HUGE.values(), ids=HUGE)
def test_fault_38_64_mib_of_anything_are_refused_in_bounded_memory(world: FileWorld, huge: Callable[[], bytes]) -> None:
    """The last good state stays, and the other strategy is traded while it is read and afterwards."""
    held = world.held()
    content = huge()
    for kind in ("state", "stats"):
        path = world.folder("one") / f"{kind}.json"
        since = world.daemon.mark()
        replace(path, content)
        world.trade_other()
        world.daemon.wait_for(f"{kind}.rejected", since=since, strategy="one")
        world.trade_other()
        assert world.held() == held
    assert peak_memory(world.daemon) < MOST_MEMORY
    for kind in ("state", "stats"):
        (world.folder("one") / f"{kind}.json").unlink()


def peak_memory(daemon: Daemon) -> float:
    """Return the most memory that a process ever took, in MiB."""
    text = Path(f"/proc/{daemon.process.pid}/status").read_text()
    (kibibytes,) = re.findall(r"VmHWM:\s+(\d+) kB", text)
    return int(kibibytes) / 1024


def test_fault_38_a_link_out_of_the_workspace_is_followed_and_a_dangling_one_is_a_missing_file(
    world: FileWorld, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Somebody may keep a strategy's files elsewhere; when they go, the last good state stays."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    path = world.folder("one") / "state.json"
    shutil.copy(path, elsewhere / "state.json")
    held = world.held()
    since = world.daemon.mark()
    path.unlink()
    path.symlink_to(elsewhere / "state.json")
    (elsewhere / "state.json").write_text('{"position": 2.0, "symbol": "BTCUSDT"}')
    world.daemon.wait_for("state.accepted", since=since, strategy="one")
    until(lambda: world.held() != held, "never traded")
    held = world.held()
    (elsewhere / "state.json").unlink()
    world.wait_until_shown("strategies/one")
    world.trade_other()
    assert world.held() == held
