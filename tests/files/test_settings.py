"""portfoliod.toml: the defaults of the specification, and every error named by its key."""

from __future__ import annotations

import contextlib
import itertools
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portfoliod.errors import SettingsError
from portfoliod.settings import Settings, load_settings, policy_of, read_table
from portfoliod.venues.paper.venue import PaperSettings

DEFAULTS: dict[str, object] = {
    "mode": "paper",
    "default_venue": "paper",
    "capital": "file",
    "optimizer": {
        "target_vol": None,
        "lookback_days": None,
        "periods_per_year": 365,
        "allocator": "slope_std",
        "max_weight": 1.0,
        "turnover_cost": 0.0,
        "turnover_days": 30.0,
        "covariance": "sample",
        "objective": "cumsum",
        "bounds": {},
        "groups": {},
        "max_leverage": 5.0,
        "vol_floor": 0.01,
        "vol_lookback_days": None,
        "vol_halflife_days": None,
        "min_history_days": 30,
        "stale_after_days": 7,
        "when_no_edge": "cash",
        "apply": "auto",
        "quiet_ms": 250,
        "max_wait_ms": 2000,
    },
    "reconciler": {
        "no_trade_band": 0.05,
        "min_order_notional": 10.0,
        "resync_seconds": 60,
        "position_source": "venue",
        "on_drift": "lock",
        "on_removed": "freeze",
        "price_max_age_seconds": 30,
    },
    "risk": {
        "max_position": 10.0,
        "max_gross_leverage": 10.0,
        "max_symbol_notional": 0,
        "max_order_notional": 0,
        "max_orders_per_minute": 60,
        "max_drawdown": 0,
        "state_max_age_seconds": 0,
    },
    "metrics": {"listen": ""},
    "notify": {"urls": [], "level": "warning", "every_seconds": 30.0, "daily": ""},
    "venues": {"paper": {"driver": "paper"}},
}
PAPER_DEFAULTS = {
    "driver": "paper",
    "prices": "simulated",
    "speed": 1.0,
    "seed": 1,
    "balance": 10000,
    "quote": "USDT",
    "fee_bps": 5.0,
    "half_spread_bps": 1.0,
    "slippage_bps": 1.0,
}
KEYS = [
    *((name, "") for name, value in DEFAULTS.items() if not isinstance(value, dict)),
    *((key, table) for table in ("optimizer", "reconciler", "risk") for key in DEFAULTS[table]),  # type: ignore[attr-defined]
]
NUMBERS_AND_TEXTS = [pair for pair in KEYS if pair not in {("bounds", "optimizer"), ("groups", "optimizer")}]


def load(folder: Path, text: str | bytes) -> Settings:
    path = folder / "portfoliod.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_settings(path)


def refused(folder: Path, text: str | bytes) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        load(folder, text)
    error = caught.value
    assert error.exit_code == 78
    assert error.where.startswith(str(folder / "portfoliod.toml"))
    assert error.mend
    return error


def line(key: str, table: str, value: str) -> str:
    return f"[{table}]\n{key} = {value}\n" if table else f"{key} = {value}\n"


def test_without_a_file_or_with_an_empty_one_the_defaults_are_in_force(tmp_path: Path) -> None:
    for found in (load_settings(tmp_path / "none.toml"), load(tmp_path, "")):
        assert msgspec.json.decode(msgspec.json.encode(found)) == DEFAULTS


def test_the_paper_venues_defaults() -> None:
    found = msgspec.to_builtins(read_table({}, PaperSettings, where="portfoliod.toml"))
    assert {key: found[key] for key in PAPER_DEFAULTS} == PAPER_DEFAULTS


def test_the_defaults_written_out_are_the_defaults(tmp_path: Path) -> None:
    rows = []
    for name, value in sorted(DEFAULTS.items(), key=lambda item: isinstance(item[1], dict)):
        if name == "venues":
            rows.append('[venues.paper]\ndriver = "paper"')
        elif isinstance(value, dict):
            rows += [f"[{name}]", *(f"{key} = {item!r}" for key, item in value.items() if item is not None)]
        else:
            rows.append(f"{name} = {value!r}")
    assert load(tmp_path, "\n".join(rows)) == load_settings(tmp_path / "none.toml")


