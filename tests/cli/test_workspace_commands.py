"""new, check and demo."""

from __future__ import annotations

import json
import subprocess
import sys
from decimal import Decimal

import pytest

from tests.harness.daemon import run_command
from tests.harness.workspace import Files, noisy_returns
from tests.tasks.evidence import BTC, flat_market, positions

FINDINGS = {"version", "fine", "problems", "exit_code"}


@pytest.mark.slow
def test_a_new_strategy_runs_as_it_is_and_is_traded(files: Files) -> None:
    created = run_command(files.root, "new", "my.first-one")
    assert created.returncode == 0
    script = files.root / "strategies/my.first-one/strategy.py"
    assert str(script.relative_to(files.root)) in created.stdout
    ran = subprocess.run(
        [sys.executable, str(script)], cwd=files.root, capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr
    state = json.loads((script.parent / "state.json").read_bytes())
    assert state["symbol"] == "BTCUSDT"
    assert len(json.loads((script.parent / "stats.json").read_bytes())["daily_returns"]) >= 30
    assert run_command(files.root, "check").returncode == 0
    assert "my.first-one" in run_command(files.root, "status").stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", [".hidden", "_draft", "a b", "../escape", "", "x" * 65, "ünicode"])
def test_a_name_that_does_not_fit_is_a_usage_error(files: Files, name: str) -> None:
    ended = run_command(files.root, "new", name)
    assert ended.returncode == 2
    assert not (files.root / "strategies").exists()


def test_a_name_that_is_taken_is_left_alone(files: Files) -> None:
    path = files.state("mine", 1.0)
    before = path.read_bytes()
    assert run_command(files.root, "new", "mine").returncode == 2
    assert [found.name for found in path.parent.iterdir()] == ["state.json"]
    assert path.read_bytes() == before


def test_check_finds_nothing_wrong_with_a_good_workspace_and_writes_nothing(files: Files) -> None:
    files.settings("[risk]\nmax_position = 2.0\n")
    files.portfolio({"one": 1.0})
    files.state("one", 1.0)
    files.stats("one", noisy_returns(1))
    before = set(files.root.rglob("*"))
    ended = run_command(files.root, "check", "--json")
    assert ended.returncode == 0, ended.stdout
    found = json.loads(ended.stdout)
    assert found.keys() == FINDINGS
    assert (found["problems"], found["exit_code"]) == ([], 0)
    assert any("one" in line for line in found["fine"])
    assert set(files.root.rglob("*")) == before


@pytest.mark.slow
def test_check_names_every_bad_file_with_its_mend_and_exits_with_1(files: Files) -> None:
    files.portfolio({"one": 2.0})
    files.state("one", 99.0)
    (files.root / "strategies/one/stats.json").write_text('{"daily_returns": [0.1, "x"], "daily_dates": []}')
    files.state("misrouted", 1.0, symbol="NOSUCHCOIN")
    credentials = files.root / "config/credentials.toml"
    credentials.write_text('[main]\nsecret = "do-not-print-me"\n')
    credentials.chmod(0o644)
    ended = run_command(files.root, "check", "--json")
    assert ended.returncode == 1
    problems = json.loads(ended.stdout)["problems"]
    places = {problem["where"].split()[0] for problem in problems}
    assert places >= {
        "config/portfolio_config.json",
        "strategies/one/state.json",
        "strategies/one/stats.json",
        "config/credentials.toml",
    }
    assert all(problem["mend"] for problem in problems)
    assert "do-not-print-me" not in ended.stdout + ended.stderr
    table = run_command(files.root, "check")
    assert table.returncode == 1
    assert table.stdout.count("problem:") == len(problems)


def test_check_finds_strategies_that_no_market_or_venue_fits(files: Files) -> None:
    files.portfolio({"typo": 0.5, "lost": 0.5}, exchanges={"lost": "nowhere"})
    files.state("typo", 1.0, symbol="BTCUSTD")
    files.state("lost", 1.0)
    ended = run_command(files.root, "check")
    assert ended.returncode == 1
    assert "BTCUSTD" in ended.stdout
    assert "nowhere" in ended.stdout


def test_check_finds_a_state_and_statistics_of_different_candles(files: Files) -> None:
    files.portfolio({})
    for name, (stats, state) in {"same": ("1h", "1h"), "other": ("1d", "1h"), "silent": (None, "1h")}.items():
        files.state(name, 1.0)
        files.stats(name, noisy_returns(1))
        for file, interval in (("stats.json", stats), ("state.json", state)):
            path = files.root / "strategies" / name / file
            path.write_text(json.dumps({**json.loads(path.read_text()), "interval": interval}))
    ended = run_command(files.root, "check", "--json")
    assert ended.returncode == 1
    (problem,) = json.loads(ended.stdout)["problems"]
    assert problem["where"] == "strategies/other"
    assert problem["found"] == "interval 1d in stats.json, 1h in state.json"
    assert problem["mend"]


def test_check_of_a_misnamed_folder_says_so(files: Files) -> None:
    files.portfolio({})
    files.state("my strategy", 1.0)
    ended = run_command(files.root, "check")
    assert ended.returncode == 1
    assert "my strategy" in ended.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ("[risk]\nmax_positon = 5\n", "max_position"),
        ('[venues.exchange]\ndriver = "ccxtt"\n', "venues.exchange.driver"),
        ("[venues.paper]\nsped = 2\n", "speed"),
    ],
)
def test_check_of_bad_settings_exits_with_78(files: Files, settings: str, named: str) -> None:
    files.settings(settings)
    ended = run_command(files.root, "check")
    assert ended.returncode == 78
    assert named in ended.stdout + ended.stderr
    assert json.loads(run_command(files.root, "check", "--json").stdout)["exit_code"] == 78


