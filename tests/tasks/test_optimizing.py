"""From stats to portfolio_config.json: when the daemon optimizes, what it writes, and what it leaves alone."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.harness.daemon import Daemon, run_command
from tests.harness.workspace import Files, noisy_returns, replace
from tests.tasks.evidence import BTC, QUICK, config, flat_market, positions, until, until_positions

pytestmark = pytest.mark.slow

LOSING = [-0.004, -0.001] * 100


def rising(seed: int, days: int = 400) -> list[float]:
    """Return daily returns with an edge that no window misses."""
    return noisy_returns(seed, days, drift=0.003)


def optimized(daemon: Daemon) -> int:
    return len(daemon.named("weights.optimized"))


def settled(daemon: Daemon, files: Files, name: str = "sentinel") -> dict[str, Any]:
    """Publish stats of one more strategy and return the event of the optimization that they cause."""
    since = daemon.mark()
    files.stats(name, rising(hash(name) % 1000))
    daemon.wait_for("stats.accepted", strategy=name, since=since)
    return daemon.wait_for("weights.optimized", since=since)


def set_keys(files: Files, **keys: object) -> None:
    """Edit keys of portfolio_config.json as a careful user would."""
    replace(files.root / "config/portfolio_config.json", json.dumps(config(files.root) | keys))


def test_a_burst_of_changes_is_one_optimization_and_the_same_content_is_none(files: Files) -> None:
    for seed in range(3):
        files.stats(f"s{seed}", rising(seed))
    with Daemon(files.root) as daemon:
        daemon.wait_for("config.accepted")
        assert optimized(daemon) == 1
        since = daemon.mark()
        for round_ in range(10):
            for seed in range(3):
                files.stats(f"s{seed}", rising(100 * round_ + seed))
        said = daemon.wait_for("weights.optimized", since=since)
        assert {"s0", "s1", "s2"} <= set(said["after"].split(", "))
        for seed in range(3):
            files.stats(f"s{seed}", rising(900 + seed))
        settled(daemon, files)
        assert optimized(daemon) == 3
        for seed in range(3):
            files.stats(f"s{seed}", rising(900 + seed))
        settled(daemon, files, "another")
        assert optimized(daemon) == 4


def test_silence_that_never_comes_is_not_waited_for_longer_than_max_wait_ms(files: Files) -> None:
    files.settings("[optimizer]\nquiet_ms = 3600000\nmax_wait_ms = 300\n")
    files.stats("one", rising(1))
    with Daemon(files.root) as daemon:
        daemon.wait_for("config.written")
        settled(daemon, files)


def test_a_hand_edit_is_in_force_at_once_until_the_next_optimization_and_survives_a_restart(files: Files) -> None:
    files.settings(flat_market(files))
    for name, seed in (("one", 1), ("two", 2)):
        files.stats(name, rising(seed))
        files.state(name, 0.0)
    with Daemon(files.root) as daemon:
        daemon.wait_for("config.accepted")
        set_keys(files, weights={"one": 0.5, "two": 0.5}, leverage=1.0)
        files.state("one", 1.0)
        until_positions(files.root, BTC="0.100")
        daemon.terminate()
        assert optimized(daemon) == 1
    with Daemon(files.root) as daemon:
        files.state("two", 1.0)
        until_positions(files.root, BTC="0.200")
        assert optimized(daemon) == 0
        assert config(files.root)["weights"] == {"one": 0.5, "two": 0.5}
        files.stats("two", rising(3))
        daemon.wait_for("weights.optimized")
        until(lambda: config(files.root)["leverage"] != 1.0)
        until(lambda: positions(files.root).get(BTC), lambda held: held is not None and str(held) != "0.200")


def test_a_hand_edit_while_the_daemon_is_down_stays_in_force(files: Files) -> None:
    files.settings(flat_market(files))
    files.stats("one", rising(1))
    with Daemon(files.root) as daemon:
        daemon.wait_for("config.accepted")
        daemon.terminate()
    set_keys(files, weights={"one": 0.25}, leverage=1.0)
    files.state("one", 1.0)
    with Daemon(files.root) as daemon:
        until_positions(files.root, BTC="0.050")
        assert optimized(daemon) == 0


def test_no_edge_goes_to_cash(files: Files) -> None:
    files.settings(flat_market(files))
    files.stats("one", rising(1))
    files.state("one", 1.0)
    with Daemon(files.root):
        until(lambda: positions(files.root))
        files.stats("one", LOSING)
        until_positions(files.root)
        assert config(files.root)["weights"] == {"one": 0.0}
        assert config(files.root)["leverage"] == 0.0


def test_no_edge_keeps_the_file_where_the_operator_says_so(files: Files) -> None:
    files.settings('[optimizer]\nwhen_no_edge = "keep"\n')
    files.stats("one", rising(1))
    with Daemon(files.root) as daemon:
        daemon.wait_for("config.accepted")
        before = (files.root / "config/portfolio_config.json").read_bytes()
        files.stats("one", LOSING)
        daemon.wait_for("weights.kept")
        assert (files.root / "config/portfolio_config.json").read_bytes() == before
        assert optimized(daemon) == 1


def test_who_is_left_out_is_told_why_and_who_has_no_stats_is_skipped(files: Files) -> None:
    today = datetime.now(UTC).date()
    files.stats("good", rising(1))
    files.stats("short", rising(2, days=10))
    files.stats("stale", rising(3), last_day=str(today - timedelta(days=30)))
    files.state("silent", 1.0)
    with Daemon(files.root) as daemon:
        daemon.wait_for("config.accepted")
        written = config(files.root)
        assert written["weights"] == {"good": 1.0, "short": 0.0, "stale": 0.0}
        assert set(written["excluded"]) == {"short", "stale"}
        assert "10" in written["excluded"]["short"]
        assert all(written["excluded"].values())
        status = until(daemon.status, lambda found: found["strategies"].keys() >= {"good", "silent"})
        assert status["strategies"]["silent"]["weight"] is None
        assert (status["strategies"]["silent"]["stats_days"], status["strategies"]["good"]["stats_days"]) == (0, 400)


def test_a_strategy_that_is_gone_stays_in_the_optimizer_until_it_is_retired(files: Files) -> None:
    for name, seed in (("one", 1), ("two", 2)):
        files.stats(name, rising(seed))
        files.state(name, 0.5)
    with Daemon(files.root) as daemon:
        until(lambda: positions(files.root))
        (files.root / "strategies/two").rename(files.root / "two-elsewhere")
        gone = daemon.wait_for("strategy.removed", strategy="two")
        assert "retire two" in gone["mend"]
        settled(daemon, files)
        assert "two" in config(files.root)["weights"]
        since = daemon.mark()
        assert run_command(files.root, "retire", "two").returncode == 0
        daemon.wait_for("strategy.retired", strategy="two", since=since)
        until(lambda: "two" not in config(files.root)["weights"])
        until(lambda: "two" not in daemon.status()["strategies"])
        since = daemon.mark()
        (files.root / "two-elsewhere").rename(files.root / "strategies/two")
        daemon.wait_for("strategy.added", strategy="two", since=since)
        until(lambda: "two" in config(files.root)["weights"])


def test_a_failed_optimization_leaves_the_file_says_why_and_heals(files: Files) -> None:
    files.stats("one", rising(1))
    with Daemon(files.root) as daemon:
        daemon.wait_for("config.accepted")
        before = (files.root / "config/portfolio_config.json").read_bytes()
        since = daemon.mark()
        files.stats("one", rising(1, days=5))
        refused = daemon.wait_for("weights.refused", since=since)
        assert "one" in refused["found"]
        assert (files.root / "config/portfolio_config.json").read_bytes() == before
        until(lambda: any(row["where"] == "optimizer" for row in daemon.status()["problems"]))
        files.stats("one", rising(2))
        daemon.wait_for("weights.optimized", since=since)
        until(lambda: daemon.status()["problems"] == [])


def test_a_failure_ends_with_the_last_strategy_that_has_statistics(files: Files) -> None:
    """Retired, it leaves nothing to optimize, and nothing that failed at that."""
    files.stats("one", rising(1, days=5))
    with Daemon(files.root) as daemon:
        daemon.wait_for("weights.refused")
        until(lambda: any(row["where"] == "optimizer" for row in daemon.status()["problems"]))
        assert run_command(files.root, "retire", "one").returncode == 0
        until(lambda: not any(row["where"] == "optimizer" for row in daemon.status()["problems"]))


def test_an_unknown_allocator_does_not_start(files: Files) -> None:
    files.settings('[optimizer]\nallocator = "slope_sd"\n')
    ended = run_command(files.root, "run", "--once")
    assert ended.returncode == 78
    assert "slope_std" in ended.stderr


def test_the_users_keys_stay_and_target_vol_and_lookback_of_the_file_are_in_force(files: Files) -> None:
    files.portfolio(
        {}, account_value=12_500, exchanges={"one": "paper"}, mine={"a": [1, 2]}, target_vol_pct=12.0, lookback_days=60
    )
    files.stats("one", rising(1))
    with Daemon(files.root) as daemon:
        daemon.wait_for("weights.optimized")
        until(lambda: config(files.root)["weights"])
        written = config(files.root)
        assert (written["account_value"], written["exchanges"], written["mine"]) == (
            12_500,
            {"one": "paper"},
            {"a": [1, 2]},
        )
        assert (written["target_vol_pct"], written["lookback_days"]) == (12.0, 60)
        assert written["leverage"] == pytest.approx(12.0 / written["ann_volatility_pct"], abs=1e-4)
        set_keys(files, target_vol_pct=6.0)
        until(lambda: config(files.root)["leverage"] == pytest.approx(written["leverage"] / 2, abs=1e-4))


@pytest.mark.parametrize("content", ['{"account_value": 5000, "wei', '{"weights": {"one": -1}}'])
def test_a_portfolio_file_that_does_not_fit_is_not_overwritten_by_an_optimization_that_starts_meanwhile(
    files: Files, content: str
) -> None:
    files.stats("one", rising(1))
    with Daemon(files.root) as daemon:
        daemon.wait_for("config.accepted")
        since = daemon.mark()
        (files.root / "config/portfolio_config.json").write_text(content)
        files.stats("one", rising(2))
        daemon.wait_for("config.rejected", since=since)
        daemon.wait_for("stats.accepted", since=since)
        daemon.wait_for("weights.refused", since=since)
        assert (files.root / "config/portfolio_config.json").read_text() == content


def test_weights_are_optimized_once_a_rejected_portfolio_file_is_mended(files: Files) -> None:
    """The stats that came meanwhile are not forgotten."""
    files.stats("one", rising(1))
    with Daemon(files.root) as daemon:
        daemon.wait_for("config.accepted")
        good = (files.root / "config/portfolio_config.json").read_bytes()
        (files.root / "config/portfolio_config.json").write_text('{"weights": 1}')
        daemon.wait_for("config.rejected")
        since = daemon.mark()
        files.stats("two", rising(2))
        daemon.wait_for("weights.refused", since=since)
        replace(files.root / "config/portfolio_config.json", good)
        daemon.wait_for("weights.optimized", since=since)
        until(lambda: "two" in config(files.root)["weights"])


def test_a_users_edit_during_an_optimization_is_not_undone(files: Files) -> None:
    """The optimizer never changes account_value, also where it was edited while the weights were computed."""
    files.settings("[optimizer]\nquiet_ms = 0\n")
    for seed in range(60):
        files.stats(f"s{seed}", rising(seed, days=700))
    with Daemon(files.root) as daemon:
        daemon.wait_for("config.accepted")
        for attempt in range(1, 6):
            since = daemon.mark()
            files.stats("s0", rising(1000 + attempt, days=700))
            daemon.wait_for("stats.accepted", since=since)
            set_keys(files, account_value=10_000 + attempt)
            daemon.wait_for("config.written", since=since)
            assert config(files.root)["account_value"] == 10_000 + attempt


def test_propose_writes_a_proposal_and_leaves_the_file_in_force(files: Files) -> None:
    files.settings('[optimizer]\napply = "propose"\n' + flat_market(files))
    files.portfolio({"one": 0.5})
    files.stats("one", rising(1))
    files.state("one", 1.0)
    with Daemon(files.root) as daemon:
        assert daemon.wait_for("config.written")["file"] == "var/proposal.json"
        until_positions(files.root, BTC="0.100")
        assert config(files.root)["weights"] == {"one": 0.5}
        proposed: dict[str, Any] = json.loads((files.root / "var/proposal.json").read_bytes())
        assert proposed["weights"] == {"one": 1.0}
        applied = run_command(files.root, "optimize", "--apply")
        assert applied.returncode == 0, applied.stderr
        until(lambda: config(files.root)["weights"] == {"one": 1.0})
        until(lambda: positions(files.root).get(BTC), lambda held: held is not None and held > Decimal("0.1"))
        assert not (files.root / "var/proposal.json").exists()
        assert config(files.root)["account_value"] == 10_000


def test_the_optimizer_never_holds_the_reconciler_up(files: Files) -> None:
    """No stats at all, or stats that nothing can be made of: states are traded by the weights of the file."""
    files.settings(QUICK + flat_market(files))
    files.portfolio({"one": 0.5})
    files.state("one", 1.0)
    (files.root / "strategies/one/stats.json").write_text('{"daily_returns": "none"}')
    with Daemon(files.root) as daemon:
        daemon.wait_for("stats.rejected", strategy="one")
        until_positions(files.root, BTC="0.100")
