"""A strategy writes into its own folder, whatever lies there and whoever runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from portfoliod import sdk
from portfoliod.errors import FileRejected

STRATEGY = """
import numpy as np
from portfoliod import sdk

strategy = sdk.Strategy(symbol="BTCUSDT", position=lambda candles: np.ones(len(candles)))

if __name__ == "__main__":
    strategy.publish_state({"BTCUSDT": 1.0}, at=0.0)
"""
BORROWER = """
from pathlib import Path
from portfoliod import sdk

sdk.load(Path(__file__).parent.parent / "other" / "strategy.py").publish_state({"BTCUSDT": 9.0}, at=0.0)
"""
PRECIOUS = '{"position": 0.5, "symbol": "BTCUSDT"}'


@pytest.fixture
def strategies(tmp_path: Path) -> Path:
    """Two strategies, `mine` and `other`; the other one has a state."""
    for name in ("mine", "other"):
        (tmp_path / "strategies" / name).mkdir(parents=True)
        (tmp_path / "strategies" / name / "strategy.py").write_text(STRATEGY)
    (tmp_path / "strategies/other/state.json").write_text(PRECIOUS)
    return tmp_path / "strategies"


def publish(path: Path) -> None:
    """Let the strategy of a file publish a state."""
    sdk.load(path).publish_state({"BTCUSDT": 1.0}, at=0.0)


def as_absolute_link(mine: Path) -> None:
    """state.json is a link to the other one's."""
    (mine / "state.json").symlink_to(mine.parent / "other/state.json")


def as_relative_link(mine: Path) -> None:
    """state.json is a link to the other one's, by `..`."""
    (mine / "state.json").symlink_to("../other/state.json")


def as_dangling_link(mine: Path) -> None:
    """state.json is a link to a file that the other one does not have yet."""
    (mine / "state.json").symlink_to("../other/stats.json")


def as_looping_link(mine: Path) -> None:
    """state.json is a link to itself."""
    (mine / "state.json").symlink_to("state.json")


def as_folder_link(mine: Path) -> None:
    """The whole folder is a link to the other one's."""
    (mine / "strategy.py").unlink()
    mine.rmdir()
    mine.symlink_to("other")


@pytest.mark.parametrize("lay", [as_absolute_link, as_relative_link, as_dangling_link, as_looping_link, as_folder_link])
def test_a_link_into_the_folder_of_another_strategy_is_refused(strategies: Path, lay: Callable[[Path], None]) -> None:
    """Nothing is written anywhere, and the error says what to do."""
    lay(strategies / "mine")
    with pytest.raises(FileRejected, match="own folder only") as caught:
        publish(strategies / "mine" / "strategy.py")
    assert caught.value.mend
    assert caught.value.found
    assert sorted(path.name for path in (strategies / "other").glob("*.*")) == ["state.json", "strategy.py"]
    assert (strategies / "other/state.json").read_text() == PRECIOUS


def test_a_hard_link_to_the_state_of_another_strategy_is_replaced(strategies: Path) -> None:
    """The file gets a new inode: what the other name leads to stays as it was."""
    os.link(strategies / "other/state.json", strategies / "mine/state.json")
    publish(strategies / "mine/strategy.py")
    assert (strategies / "other/state.json").read_text() == PRECIOUS
    assert '"position": 1.0' in (strategies / "mine/state.json").read_text()


def test_a_file_under_the_name_of_a_temporary_one_is_left_alone(strategies: Path) -> None:
    """Temporary names are made up and opened exclusively: a link that waits there is never followed."""
    for suffix in ("", f".{os.getpid()}", ".0"):
        (strategies / f"mine/.state.json{suffix}.tmp").symlink_to("../other/state.json")
    publish(strategies / "mine/strategy.py")
    assert (strategies / "other/state.json").read_text() == PRECIOUS


def test_a_shared_strategy_file_writes_beside_the_name_that_it_was_run_by(strategies: Path) -> None:
    """strategy.py may be a link to another one's code: the folder is still its own."""
    (strategies / "mine/strategy.py").unlink()
    (strategies / "mine/strategy.py").symlink_to("../other/strategy.py")
    subprocess.run([sys.executable, "mine/strategy.py"], cwd=strategies, check=True, timeout=60)
    assert (strategies / "mine/state.json").is_file()
    assert (strategies / "other/state.json").read_text() == PRECIOUS


