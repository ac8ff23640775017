"""A portfolio_config.json that does not fit: the last good weights and leverage stay in force."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from tests.faults.bad_contents import BAD_PORTFOLIOS, Bad, settings_with
from tests.faults.file_world import COIN, FileWorld, until
from tests.harness.workspace import noisy_returns, replace, write_in_place


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FileWorld]:
    """A running world for scenarios that leave it as they found it."""
    world = FileWorld(tmp_path_factory.mktemp("shared"))
    world.start({"one": (1.0, COIN)}, weight=0.2)
    yield world
    world.daemon.kill()


@pytest.fixture
def alive(shared: FileWorld) -> FileWorld:
    """The shared world, put right again where a scenario before left it otherwise."""
    if shared.daemon.process.poll() is not None:
        shared.mend_portfolio()
        shared.restart().wait_for("venue.connected")
        shared.trade_other()
    elif shared.problems("config/"):
        shared.mend_portfolio()
        shared.wait_until_fine("config/")
    return shared


@pytest.mark.slow
@pytest.mark.parametrize("bad", BAD_PORTFOLIOS, ids=[bad.name for bad in BAD_PORTFOLIOS])
def test_fault_38_a_bad_portfolio_is_told_once_and_changes_nothing(alive: FileWorld, bad: Bad) -> None:
    """The last good weights and leverage stay in force until the file is mended, and are traded with."""
    world, before, since = alive, alive.held(), alive.daemon.mark()
    bad.put(world.portfolio_file)
    told = world.daemon.wait_for("config.rejected", since=since)
    world.trade_other()
    world.mend_portfolio()
    world.daemon.wait_for("config.accepted", since=since)
    world.trade_other()
    assert bad.told_well(told, "config/portfolio_config.json", "leverage 1"), told
    assert [event["event"] for event in world.daemon.events[since:]].count("config.rejected") == 1
    assert world.held() == before


@pytest.mark.slow
def test_fault_38_a_bad_portfolio_is_shown_until_it_is_mended(world: FileWorld) -> None:
    """status.json names it with the weights that stay in force, and forgets it once the file is as it was."""
    good = world.portfolio_file.read_bytes()
    replace(world.portfolio_file, settings_with(leverage="2"))
    problem = world.wait_until_shown("config/portfolio_config.json")
    assert problem["where"].endswith("$.leverage")
    assert "1" in problem["kept"]
    replace(world.portfolio_file, good)
    world.wait_until_fine()


@pytest.mark.parametrize("missing", ["weights", "leverage"])
def test_fault_35_a_portfolio_that_lost_a_key_is_not_flat(world: FileWorld, missing: str) -> None:
    """Missing never means flat: without weights or leverage those in force stay."""
    before, since = world.held(), world.daemon.mark()
    keys = json.loads(world.portfolio())
    del keys[missing]
    replace(world.portfolio_file, json.dumps(keys))
    told = ("config.accepted", "config.rejected")
    until(lambda: any(event["event"] in told for event in world.daemon.events[since:]), "nothing came of it")
    world.trade_other()
    assert world.held() == before


@pytest.mark.slow
def test_the_optimizer_never_overwrites_a_portfolio_that_does_not_fit(open_world: Callable[..., FileWorld]) -> None:
    """New stats beside a bad portfolio_config.json leave it byte for byte; mended, the weights are written."""
    world = open_world(apply="auto")
    world.start({"one": (1.0, COIN)})
    world.files.stats("one", noisy_returns(1))
    world.daemon.wait_for("config.written")
    good = world.portfolio_file.read_bytes()
    for bad in (good.replace(b"leverage", b"leverage\0"), good[:-20], settings_with(weights={"one": -1})):
        since = world.daemon.mark()
        replace(world.portfolio_file, bad)
        world.daemon.wait_for("config.rejected", since=since)
        world.files.stats("one", noisy_returns(since))
        world.daemon.wait_for("weights.refused", since=since)
        assert world.portfolio_file.read_bytes() == bad
    since = world.daemon.mark()
    replace(world.portfolio_file, good)
    world.daemon.wait_for("config.written", since=since)


@pytest.mark.slow
def test_fault_35_the_optimizer_never_overwrites_a_portfolio_that_is_being_written(
    open_world: Callable[..., FileWorld],
) -> None:
    """A file that is not whole yet is not overwritten either, though nobody called it bad so far."""
    world = open_world(apply="auto")
    world.start({"one": (1.0, COIN)})
    world.files.stats("one", noisy_returns(1))
    world.daemon.wait_for("config.written")
    since = world.daemon.mark()
    half = world.portfolio_file.read_bytes()[:-20]
    write_in_place(world.portfolio_file, half)
    world.files.stats("one", noisy_returns(2))
    world.daemon.wait_for("stats.accepted", since=since)
    world.daemon.wait_for("config.rejected", since=since)
    assert world.portfolio_file.read_bytes() == half


def test_a_day_in_the_future_takes_no_weight_from_the_others(open_world: Callable[..., FileWorld]) -> None:
    """One strategy's wrong clock must not make all others look stale: their weights stay."""
    world = open_world(apply="auto")
    for name in ("one", "two"):
        world.files.stats(name, noisy_returns(len(name) + ord(name[0]), drift=0.002))
    world.start({"one": (1.0, COIN), "two": (1.0, "ETH")})
    world.daemon.wait_for("config.written")
    before, since = json.loads(world.portfolio_file.read_bytes())["weights"], world.daemon.mark()
    assert before["one"] > 0
    world.files.stats("two", noisy_returns(9, drift=0.002), last_day="2999-12-31")
    told = ("stats.rejected", "config.written", "weights.refused", "weights.kept")
    until(lambda: any(event["event"] in told for event in world.daemon.events[since:]), "nothing came of it")
    assert json.loads(world.portfolio_file.read_bytes())["weights"]["one"] > 0
