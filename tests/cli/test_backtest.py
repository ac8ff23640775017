"""`portfoliod backtest`: the table, the file, the picture, and what it refuses."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.harness.daemon import Daemon, run_command
from tests.harness.workspace import Files, noisy_returns

pytestmark = pytest.mark.slow

FIGURES = {"total_return", "cagr", "volatility", "sharpe", "sortino", "max_drawdown", "calmar", "turnover"}
Run = Callable[..., CompletedProcess[str]]


@pytest.fixture(scope="session")
def fonts(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where matplotlib keeps its list of fonts: not in the home of whoever tests."""
    return str(tmp_path_factory.mktemp("matplotlib"))


@pytest.fixture
def backtest(files: Files, fonts: str) -> Run:
    """Run the command in the workspace."""
    return lambda *arguments: run_command(files.root, "backtest", *arguments, environment={"MPLCONFIGDIR": fonts})


def three(files: Files, days: int = 150) -> None:
    for name, seed in (("one", 1), ("two", 2), ("three", 3)):
        files.stats(name, noisy_returns(seed, days=days), last_day="2024-06-30")


def written(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "walk_forward.json").read_bytes())
    return content


def size_of_png(path: Path) -> tuple[int, int]:
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert content.endswith(b"IEND\xaeB`\x82")
    width, height = struct.unpack(">II", content[16:24])
    return width, height


def test_a_file_and_a_picture_that_are_the_same_whenever_the_files_are(files: Files, backtest: Run) -> None:
    three(files)
    ended = backtest("--json", "--lookback", "60", "--cost-bps", "5", "--random", "200")
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    printed = json.loads(ended.stdout)
    assert printed.pop("written") == ["var/backtest/walk_forward.json", "var/backtest/walk_forward.png"]
    content = written(files.root / "var/backtest")
    series = content.pop("series")
    assert content == printed
    assert (content["version"], content["lookback_days"], content["cost_bps"]) == (1, 60, 5.0)
    assert (content["rules"]["max_weight"], content["rules"]["lookback_days"]) == (1.0, 60)
    assert content["period"] == {"first_day": "2024-04-02", "last_day": "2024-06-30", "days": 90, "excluded_days": 0}
    for portfolio in (content["optimum"], content["equal"]):
        assert portfolio["levered"].keys() == portfolio["unlevered"].keys() == FIGURES
    assert content["random"]["levered"].keys() == {"p5", "p50", "p95"}
    assert 0 <= content["rank"]["levered"]["sharpe"] <= 100
    assert content["strategies"]["one"]["evaluated_days"] == 90
    assert (series["dates"][0], series["dates"][-1], len(series["dates"])) == ("2024-04-02", "2024-06-30", 90)
    assert series["weights"].keys() == {"one", "two", "three"}
    assert {len(values) for values in (*series["weights"].values(), *series["random"].values())} == {90}
    assert series["optimum"]["equity"][-1] == pytest.approx(1 + content["optimum"]["levered"]["total_return"], rel=1e-4)
    picture = files.root / "var/backtest/walk_forward.png"
    assert min(size_of_png(picture)) >= 800
    assert 20_000 < picture.stat().st_size < 1_000_000

    out = files.root / "elsewhere/again"
    assert backtest("--out", str(out), "--lookback", "60", "--cost-bps", "5", "--random", "200").returncode == 0
    before, after = ((path / "walk_forward.json").read_text().splitlines() for path in (picture.parent, out))
    assert [line for line in before if "generated_at" not in line] == [
        line for line in after if "generated_at" not in line
    ]
    assert len(before) > 50
    assert (out / "walk_forward.png").read_bytes() == picture.read_bytes()
    assert not (files.root / "config").exists()


def test_a_table_for_people_beside_a_daemon_and_a_broken_file(files: Files, backtest: Run) -> None:
    """Where a file is broken, its last good content from the journal is walked forward."""
    three(files)
    with Daemon(files.root) as daemon:
        daemon.wait_for("config.accepted")
        (files.root / "strategies/two/stats.json").write_text('{"daily_returns": [0.0')
        daemon.wait_for("stats.rejected")
        ended = backtest("--lookback", "60", "--every", "7", "--random", "0")
        assert ended.returncode == 0, ended.stderr
        assert daemon.status()["state"] == "running"
    for words in ("every 7 days", "2024-04-02 to 2024-06-30", "90 days", "Sharpe", "Calmar", "equal", "written: "):
        assert words in ended.stdout
    assert "random" not in ended.stdout
    assert "note: strategies/two/stats.json" in ended.stdout.replace("\n", " ")
    content = written(files.root / "var/backtest")
    assert content["strategies"]["two"]["evaluated_days"] == 90
    assert (content["random"], content["rank"], content["every_days"]) == (None, None, 7)


def test_strategies_with_different_histories_are_told_apart(files: Files, backtest: Run) -> None:
    files.settings(
        '[optimizer]\nmin_history_days = 20\nallocator = "inverse_vol"\nmax_weight = 0.6\nturnover_cost = 3\n'
    )
    files.stats("old", noisy_returns(1, days=200), last_day="2024-06-30")
    files.stats("young", noisy_returns(2, days=50), last_day="2024-06-30")
    files.stats("gone", noisy_returns(3, days=100), last_day="2024-04-15")
    ended = backtest("--json", "--lookback", "60")
    assert ended.returncode == 0, ended.stderr
    content = json.loads(ended.stdout)
    assert (content["cost_bps"], content["allocator"]) == (3.0, "inverse_vol")
    assert content["period"]["excluded_days"] == 140 - content["period"]["days"] == 26
    young, gone = content["strategies"]["young"], content["strategies"]["gone"]
    assert (young["first_day"], young["days"], young["included_days"]) == ("2024-05-12", 50, 30)
    assert (gone["last_day"], gone["evaluated_days"]) == ("2024-04-15", 64)
    assert any("26 days are not evaluated" in note for note in content["notes"])
    assert max(written(files.root / "var/backtest")["series"]["weights"]["old"]) <= 0.6


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--lookback", "150"), 1, ("too short", "150 days", "--lookback 74", "nothing was written")),
        (("--lookback", "60", "--allocator", "invers_vol"), 2, ("nearest known one is `inverse_vol`",)),
        (("--lookback", "60", "--out", "strategies/one/stats.json"), 1, ("cannot be written", "--out DIR")),
        (("--lookback", "60", "--out", "/proc/nowhere"), 1, ("cannot be written", "--out DIR")),
        (("--random", "-1"), 2, ("--random",)),
        (("--cost-bps", "nan"), 2, ("--cost-bps", "basis points")),
        (("--target-vol", "30"), 2, ("--target-vol", "fraction")),
    ],
)
def test_what_cannot_be_done_is_said_with_its_mend(
    files: Files, backtest: Run, arguments: tuple[str, ...], code: int, words: tuple[str, ...]
) -> None:
    three(files)
    ended = backtest(*(str(files.root / argument) if "/" in argument else argument for argument in arguments))
    assert_refused(files, ended, code, *words)


def test_one_strategy_is_too_few(files: Files, backtest: Run) -> None:
    files.stats("only", noisy_returns(1))
    assert_refused(files, backtest(), 1, "at least two strategies", "only", "stats.json", "nothing was written")


def assert_refused(files: Files, ended: CompletedProcess[str], code: int, *words: str) -> None:
    """Assert that a command said why and how to mend it, and left nothing behind."""
    assert ended.returncode == code, ended.stderr
    assert all(word in ended.stderr for word in words), ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (files.root / "var").exists()
