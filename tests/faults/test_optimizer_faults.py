"""An optimizer whose inputs lead it astray, or that fails: in the real daemon, beside positions that go on."""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path

import pytest

from tests.harness.daemon import Daemon, run_command
from tests.harness.workspace import Files, noisy_returns, replace
from tests.tasks.evidence import config, flat_market, positions, until, until_positions

pytestmark = pytest.mark.slow

BROKEN = {
    "raises": "raise ZeroDivisionError('in the allocator')",
    "runs out of memory": "raise MemoryError",
    "leaves": "raise SystemExit(3)",
    "not a number": "return [float('nan')] * returns.shape[1]",
    "infinite": "return [float('inf')] * returns.shape[1]",
    "negative": "return [-1.0] * returns.shape[1]",
    "too many": "return [1.0] * (returns.shape[1] + 1)",
    "more than all": "return [2.0] * returns.shape[1]",
    "nothing": "return None",
    "text": "return 'all of it'",
}


def quiet_returns(deviation: float) -> list[float]:
    """Return daily returns that rise all the time and hardly move."""
    return [0.0001 + deviation * (-1) ** day for day in range(100)]


def plug_in(folder: Path, body: str) -> dict[str, str]:
    """Install an allocator `broken` as a package would, and return the environment that finds it."""
    metadata = folder / "broken_allocator-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-allocator\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[portfoliod.allocators]\nbroken = broken_allocator:allocate\n")
    lines = ["CALLED = 0", "def allocate(returns, *others):", f"    {body}"]
    (folder / "broken_allocator.py").write_text("\n".join(lines) + "\n")
    return {"PYTHONPATH": str(folder)}


@pytest.mark.parametrize(("most", "leverage"), [(5.0, 5.0), (100.0, 30.0)], ids=["capped", "floored"])
def test_fault_31_a_volatility_near_zero_does_not_run_the_leverage_away(
    files: Files, most: float, leverage: float
) -> None:
    """As if it were the floor, and never above the cap; both are said, and the position is as large as that."""
    gross = f"[risk]\nmax_gross_leverage = {most}\nmax_orders_per_minute = 0\n"
    files.settings(f"[optimizer]\nmax_leverage = {most}\n\n{gross}\n{flat_market(files)}")
    files.stats("calm", quiet_returns(1e-7))
    files.state("calm", 1.0)
    with Daemon(files.root) as daemon:
        said = daemon.wait_for("weights.limited")
        assert "vol" in said["note"]
        held = Decimal(10_000) * Decimal(str(leverage)) / Decimal(50_000)
        until_positions(files.root, BTC=str(held))
        assert config(files.root)["leverage"] == leverage


def test_fault_31_returns_that_never_move_get_no_more_than_the_highest_leverage(files: Files) -> None:
    """A ratio by zero is no reason to hold everything; what limits the leverage is said."""
    files.settings(flat_market(files))
    files.portfolio({"still": 0.1})
    files.state("still", 1.0)
    with Daemon(files.root) as daemon:
        until_positions(files.root, BTC="0.020")
        files.stats("still", [0.001] * 100)
        since = daemon.mark()
        daemon.wait_for("weights.limited", since=since)
        daemon.wait_for("config.written", since=since)
        notes = [event["note"] for event in daemon.named("weights.limited")]
        assert [note for note in notes if "vol_floor" in note]
        assert [note for note in notes if "max_leverage" in note]
        assert config(files.root)["leverage"] == 5.0
        until_positions(files.root, BTC="1.000")


def test_fault_31_a_short_history_gets_no_weight_and_the_reason_is_said(files: Files) -> None:
    """However good its ten days are."""
    files.settings(flat_market(files))
    files.stats("old", noisy_returns(1, drift=0.003))
    files.stats("young", [0.05] * 5 + [0.04] * 5)
    files.state("young", 1.0)
    with Daemon(files.root) as daemon:
        daemon.wait_for("config.accepted")
        content = config(files.root)
        assert content["weights"].get("young", 0) == 0
        assert "10" in content["excluded"]["young"]
        assert positions(files.root) == {}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
