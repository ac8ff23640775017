"""The files that are read: numbers exactly as written, and every misfit named by file, place and value."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portfoliod.documents import parse_portfolio, parse_state, parse_stats
from portfoliod.errors import FileRejected
from portfoliod.model import History, PortfolioConfig, State
from portfoliod.workspace import Unsettled

STATE, STATS, PORTFOLIO = "strategies/a/state.json", "strategies/a/stats.json", "config/portfolio_config.json"
MODIFIED = 1_704_110_400.0
"""2024-01-01 12:00 UTC."""

Parse = Callable[[bytes], object]


def state(raw: bytes | str) -> State:
    return parse_state(raw.encode() if isinstance(raw, str) else raw, STATE, MODIFIED, 10.0)


def stats(raw: bytes | str) -> History:
    return parse_stats(raw.encode() if isinstance(raw, str) else raw, STATS, MODIFIED)[0]


def portfolio(raw: bytes | str) -> PortfolioConfig:
    return parse_portfolio(raw.encode() if isinstance(raw, str) else raw, PORTFOLIO)


EVERY: list[tuple[Parse, str]] = [(state, STATE), (stats, STATS), (portfolio, PORTFOLIO)]


def rejection(parse: Parse, raw: bytes | str) -> FileRejected:
    with pytest.raises(FileRejected) as caught:
        parse(raw.encode() if isinstance(raw, str) else raw)
    assert caught.value.what
    assert caught.value.mend
    return caught.value


def day(text: str) -> int:
    return date.fromisoformat(text).toordinal()


def test_a_state_of_one_market() -> None:
    assert state('{"position": 1.0, "symbol": "BTCUSDT"}') == State({"BTCUSDT": Decimal(1)}, MODIFIED)


def test_a_state_of_several_markets_keeps_each_symbol_as_it_was_written() -> None:
    raw = '{"positions": {"BTCUSDT": 0.5, "ETH/USDT:USDT": -0.5, "SOL-USDT": 0}}'
    assert state(raw).positions == {
        "BTCUSDT": Decimal("0.5"),
        "ETH/USDT:USDT": Decimal("-0.5"),
        "SOL-USDT": Decimal(0),
    }


@pytest.mark.parametrize("symbol", ["BTCUSDT", "BTC/USDT:USDT", "BTC/USDT", "BTC-USDT", "币安人生USDT", "1000PEPEUSDT"])
def test_symbols_of_every_form_are_accepted(symbol: str) -> None:
    assert list(state(json.dumps({"position": 1, "symbol": symbol})).positions) == [symbol]


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ('"2024-01-31T12:00:00Z"', 1_706_702_400.0),
        ('"2024-01-31T12:00:00"', 1_706_702_400.0),
        ('"2024-01-31T13:00:00+01:00"', 1_706_702_400.0),
        ("1706702400", 1_706_702_400.0),
        ("1706702400.5", 1_706_702_400.5),
        ("null", MODIFIED),
    ],
)
def test_a_moment_is_iso_8601_or_epoch_seconds_and_else_the_files_own(written: str, moment: float) -> None:
    assert state(f'{{"position": 1, "symbol": "X", "updated_at": {written}}}').updated_at == moment


STATS_FORMS = [
    '{"daily_dates": ["2023-12-30", "2024-01-01"], "daily_returns": [0.01, -0.02]}',
    '{"daily_returns": {"2023-12-30": 0.01, "2024-01-01": -0.02}}',
]


@pytest.mark.parametrize("raw", STATS_FORMS)
def test_returns_with_their_days_are_accepted_in_two_forms(raw: str) -> None:
    assert parse_stats(raw.encode(), STATS, 0.0) == (
        History((day("2023-12-30"), day("2024-01-01")), (0.01, -0.02)),
        "",
    )


def test_returns_without_days_end_at_the_files_day_with_a_warning() -> None:
    history, warning = parse_stats(b'{"daily_returns": [0.01, 0.02, 0.03]}', STATS, MODIFIED)
    assert history.days == (day("2023-12-30"), day("2023-12-31"), day("2024-01-01"))
    assert "2024-01-01" in warning


def test_a_portfolio_is_read_whole() -> None:
    raw = """{"account_value": 10000.50, "weights": {"a": 0.6, "b": 0.4}, "target_vol_pct": 30.0, "leverage": 2.62,
        "lookback_days": 365, "exchanges": {"a": "main"}, "inputs_hash": "1f", "ann_volatility_pct": 11.45}"""
    assert portfolio(raw) == PortfolioConfig(
        account_value=Decimal("10000.5"),
        weights={"a": Decimal("0.6"), "b": Decimal("0.4")},
        weighted=True,
        leverage=Decimal("2.62"),
        target_vol_pct=30.0,
        lookback_days=365,
        exchanges={"a": "main"},
        inputs_hash="1f",
    )


def test_a_portfolio_before_its_first_optimization_may_hold_the_users_keys_alone() -> None:
    assert portfolio('{"account_value": 10000, "exchanges": {"a": "main"}}').weights == {}


UNKNOWN = '"candles": [[1, 2, null, "x", true, {"y": [1e400]}]], "trades": {}, "名": "é\\n", "z": -1E-9'


@pytest.mark.parametrize(
    ("parse", "content"),
    [
        (state, '"position": 1, "symbol": "X"'),
        (stats, '"daily_returns": {"2024-01-01": 0.1}'),
        (portfolio, '"weights": {"a": 1}, "leverage": 1'),
    ],
)
def test_unknown_keys_of_any_kind_are_ignored(parse: Parse, content: str) -> None:
    assert parse(f"{{{UNKNOWN}, {content}}}".encode()) == parse(f"{{{content}}}".encode())
    assert parse(f"\n\t {{{content} , {UNKNOWN}}} \r\n".encode()) == parse(f"{{{content}}}".encode())


@pytest.mark.parametrize("text", ["0.1", "-0.3", "1", "2.675", "1e-7", "9.99999999999999", "5E-1", "0.10", "1.0"])
def test_numbers_are_exactly_what_is_written(text: str) -> None:
    assert state(f'{{"position": {text}, "symbol": "X"}}').positions["X"] == Decimal(text)
    if not text.startswith("-"):
        read = portfolio(f'{{"account_value": {text}, "leverage": {text}}}')
        assert (read.account_value, read.leverage) == (Decimal(text), Decimal(text))


@given(st.decimals(-10, 10, places=14))
def test_fifteen_digits_survive(number: Decimal) -> None:
    assert state(f'{{"position": {number:f}, "symbol": "X"}}').positions["X"] == number


@given(st.floats(-10, 10))
def test_whatever_python_writes_is_read_back_as_the_same_number(number: float) -> None:
    assert state(json.dumps({"position": number, "symbol": "X"})).positions["X"] == Decimal(str(number))


def one(position: str) -> str:
    return f'{{"position": {position}, "symbol": "X"}}'


STATE_MISFITS = {
    "a string": (one('"1"'), "$.position", '"1"'),
    "a boolean": (one("true"), "$.position", "true"),
    "null": (one("null"), "$.position", ""),
    "a list": (one("[1]"), "$.position", "[1]"),
    "an object": (one("{}"), "$.position", "{}"),
    "1e308": (one("1e308"), "$.position", "1e+308"),
    "1e400": (one("1e400"), "$.position", "out of range"),
    "-1e400": (one("-1e400"), "$.position", "out of range"),
    "a huge integer": (one("1" + "0" * 400), "$.position", "out of range"),
    "an integer of 5000 digits": (one("9" * 5000), "$.position", "out of range"),
    "more than max_position": (one("10.01"), "$.position", "10.01"),
    "less than -max_position": (one("-10.01"), "$.position", "-10.01"),
    "deep nesting": (one("[" * 100_000 + "]" * 100_000), "$.position", "a list"),
    "no position": ('{"symbol": "X"}', "$.position", ""),
    "no symbol": ('{"position": 1}', "$.symbol", ""),
    "an empty symbol": ('{"position": 1, "symbol": ""}', "$.symbol", ""),
    "a blank symbol": ('{"position": 1, "symbol": " "}', "$.position", "' '"),
    "a symbol with a line break": ('{"positions": {"A\\nB": 1}}', "$.positions", "A\\nB"),
    "a long symbol": (json.dumps({"position": 1, "symbol": "X" * 65}), "$.position", "XXX"),
    "a number for a symbol": ('{"position": 1, "symbol": 5}', "$.symbol", "5"),
    "both position and positions": ('{"position": 0, "positions": {"X": 1}}', "$.positions", ""),
    "a list of positions": ('{"positions": [1]}', "$.positions", "[1]"),
    "one bad of several": ('{"positions": {"A": 1, "B.C[0]": "2", "D": 3}}', '$.positions["B.C[0]"]', '"2"'),
    "one boolean of several": ('{"positions": {"A": 1, "B": false}}', '$.positions["B"]', "false"),
    "a huge integer of several": (f'{{"positions": {{"A": 1, "B": 1{"0" * 400}}}}}', "$.positions", "out of range"),
    "one too large of several": ('{"positions": {"A": 1, "B": -11}}', '$.positions["B"]', "-11"),
    "a boolean moment": (one('1, "updated_at": true'), "$.updated_at", "true"),
    "a moment in words": (one('1, "updated_at": "yesterday"'), "$.updated_at", '"yesterday"'),
    "a moment of 1e308": (one('1, "updated_at": 1e308'), "$.updated_at", "1e+308"),
    "a moment in milliseconds": (one('1, "updated_at": 1706702400000'), "$.updated_at", "1706702400000"),
    "a list alone": ("[1, 2]", "$", "[1, 2]"),
    "a text": ('"flat"', "$", '"flat"'),
    "a number": ("0", "$", "0"),
    "null alone": ("null", "$", "null"),
}


@pytest.mark.parametrize(("raw", "place", "found"), STATE_MISFITS.values(), ids=STATE_MISFITS.keys())
def test_a_state_that_does_not_fit_names_file_place_and_value(raw: str, place: str, found: str) -> None:
    error = rejection(state, raw)
    assert error.where.startswith(f"{STATE}  {place}")
    assert found in error.found
    assert not isinstance(error, Unsettled)


def dated(dates: str, returns: str) -> str:
    return f'{{"daily_dates": {dates}, "daily_returns": {returns}}}'


TWO_DAYS = '["2024-01-01", "2024-01-02"]'
STATS_MISFITS = {
    "no returns": ('{"equity": [1, 2]}', "$", "daily_returns"),
    "a text for returns": ('{"daily_returns": "0.1"}', "$.daily_returns", '"0.1"'),
    "null for returns": ('{"daily_returns": null}', "$.daily_returns", "null"),
    "a text among returns": (dated(TWO_DAYS, '[0.1, "x"]'), "$.daily_returns[1]", '"x"'),
    "null among returns": (dated(TWO_DAYS, "[0.1, null]"), "$.daily_returns[1]", "null"),
    "a boolean among returns": (dated(TWO_DAYS, "[true, 0.1]"), "$.daily_returns[0]", "true"),
    "1e308 among returns": (dated(TWO_DAYS, "[0.1, 1e308]"), "$.daily_returns[1]", "1e+308"),
    "1e400 among returns": (dated(TWO_DAYS, "[0.1, 1e400]"), "$.daily_returns[1]", "out of range"),
    "a return of -1": (dated(TWO_DAYS, "[-1, 0.1]"), "$.daily_returns[0]", "-1"),
    "a return below -1": (dated(TWO_DAYS, "[0.1, -1.5]"), "$.daily_returns[1]", "-1.5"),
    "a bad return of a mapping": ('{"daily_returns": {"2024-01-01": -2}}', '$.daily_returns["2024-01-01"]', "-2"),
    "a huge integer in a mapping": (
        f'{{"daily_returns": {{"2024-01-01": 1{"0" * 400}}}}}',
        "$.daily_returns",
        "out of range",
    ),
    "a text in a mapping": ('{"daily_returns": {"2024-01-01": "x"}}', '$.daily_returns["2024-01-01"]', '"x"'),
    "more dates than returns": (dated(TWO_DAYS, "[0.1]"), "$.daily_dates", "2 dates, 1 returns"),
    "fewer dates than returns": (dated('["2024-01-01"]', "[0.1, 0.2]"), "$.daily_dates", "1 dates, 2 returns"),
    "dates but no returns": (dated(TWO_DAYS, "[]"), "$.daily_dates", "2 dates, 0 returns"),
    "a day twice": (dated('["2024-01-01", "2024-01-01"]', "[0, 0]"), "$.daily_dates[1]", "2024-01-01 after 2024-01-01"),
    "days unsorted": (dated('["2024-01-02", "2024-01-01"]', "[0, 0]"), "$.daily_dates[1]", "2024-01-01 after"),
    "days of a mapping unsorted": (
        '{"daily_returns": {"2024-01-02": 0, "2024-01-01": 0}}',
        '$.daily_returns["2024-01-01"]',
        "2024-01-01 after 2024-01-02",
    ),
    "no such day": (dated('["2024-02-30"]', "[0]"), "$.daily_dates[0]", '"2024-02-30"'),
    "no such day in a mapping": ('{"daily_returns": {"x": 0}}', '$.daily_returns["x"]', '"x"'),
    "a number for a day": (dated("[20240101]", "[0]"), "$.daily_dates[0]", "20240101"),
    "a text for days": (dated('"2024-01-01"', "[0]"), "$.daily_dates", '"2024-01-01"'),
    "deep nesting": ('{"daily_returns": ' + "[" * 100_000 + "]" * 100_000 + "}", "$.daily_returns[0]", "a list"),
    "a list": ("[0.1, 0.2]", "$", "[0.1, 0.2]"),
}


@pytest.mark.parametrize(("raw", "place", "found"), STATS_MISFITS.values(), ids=STATS_MISFITS.keys())
def test_stats_that_do_not_fit_name_file_place_and_value(raw: str, place: str, found: str) -> None:
    error = rejection(stats, raw)
    assert error.where.startswith(f"{STATS}  {place}")
    assert found in error.found
    assert not isinstance(error, Unsettled)


PORTFOLIO_MISFITS = {
    "a negative weight": ('{"leverage": 1, "weights": {"a": 0.5, "b": -0.1}}', '$.weights["b"]', "-0.1"),
    "weights above 1": ('{"leverage": 1, "weights": {"a": 0.6, "b": 0.5}}', "$.weights", "1.1"),
    "one weight of 1e308": ('{"leverage": 1, "weights": {"a": 1e308}}', "$.weights", "1e+308"),
    "one weight of 1e400": ('{"leverage": 1, "weights": {"a": 0.5, "b": 1e400}}', "$.weights", "out of range"),
    "a huge integer for a weight": (
        f'{{"leverage": 1, "weights": {{"a": 0.5, "b": 1{"0" * 400}}}}}',
        "$.weights",
        "out of range",
    ),
    "a text for a weight": ('{"leverage": 1, "weights": {"a": 0.5, "b": "0.5"}}', '$.weights["b"]', '"0.5"'),
    "a boolean weight": ('{"leverage": 1, "weights": {"a": 0.5, "b": true}}', '$.weights["b"]', "true"),
    "null for a weight": ('{"leverage": 1, "weights": {"a": null}}', '$.weights["a"]', "null"),
    "null for weights": ('{"leverage": 1, "weights": null}', "$.weights", "null"),
    "a list of weights": ('{"leverage": 1, "weights": [0.5]}', "$.weights", "[0.5]"),
    "no account_value": ('{"account_value": 0}', "$.account_value", "0"),
    "a negative account_value": ('{"account_value": -1}', "$.account_value", "-1"),
    "a text for account_value": ('{"account_value": "10000"}', "$.account_value", '"10000"'),
    "an account_value of 1e308": ('{"account_value": 1e308}', "$.account_value", "1e+308"),
    "an account_value of 1e400": ('{"account_value": 1e400}', "$.account_value", "out of range"),
    "a negative leverage": ('{"leverage": -1}', "$.leverage", "-1"),
    "a leverage of 1e308": ('{"leverage": 1e308}', "$.leverage", "1e+308"),
    "null for leverage": ('{"weights": {"a": 1}, "leverage": null}', "$.leverage", ""),
    "a boolean leverage": ('{"leverage": true}', "$.leverage", "true"),
    "a target of 0": ('{"target_vol_pct": 0}', "$.target_vol_pct", "0"),
    "a target of 1e308": ('{"target_vol_pct": 1e308}', "$.target_vol_pct", "1e+308"),
    "half a day": ('{"lookback_days": 30.5}', "$.lookback_days", "30.5"),
    "two days": ('{"lookback_days": 2}', "$.lookback_days", "2"),
    "a huge lookback": (f'{{"lookback_days": 1{"0" * 30}}}', "$.lookback_days", "1000"),
    "a number for a venue": ('{"exchanges": {"b": 5}}', '$.exchanges["b"]', "5"),
    "one number among venues": ('{"exchanges": {"a": "main", "b": 5}}', '$.exchanges["b"]', "5"),
    "a boolean among venues": ('{"exchanges": {"a": "main", "b": true}}', '$.exchanges["b"]', "true"),
    "a text for venues": ('{"exchanges": "main"}', "$.exchanges", '"main"'),
    "a number for a hash": ('{"inputs_hash": 5}', "$.inputs_hash", "5"),
    "a list": ('[{"leverage": 1}]', "$", "leverage"),
}


@pytest.mark.parametrize(("raw", "place", "found"), PORTFOLIO_MISFITS.values(), ids=PORTFOLIO_MISFITS.keys())
def test_a_portfolio_that_does_not_fit_names_file_place_and_value(raw: str, place: str, found: str) -> None:
    error = rejection(portfolio, raw)
    assert error.where.startswith(f"{PORTFOLIO}  {place}")
    assert found in error.found
    assert not isinstance(error, Unsettled)


def test_weights_without_a_leverage_are_not_read_as_flat() -> None:
    """A key that was lost in a hand edit must not close every position."""
    assert rejection(portfolio, '{"account_value": 10000, "weights": {"a": 1.0}}').where == f"{PORTFOLIO}  $.leverage"


def test_weights_that_sum_to_1_but_for_floating_point_noise_are_accepted() -> None:
    shares = {str(index): 0.1 for index in range(10)} | {"10": 1e-12}
    assert portfolio(json.dumps({"weights": shares, "leverage": 1})).weights["0"] == Decimal("0.1")


@pytest.mark.parametrize(("parse", "shown"), EVERY, ids=["state", "stats", "portfolio"])
@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" \n",
        b"\0" * 100,
        b"{",
        b"not json",
        b"\xef\xbb\xbf{}",
        b"{'position': 1}",
        b'{"position": NaN, "leverage": NaN, "daily_returns": [NaN]}',
        b'{"position": Infinity, "leverage": Infinity, "daily_returns": [Infinity]}',
        b'{"position": -Infinity, "leverage": -Infinity, "daily_returns": [-Infinity]}',
        b'{"position": 01, "leverage": 01, "daily_returns": [01]}',
        b'{"position": 1,, "leverage": 1,, "daily_returns": [],, }',
        b'{"symbol": "\\ud800", "inputs_hash": "\\ud800", "daily_returns": {"\\ud800": 1}}',
    ],
    ids=repr,
)
def test_what_is_not_json_may_be_half_written_and_names_the_file(parse: Parse, shown: str, raw: bytes) -> None:
    error = rejection(parse, raw)
    assert isinstance(error, Unsettled)
    assert error.where.startswith(shown)
    assert error.found


@pytest.mark.parametrize(("parse", "shown"), EVERY, ids=["state", "stats", "portfolio"])
@pytest.mark.parametrize("nested", ["[" * 100_000 + "]" * 100_000, '{"a":' * 100_000 + "1" + "}" * 100_000])
def test_deep_nesting_in_an_unknown_key_is_rejected(parse: Parse, shown: str, nested: str) -> None:
    error = rejection(parse, f'{{"z": {nested}}}')
    assert error.where == shown
    assert "deep" in error.found


def test_a_syntax_error_is_named_by_line_and_column() -> None:
    error = rejection(state, b'{\n  "position": 1.0,\n  "symbol": BTC\n}')
    assert error.where == f"{STATE}:3:13"


@pytest.mark.parametrize(
    ("parse", "raw"),
    [
        (state, b'{"position": 1, "symbol": "\xff"}'),
        (state, b'{"position": "\xff", "symbol": "X"}'),
        (stats, b'["\xff"]'),
        (state, '{"position": 1}'.encode("utf-16")),
        (portfolio, b'{"weights": {"\xff": "x"}}'),
        (state, b'{"positions": {"\xff": 1}}'),
        (stats, b'{"daily_returns": {"\xff": 1}}'),
        (portfolio, b'{"exchanges": {"a": "\xff"}, "weights": {}}'),
        (portfolio, b'{"\xff": 1, "weights": {}}'),
        (portfolio, b'{"note": "\xff", "weights": {}}'),
    ],
)
def test_text_that_is_not_utf_8_is_rejected(parse: Parse, raw: bytes) -> None:
    """In keys of the user's too where the file is written again: what cannot be read cannot be kept."""
    rejection(parse, raw)


