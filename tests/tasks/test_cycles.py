"""One id ties a file's change to the weights, targets, orders and fills that follow from it."""

from __future__ import annotations

from typing import Any

import pytest

from portfoliod.cycles import MOST, Cycles
from tests.harness.daemon import Daemon
from tests.harness.workspace import Files, noisy_returns
from tests.tasks.evidence import QUICK, flat_market, journal

ORDER = ("order.intended", "order.sent", "order.acknowledged", "order.filled")


def of_cycle(daemon: Daemon, cycle: str) -> list[str]:
    """Return the names of the events that bear an id."""
    return [event["event"] for event in daemon.events if cycle in str(event.get("cycle", "")).split()]


@pytest.mark.slow
def test_a_change_of_returns_is_followed_through_the_weights_to_the_fills(files: Files) -> None:
    """Its id is on everything that it led to; the next change of a state has another one."""
    files.settings(QUICK + flat_market(files))
    files.state("trend", 1.0)
    with Daemon(files.root) as daemon:
        daemon.wait_for("state.accepted")
        files.stats("trend", noisy_returns(1, drift=0.003))
        filled: dict[str, Any] = daemon.wait_for("order.filled")
        cycle = daemon.wait_for("stats.accepted")["cycle"]
        assert filled["cycle"] == cycle
        found = of_cycle(daemon, cycle)
        chain = ("stats.accepted", "weights.optimized", "config.written", "config.accepted", "target.decided", *ORDER)
        assert [event for event in found if event in chain[:5]] == list(chain[:5]), found
        assert set(chain) <= set(found)
        since = daemon.mark()
        files.state("trend", 0.5)
        later = daemon.wait_for("order.filled", since=since)
        assert later["cycle"] == daemon.wait_for("state.accepted", since=since)["cycle"] != cycle
        daemon.kill()
    rows = journal(files.root, "SELECT i.cycle, d.cycle FROM intents i JOIN decisions d ON d.number = i.decision")
    assert rows == [(cycle, cycle), (later["cycle"], later["cycle"])]


def test_changes_that_nobody_acted_on_yet_are_one_cycle() -> None:
    """A folder arrives in several files; what comes after somebody acted is the next one."""
    cycles = Cycles()
    for source in ("a", "b"):
        cycles.change(source)
    first = cycles.of("a")
    assert first == cycles.of("b") == cycles.since(0, ["a", "b"])
    cycles.change("a")
    assert cycles.of("a") != first
    assert cycles.of("c") == ""


def test_what_follows_from_several_cycles_bears_their_ids_in_order() -> None:
    cycles = Cycles()
    cycles.change("a")
    cycles.since(0, ["a"])
    cycles.change("b")
    assert cycles.since(0, ["b", "a"]) == f"{cycles.of('a')} {cycles.of('b')}"
    assert cycles.since(1, ["b", "a"]) == cycles.of("b")


def test_what_no_change_of_a_file_led_to_is_a_cycle_of_its_own() -> None:
    cycles = Cycles()
    cycles.change("a")
    assert cycles.since(1, ["a"]) not in {"", cycles.of("a")}


def test_a_file_that_the_daemon_wrote_goes_on_with_the_cycle_that_it_was_written_in() -> None:
    """Told by its content: a hand edit in between is another change."""
    cycles = Cycles()
    cycles.wrote("its digest", "written in")
    cycles.change("file", "another digest")
    assert cycles.of("file") != "written in"
    cycles.change("file", "its digest")
    assert cycles.since(0, ["file"]) == "written in"


def test_at_most_the_newest_ids_are_borne() -> None:
    cycles = Cycles()
    for number in range(2 * MOST):
        cycles.change(number)
        cycles.since(0, [])
    newest = [cycles.of(number) for number in range(MOST, 2 * MOST)]
    assert cycles.since(0, range(2 * MOST)).split() == newest
