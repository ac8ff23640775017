"""Strategies' folders that go, come back, arrive in every way, and are not what they seem."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.file_world import COIN, COINS, OTHER, FileWorld, market, until
from tests.harness.workspace import Files


@pytest.mark.slow
def test_fault_37_a_state_file_that_disappears_freezes_its_strategy(world: FileWorld) -> None:
    """The position stays, one warning names the file and both ways out, and the file's return goes on from there."""
    before, since = world.held(), world.daemon.mark()
    (world.folder("one") / "state.json").rename(world.root / "away.json")
    problem = world.wait_until_shown("strategies/one")
    assert "retire one" in problem["mend"]
    world.trade_other()
    assert world.held() == before
    world.files.state("one", 2.0)
    world.daemon.wait_for("order.filled", since=since, symbol=market(COIN))
    world.wait_until_fine()
    told = [event for event in world.daemon.events[since:] if event["level"] in {"warning", "error"}]
    assert len(told) == 1, told


@pytest.mark.slow
def test_fault_37_a_folder_that_disappears_freezes_its_strategy(world: FileWorld) -> None:
    """strategy.removed once, shown in status, the position kept; the folder's return goes on from there."""
    before, since = world.held(), world.daemon.mark()
    shutil.rmtree(world.folder("one"))
    removed = world.daemon.wait_for("strategy.removed", since=since, strategy="one")
    assert removed["level"] == "warning"
    assert "retire one" in removed["mend"]
    assert "retire one" in world.wait_until_shown("strategies/one")["mend"]
    world.trade_other()
    assert world.held() == before
    world.files.state("one", -1.0)
    world.daemon.wait_for("order.filled", since=since, symbol=market(COIN), side="sell")
    world.wait_until_fine()
    told = [event for event in world.daemon.events[since:] if event["level"] in {"warning", "error"}]
    assert told == [removed]


def test_fault_37_a_renamed_folder_freezes_the_old_name_and_gives_the_new_one_nothing(world: FileWorld) -> None:
    """The old name keeps what it held, the new one has no weight; renamed back, it goes on."""
    before, since = world.held(), world.daemon.mark()
    world.folder("one").rename(world.folder("uno"))
    world.daemon.wait_for("strategy.removed", since=since, strategy="one")
    world.daemon.wait_for("strategy.added", since=since, strategy="uno")
    world.trade_other()
    assert world.held() == before
    world.folder("uno").rename(world.folder("one"))
    world.daemon.wait_for("strategy.removed", since=since, strategy="uno")
    world.files.state("one", 2.0)
    world.daemon.wait_for("order.filled", since=since, symbol=market(COIN))


def make_new(source: Path, target: Path) -> None:
    """A strategy that makes its folder and writes."""
    target.mkdir()
    (target / "state.json").write_bytes((source / "state.json").read_bytes())


def move(source: Path, target: Path) -> None:
    """`mv`."""
    source.rename(target)


def copy(source: Path, target: Path) -> None:
    """`cp -r`."""
    subprocess.run(["cp", "-r", str(source), str(target)], check=True)


def link(source: Path, target: Path) -> None:
    """`ln -s`."""
    target.symlink_to(source)


def like_rsync(source: Path, target: Path) -> None:
    """A temporary name in the new folder, then a rename, as rsync does it."""
    target.mkdir()
    shutil.copytree(source, target, dirs_exist_ok=True, copy_function=_through_a_temporary_name)


def _through_a_temporary_name(source: str, target: str) -> None:
    temporary = Path(target).with_name(f".{Path(target).name}.Xq3fT1")
    temporary.write_bytes(Path(source).read_bytes())
    temporary.rename(target)