def test_what_the_file_says_is_in_force_beside_the_defaults(tmp_path: Path) -> None:
    found = load(tmp_path, "capital = 'equity'\n[optimizer]\ntarget_vol = 1\n[risk]\nmax_order_notional = 0.1")
    assert (found.capital, found.optimizer.target_vol, found.optimizer.max_leverage) == ("equity", 1.0, 5.0)
    assert str(policy_of(found).limits.max_order_notional) == "0.1"
    assert [str(value) for value in msgspec.structs.astuple(policy_of(found).thresholds)] == ["0.05", "10.0"]


@pytest.mark.parametrize(("key", "table"), KEYS)
def test_a_misspelt_key_names_itself_and_the_one_that_was_meant(tmp_path: Path, key: str, table: str) -> None:
    misspelt = key[:-2] + key[-1] if len(key) > 4 else f"{key}s"
    error = refused(tmp_path, line(misspelt, table, "1"))
    place = f"{table}.{misspelt}" if table else misspelt
    assert error.where.endswith(f"  {place}")
    assert f"{place}: unknown key (the nearest known one is `{key}`)" in error.found


@pytest.mark.parametrize(("key", "table"), NUMBERS_AND_TEXTS)
@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "true", "[]", "2024-01-01", "-1e400", "{}"])
def test_no_key_takes_a_value_that_is_no_sane_number_or_text(tmp_path: Path, key: str, table: str, value: str) -> None:
    error = refused(tmp_path, line(key, table, value))
    assert error.found.startswith(f"{table}.{key}: " if table else f"{key}: ")


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        ("mode = 'real'", "mode", "'real'"),
        ("capital = 'cash'", "capital", "'cash'"),
        ("default_venue = 5", "default_venue", "5"),
        ("optimizer = 5", "optimizer", "5"),
        ("[[risk]]\nmax_position = 1", "risk", "max_position"),
        ("venues = 5", "venues", "5"),
        ("[venues]\nmain = 5", "venues", "main"),
        ("[optimizer]\ntarget_vol = 0", "optimizer.target_vol", "0"),
        ("[optimizer]\ntarget_vol = 11", "optimizer.target_vol", "11"),
        ("[optimizer]\ntarget_vol = '30%'", "optimizer.target_vol", "'30%'"),
        ("[optimizer]\nlookback_days = 2", "optimizer.lookback_days", "2"),
        ("[optimizer]\nlookback_days = 30.5", "optimizer.lookback_days", "30.5"),
        ("[optimizer]\nmax_weight = 0", "optimizer.max_weight", "0"),
        ("[optimizer]\nmax_weight = 1.1", "optimizer.max_weight", "1.1"),
        ("[optimizer]\nmax_leverage = -1", "optimizer.max_leverage", "-1"),
        ("[optimizer]\nvol_floor = 0", "optimizer.vol_floor", "0"),
        ("[optimizer]\nperiods_per_year = 0", "optimizer.periods_per_year", "0"),
        ("[optimizer]\nmin_history_days = 0", "optimizer.min_history_days", "0"),
        ("[optimizer]\nquiet_ms = -1", "optimizer.quiet_ms", "-1"),
        ("[optimizer]\nwhen_no_edge = 'sell'", "optimizer.when_no_edge", "'sell'"),
        ("[optimizer]\nvol_lookback_days = 2", "optimizer.vol_lookback_days", "2"),
        ("[optimizer]\nvol_halflife_days = 0", "optimizer.vol_halflife_days", "0"),
        ("[optimizer]\nturnover_cost = -1", "optimizer.turnover_cost", "-1"),
        ("[optimizer]\nturnover_days = 0", "optimizer.turnover_days", "0"),
        ("[optimizer]\ncovariance = 'shrunk'", "optimizer.covariance", "'shrunk'"),
        ("[optimizer]\nobjective = 'sharpe'", "optimizer.objective", "'sharpe'"),
        ("[optimizer]\nbounds = 5", "optimizer.bounds", "5"),
        ("[optimizer.bounds]\ncarry = 0.4", "optimizer.bounds.carry", "0.4"),
        ("[optimizer.bounds]\ncarry = [0.4]", "optimizer.bounds.carry", "[0.4]"),
        ("[optimizer.bounds]\ncarry = [0.1, nan]", "optimizer.bounds.carry", "nan"),
        ("[optimizer.bounds]\ncarry = [-0.1, 0.4]", "optimizer.bounds.carry", "-0.1"),
        ("[optimizer.groups]\nbtc = 0.5", "optimizer.groups.btc", "0.5"),
        ("[optimizer.groups.btc]\nmax = 0.5", "optimizer.groups.btc.members", "missing"),
        ("[optimizer.groups.btc]\nmembers = []", "optimizer.groups.btc.members", "[]"),
        ("[optimizer.groups.btc]\nmembers = ['*']\nmax = 1.5", "optimizer.groups.btc.max", "1.5"),
        ("[optimizer.groups.btc]\nmembers = ['*']\nmaximum = 1", "optimizer.groups.btc.maximum", "is `max`)"),
        ("[reconciler]\nno_trade_band = 1", "reconciler.no_trade_band", "1"),
        ("[reconciler]\nno_trade_band = -0.1", "reconciler.no_trade_band", "-0.1"),
        ("[reconciler]\nresync_seconds = 0", "reconciler.resync_seconds", "0"),
        ("[reconciler]\non_drift = 'ignore'", "reconciler.on_drift", "'ignore'"),
        ("[risk]\nmax_position = 0", "risk.max_position", "0"),
        ("[risk]\nmax_drawdown = 1.1", "risk.max_drawdown", "1.1"),
        ("[risk]\nmax_orders_per_minute = 0.5", "risk.max_orders_per_minute", "0.5"),
        ("[risk]\nmax_order_notional = -5", "risk.max_order_notional", "-5"),
    ],
)
def test_a_wrong_type_or_range_names_key_and_value(tmp_path: Path, text: str, key: str, expected: str) -> None:
    error = refused(tmp_path, text)
    assert error.where.endswith(f"  {key}")
    assert error.found.startswith(f"{key}: ")
    assert expected in error.found


