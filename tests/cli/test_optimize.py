"""`portfoliod optimize`: the table, the JSON, the file, and what it refuses."""

from __future__ import annotations

import json
import stat
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.harness.daemon import Daemon, run_command
from tests.harness.workspace import Files, noisy_returns
from tests.tasks.evidence import QUICK, config, let_resync, until

pytestmark = pytest.mark.slow  # a command or a daemon in each test

KEYS = {
    "version",
    "weights",
    "ann_volatility_pct",
    "target_vol_pct",
    "leverage",
    "score",
    "optimality_gap",
    "allocator",
    "lookback_days",
    "excluded",
    "notes",
    "previous",
    "written",
    "volatilities",
}


def returns_of_volatility(annual: float, days: int = 365) -> list[float]:
    """Return daily returns with a positive mean whose annual volatility is exactly that."""
    raw = np.random.default_rng(7).normal(0, 1, days)
    scaled = (raw - raw.mean()) / raw.std(ddof=1) * annual / np.sqrt(365) + 0.001
    return [float(value) for value in scaled]


def rising(seed: int) -> list[float]:
    return noisy_returns(seed, drift=0.003)


def everything(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def optimized(root: Path, *arguments: str) -> dict[str, Any]:
    ended = run_command(root, "optimize", "--json", *arguments)
    assert ended.returncode == 0, ended.stderr
    result: dict[str, Any] = json.loads(ended.stdout)
    return result


def test_a_volatility_of_11_45_percent_is_a_leverage_of_2_6201(files: Files) -> None:
    files.stats("one", returns_of_volatility(0.1145))
    result = optimized(files.root)
    assert result.keys() == KEYS
    assert (result["ann_volatility_pct"], result["leverage"]) == (11.45, 2.6201)
    written = config(files.root)
    assert (written["ann_volatility_pct"], written["target_vol_pct"], written["leverage"]) == (11.45, 30.0, 2.6201)
    assert written["account_value"] == 10_000
    assert written["weights"] == {"one": 1.0}


def test_a_table_of_weights_for_people_and_the_file_with_mode_0644(files: Files) -> None:
    files.stats("trend_one", rising(1))
    files.stats("too_short", noisy_returns(2, days=12))
    ended = run_command(files.root, "optimize")
    assert ended.returncode == 0
    assert "trend_one" in ended.stdout
    assert "1.0000" in ended.stdout
    assert "12" in next(line for line in ended.stdout.splitlines() if "too_short" in line)
    assert "leverage" in ended.stdout
    path = files.root / "config/portfolio_config.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [found.name for found in path.parent.iterdir()] == ["portfolio_config.json"]


def test_a_dry_run_writes_nothing_at_all(files: Files) -> None:
    files.stats("one", rising(1))
    before = everything(files.root)
    assert optimized(files.root, "--dry-run")["written"] is None
    assert run_command(files.root, "optimize", "--dry-run").returncode == 0
    assert everything(files.root) == before
    assert not (files.root / "var").exists()


def test_the_same_files_give_the_same_bytes_but_for_the_moment(files: Files) -> None:
    for name, seed in (("b", 1), ("a", 2), ("c", 3)):
        files.stats(name, rising(seed))
    contents = []
    for _ in range(2):
        (files.root / "config/portfolio_config.json").unlink(missing_ok=True)
        assert run_command(files.root, "optimize").returncode == 0
        lines = (files.root / "config/portfolio_config.json").read_text().splitlines()
        contents.append([line for line in lines if "generated_at" not in line])
    assert contents[0] == contents[1]
    assert len(contents[0]) > 10


def test_the_users_keys_stay_byte_for_byte(files: Files) -> None:
    (files.root / "config").mkdir()
    mine = ('"account_value": 1.25e4', '"notes": {"b":  [1,2 , 3], "a": "\\u00e9"}', '"exchanges": { "one":"paper" }')
    (files.root / "config/portfolio_config.json").write_text(f'{{{", ".join(mine)}, "leverage": 1}}')
    files.stats("one", rising(1))
    assert run_command(files.root, "optimize").returncode == 0
    written = (files.root / "config/portfolio_config.json").read_text()
    for text in mine:
        assert text in written


def test_target_vol_and_lookback_are_written_and_in_force_for_the_daemon(files: Files) -> None:
    files.stats("one", rising(1))
    with Daemon(files.root) as daemon:
        daemon.wait_for("config.accepted")
        first = config(files.root)
        result = optimized(files.root, "--target-vol", "0.15", "--lookback", "90")
        assert (result["target_vol_pct"], result["lookback_days"]) == (15.0, 90)
        assert result["previous"] == first["weights"]
        until(lambda: daemon.status()["leverage"] == result["leverage"])
        files.stats("two", rising(2))
        until(lambda: "two" in config(files.root)["weights"])
        written = config(files.root)
        assert (written["target_vol_pct"], written["lookback_days"]) == (15.0, 90)
        assert written["leverage"] == pytest.approx(15.0 / written["ann_volatility_pct"], abs=2e-4)
        assert len(daemon.named("weights.optimized")) == 2, "the daemon did not optimize again what the command had"


def test_an_allocator_that_was_asked_for_is_not_undone_by_the_daemon_that_starts_next(files: Files) -> None:
    """Its weights are in force until the next optimization, and nothing has changed that asks for one."""
    for name, seed in (("one", 1), ("two", 2)):
        files.stats(name, rising(seed))
    result = optimized(files.root, "--allocator", "equal")
    assert (result["allocator"], result["weights"]) == ("equal", {"one": 0.5, "two": 0.5})
    for name in ("one", "two"):
        files.state(name, 1.0)
    files.settings(QUICK)
    with Daemon(files.root) as daemon:
        daemon.wait_for("order.filled")
        let_resync(files.root, 5)
        assert daemon.named("weights.optimized") == []
        assert config(files.root)["weights"] == {"one": 0.5, "two": 0.5}


def test_an_unknown_allocator_is_named_with_the_nearest(files: Files) -> None:
    files.stats("one", rising(1))
    ended = run_command(files.root, "optimize", "--allocator", "invers_vol")
    assert ended.returncode == 2
    assert "the nearest known one is `inverse_vol`" in ended.stderr
    assert not (files.root / "config").exists()


def test_without_stats_it_exits_with_1_and_writes_nothing(files: Files) -> None:
    files.state("one", 1.0)
    before = everything(files.root)
    ended = run_command(files.root, "optimize")
    assert ended.returncode == 1
    assert "stats.json" in ended.stderr
    assert everything(files.root) == before


@pytest.mark.parametrize("content", ["{", '{"weights": {"one": -0.5}}', '{"account_value": "ten"}', ""])
def test_a_portfolio_file_that_does_not_fit_is_never_overwritten(files: Files, content: str) -> None:
    files.stats("one", rising(1))
    path = files.root / "config/portfolio_config.json"
    path.parent.mkdir()
    path.write_text(content)
    ended = run_command(files.root, "optimize")
    assert ended.returncode == 1
    assert "portfolio_config.json" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert path.read_text() == content


def test_no_edge_says_so_and_keep_writes_nothing(files: Files) -> None:
    files.stats("one", [-0.01, 0.002] * 100)
    files.settings('[optimizer]\nwhen_no_edge = "keep"\n')
    assert optimized(files.root)["written"] is None
    files.settings("")
    result = optimized(files.root)
    assert (result["weights"], result["leverage"]) == ({"one": 0.0}, 0.0)
    assert any("positive score" in note for note in result["notes"])
    assert config(files.root)["leverage"] == 0.0


def test_a_proposal_is_applied_on_request_and_the_users_keys_of_today_stay(files: Files) -> None:
    files.settings('[optimizer]\napply = "propose"\n')
    files.portfolio({"one": 0.5}, account_value=777)
    files.stats("one", rising(1))
    assert optimized(files.root)["written"] == "var/proposal.json"
    assert config(files.root)["weights"] == {"one": 0.5}
    files.portfolio({"one": 0.5}, account_value=888)
    applied = run_command(files.root, "optimize", "--apply")
    assert applied.returncode == 0
    assert (config(files.root)["weights"], config(files.root)["account_value"]) == ({"one": 1.0}, 888)
    assert not (files.root / "var/proposal.json").exists()


@pytest.mark.parametrize("content", ["{", '{"weights": {"one": -0.5}}'])
def test_applying_a_proposal_never_overwrites_a_file_that_does_not_fit(files: Files, content: str) -> None:
    files.settings('[optimizer]\napply = "propose"\n')
    files.portfolio({"one": 0.5})
    files.stats("one", rising(1))
    assert run_command(files.root, "optimize").returncode == 0
    path = files.root / "config/portfolio_config.json"
    path.write_text(content)
    ended = run_command(files.root, "optimize", "--apply")
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert path.read_text() == content


@pytest.mark.parametrize("content", ["{", '{"weights": {"one": 3.0}, "leverage": 2.0}', "[]"])
def test_a_proposal_that_does_not_fit_is_not_applied(files: Files, content: str) -> None:
    files.portfolio({"one": 0.5})
    (files.root / "var").mkdir()
    (files.root / "var/proposal.json").write_text(content)
    before = (files.root / "config/portfolio_config.json").read_bytes()
    ended = run_command(files.root, "optimize", "--apply")
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert (files.root / "config/portfolio_config.json").read_bytes() == before


def test_applying_speaks_json_too(files: Files) -> None:
    files.settings('[optimizer]\napply = "propose"\n')
    files.stats("one", rising(1))
    assert run_command(files.root, "optimize").returncode == 0
    ended = run_command(files.root, "optimize", "--apply", "--json")
    assert ended.returncode == 0
    assert json.loads(ended.stdout)["weights"] == {"one": 1.0}


def test_apply_applies_where_no_proposal_waits_yet(files: Files) -> None:
    files.settings('[optimizer]\napply = "propose"\n')
    files.stats("one", rising(1))
    assert run_command(files.root, "optimize", "--apply").returncode == 0
    assert config(files.root)["weights"] == {"one": 1.0}


def test_the_leverage_that_each_volatility_estimate_would_give_is_shown(files: Files) -> None:
    files.settings("[optimizer]\nvol_lookback_days = 60\nvol_halflife_days = 20\n")
    files.stats("one", rising(1))
    shown = optimized(files.root, "--dry-run")
    estimates = shown["volatilities"]
    assert [(row["days"], row["halflife_days"]) for row in estimates][:2] == [(60, 20.0), (365, None)]
    assert [row["in_force"] for row in estimates] == [True] + [False] * (len(estimates) - 1)
    assert (estimates[0]["leverage"], estimates[0]["ann_volatility_pct"]) == (
        shown["leverage"],
        shown["ann_volatility_pct"],
    )
    table = run_command(files.root, "optimize", "--dry-run").stdout
    assert "60 days, half-life 20" in table
    assert "in force" in table


def test_limits_hold_and_their_conflicts_are_told_apart(files: Files) -> None:
    """A contradiction of the settings is 78; one that depends on the strategies is 1, and nothing is written."""
    for number, name in enumerate(("btc_one", "btc_two", "eth_one")):
        files.stats(name, rising(number))
    files.settings(
        '[optimizer.bounds]\neth_one = [0.3, 0.6]\n[optimizer.groups]\nbtc = {members = ["btc_*"], max = 0.5}\n'
    )
    weights = optimized(files.root, "--dry-run")["weights"]
    assert weights["btc_one"] + weights["btc_two"] == pytest.approx(0.5, abs=2e-6)
    files.settings(
        '[optimizer.groups]\nbtc = {members = ["btc_*"], max = 0.5}\neth = {members = ["eth_*"], max = 0.4}\n'
    )
    ended = run_command(files.root, "optimize")
    assert ended.returncode == 1
    assert "optimizer.groups.btc" in ended.stderr
    assert "optimizer.groups.eth" in ended.stderr
    assert "the weights in force stay" in ended.stderr
    files.settings("[optimizer.bounds]\na = [0.7, 1.0]\nb = [0.6, 1.0]\n")
    ended = run_command(files.root, "optimize")
    assert ended.returncode == 78
    assert "optimizer.bounds.a, optimizer.bounds.b" in ended.stderr
    assert not (files.root / "config/portfolio_config.json").exists()


def test_with_a_turnover_cost_optimizing_again_changes_nothing_and_new_days_change_less(files: Files) -> None:
    files.settings("[optimizer]\nturnover_cost = 20\n")
    for number in range(4):
        files.stats(f"s{number}", rising(number))
    first = optimized(files.root)["weights"]
    assert optimized(files.root)["weights"] == first
    for number in range(4):
        files.stats(f"s{number}", [*rising(number)[1:], 0.03 * (-1) ** number])
    cheap = optimized(files.root, "--dry-run")["weights"]
    files.settings("")
    free = optimized(files.root, "--dry-run")["weights"]
    moved = [sum(abs(weights[name] - first[name]) for name in first) for weights in (cheap, free)]
    assert moved[0] < moved[1]


def test_the_documented_allocator_of_ones_own_is_what_it_says(
    files: Files, tmp_path_factory: pytest.TempPathFactory
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "allocation.md").read_text()
    registered, code = (page.split(f"```{language}\n")[1].split("```")[0] for language in ("toml", "python"))
    package = tmp_path_factory.mktemp("package")
    metadata = package / "calmest-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: calmest\nVersion: 1.0\n")
    ((group, entries),) = tomllib.loads(registered)["project"]["entry-points"].items()
    lines = [f"{name} = {value}" for name, value in entries.items()]
    (metadata / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines, ""]))
    (package / "calmest.py").write_text(code)
    files.stats("calm", returns_of_volatility(0.1))
    files.stats("wild", returns_of_volatility(0.4))
    files.settings("[optimizer]\nmax_weight = 0.75\n")

    ended = run_command(
        files.root, "optimize", "--json", "--allocator", "calmest", environment={"PYTHONPATH": str(package)}
    )

    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["weights"] == {"calm": 0.75, "wild": 0.25}
