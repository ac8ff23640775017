"""The command line of a strategy.py, run as a user runs it: in a process of its own."""

import json
import signal
import subprocess
import sys
from datetime import datetime
from functools import partial
from pathlib import Path

import pytest

from portfoliod import sdk
from portfoliod.prices.simulated import SimulatedPrices
from portfoliod.sdk.command import main

AT = "2025-10-09T08:00:00Z"
EPOCH = 1_759_996_800


def strategy_file(workspace: Path, name: str = "btc_trend_24h") -> Path:
    return workspace / "strategies" / name / "strategy.py"


def run(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(path), *arguments], capture_output=True, text=True, check=False, cwd="/")


def published(path: Path) -> set[str]:
    return {file.name for file in path.parent.glob("*.json")}


def test_without_options_it_writes_both_files_from_the_workspaces_prices(workspace: Path) -> None:
    (workspace / "config" / "portfoliod.toml").write_text("[venues.paper]\nseed = 4\n")
    path = strategy_file(workspace)
    done = run(path, "--days", "40")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("btc_trend_24h: 39 days, return ")
    state, stats = (json.loads((path.parent / name).read_text()) for name in ("state.json", "stats.json"))
    assert state["symbol"] == "BTCUSDT"
    assert stats["source"] == "simulated:4"
    assert len(stats["daily_dates"]) == len(stats["daily_returns"]) == 39


def test_a_portfolio_strategy_publishes_what_it_computes_in_process(workspace: Path) -> None:
    path = strategy_file(workspace, "majors_momentum")
    done = run(path, "--source", "simulated:2", "--at", AT, "--days", "60")
    assert done.returncode == 0, done.stderr
    strategy, prices = sdk.load(path), SimulatedPrices(2)
    candles = {
        symbol: prices.candles(symbol.removesuffix("USDT"), "USDT", 3600, EPOCH - 60 * 86_400, EPOCH)
        for symbol in strategy.symbols
    }
    positions = strategy.positions(candles)
    stats = json.loads((path.parent / "stats.json").read_text())
    state = json.loads((path.parent / "state.json").read_text())
    assert stats["daily_returns"] == [round(value, 10) for value in sdk.backtest(positions, candles).values.tolist()]
    assert state["positions"] == {symbol: wanted[-1] for symbol, wanted in positions.items()}
    assert state["updated_at"] == AT


@pytest.mark.parametrize(("option", "files"), [("--live", {"state.json"}), ("--backtest", {"stats.json"})])
def test_live_and_backtest_write_one_file_each(workspace: Path, option: str, files: set[str]) -> None:
    path = strategy_file(workspace)
    assert main(sdk.load(path), [option, "--source", "simulated", "--days", "10"]) == 0
    assert published(path) == files


def test_the_same_moment_gives_the_same_bytes(workspace: Path) -> None:
    path = strategy_file(workspace)
    contents = set()
    for _ in range(2):
        assert main(sdk.load(path), ["--live", "--source", "simulated", "--at", AT, "--days", "10"]) == 0
        contents.add((path.parent / "state.json").read_bytes())
    assert len(contents) == 1