@pytest.mark.slow
@pytest.mark.parametrize("command", ["plan", "status", "optimize", "halt"])
def test_bad_settings_are_78_from_every_command_that_reads_them_and_never_stop_a_halt(
    files: Files, command: str
) -> None:
    files.settings("[risk]\nmax_positon = 5\n")
    assert run_command(files.root, command).returncode == (0 if command == "halt" else 78)


@pytest.mark.slow
def test_the_demo_trades_and_exits_with_0(files: Files) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "portfoliod", "demo", "--seconds", "6"],
        cwd=files.root,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert "order.filled" in ended.stderr + ended.stdout
    assert "orders" in ended.stdout
    assert list(files.root.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("command", ["check", "status"])
def test_an_example_that_a_problem_gives_can_be_copied_from_a_narrow_terminal(files: Files, command: str) -> None:
    files.state("one", 1.0)
    (files.root / "config").mkdir(exist_ok=True)
    (files.root / "config/portfolio_config.json").write_text('{"weights": 1}')
    shown = run_command(files.root, command, environment={"COLUMNS": "80"}).stdout
    (mend,) = (row for row in shown.splitlines() if row.startswith("  mend   write, for example, "))
    assert json.loads(mend[mend.index("{") : mend.rindex("}") + 1])["weights"] == {"NAME": 1.0}
    assert len(mend) > 80


@pytest.mark.slow
def test_commands_beside_folders_that_cannot_be_read_say_so_and_use_the_last_good_content(files: Files) -> None:
    files.settings(flat_market(files))
    files.portfolio({"one": 0.5})
    files.state("one", 1.0)
    assert run_command(files.root, "run", "--once").returncode == 0
    strategies = files.root / "strategies"
    strategies.rename(files.root / "away")
    strategies.touch()
    files.portfolio({"one": 0.25})
    checked = json.loads(run_command(files.root, "check", "--json").stdout)
    assert [(problem["where"], problem["found"]) for problem in checked["problems"]] == [
        ("strategies", "Not a directory")
    ]
    assert run_command(files.root, "run", "--once").returncode == 0
    assert positions(files.root) == {BTC: Decimal("0.050")}
    shown = json.loads(run_command(files.root, "status", "--json").stdout)
    assert shown["strategies"]["one"]["positions"] == {"BTCUSDT": 1.0}
    assert [problem["where"] for problem in shown["problems"]] == ["strategies"]