def test_limits_on_weights_are_read(tmp_path: Path) -> None:
    found = load(
        tmp_path, "[optimizer.bounds]\ncarry = [0.05, 0.4]\n[optimizer.groups]\nbtc = {members = ['btc_*'], max = 0.5}"
    ).optimizer
    assert found.bounds == {"carry": (0.05, 0.4)}
    assert msgspec.to_builtins(found.groups) == {"btc": {"members": ("btc_*",), "max": 0.5, "min": 0.0}}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[optimizer.bounds]\na = [0.5, 0.4]", ["optimizer.bounds.a"]),
        ("[optimizer]\nmax_weight = 0.2\n[optimizer.bounds]\na = [0.3, 0.4]", ["optimizer.bounds.a", "max_weight"]),
        ("[optimizer.bounds]\na = [0.6, 1]\nb = [0.5, 1]", ["optimizer.bounds.a", "optimizer.bounds.b", "1.1"]),
        ("[optimizer.groups]\ng = {members = ['*'], max = 0.3, min = 0.4}", ["optimizer.groups.g"]),
        (
            "[optimizer.bounds]\na1 = [0.3, 1]\na2 = [0.3, 1]\n[optimizer.groups]\ng = {members = ['a*'], max = 0.5}",
            ["optimizer.groups.g", "optimizer.bounds.a1", "optimizer.bounds.a2"],
        ),
    ],
)
def test_limits_that_contradict_each_other_are_named(tmp_path: Path, text: str, named: list[str]) -> None:
    error = refused(tmp_path, text)
    assert "contradict" in error.what
    for name in named:
        assert name in error.found


