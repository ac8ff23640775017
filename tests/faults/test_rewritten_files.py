"""Good files as they really arrive: in pieces, again and again, in other words, beside a daemon that was down."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.file_world import COIN, OTHER_COIN, FileWorld, market, targets, until
from tests.harness.workspace import noisy_returns, replace, write_in_place


def test_the_same_content_again_is_no_event(world: FileWorld) -> None:
    """Rewriting, touching and replacing a file by the same content decides nothing and says nothing."""
    since = world.daemon.mark()
    paths = (world.folder("one") / "state.json", world.portfolio_file)
    for path in paths:
        content = path.read_bytes()
        for _ in range(20):
            replace(path, content)
            write_in_place(path, content)
            path.touch()
    world.trade_other()
    events = world.daemon.events[since:]
    assert [event for event in events if event.get("strategy") == "one"] == []
    assert {event["symbol"] for event in events if event["event"] == "target.decided"} == {market(OTHER_COIN)}
    assert not [event for event in events if event["event"].startswith("config.")]


@pytest.mark.slow
def test_the_same_position_in_other_words_trades_nothing(world: FileWorld) -> None:
    """Other blanks, another order of keys, another form of the number: no new target."""
    since, before = world.daemon.mark(), world.held()
    for text in (
        '{"symbol":"BTCUSDT","position":1}',
        '{\n  "position": 1.00,\n  "symbol": "BTC/USDT:USDT"\n}',
        '{"positions": {"BTC-USDT": 1e0}, "extra": [1, 2, 3]}',
    ):
        replace(world.folder("one") / "state.json", text)
        world.trade_other()
    decided = {
        event["symbol"] for event in world.daemon.named("target.decided") if event in world.daemon.events[since:]
    }
    assert decided == {market(OTHER_COIN)}
    assert world.held() == before


def write_in_pieces(path: Path, content: bytes, size: int) -> None:
    """Overwrite a file the worst way: truncate it, then write a few bytes at a time, each flushed to the disk."""
    with path.open("wb", buffering=0) as file:
        for start in range(0, len(content), size):
            file.write(content[start : start + size])
            os.fsync(file.fileno())


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 7])
def test_fault_35_a_file_written_in_pieces_is_read_once_it_is_whole(world: FileWorld, size: int) -> None:
    """While somebody writes nothing is rejected and nothing changes; the whole content is taken in once."""
    since = world.daemon.mark()
    write_in_pieces(world.folder("one") / "state.json", b'{"position": 2.5, "symbol": "BTCUSDT"}', size)
    world.daemon.wait_for("order.filled", since=since, symbol=market(COIN))
    world.trade_other()
    events = [event for event in world.daemon.events[since:] if event.get("strategy") == "one"]
    assert [event["event"] for event in events] == ["state.accepted"]
    decided = [event["symbol"] for event in world.daemon.events[since:] if event["event"] == "target.decided"]
    assert decided.count(market(COIN)) == 1


@pytest.mark.slow
def test_fault_35_a_restart_beside_corrupt_files_changes_nothing(open_world: Callable[..., FileWorld]) -> None:
    """Kill -9, every file corrupt, start: the same targets and positions, each file shown, and mended goes on."""
    world = open_world()
    world.files.stats("one", noisy_returns(1))
    world.start({"one": (1.0, COIN)}, weight=0.5)
    world.trade_other()
    before = world.held(), targets(world)
    world.daemon.kill()
    files = [*(world.folder("one") / name for name in ("state.json", "stats.json")), world.portfolio_file]
    good = {path: path.read_bytes() for path in files}
    for path, content in good.items():
        path.write_bytes(content[: len(content) // 2])
    world.restart()
    for kind in ("state", "stats", "config"):
        world.daemon.wait_for(f"{kind}.rejected")
    until(lambda: len(world.problems("")) == 3, "all three are shown")
    world.trade_other()
    assert (world.held(), targets(world)) == before
    for path, content in good.items():
        replace(path, content)
    world.wait_until_fine()
    world.trade_other()
    assert (world.held(), targets(world)) == before
    sent = {event["symbol"] for event in world.daemon.named("order.sent")}
    assert sent == {market(OTHER_COIN)}


@pytest.mark.slow
def test_fault_37_a_restart_beside_missing_files_changes_nothing(world: FileWorld) -> None:
    """Files and folders that vanish while the daemon is down are as frozen as those that vanish while it runs."""
    before = world.held()
    world.daemon.kill()
    shutil.rmtree(world.folder("one"))
    world.portfolio_file.unlink()
    world.restart().wait_for("strategy.removed", strategy="one")
    world.trade_other()
    assert world.held() == before
    world.wait_until_shown("strategies/one")
    world.wait_until_shown("config/portfolio_config.json")