def test_a_longer_history_only_adds_days(workspace: Path) -> None:
    path = strategy_file(workspace, "bnb_steady_trend")
    found = []
    for days in ("60", "90"):
        assert main(sdk.load(path), ["--backtest", "--source", "simulated", "--at", AT, "--days", days]) == 0
        stats = json.loads((path.parent / "stats.json").read_text())
        found.append(dict(zip(stats["daily_dates"], stats["daily_returns"], strict=True)))
    settled = sorted(found[0])[25:]
    assert {day: found[0][day] for day in settled} == pytest.approx({day: found[1][day] for day in settled})


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--source", "somewhere"], 2, "not a source of candles"),
        (["--source", "candles:none"], 1, "no such folder"),
        (["--source", "ccxt:nowhere"], 2, "no such exchange"),
        (["--interval", "soon"], 2, "not an interval"),
        (["--interval", "7h"], 2, "not a whole number of candles"),
        (["--live", "--interval", "1d"], 2, "of another interval than the other"),
        (["--backtest", "--interval", "1d"], 2, "of another interval than the other"),
        (["--days", "-1"], 2, "--days"),
        (["--days", "many"], 2, "--days"),
        (["--days", "inf"], 2, "--days"),
        (["--days", "nan"], 2, "--days"),
        (["--at", "noon"], 2, "--at is not a time"),
        (["--at", "nan"], 2, "--at is not a time"),
        (["--at", "1760000000000"], 2, "--at is not a time"),
        (["--live", "--backtest"], 2, "exclude each other"),
        (["--follow"], 2, "nothing to follow"),
        (["--days", "0.01"], 1, "no candles of BTCUSDT"),
        (["--nonsense"], 2, "--nonsense"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_written(
    workspace: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, said: str
) -> None:
    path = strategy_file(workspace)
    assert main(sdk.load(path), arguments) == code
    message = capsys.readouterr().err
    assert message.startswith("error: ")
    assert said in message
    assert not published(path)


def intervals(path: Path) -> dict[str, str]:
    """Return the interval that each published file names."""
    return {file.name: json.loads(file.read_text())["interval"] for file in path.parent.glob("*.json")}


def test_both_files_are_of_the_strategys_interval_or_both_of_another(workspace: Path) -> None:
    path = strategy_file(workspace)
    path.write_text(path.read_text().replace("position=position", 'position=position, interval="4h"'))
    for options, interval in (([], "4h"), (["--interval", "1d"], "1d"), (["--interval", "240m"], "4h")):
        assert main(sdk.load(path), ["--source", "simulated", "--at", AT, "--days", "40", *options]) == 0
        assert intervals(path) == {"state.json": interval, "stats.json": interval}
    state = json.loads((path.parent / "state.json").read_text())
    assert state["updated_at"] == AT


def test_a_state_is_not_published_beside_statistics_of_another_interval(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = strategy_file(workspace)
    options = ["--source", "simulated", "--at", AT, "--days", "40"]
    assert main(sdk.load(path), [*options, "--interval", "1d"]) == 0
    before = (path.parent / "state.json").read_bytes()
    assert main(sdk.load(path), [*options, "--live"]) == 1
    said = capsys.readouterr().err
    assert "interval 1d; the strategy's is 1h" in said
    assert "--backtest" in said
    assert (path.parent / "state.json").read_bytes() == before
    assert main(sdk.load(path), [*options, "--backtest"]) == 0
    assert main(sdk.load(path), [*options, "--live"]) == 0
    assert intervals(path) == {"state.json": "1h", "stats.json": "1h"}


@pytest.mark.parametrize("stats", ["{", "[]", '{"interval": 7}', '{"daily_returns": []}', '{"interval": "1h"}'])
def test_statistics_that_name_no_interval_keep_no_state_back(workspace: Path, stats: str) -> None:
    path = strategy_file(workspace)
    (path.parent / "stats.json").write_text(stats)
    assert main(sdk.load(path), ["--live", "--source", "simulated", "--at", AT, "--days", "10"]) == 0


@pytest.mark.slow
def test_follow_publishes_at_every_close_until_it_is_interrupted(workspace: Path) -> None:
    path = strategy_file(workspace)
    path.write_text(path.read_text().replace("position=position", 'position=position, interval="1s"'))
    command = [sys.executable, str(path), "--live", "--follow", "--days", "0.01"]
    # Whoever runs the tests in the background has let SIGINT be ignored, and children inherit that.
    heed = partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=heed) as process:  # noqa: PLW1509 - no threads
        assert process.stdout is not None
        moments = []
        for _ in range(3):
            assert process.stdout.readline().startswith("btc_trend_24h: position BTCUSDT ")
            moments.append(datetime.fromisoformat(json.loads((path.parent / "state.json").read_text())["updated_at"]))
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
    assert moments == sorted(set(moments))
