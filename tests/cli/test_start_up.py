"""What the program costs before it does anything, and what it says of itself."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from portfoliod import __version__
from tests.harness.daemon import Daemon, run_command
from tests.harness.workspace import Files, noisy_returns

pytestmark = pytest.mark.started_anew

COMMANDS = (
    "run",
    "optimize",
    "plan",
    "status",
    "halt",
    "resume",
    "flatten",
    "unlock",
    "retire",
    "forget",
    "new",
    "check",
    "backtest",
    "demo",
)


def modules_after(*arguments: str) -> set[str]:
    """Return the top-level modules that are loaded when a command has ended."""
    script = (
        "import json, sys\n"
        "from portfoliod.__main__ import main\n"
        "try:\n    main()\n"
        "except SystemExit:\n    pass\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True, timeout=30
    )
    return set(json.loads(ended.stdout.splitlines()[-1]))


def test_help_names_every_command_and_exits_with_0(tmp_path: Path) -> None:
    shown = run_command(tmp_path, "--help")
    assert shown.returncode == 0
    listed = {line.split()[0] for line in shown.stdout.partition("Commands:")[2].splitlines() if line.strip()}
    assert listed == set(COMMANDS)


def test_each_command_has_help_and_makes_nothing_of_it(tmp_path: Path) -> None:
    for command in ("run", "optimize", "status"):
        assert run_command(tmp_path, command, "--help").returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_version_is_the_packages_and_names_what_it_stands_on(tmp_path: Path) -> None:
    shown = run_command(tmp_path, "--version")
    first, *others = shown.stdout.splitlines()
    assert (shown.returncode, first) == (0, f"portfoliod, version {__version__}")
    named = {line.split()[0]: line.split()[1] for line in others}
    assert {"python", "system", "sqlite", "ccxt", "numpy", "scipy", "watchfiles"} <= named.keys()
    assert named["python"] == platform.python_version()


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("run", "--help"), ("optimize", "--help")])
def test_help_imports_nothing_heavy(arguments: tuple[str, ...]) -> None:
    assert not modules_after(*arguments) & {"numpy", "scipy", "ccxt", "rich", "msgspec", "structlog", "asyncio"}


def test_a_usage_error_exits_with_2_and_does_nothing(tmp_path: Path) -> None:
    for wrong in (("plann",), ("optimize", "--lookback", "two"), ("unlock",), ("optimize", "--target-vol", "30")):
        ended = run_command(tmp_path, *wrong)
        assert ended.returncode == 2, wrong
        assert "Traceback" not in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_daemon_on_paper_has_loaded_neither_ccxt_nor_scipy(files: Files) -> None:
    files.stats("one", noisy_returns(1, drift=0.003))
    files.state("one", 1.0)
    with Daemon(files.root) as daemon:
        daemon.wait_for("order.filled")
        mapped = Path(f"/proc/{daemon.process.pid}/maps").read_text()
        assert "/scipy/" not in mapped
        assert "/numpy/" in mapped, "the test would see a library that is loaded"
        loaded = modules_after("--root", str(files.root), "run", "--once")
        assert not loaded & {"ccxt", "scipy"}


def test_the_root_comes_from_the_option_then_the_environment_then_the_current_folder(tmp_path: Path) -> None:
    for name in ("here", "there", "asked"):
        (tmp_path / name).mkdir()
    plain = {name: value for name, value in os.environ.items() if name != "PORTFOLIOD_ROOT"}
    called = {**plain, "PORTFOLIOD_ROOT": str(tmp_path / "there")}
    command = [sys.executable, "-m", "portfoliod"]
    for arguments, environment, halted in (
        (["--root", str(tmp_path / "asked")], called, "asked"),
        ([], called, "there"),
        ([], plain, "here"),
    ):
        subprocess.run(
            [*command, *arguments, "halt"], env=environment, cwd=tmp_path / "here", check=True, capture_output=True
        )
        assert (tmp_path / halted / "var/HALT").exists()