def test_fault_32_an_optimizer_that_fails_leaves_the_weights_in_force(
    files: Files, body: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """It says why; the file keeps its bytes; the reconciler goes on; no half-written file is left."""
    files.settings(f'[optimizer]\nallocator = "broken"\n\n{flat_market(files)}')
    path = files.portfolio({"one": 0.5})
    before = path.read_bytes()
    files.state("one", 1.0)
    environment = plug_in(tmp_path_factory.mktemp("package"), body)
    with Daemon(files.root, environment=environment) as daemon:
        until_positions(files.root, BTC="0.100")
        files.stats("one", noisy_returns(1, drift=0.003))
        refused = daemon.wait_for("weights.refused")
        assert refused["kept"] == "the weights in force stay"
        until(lambda: any(row["where"] == "optimizer" for row in daemon.status()["problems"]))
        files.state("one", 2.0)
        until_positions(files.root, BTC="0.200")
        assert path.read_bytes() == before
        assert os.listdir(path.parent) == ["portfoliod.toml", path.name] or set(os.listdir(path.parent)) == {
            "portfoliod.toml",
            path.name,
        }
        assert daemon.terminate() == 0


FULL = """
import errno
import os

fsync = os.fsync


def full(descriptor):
    if "portfolio_config" in os.readlink(f"/proc/self/fd/{descriptor}"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return fsync(descriptor)


os.fsync = full
"""


def test_fault_32_weights_that_cannot_be_written_leave_the_old_file_whole(
    files: Files, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The disk is full when the new file is flushed: nothing of it is left, and the old one is in force."""
    files.settings(flat_market(files))
    path = files.portfolio({"one": 0.5})
    before = path.read_bytes()
    files.state("one", 1.0)
    site = tmp_path_factory.mktemp("site")
    replace(site / "sitecustomize.py", FULL)
    with Daemon(files.root, environment={"PYTHONPATH": str(site)}) as daemon:
        until_positions(files.root, BTC="0.100")
        files.stats("one", noisy_returns(1, drift=0.003))
        refused = daemon.wait_for("weights.refused")
        assert "No space left" in refused["found"]
        assert path.read_bytes() == before
        assert set(os.listdir(path.parent)) == {"portfoliod.toml", path.name}
        files.state("one", 2.0)
        until_positions(files.root, BTC="0.200")


@pytest.mark.parametrize("body", ["import no_such_library", "raise SystemExit(3)"], ids=["import", "exit"])
def test_fault_32_an_allocator_that_cannot_be_loaded_is_a_refused_optimization(
    files: Files, body: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The daemon goes on trading by the weights in force, and `check` says it before the daemon is started."""
    files.settings(f'[optimizer]\nallocator = "broken"\n\n{flat_market(files)}')
    path = files.portfolio({"one": 0.5})
    before = path.read_bytes()
    files.stats("one", noisy_returns(1, drift=0.003))
    files.state("one", 1.0)
    environment = plug_in(tmp_path_factory.mktemp("package"), "return None")
    replace(Path(environment["PYTHONPATH"]) / "broken_allocator.py", f"{body}\n")
    checked = run_command(files.root, "check", environment=environment)
    assert checked.returncode == 1
    assert 'the allocator "broken" cannot be loaded' in checked.stdout
    with Daemon(files.root, environment=environment) as daemon:
        refused = daemon.wait_for("weights.refused")
        assert "cannot be loaded" in refused["reason"]
        until_positions(files.root, BTC="0.100")
        files.state("one", 2.0)
        until_positions(files.root, BTC="0.200")
        assert path.read_bytes() == before
        assert daemon.terminate() == 0
    assert run_command(files.root, "run", "--once", environment=environment).returncode == 0


FULL_FOR_A_WHILE = FULL.replace('if "portfolio_config"', 'if os.path.exists(os.environ["FULL"]) and "portfolio_config"')


def test_fault_32_weights_that_could_not_be_written_are_written_once_they_can_be(
    files: Files, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """No file changes meanwhile: the disk alone decides. It is said once, and weights.optimized only of what is so."""
    files.settings(flat_market(files))
    files.portfolio({"one": 0.5})
    site = tmp_path_factory.mktemp("site")
    replace(site / "sitecustomize.py", FULL_FOR_A_WHILE)
    full = site / "full"
    full.touch()
    environment = {"PYTHONPATH": str(site), "FULL": str(full)}
    with Daemon(files.root, environment=environment) as daemon:
        files.stats("one", noisy_returns(1, drift=0.003))
        daemon.wait_for("weights.refused")
        until(lambda: [row for row in daemon.status()["problems"] if row["where"] == "optimizer"])
        assert daemon.named("weights.optimized") == []
        full.unlink()
        daemon.wait_for("config.written")
        until(lambda: config(files.root)["weights"] == {"one": 1.0})
        until(lambda: daemon.status()["problems"] == [])
        assert len(daemon.named("weights.optimized")) == len(daemon.named("weights.refused")) == 1
