"""state.json, stats.json and portfolio_config.json of any content: the documented error, or what SPEC allows."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from portfoliod.documents import LARGEST_RETURN, parse_portfolio
from portfoliod.errors import FileRejected
from portfoliod.intake import PORTFOLIO, Intake, Kind, Loaded, Source
from portfoliod.jsontext import replace_keys
from portfoliod.model import History, PortfolioConfig, Problem, State
from portfoliod.workspace import Workspace
from tests.fuzz.hostile_text import hostile

MAX_POSITION = 10.0
STATES = (
    b'{"position": 1.0, "symbol": "BTCUSDT"}',
    b'{"positions": {"BTCUSDT": 0.5, "ETH/USDT:USDT": -0.5}, "updated_at": "2024-01-31T12:00:00Z"}',
    b'{"position": -2.5e0, "symbol": "BTC-USDT", "updated_at": 1700000000.5, "note": "\xe2\x82\xac"}',
)
STATE_KEYS = ("position", "symbol", "positions", "updated_at")
STATS = (
    b'{"daily_dates": ["2024-01-01", "2024-01-02"], "daily_returns": [0.0012, -0.5]}',
    b'{"daily_returns": {"2024-01-01": 0.0012, "2024-01-03": 0}, "trades": [[1, 2], {}]}',
    b'{"daily_returns": [0.0012, 0, 1e-9]}',
)
STATS_KEYS = ("daily_returns", "daily_dates", "trades")
PORTFOLIOS = (
    b'{"account_value": 10000, "weights": {"a": 0.6, "b": 0.4}, "leverage": 2.62, "exchanges": {"a": "main"}}',
    b'{\n  "weights": {},\n  "ann_volatility_pct": 11.45,\n  "target_vol_pct": 30.0, "lookback_days": 365\n}',
    b'{"account_value": 1e4, "leverage": 0, "weights": {"a": 1}, "inputs_hash": "00", "mine": {"\xc3\xa9": [1.50]}}',
)
PORTFOLIO_KEYS = (
    *("account_value", "weights", "leverage", "target_vol_pct", "lookback_days", "exchanges", "inputs_hash"),
    "ann_volatility_pct",
)


@pytest.fixture(scope="module")
def intake() -> Iterator[Intake]:
    """An intake of a workspace with one strategy, `a`."""
    with tempfile.TemporaryDirectory() as root:
        workspace = Workspace(Path(root))
        workspace.create()
        workspace.state_file("a").parent.mkdir()
        yield Intake(workspace, None, MAX_POSITION)


def read(intake: Intake, source: Source, raw: bytes) -> Loaded | None:
    """Return a file's content, None where it was refused as it has to be."""
    path = intake.path_of(source)
    path.write_bytes(raw)
    try:
        loaded = intake.load(source)
        intake.accept(loaded)
    except FileRejected as error:
        assert_told(intake.reject(source, error)[0], intake.workspace.shown(path))
        return None
    return loaded


def assert_told(problem: Problem, shown: str) -> None:
    """See that a person learns where it is, what is kept and what to do, in words that a terminal can show."""
    assert problem.where.startswith(shown)
    assert problem.what
    assert problem.kept
    assert problem.mend
    assert len(problem.found) < 300
    assert all(text.isprintable() for text in (problem.what, problem.where, problem.found, problem.kept, problem.mend))


def see_state(intake: Intake, raw: bytes) -> None:
    """Read a state: what is accepted is finite, within the limit, and survives the journal."""
    loaded = read(intake, Source(Kind.STATE, "a"), raw)
    if loaded is None:
        return
    content = loaded.content
    assert isinstance(content, State)
    assert all(symbol.strip() and len(symbol) <= 64 and symbol.isprintable() for symbol in content.positions)
    assert all(value.is_finite() and abs(value) <= MAX_POSITION for value in content.positions.values())
    assert math.isfinite(content.updated_at)
    assert msgspec.json.decode(msgspec.json.encode(content), type=State) == content


def see_stats(intake: Intake, raw: bytes) -> None:
    """Read stats: what is accepted is one finite return above -1 a day, in order, and survives the journal."""
    loaded = read(intake, Source(Kind.STATS, "a"), raw)
    if loaded is None:
        return
    content = loaded.content
    assert isinstance(content, History)
    assert len(content.days) == len(content.returns)
    assert all(earlier < later for earlier, later in zip(content.days, content.days[1:], strict=False))
    assert all(-1 < value < LARGEST_RETURN for value in content.returns)
    assert msgspec.json.decode(msgspec.json.encode(content), type=History) == content


def see_portfolio(intake: Intake, raw: bytes) -> None:
    """Read a portfolio: what is accepted is in range, and the optimizer can write into it what it owns."""
    loaded = read(intake, PORTFOLIO, raw)
    if loaded is None:
        return
    content = loaded.content
    assert isinstance(content, PortfolioConfig)
    assert content.account_value is None or (content.account_value.is_finite() and content.account_value > 0)
    assert all(weight.is_finite() and weight >= 0 for weight in content.weights.values())
    assert sum(content.weights.values()) <= 1 + 1e-5
    assert content.leverage.is_finite()
    assert content.leverage >= 0
    written = replace_keys(raw, {"weights": {"a": 0.25}, "leverage": 1.5})
    again = parse_portfolio(written, "written")
    assert (again.account_value, again.exchanges) == (content.account_value, content.exchanges)
    assert {name: str(weight) for name, weight in again.weights.items()} == {"a": "0.25"}
    assert again.leverage == Decimal("1.5")


READERS = {
    "state": (see_state, hostile(STATES, STATE_KEYS), STATES),
    "stats": (see_stats, hostile(STATS, STATS_KEYS), STATS),
    "portfolio": (see_portfolio, hostile(PORTFOLIOS, PORTFOLIO_KEYS), PORTFOLIOS),
}
each_file = pytest.mark.parametrize("kind", READERS)


def fuzz(intake: Intake, kind: str, examples: int) -> None:
    """Read so many hostile files of a kind."""
    see, contents, _ = READERS[kind]

    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(contents)
    def run(raw: bytes) -> None:
        see(intake, raw)

    run_it: Callable[[], None] = run
    run_it()


@each_file
def test_fault_38_a_good_file_is_accepted(intake: Intake, kind: str) -> None:
    """The documents that the fuzzer damages are good ones."""
    see, _, documents = READERS[kind]
    for raw in documents:
        see(intake, raw)
        assert not intake.problems.values()


@each_file
def test_fault_38_hostile_files_are_refused_or_fit(intake: Intake, kind: str) -> None:
    """Nothing but the documented error, with place, what is kept and the mend; what is accepted is within SPEC."""
    fuzz(intake, kind, 400)


@pytest.mark.slow
@each_file
def test_fault_38_many_hostile_files_are_refused_or_fit(intake: Intake, kind: str) -> None:
    """The same, 5,000 files of each kind."""
    fuzz(intake, kind, 5_000)