@pytest.mark.parametrize("modified", [-1e13, 1e13, 1e18])
def test_a_file_time_that_is_no_date_is_rejected_where_it_has_to_stand_in_for_one(modified: float) -> None:
    """Some file systems keep times far outside the calendar."""
    with pytest.raises(FileRejected):
        parse_stats(b'{"daily_returns": [0.1]}', STATS, modified)


@pytest.mark.parametrize(
    ("parse", "raw"), [(state, one('"' + "x" * 10_000 + '"')), (stats, json.dumps({"a": ["y" * 99] * 99}))]
)
def test_a_long_value_is_shown_shortened(parse: Parse, raw: str) -> None:
    assert len(rejection(parse, raw).found) < 250


numbers = st.floats(-1, 10).map(lambda number: round(number, 6))
texts = st.text(st.characters(codec="utf-8"), max_size=6)
valid_states = st.one_of(
    st.fixed_dictionaries(
        {"position": numbers, "symbol": st.just("BTCUSDT")}, optional={"updated_at": st.just(1e9), "note": texts}
    ),
    st.fixed_dictionaries({"positions": st.dictionaries(st.sampled_from(["A", "币安USDT"]), numbers)}),
)
valid_stats = st.lists(st.floats(-0.5, 0.5), max_size=4).map(
    lambda returns: {"daily_dates": [f"2024-01-0{i + 1}" for i in range(len(returns))], "daily_returns": returns}
)
valid_portfolios = st.fixed_dictionaries(
    {
        "account_value": st.floats(1, 1e6),
        "weights": st.dictionaries(texts, st.floats(0, 0.2), max_size=4),
        "leverage": st.floats(0, 9),
    },
    optional={"exchanges": st.dictionaries(texts, texts, max_size=2), "note": st.lists(numbers, max_size=2)},
)
valid = st.one_of(
    st.tuples(st.just(state), valid_states),
    st.tuples(st.just(stats), valid_stats),
    st.tuples(st.just(portfolio), valid_portfolios),
)


