"""The backtest: against the same rule written as a plain loop, and for what it must never do."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfoliod import sdk
from portfoliod.errors import PortfoliodError, UsageError
from portfoliod.prices.candles import COLUMNS

HOUR = 3600
DAY = 24 * HOUR
MIDNIGHT = 1_704_067_200


@st.composite
def markets(draw: st.DrawFn, symbol: str = "BTCUSDT") -> sdk.Candles:
    """Draw up to five days of hourly candles with gaps."""
    hours = np.array(sorted(draw(st.sets(st.integers(0, 120), min_size=1, max_size=80))), dtype=np.int64)
    price = st.floats(90, 110)
    opens, closes = (np.array(draw(st.lists(price, min_size=len(hours), max_size=len(hours)))) for _ in range(2))
    high, low = np.maximum(opens, closes), np.minimum(opens, closes)
    offset = draw(st.integers(0, 23)) * HOUR
    return sdk.Candles(symbol, HOUR, MIDNIGHT + offset + hours * HOUR, opens, high, low, closes, np.ones(len(hours)))


@st.composite
def cases(draw: st.DrawFn) -> tuple[sdk.Candles, sdk.Floats]:
    """Draw candles and a position for each."""
    candles = draw(markets())
    positions = draw(st.lists(st.floats(-1, 1), min_size=len(candles), max_size=len(candles)))
    return candles, np.array(positions)


def by_the_loop(positions: sdk.Floats, candles: sdk.Candles, cost: float) -> dict[int, float]:
    """Return the returns of all days, complete or not, by the definition in the docstring of `backtest`."""
    days: dict[int, float] = {}
    for k in range(len(candles)):
        held = positions[k - 1] if k >= 1 else 0.0
        before = positions[k - 2] if k >= 2 else 0.0
        after = candles.open[k + 1] if k + 1 < len(candles) else candles.close[k]
        day = int(candles.time[k] // DAY)
        days[day] = days.get(day, 0.0) + held * (after / candles.open[k] - 1) - cost * abs(held - before)
    return days


@given(cases(), st.floats(0, 50), st.floats(0, 50))
def test_returns_are_those_of_the_definition(
    case: tuple[sdk.Candles, sdk.Floats], fee_bps: float, slippage_bps: float
) -> None:
    candles, positions = case
    found = sdk.backtest({"BTCUSDT": positions}, {"BTCUSDT": candles}, fee_bps=fee_bps, slippage_bps=slippage_bps)
    expected = by_the_loop(positions, candles, (fee_bps + slippage_bps) / 10_000)
    assert found.values.tolist() == pytest.approx([expected[day] for day in found.days.tolist()])


@given(cases())
def test_only_complete_days_are_there(case: tuple[sdk.Candles, sdk.Floats]) -> None:
    candles, positions = case
    found = sdk.backtest({"BTCUSDT": positions}, {"BTCUSDT": candles})
    complete = [
        day
        for day in sorted(set((candles.time // DAY).tolist()))
        if day * DAY >= candles.time[0] and (day + 1) * DAY <= candles.time[-1] + HOUR
    ]
    assert found.days.tolist() == complete
    assert found.dates == [str(np.datetime64(day, "D")) for day in complete]


@given(cases(), st.data())
def test_a_position_earns_nothing_before_the_next_open(
    case: tuple[sdk.Candles, sdk.Floats], data: st.DataObject
) -> None:
    """Whatever is decided from candle k on, the days before candle k + 1 earn the same."""
    candles, positions = case
    k = data.draw(st.integers(0, len(candles) - 1))
    other = positions.copy()
    other[k:] = 0.5 - other[k:]
    first, second = (sdk.backtest({"BTCUSDT": wanted}, {"BTCUSDT": candles}) for wanted in (positions, other))
    from_next_open = candles.time[k + 1] // DAY if k + 1 < len(candles) else candles.time[-1] // DAY + 1
    same = first.days < from_next_open
    assert first.values[same].tolist() == second.values[same].tolist()


@given(cases(), st.floats(0, 100))
def test_costs_never_help(case: tuple[sdk.Candles, sdk.Floats], fee_bps: float) -> None:
    candles, positions = case
    free = sdk.backtest({"BTCUSDT": positions}, {"BTCUSDT": candles}, fee_bps=0)
    costly = sdk.backtest({"BTCUSDT": positions}, {"BTCUSDT": candles}, fee_bps=fee_bps)
    assert (costly.values <= free.values + 1e-12).all()


@given(markets("A"), markets("B"))
def test_markets_add_up_on_their_common_times(first: sdk.Candles, second: sdk.Candles) -> None:
    aligned = sdk.align({"A": first, "B": second})
    common = sorted(set(first.time.tolist()) & set(second.time.tolist()))
    assert aligned["A"].time.tolist() == aligned["B"].time.tolist() == common
    positions = {symbol: np.full(len(common), size) for symbol, size in (("A", 0.5), ("B", -0.25))}
    both = sdk.backtest(positions, aligned)
    alone = [sdk.backtest({symbol: positions[symbol]}, aligned) for symbol in ("A", "B")]
    assert both.values.tolist() == pytest.approx((alone[0].values + alone[1].values).tolist())


def rising(days: int = 3, step: float = 0.01) -> sdk.Candles:
    time = MIDNIGHT + HOUR * np.arange(24 * days, dtype=np.int64)
    price: sdk.Floats = (100 * (1 + step) ** np.arange(24 * days + 1)).astype(np.float64)
    return sdk.Candles("BTCUSDT", HOUR, time, price[:-1], price[1:], price[:-1], price[1:], np.ones(24 * days))


def test_being_long_earns_every_hour_but_the_first() -> None:
    candles = rising()
    found = sdk.backtest({"BTCUSDT": np.ones(len(candles))}, {"BTCUSDT": candles}, fee_bps=10)
    assert found.values.tolist() == pytest.approx([0.23 - 0.001, 0.24, 0.24])
    assert found.total == pytest.approx(0.709)
    assert found.max_drawdown == 0


def test_the_summary_of_a_fall() -> None:
    found = sdk.DailyReturns(np.arange(4), np.array([0.1, -0.3, 0.1, 0.0]))
    assert found.max_drawdown == pytest.approx(0.3)
    assert found.sharpe == pytest.approx(np.mean(found.values) / np.std(found.values, ddof=1) * 365**0.5)
    assert sdk.DailyReturns(np.arange(2), np.zeros(2)).sharpe == 0


def test_losing_everything_in_a_day_is_an_error() -> None:
    candles = rising()
    with pytest.raises(PortfoliodError, match="loses its whole notional"):
        sdk.backtest({"BTCUSDT": np.full(len(candles), -5.0)}, {"BTCUSDT": candles})


def test_positions_that_do_not_match_their_candles_are_an_error() -> None:
    with pytest.raises(PortfoliodError, match="the positions in BTCUSDT do not fit"):
        sdk.backtest({"BTCUSDT": np.ones(5)}, {"BTCUSDT": rising()})


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_positions_that_are_no_numbers_earn_nothing_but_an_error(wrong: float) -> None:
    candles = rising()
    positions = np.ones(len(candles))
    positions[7] = wrong
    with pytest.raises(PortfoliodError, match="the positions in BTCUSDT do not fit") as caught:
        sdk.backtest({"BTCUSDT": positions}, {"BTCUSDT": candles})
    assert "at candle 7" in caught.value.found


def test_positions_may_be_a_list() -> None:
    candles = rising()
    ones = np.ones(len(candles))
    by_list = sdk.backtest({"BTCUSDT": ones.tolist()}, {"BTCUSDT": candles})  # type: ignore[dict-item]
    assert by_list.values.tolist() == sdk.backtest({"BTCUSDT": ones}, {"BTCUSDT": candles}).values.tolist()


def test_nothing_to_test_is_said() -> None:
    with pytest.raises(UsageError, match="there are no positions"):
        sdk.backtest({}, {})
    with pytest.raises(UsageError, match="no candles of ETHUSDT"):
        sdk.backtest({"ETHUSDT": np.ones(5)}, {"BTCUSDT": rising()})


def test_candles_have_to_divide_a_day_and_be_of_one_length() -> None:
    candles = rising()
    weekly = sdk.Candles("BTCUSDT", 7 * DAY, *(getattr(candles, name)[:1] for name in COLUMNS))
    with pytest.raises(UsageError, match="divide a day"):
        sdk.backtest({"BTCUSDT": np.ones(len(weekly))}, {"BTCUSDT": weekly})
    with pytest.raises(UsageError, match="different length"):
        sdk.align({"A": candles, "B": weekly})