@pytest.mark.parametrize("spelled", ["mine/strategy.py", "other/../mine/strategy.py", "../strategies/mine/strategy.py"])
def test_a_strategy_that_runs_another_one_cannot_publish_for_it(strategies: Path, spelled: str) -> None:
    """Loading the other one's file and publishing through it is refused, however the program was started."""
    (strategies / "mine/strategy.py").write_text(BORROWER)
    done = subprocess.run(
        [sys.executable, spelled], cwd=strategies, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode != 0
    assert "own folder only" in done.stderr
    assert (strategies / "other/state.json").read_text() == PRECIOUS


def test_a_program_that_is_no_strategy_may_run_all_of_them(strategies: Path) -> None:
    """A runner beside the strategies, or in a folder that is none, publishes for each into its own folder."""
    runner = strategies / "_tools" / "run.py"
    runner.parent.mkdir()
    runner.write_text(BORROWER)
    subprocess.run([sys.executable, str(runner)], check=True, timeout=60)
    assert '"position": 9.0' in (strategies / "other/state.json").read_text()


LIBRARY = """
import numpy as np
from portfoliod import sdk

def make():
    return sdk.Strategy(symbol="BTCUSDT", position=lambda candles: np.ones(len(candles)))
"""
USER = """
from signals import make

strategy = make()

if __name__ == "__main__":
    strategy.publish_state({"BTCUSDT": 1.0}, at=0.0)
"""
BUILDER = """
from portfoliod import sdk

strategy = sdk.Strategy(symbol="BTCUSDT", position=lambda candles: candles.close * 0.0, folder="{folder}")
strategy.publish_state({{"BTCUSDT": 1.0}}, at=0.0)
"""


def run(program: Path, library: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a script, with a folder of modules at hand."""
    environment = {**os.environ, "PYTHONPATH": "" if library is None else str(library)}
    command = [sys.executable, str(program)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("name", ["strategy.py", "other_name.py"])
def test_a_strategy_that_a_library_builds_writes_beside_the_script_that_runs(strategies: Path, name: str) -> None:
    """Also where the library lies among the strategies; never into the library's folder."""
    for library in (strategies.parent / "lib", strategies / "other"):
        library.mkdir(exist_ok=True)
        (library / "signals.py").write_text(LIBRARY)
        (strategies / "mine" / name).write_text(USER)
        done = run(strategies / "mine" / name, library)
        assert done.returncode == 0, done.stderr
        assert (strategies / "mine/state.json").is_file()
        (strategies / "mine/state.json").unlink()
        assert not (library / "state.json").exists() or (library / "state.json").read_text() == PRECIOUS


def test_a_strategy_that_a_library_builds_is_loaded_for_its_own_file(strategies: Path) -> None:
    """Whatever runs: the file that is given to `load` says where."""
    (strategies.parent / "signals.py").write_text(LIBRARY)
    (strategies / "mine/strategy.py").write_text(
        f"import sys\nsys.path.insert(0, {str(strategies.parent)!r})\n{USER}\nsys.path.pop(0)\n"
    )
    assert sdk.load(strategies / "mine/strategy.py").path == strategies / "mine/strategy.py"
    assert sdk.load(strategies / "other/strategy.py").name == "other"


def test_a_strategy_that_imports_another_ones_writes_nothing_for_it(strategies: Path) -> None:
    """What was imported is published into the folder of the script that runs, if at all."""
    (strategies / "other/borrowed.py").write_text(STRATEGY)
    (strategies / "mine/strategy.py").write_text(USER.replace("signals import make", "borrowed import strategy as it"))
    text = (strategies / "mine/strategy.py").read_text().replace("make()", "it")
    (strategies / "mine/strategy.py").write_text(text)
    done = run(strategies / "mine/strategy.py", strategies / "other")
    assert done.returncode == 0, done.stderr
    assert (strategies / "mine/state.json").is_file()
    assert (strategies / "other/state.json").read_text() == PRECIOUS


def test_a_folder_can_be_given_and_another_ones_cannot(strategies: Path) -> None:
    """From a notebook, or from a runner that builds many; a strategy that runs has its own."""
    runner = strategies.parent / "all.py"
    runner.write_text(BUILDER.format(folder=strategies / "mine"))
    assert run(runner).returncode == 0
    assert (strategies / "mine/state.json").is_file()
    (strategies / "mine/strategy.py").write_text(BUILDER.format(folder=strategies / "other"))
    done = run(strategies / "mine/strategy.py")
    assert done.returncode != 0
    assert "own folder only" in done.stderr
    assert (strategies / "other/state.json").read_text() == PRECIOUS


NOTEBOOK = f"""{LIBRARY}
from portfoliod.prices.simulated import SimulatedPrices

strategy = make()
candles = {{"BTCUSDT": SimulatedPrices(1).candles("BTC", "USDT", 3600, 0, 86400 * 30)}}
print(len(sdk.backtest(strategy.positions(candles), candles)))
"""


@pytest.mark.parametrize("way", ["-c", "-", "runner"])
def test_without_a_script_of_a_strategy_all_but_publishing_works(tmp_path: Path, way: str) -> None:
    """A notebook, a prompt and a runner have no strategy's folder: nothing is written at a guess."""
    code = f"{NOTEBOOK}strategy.publish_state({{'BTCUSDT': 1.0}}, at=0.0)\n"
    (tmp_path / "runner.py").write_text(code)
    arguments = {"-c": ["-c", code], "-": ["-"], "runner": ["runner.py"]}[way]
    done = subprocess.run(
        [sys.executable, *arguments], input=code, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout.strip() == "30", done.stderr
    assert "no folder to publish into" in done.stderr
    assert "folder=" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["runner.py"]


def test_the_command_line_of_a_strategy_without_a_folder_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """This process runs no strategy.py."""
    strategy = sdk.Strategy(symbol="BTCUSDT", position=lambda candles: candles.close)
    with pytest.raises(SystemExit) as caught:
        strategy.run(["--source", "simulated"])
    assert caught.value.code == 2
    assert "folder=" in capsys.readouterr().err


def environments(root: Path) -> list[Mapping[str, str]]:
    """Return surroundings that name another workspace or folder."""
    return [{"PORTFOLIOD_ROOT": str(root)}, {"STRATEGY": "other"}, {"PWD": str(root / "strategies/other")}]


@pytest.mark.parametrize("number", range(3))
def test_no_variable_moves_what_a_strategy_writes(strategies: Path, number: int) -> None:
    """The folder is that of its file, whatever the environment names."""
    environment = {**os.environ, **environments(strategies.parent)[number]}
    done = subprocess.run(
        [sys.executable, "../mine/strategy.py"], cwd=strategies / "other", env=environment, check=False, timeout=60
    )
    assert done.returncode == 0
    assert (strategies / "mine/state.json").is_file()
    assert (strategies / "other/state.json").read_text() == PRECIOUS


def test_where_a_strategy_lies_cannot_be_set(strategies: Path) -> None:
    """Neither its path nor its name is a setting."""
    strategy = sdk.load(strategies / "mine/strategy.py")
    for name, value in (("path", strategies / "other/strategy.py"), ("name", "other")):
        with pytest.raises(AttributeError):
            setattr(strategy, name, value)


@pytest.mark.parametrize("name", ["..", "../other", "/tmp/x", "a/b", ".hidden", "_tools", "", "a\nb", "x" * 65])
def test_a_new_strategy_gets_no_folder_outside(tmp_path: Path, name: str) -> None:
    """`portfoliod new` takes a name, never a path."""
    from portfoliod.commands.new import create_strategy
    from portfoliod.errors import UsageError
    from portfoliod.workspace import Workspace

    workspace = Workspace(tmp_path)
    workspace.create()
    with pytest.raises(UsageError, match="not a strategy's name"):
        create_strategy(workspace, name)
    assert list(workspace.strategies.iterdir()) == []
