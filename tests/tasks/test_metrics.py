"""The page that Prometheus reads, and the alert rules and the dashboard that rest on it."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from portfoliod.metrics.happenings import Happenings
from tests.harness.daemon import Daemon, run_command
from tests.harness.workspace import Files, noisy_returns
from tests.service.machine import CACHE, SOURCE
from tests.tasks.evidence import QUICK, flat_market, until
from tests.tasks.figures import page, sample, samples

RULES = SOURCE / "systemd/portfoliod.rules.yml"
DASHBOARD = SOURCE / "systemd/grafana-dashboard.json"
PROMTOOL = shutil.which("promtool", path=f"{CACHE}/promtool/usr/bin") or shutil.which("promtool")
needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="NOT TESTED: no promtool (Debian's package prometheus; make test-service fetches it)"
)


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Daemon, str]]:
    """A daemon that has traded, and where its metrics are."""
    files = Files(tmp_path_factory.mktemp("desk"))
    files.settings('[metrics]\nlisten = "127.0.0.1:0"\n' + QUICK + flat_market(files))
    files.stats("trend", noisy_returns(1, drift=0.003))
    files.state("trend", 1.0)
    with Daemon(files.root) as daemon:
        address = daemon.wait_for("metrics.served")["address"]
        daemon.wait_for("drawdown.marked")
        held = {"venue": "paper", "symbol": "BTC/USDT:USDT", "status": "in_step"}
        until(lambda: sample(samples(address), "portfoliod_market_status", **held) == 1)
        yield daemon, address
        assert daemon.terminate() == 0


@pytest.mark.slow
def test_the_figures_are_those_of_status_and_of_the_log(traded: tuple[Daemon, str]) -> None:
    daemon, address = traded
    found, status = samples(address), daemon.status()
    (market,) = status["markets"]
    labels = {"venue": "paper", "symbol": market["symbol"]}
    assert sample(found, "portfoliod_position", **labels) == float(market["position"])
    assert sample(found, "portfoliod_target", **labels) == float(market["target"])
    assert sample(found, "portfoliod_weight", strategy="trend") == 1.0
    assert sample(found, "portfoliod_leverage") == status["leverage"]
    assert sample(found, "portfoliod_halted") == 0
    fills = daemon.named("order.filled")
    assert sample(found, "portfoliod_fills_total", venue="paper", side="buy") == len(fills)
    assert sample(found, "portfoliod_orders_total", venue="paper", outcome="sent") == len(daemon.named("order.sent"))
    for stage in ("target", "sent", "acknowledged", "filled"):
        assert sample(found, "portfoliod_stage_seconds_count", stage=stage) == 1
        assert 0 <= (sample(found, "portfoliod_stage_seconds_sum", stage=stage) or -1) < 10
    age = sample(found, "portfoliod_stats_age_seconds", strategy="trend")
    assert age is not None
    assert 0 <= age < 86_400 + 60
    assert (sample(found, "portfoliod_loop_lag_seconds_count") or 0) > 0
    assert (sample(found, "portfoliod_looks_total", venue="paper") or 0) > 0


@pytest.mark.slow
def test_alert_rules_and_dashboard_ask_for_metrics_that_there_are(traded: tuple[Daemon, str]) -> None:
    _, address = traded
    text = page(address)
    asked = set(re.findall(r"portfoliod_\w+", RULES.read_text() + DASHBOARD.read_text()))
    there = set(re.findall(r"portfoliod_\w+", text))
    assert asked - there == {"portfoliod_risk_refused_total"} - there
    json.loads(DASHBOARD.read_text())


def test_the_handbook_says_what_each_alert_asks_for() -> None:
    alerts = re.findall(r"alert: (\w+)", RULES.read_text())
    handbook = (SOURCE / "docs/operations.md").read_text()
    assert re.findall(r"^\| `(Portfoliod\w+)` \|", handbook, re.MULTILINE) == alerts


@pytest.mark.slow
@needs_promtool
def test_prometheus_itself_finds_nothing_wrong_with_the_page_and_the_rules(traded: tuple[Daemon, str]) -> None:
    assert PROMTOOL is not None
    _, address = traded
    metrics = page(address)
    for arguments, content in ((["check", "metrics"], metrics), (["check", "rules", str(RULES)], "")):
        done = subprocess.run([PROMTOOL, *arguments], input=content, capture_output=True, text=True, check=False)
        told = [line for line in done.stderr.splitlines() if line.startswith("portfoliod_")]
        assert (done.returncode in {0, 3}, told) == (True, []), done.stdout + done.stderr


@needs_promtool
def test_the_alerts_fire_when_they_should(tmp_path: Path) -> None:
    """As Prometheus evaluates them."""
    assert PROMTOOL is not None
    cases = {
        "PortfoliodHalted": ("portfoliod_halted", "1x10"),
        "PortfoliodLocked": ('portfoliod_market_status{status="locked"}', "1x10"),
        "PortfoliodUnreachable": ('portfoliod_venue_connected{venue="main"}', "0x10"),
        "PortfoliodStateStale": ('portfoliod_state_age_seconds{strategy="a"}', "20000x10"),
        "PortfoliodDrawdown": ("portfoliod_drawdown_ratio", "0.2x10"),
    }
    tests = [
        {
            "interval": "1m",
            "input_series": [{"series": series, "values": values}],
            "promql_expr_test": [
                {
                    "expr": f'count(ALERTS{{alertname="{alert}", alertstate="firing"}})',
                    "eval_time": "9m",
                    "exp_samples": [{"labels": "{}", "value": 1}],
                }
            ],
        }
        for alert, (series, values) in cases.items()
    ]
    path = tmp_path / "test.yml"
    path.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}))
    done = subprocess.run([PROMTOOL, "test", "rules", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_an_address_that_is_taken_is_said_and_keeps_nothing_from_trading(files: Files) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        files.settings(f'[metrics]\nlisten = "127.0.0.1:{port}"\n' + QUICK + flat_market(files))
        files.portfolio({"trend": 1.0})
        files.state("trend", 1.0)
        with Daemon(files.root) as daemon:
            assert str(port) in daemon.wait_for("metrics.failed")["found"]
            daemon.wait_for("order.filled")
            assert daemon.terminate() == 0


def test_a_host_that_cannot_be_a_name_is_said_and_keeps_nothing_from_being_traded(files: Files) -> None:
    files.settings('[metrics]\nlisten = "nobody..here:9105"\n' + QUICK + flat_market(files))
    with Daemon(files.root) as daemon:
        assert "nobody..here" in daemon.wait_for("metrics.failed")["found"]
        daemon.wait_for("daemon.ready")
        assert daemon.terminate() == 0


@pytest.mark.parametrize("listen", ["9105", "localhost", "http://127.0.0.1:9105", "127.0.0.1:99999", "[::1]:65536"])
def test_what_is_no_address_is_refused(files: Files, listen: str) -> None:
    files.settings(f'[metrics]\nlisten = "{listen}"\n')
    ended = run_command(files.root, "run")
    assert ended.returncode == 78
    assert "metrics.listen" in ended.stderr


def test_a_stage_is_measured_from_the_latest_change_that_led_to_it() -> None:
    registry = CollectorRegistry()
    happenings = Happenings(registry)
    heard = [
        (10.0, {"event": "state.accepted", "cycle": "a"}),
        (11.0, {"event": "state.accepted", "cycle": "b"}),
        (11.5, {"event": "target.decided", "cycle": "a b", "venue": "main"}),
        (11.75, {"event": "order.sent", "cycle": "a b", "client_id": "1", "venue": "main"}),
        (12.0, {"event": "order.acknowledged", "cycle": "a b", "client_id": "1", "venue": "main"}),
        (13.75, {"event": "order.filled", "client_id": "1", "venue": "main", "side": "buy"}),
        (14.0, {"event": "order.sent", "client_id": "2", "venue": "main"}),
    ]
    for at, event in heard:
        happenings._count(at, {"level": "info", **event})

    assert measured(registry, "target") == (1, 0.5)
    assert measured(registry, "sent") == (1, 0.25)
    assert measured(registry, "acknowledged") == (1, 0.25)
    assert measured(registry, "filled") == (1, 2.0)


def test_every_market_of_a_cycle_is_measured_to_its_first_order() -> None:
    registry = CollectorRegistry()
    happenings = Happenings(registry)
    heard = [
        (1.0, {"event": "target.decided", "cycle": "a", "venue": "main", "symbol": "BTC"}),
        (2.0, {"event": "target.decided", "cycle": "a", "venue": "main", "symbol": "ETH"}),
        (3.0, {"event": "order.sent", "cycle": "a", "client_id": "1", "venue": "main", "symbol": "BTC"}),
        (5.0, {"event": "order.sent", "cycle": "a", "client_id": "2", "venue": "main", "symbol": "ETH"}),
        (9.0, {"event": "order.sent", "cycle": "a", "client_id": "3", "venue": "main", "symbol": "ETH"}),
    ]
    for at, event in heard:
        happenings._count(at, {"level": "info", **event})

    assert measured(registry, "sent") == (2, 5.0)


def measured(registry: CollectorRegistry, stage: str) -> tuple[float | None, float | None]:
    """Return how often a stage was measured, and how long it took in all."""
    of = {"stage": stage}
    return (
        registry.get_sample_value("portfoliod_stage_seconds_count", of),
        registry.get_sample_value("portfoliod_stage_seconds_sum", of),
    )