@given(valid, st.sampled_from([None, 2]), st.sampled_from(["", "\n"]))
def test_a_truncated_file_is_half_written_or_the_whole_never_something_else(
    document: tuple[Parse, object], indent: int | None, end: str
) -> None:
    parse, content = document
    raw = (json.dumps(content, indent=indent, ensure_ascii=False) + end).encode()
    whole = parse(raw)
    for cut in range(len(raw)):
        with contextlib.suppress(Unsettled):
            assert parse(raw[:cut]) == whole


any_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(10**300, 10**310)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["2024-01-01", "BTCUSDT", "main"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
scalars = st.sampled_from([None, True, 0, -1, 0.5, 10**400, 1e308, "2024-01-01", "BTCUSDT"])
shapes = any_json | st.dictionaries(st.text(max_size=3), scalars, max_size=3) | st.lists(scalars, max_size=3) | scalars
KNOWN: dict[Parse, list[str]] = {
    state: ["position", "symbol", "positions", "updated_at"],
    stats: ["daily_returns", "daily_dates"],
    portfolio: ["account_value", "weights", "leverage", "target_vol_pct", "lookback_days", "exchanges", "inputs_hash"],
}
SPLINTERS = [b"null", b'"', b"[", b"1e999", b"-", b"{}", b"9" * 400]


@pytest.mark.parametrize("parse", KNOWN)
@settings(max_examples=400)
@given(data=st.data())
def test_any_json_in_any_key_is_accepted_or_rejected_with_the_files_name(parse: Parse, data: st.DataObject) -> None:
    content = data.draw(st.dictionaries(st.sampled_from(KNOWN[parse]), shapes) | any_json)
    _reject_at_most(parse, json.dumps(content, ensure_ascii=data.draw(st.booleans())).encode(errors="surrogatepass"))


@pytest.mark.parametrize("parse", KNOWN)
@given(raw=st.binary(max_size=60))
def test_arbitrary_bytes_are_accepted_or_rejected_with_the_files_name(parse: Parse, raw: bytes) -> None:
    _reject_at_most(parse, raw)


@settings(max_examples=400)
@given(valid, st.data())
def test_a_mutated_file_is_accepted_or_rejected_with_the_files_name(
    document: tuple[Parse, object], data: st.DataObject
) -> None:
    parse, content = document
    raw = bytearray(json.dumps(content).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(raw)))
        inserted = data.draw(st.binary(max_size=3) | st.sampled_from(SPLINTERS))
        raw[start : start + data.draw(st.integers(0, 4))] = inserted
    _reject_at_most(parse, bytes(raw))


def _reject_at_most(parse: Parse, raw: bytes) -> None:
    shown = dict(EVERY)[parse]
    try:
        read = parse(raw)
    except FileRejected as error:
        rejected = error
    else:
        _assert_sane(read)
        return
    assert rejected.where.startswith(shown)
    assert rejected.what
    assert rejected.mend


def _assert_sane(read: object) -> None:
    if isinstance(read, State):
        assert all(abs(position) <= 10 for position in read.positions.values())
    elif isinstance(read, History):
        assert all(-1 < value < 1e300 for value in read.returns)
        assert list(read.days) == sorted(set(read.days))
    else:
        assert isinstance(read, PortfolioConfig)
        assert all(0 <= weight <= 1 for weight in read.weights.values())
        assert 0 <= read.leverage <= 1000
        assert read.account_value is None or 0 < read.account_value < Decimal("1e300")


@given(st.text(max_size=200))
def test_a_place_shows_no_control_characters(name: str) -> None:
    """Names are written by strategies and shown on terminals."""
    error = rejection(portfolio, json.dumps({"weights": {name: -1}}).encode(errors="surrogatepass"))
    assert re.search(r"[\x00-\x1f\x7f]", error.where) is None