def test_all_errors_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    error = refused(
        tmp_path, "mod = 'live'\n[risk]\nmax_position = nan\nfoo = 1\n[optimizer]\nallocater = 'hrp'\nquiet_ms = 'x'"
    )
    assert error.what == "portfoliod.toml has 5 errors"
    told = [row.strip().partition(":")[0] for row in error.found.splitlines()]
    assert sorted(told) == ["mod", "optimizer.allocater", "optimizer.quiet_ms", "risk.foo", "risk.max_position"]


def test_a_venues_table_is_added_to_the_paper_venue(tmp_path: Path) -> None:
    found = load(tmp_path, '[venues.main]\ndriver = "ccxt"\nexchange = "x"\n[venues.main.options]\nsandbox = true')
    assert found.venues == {
        "paper": {"driver": "paper"},
        "main": {"driver": "ccxt", "exchange": "x", "options": {"sandbox": True}},
    }
    assert load(tmp_path, "[venues.paper]\nseed = 7").venues == {"paper": {"driver": "paper", "seed": 7}}
    assert load(tmp_path, '[venues.paper]\ndriver = "script"').venues == {"paper": {"driver": "script"}}


def test_a_venue_without_a_driver_is_named(tmp_path: Path) -> None:
    assert "venues.main" in str(refused(tmp_path, '[venues.main]\nexchange = "x"'))


def test_a_default_venue_that_is_none_is_named_with_those_that_are(tmp_path: Path) -> None:
    error = refused(tmp_path, 'default_venue = "mian"\n[venues.main]\ndriver = "ccxt"')
    assert error.where.endswith("default_venue")
    assert error.found == "mian"
    assert "main, paper" in error.mend


@pytest.mark.parametrize(
    "raw",
    [
        b"[risk",
        b"a = ",
        b"\x00",
        b"\xff = 1",
        b"\xef\xbb\xbfmode = 'paper'",
        b"mode = 'paper'\nmode = 'live'",
        b"a = " + b"[" * 5000,
        b"[risk]\nmax_orders_per_minute = 1" + b"0" * 5000,
    ],
)
def test_what_is_not_toml_is_refused_with_the_files_name(tmp_path: Path, raw: bytes) -> None:
    assert refused(tmp_path, raw).found


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=40) | st.text(st.sampled_from("mode=[risk].'\"\n1e-"), max_size=40).map(str.encode))
def test_arbitrary_bytes_are_settings_or_refused(tmp_path: Path, raw: bytes) -> None:
    with contextlib.suppress(SettingsError):
        assert isinstance(load(tmp_path, raw), Settings)


def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(tmp_path)
    assert caught.value.exit_code == 78
    assert caught.value.found


class _Driver(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    driver: str
    exchange: str
    retries: int = 3


def test_a_drivers_table_names_missing_unknown_and_wrong_keys_with_the_venues_name() -> None:
    with pytest.raises(SettingsError) as caught:
        read_table({"driver": "x", "retrys": 1, "retries": "y"}, _Driver, where="file", prefix="venues.main.")
    told = [row.strip() for row in caught.value.found.splitlines()]
    assert told[0] == "venues.main.retrys: unknown key (the nearest known one is `retries`)"
    assert told[1].startswith("venues.main.retries: 'y': ")
    assert told[2] == "venues.main.exchange: missing"


def test_every_table_of_the_settings_has_a_default_for_every_key() -> None:
    tables = (table for table in DEFAULTS.values() if isinstance(table, dict))
    assert len(list(itertools.chain.from_iterable(tables))) == 21 + 7 + 7 + 1 + 4 + 1


def test_a_key_that_is_like_no_other_is_told_the_known_ones(tmp_path: Path) -> None:
    error = refused(tmp_path, line("zzz", "risk", "1"))
    assert "risk.zzz: unknown key (known: " in error.found
    assert "max_position" in error.found
    assert "nearest" not in error.found
