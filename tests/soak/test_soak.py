"""A soak that is over in seconds, and what a long one would be blamed for."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import pytest

from tests.soak.report import complaints, slopes, table
from tests.soak.run import Result, Soak
from tests.soak.samples import Sample

HOUR = 3600.0
GOOD = Result(
    seconds=HOUR,
    samples=[],
    published=1000,
    faults={"sockets cut": 3},
    events={"order.refused": 2},
    orders=10,
    fills=12,
    outcomes={"done": 8, "refused": 2},
    settled_after=1.0,
    unsettled=[],
    wrong=[],
    tracebacks=[],
    exit_code=0,
)


def samples(*, resident: float = 0.0, descriptors: float = 0.0, tasks: float = 0.0) -> list[Sample]:
    """Return an hour of noisy samples of a daemon that grows by so much an hour, after caches have filled."""
    chance = random.Random(1)
    return [
        Sample(
            at=second,
            resident=150 + min(second, 600) / 60 + resident * second / HOUR + chance.expovariate(1),
            descriptors=25 + round(descriptors * second / HOUR) + chance.choice((0, 0, 1, 2)),
            threads=6,
            tasks=40 + round(tasks * second / HOUR) + chance.choice((0, 1, 2)),
            journal=second / HOUR,
            unresolved=chance.choice((0, 0, 1)),
        )
        for second in range(0, int(HOUR), 5)
    ]


@pytest.mark.slow
@pytest.mark.started_anew
def test_a_short_soak_ends_well(tmp_path: Path) -> None:
    """Nothing is sent twice, lost or left open, though every second something goes wrong."""
    told: list[str] = []
    soak = Soak(tmp_path, strategies=20, seed=7, state_seconds=3.0, stats_seconds=3.0, fault_seconds=0.4)
    result = soak.run(12.0, told.append, sample_seconds=2.0)
    assert complaints(result) == [], table(result)
    assert sum(result.faults.values()) > 3
    assert min(result.fills, result.published) > 10
    assert result.events["weights.optimized"] > 1
    assert len(told) == len(result.samples) > 3


def test_a_daemon_that_does_not_grow_is_not_blamed() -> None:
    """Though the memory is noisy, and caches fill in the beginning."""
    good = msgspec.structs.replace(GOOD, samples=samples())
    assert complaints(good) == []
    assert slopes(good)["resident MiB"].low <= 0 <= slopes(good)["resident MiB"].high


@pytest.mark.parametrize(
    ("grown", "blamed"),
    [
        (samples(resident=10), "resident MiB grow"),
        (samples(descriptors=10), "descriptors grow"),
        (samples(tasks=10), "tasks grow"),
    ],
    ids=["memory", "descriptors", "tasks"],
)
def test_a_daemon_that_grows_is_blamed(grown: list[Sample], blamed: str) -> None:
    """Ten of anything an hour are found in the noise."""
    (complaint,) = complaints(msgspec.structs.replace(GOOD, samples=grown))
    assert complaint.startswith(blamed)


@pytest.mark.parametrize(
    "bad",
    [
        {"wrong": ["order x arrived 2 times"]},
        {"unsettled": ["intent x is unknown"], "settled_after": None},
        {"tracebacks": ["Traceback"]},
        {"events": {}},
        {"exit_code": 1},
    ],
    ids=lambda bad: next(iter(bad)),
)
def test_what_went_wrong_is_blamed(bad: dict[str, object]) -> None:
    """Each of it alone."""
    assert len(complaints(msgspec.structs.replace(GOOD, samples=samples(), **bad))) == 1
