"""States and stats that do not fit: the last good ones stay in force, and each is told once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.faults.bad_contents import BAD_STATES, BAD_STATS, Bad
from tests.faults.file_world import COINS, OTHER_COIN, FileWorld, market, until
from tests.harness.workspace import noisy_returns, replace


@dataclass
class Episode:
    """What happened around a bad file of a strategy."""

    rejected: list[dict[str, Any]] = field(default_factory=list)
    shown: list[dict[str, str]] = field(default_factory=list)
    shown_after: list[dict[str, str]] = field(default_factory=list)


@dataclass
class Episodes:
    """All strategies' files went bad at once, and were mended."""

    of: dict[str, Episode]
    held: list[dict[str, str]]
    """Before, while the files were bad, and after they were mended."""
    events: list[dict[str, Any]]


def case_files(root: Path) -> dict[str, tuple[Bad, Path]]:
    """Return each bad content with the file of its own in which it is put, by the name of the strategy."""
    cases = {}
    for kind, contents in (("state", BAD_STATES), ("stats", BAD_STATS)):
        for number, bad in enumerate(contents):
            name = f"{kind}{number}"
            cases[name] = (bad, root / "strategies" / name / f"{kind}.json")
    return cases


@pytest.fixture(scope="module")
def episodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Episodes]:
    """One daemon, and a strategy with a position for each content that does not fit."""
    world = FileWorld(tmp_path_factory.mktemp("bad"))
    cases = case_files(world.root)
    for name in cases:
        world.files.stats(name, noisy_returns(1, days=40))
    daemon = world.start({name: (0.5, COINS[number % len(COINS)]) for number, name in enumerate(cases)})
    with daemon:
        until(lambda: len(world.held()) == len(COINS), "not all were traded")
        world.trade_other()
        found = Episodes({name: Episode() for name in cases}, [world.held()], [])
        since = daemon.mark()
        good = {path: path.read_bytes() for _, path in cases.values()}
        for bad, path in cases.values():
            bad.put(path)
        for name, (_, path) in cases.items():
            daemon.wait_for(f"{path.stem}.rejected", since=since, strategy=name)
        world.trade_other()
        world.wait_for_a_scan()
        world.trade_other()
        until(lambda: len(world.problems("strategies/")) >= len(cases), "not all is shown")
        for name in cases:
            found.of[name].shown = world.problems(f"strategies/{name}/")
        found.held.append(world.held())
        for path, content in good.items():
            if path.is_dir():
                path.rmdir()
            replace(path, content)
        world.wait_until_fine()
        world.trade_other()
        for name in cases:
            found.of[name].rejected = daemon.named("state.rejected", strategy=name)
            found.of[name].rejected += daemon.named("stats.rejected", strategy=name)
            found.of[name].shown_after = world.problems(f"strategies/{name}/")
        found.held.append(world.held())
        found.events = daemon.events[since:]
        yield found


CASES = {name: bad for name, (bad, _) in case_files(Path()).items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES, ids=[f"{name}: {bad.name}" for name, bad in CASES.items()])
def test_fault_38_a_bad_file_is_told_once_and_shown_until_it_is_mended(episodes: Episodes, name: str) -> None:
    """One event, scans included, with file, place, what was found, what is kept and the mend; the same in status."""
    bad, episode = CASES[name], episodes.of[name]
    shown = f"strategies/{name}/{name.rstrip('0123456789')}.json"
    kept = "0.5" if name.startswith("state") else "40 days"
    assert len(episode.rejected) == 1
    assert bad.told_well(episode.rejected[0], shown, kept), episode.rejected[0]
    assert len(episode.shown) == 1
    assert bad.told_well(episode.shown[0], shown, kept), episode.shown[0]
    assert episode.shown_after == []


@pytest.mark.slow
def test_fault_38_bad_files_move_nothing(episodes: Episodes) -> None:
    """No position and no target changes while files are bad, nor when they are mended; only the other one trades."""
    before, during, after = episodes.held
    assert during == before
    assert after == before
    traded = {event["symbol"] for event in episodes.events if event["event"] in {"order.sent", "target.decided"}}
    assert traded == {market(OTHER_COIN)}