def from_git(source: Path, target: Path) -> None:
    """`git checkout` of a branch that has it."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    repository = source.parent / "repository"
    repository.mkdir()
    git = [
        "git",
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@t",
        f"--git-dir={repository}",
        f"--work-tree={source.parent}",
    ]

    def run(*arguments: str) -> None:
        subprocess.run([*git, *arguments], check=True, capture_output=True, cwd=source.parent)

    source.rename(source.parent / target.name)
    run("init", "--quiet")
    run("add", target.name)
    run("commit", "--quiet", "--message", "a strategy")
    git[-1] = f"--work-tree={target.parent}"
    run("checkout", "--force", "HEAD", "--", target.name)


ARRIVALS = {"new": make_new, "mv": move, "cp": copy, "link": link, "rsync": like_rsync, "git": from_git}


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FileWorld]:
    """A running world in which every strategy that will arrive has a weight."""
    world = FileWorld(tmp_path_factory.mktemp("crowd"))
    world.weights |= dict.fromkeys(ARRIVALS, 0.05)
    world.start({"one": (1.0, COIN)}, weight=0.2)
    yield world
    world.daemon.kill()


@pytest.mark.slow
@pytest.mark.parametrize("way", ARRIVALS)
def test_a_folder_is_picked_up_however_it_arrives(crowd: FileWorld, tmp_path: Path, way: str) -> None:
    """A strategy with a weight is traded as soon as its folder is there, and follows its file from then on."""
    world, coin = crowd, COINS[list(ARRIVALS).index(way) + 1]
    source = tmp_path / "strategies" / way
    Files(tmp_path).state(way, 0.5, f"{coin}USDT")
    since = world.daemon.mark()
    ARRIVALS[way](source, world.folder(way))
    world.daemon.wait_for("strategy.added", since=since, strategy=way)
    world.daemon.wait_for("order.filled", since=since, symbol=market(coin))
    since = world.daemon.mark()
    world.files.state(way, 1.0, f"{coin}USDT")
    world.daemon.wait_for("order.filled", since=since, symbol=market(coin))
    assert world.daemon.named("state.rejected", strategy=way) == []


@pytest.mark.slow
def test_folders_that_are_not_strategies_are_left_alone(world: FileWorld) -> None:
    """Hidden ones and `_` ones in silence, a misnamed one with one warning until it is renamed, files never."""
    since = world.daemon.mark()
    for name in (".hidden", "_shared", "__pycache__", "no good name"):
        world.files.state(name, 1.0, "ETHUSDT")
    (world.root / "strategies/state.json").write_text('{"position": 1, "symbol": "ETHUSDT"}')
    world.wait_for_a_scan()
    world.files.state("no good name", 2.0, "ETHUSDT")
    world.wait_for_a_scan()
    world.trade_other()
    events = world.daemon.events[since:]
    assert [event["where"] for event in events if event["event"] == "strategy.rejected"] == ["strategies/no good name"]
    assert not [event for event in events if event["event"] == "strategy.added"]
    assert set(world.daemon.status()["strategies"]) == {"one", OTHER, "linked"}
    assert "rename" in world.wait_until_shown("strategies/no good name")["mend"]
    world.folder("no good name").rename(world.folder("a-good-name"))
    world.daemon.wait_for("strategy.added", since=since, strategy="a-good-name")
    world.wait_until_fine()


@pytest.mark.slow
def test_a_name_that_is_no_text_blinds_nobody(world: FileWorld) -> None:
    """A folder whose name is not UTF-8 is reported, and what changes afterwards is found all the same."""
    since = world.daemon.mark()
    os.mkdir(os.fsencode(world.root / "strategies") + b"/caf\xe9")
    world.daemon.wait_for("strategy.rejected", since=since)
    world.files.state("one", 2.0)
    world.daemon.wait_for("order.filled", since=since, symbol=market(COIN))


def test_a_strategy_with_two_problems_shows_both_until_each_is_over(world: FileWorld) -> None:
    """Its folder is gone and its market is unknown: neither hides the other, whoever looks last."""
    gone = "the folder disappeared"

    def shown() -> set[str]:
        return {problem["what"] for problem in world.problems("")}

    world.weights["typo"] = 0.0
    world.mend_portfolio()
    world.files.state("typo", 1.0, "NOSUCHUSDT")
    until(lambda: len(shown()) == 1, "an unknown market is not shown")
    assert "market" in world.daemon.status()["strategies"]["typo"]["problem"]
    (unknown,) = shown()
    shutil.rmtree(world.folder("typo"))
    world.daemon.wait_for("strategy.removed", strategy="typo")
    until(lambda: shown() == {gone, unknown}, f"not both are shown: {shown()}")
    world.trade_other()
    world.wait_for_a_scan()
    assert shown() == {gone, unknown}
    assert gone in world.daemon.status()["strategies"]["typo"]["problem"]
    assert unknown in world.daemon.status()["strategies"]["typo"]["problem"]
    world.files.state("typo", 0.5, "NOSUCHUSDT")
    until(lambda: shown() == {unknown}, "the folder that is back is still shown as gone")
    world.files.state("typo", 0.0, "BTCUSDT")
    world.wait_until_fine()


@pytest.mark.slow
def test_a_start_beside_folders_that_cannot_be_read_trades_by_the_last_good_content(world: FileWorld) -> None:
    """As on a network disk that is not there: it is shown until it is over, and then the files are followed again."""
    world.daemon.kill()
    folder, away = world.root / "strategies", world.root / "away"
    folder.rename(away)
    folder.touch()
    daemon = world.restart()
    daemon.wait_for("watch.failed", level="error")
    assert world.wait_until_shown("strategies")["found"] == "Not a directory"
    world.weights["one"] = 0.25
    world.mend_portfolio()
    daemon.wait_for("order.filled", symbol=market(COIN), side="sell")
    assert daemon.named("strategy.removed") == []
    folder.unlink()
    away.rename(folder)
    world.wait_until_fine()
    world.files.state("one", 2.0)
    daemon.wait_for("order.filled", symbol=market(COIN), side="buy")
