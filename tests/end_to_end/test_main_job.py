"""The whole loop on candles: the daemon's equity is the one that a plain calculation predicts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end.main_job import LEAVER, NEWCOMER, VICTIM, MainJob, run_main_job

pytestmark = [pytest.mark.alone, pytest.mark.started_anew]


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> MainJob:
    return run_main_job(tmp_path_factory.mktemp("main-job"), days=20, bars_a_second=12)


@pytest.mark.slow
def test_the_paper_equity_is_the_one_that_a_plain_calculation_predicts(job: MainJob) -> None:
    """They agree within 0.5 %.

    They differ at all because what happened while the daemon was killed and started again reaches the calculation only
    roughly; because new weights reach it at the bar after the one in which the daemon traded them; and because
    adjustments inside the no-trade band are left alone.
    """
    assert abs(job.equity / job.predicted - 1) < 0.005


@pytest.mark.slow
def test_in_peace_the_equity_is_the_predicted_one_to_a_thousandth(tmp_path: Path) -> None:
    """What is left is rounding, and adjustments inside the no-trade band."""
    job = run_main_job(tmp_path, days=6, bars_a_second=6, accidents=False)
    assert abs(job.equity / job.predicted - 1) < 0.001


@pytest.mark.slow
def test_the_weights_are_optimal_and_the_newcomer_is_among_them(job: MainJob) -> None:
    config = job.config
    assert sum(config["weights"].values()) == pytest.approx(1.0, abs=1e-9)
    assert config["optimality_gap"] <= 1e-9
    assert NEWCOMER in config["weights"]
    assert NEWCOMER not in job.bars[0].config["weights"]


@pytest.mark.slow
def test_no_order_is_sent_twice_and_every_position_is_explained(job: MainJob) -> None:
    assert job.orders > 10
    assert job.duplicates == 0
    assert job.unexplained == {}


@pytest.mark.slow
def test_the_corrupt_file_is_named_with_what_stays_in_force(job: MainJob) -> None:
    said = job.first("state.rejected")
    assert said["strategy"] == VICTIM
    assert said["where"].startswith(f"strategies/{VICTIM}/state.json")
    assert "stays in force" in said["kept"]
    assert said["mend"]


@pytest.mark.slow
def test_the_removed_folder_is_frozen_and_keeps_its_weight(job: MainJob) -> None:
    assert job.first("strategy.removed")["strategy"] == LEAVER
    assert LEAVER in job.config["weights"]


@pytest.mark.slow
def test_the_daemon_was_killed_and_went_on(job: MainJob) -> None:
    starts = [event for event in job.events if event["event"] == "daemon.started"]
    stops = [event for event in job.events if event["event"] == "daemon.stopped"]
    assert (len(starts), len(stops)) == (2, 1)
    assert Path(starts[1]["root"]) == Path(starts[0]["root"])
