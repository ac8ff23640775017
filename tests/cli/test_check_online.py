"""`portfoliod check` of exchanges: their credentials, and with --online what the accounts say of themselves."""

from __future__ import annotations

import json
import os
from pathlib import Path

import msgspec
import pytest

from portfoliod.commands.check import Findings, check_workspace
from portfoliod.workspace import Workspace
from tests.cli.inspected_venues import install
from tests.harness.daemon import run_command
from tests.harness.workspace import Files

KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zv"
SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
SOON = 0.2

pytestmark = pytest.mark.usefixtures("installed")


@pytest.fixture
def installed(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The drivers of another package are found, in this process and in those that it starts."""
    path = install(tmp_path_factory.mktemp("site"))
    monkeypatch.syspath_prepend(path.split(":")[0])
    monkeypatch.setenv("PYTHONPATH", path)


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment holds the keys of the venue `main`."""
    monkeypatch.setenv("PORTFOLIOD_MAIN_API_KEY", KEY)
    monkeypatch.setenv("PORTFOLIOD_MAIN_SECRET", SECRET)


def venue(driver: str, name: str = "main", **table: object) -> str:
    lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())
    return f'[venues.{name}]\ndriver = "{driver}"\n{lines}'


def checked(files: Files, *, online: bool = True, seconds: float = 30.0) -> Findings:
    """Return the findings, after a look that they hold no secret and that each problem has a mend."""
    findings = check_workspace(Workspace(files.root), online=online, seconds=seconds)
    text = msgspec.json.encode(findings).decode()
    assert not any(part in text for part in (KEY[:16], KEY[16:], SECRET[:8], SECRET[8:16], SECRET[-8:]))
    assert all(problem.mend and problem.where for problem in findings.problems), findings.problems
    return findings


def whats(findings: Findings) -> list[str]:
    return [problem.what for problem in findings.problems]


def test_an_account_without_a_fault_is_0_and_says_what_was_looked_at(files: Files) -> None:
    """Connected, what the driver says, equity, markets, and the capital that fits into it."""
    files.settings('default_venue = "main"\n' + venue("quiet"))
    files.portfolio({"trend": 1.0}, account_value=9_000)
    files.state("trend", 1.0)
    findings = checked(files)
    assert (findings.problems, findings.exit_code) == ([], 0)
    for part in (
        "venue main: connected",
        "venue main: a paper account",
        "venue main: equity 10,000.00",
        "strategy trend: BTCUSDT is BTC/USDT:USDT on main",
        "capital: account_value 9,000.00 beside the equity of main, 10,000.00",
    ):
        assert any(part in line for line in findings.fine), findings.fine


@pytest.mark.usefixtures("keys")
def test_what_an_account_says_of_itself_is_reported_without_its_keys(files: Files) -> None:
    """Findings of the driver pass through, and a secret in them does not."""
    files.settings(venue("inspected"))
    findings = checked(files)
    assert findings.exit_code == 1
    assert whats(findings) == ["the key can withdraw"]
    assert findings.problems[0].where == "venue main"
    assert findings.problems[0].found == "key ***"
    assert "venue main: clock 3 ms ahead" in findings.fine
    assert "venue main: asked GET /account?signature=***" in findings.fine
    assert "venue main: api_key, secret from $PORTFOLIOD_MAIN_*" in findings.fine


@pytest.mark.parametrize(
    ("driver", "code", "what"),
    [
        ("refusing", 77, "the keys are not accepted"),
        ("unreachable", 75, "no answer"),
        ("broken", 75, "the driver failed"),
        ("hanging", 75, "the venue did not answer in time"),
        ("reserved", 77, "this key may not read the balance"),
        ("no-such-driver", 78, "unknown driver"),
    ],
)
@pytest.mark.usefixtures("keys")
def test_a_venue_that_fails_has_its_exit_code_and_does_not_hide_the_others(
    files: Files, driver: str, code: int, what: str
) -> None:
    """Every venue is looked at, whatever becomes of its neighbour."""
    files.settings(venue(driver) + venue("quiet", "other"))
    files.portfolio({"lost": 0.5, "found": 0.5}, exchanges={"lost": "main", "found": "other"}, account_value=10**7)
    files.state("lost", 1.0)
    files.state("found", 1.0, symbol="ETHUSDT")
    findings = checked(files, seconds=SOON if driver == "hanging" else 30.0)
    assert findings.exit_code == code
    assert whats(findings) == [what]
    assert "venue other: equity 10,000.00" in findings.fine
    assert "strategy found: ETHUSDT is ETH/USDT:USDT on other" in findings.fine


def test_the_exit_code_of_several_failures_is_that_of_the_first_to_be_mended(files: Files) -> None:
    """Settings come before keys, keys before the network."""
    together = venue("unreachable", "a") + venue("refusing", "b")
    files.settings(together)
    assert checked(files).exit_code == 77
    files.settings(together + venue("quiet", "c", balanc=1))
    findings = checked(files)
    assert findings.exit_code == 78
    assert len(findings.problems) == 3


def test_a_broken_account_still_tells_what_it_can(files: Files) -> None:
    """An equity that cannot be read does not hide what is known of the keys."""
    files.settings(venue("reserved"))
    assert "venue main: the keys work" in checked(files).fine


def test_venues_are_asked_at_the_same_time(files: Files) -> None:
    """Many that hang take no longer than one: each has its own time, and all have the same."""
    files.settings("".join(venue("hanging", f"venue{number}") for number in range(50)))
    findings = checked(files, seconds=SOON)
    assert whats(findings) == ["the venue did not answer in time"] * 50


def test_a_market_that_the_venue_does_not_have_is_named_with_its_strategy(files: Files) -> None:
    """As offline on paper, but on the exchange that the strategy is routed to."""
    files.settings(venue("quiet", market_type="spot"))
    files.portfolio({"typo": 1.0}, exchanges={"typo": "main"}, account_value=1)
    files.state("typo", 1.0, symbol="BTCUSTD")
    findings = checked(files)
    assert findings.exit_code == 1
    assert "strategies/typo/state.json" in findings.problems[0].where


def test_more_capital_than_the_accounts_hold_together_is_a_problem(files: Files) -> None:
    """Only venues that strategies are routed to count, and both numbers are told."""
    files.settings(venue("quiet", balance=3_000) + venue("quiet", "other", balance=2_500) + venue("quiet", "idle"))
    routes = {"one": "main", "two": "other"}
    files.portfolio({"one": 0.5, "two": 0.5}, exchanges=routes, account_value=5_800, leverage=0.1)
    files.state("one", 1.0)
    files.state("two", 1.0)
    findings = checked(files)
    assert findings.exit_code == 1
    assert "5,800.00" in findings.problems[0].found
    assert "main and other, 5,500.00" in findings.problems[0].found
    files.portfolio({"one": 0.5, "two": 0.5}, exchanges=routes, account_value=5_500, leverage=5)
    assert checked(files).exit_code == 0


def test_capital_from_equity_is_compared_with_nothing(files: Files) -> None:
    """Where targets are sized with the equity, account_value is not used."""
    files.settings('capital = "equity"\ndefault_venue = "main"\n' + venue("quiet"))
    files.portfolio({"one": 1.0}, account_value=10**7)
    files.state("one", 1.0)
    findings = checked(files)
    assert findings.exit_code == 0
    assert "capital: the equity of main, 10,000.00" in findings.fine


def test_an_equity_that_is_not_known_is_compared_with_nothing(files: Files) -> None:
    """Unknown is not zero."""
    files.settings(venue("reserved") + venue("quiet", "other"))
    files.portfolio({"one": 0.5, "two": 0.5}, exchanges={"one": "main", "two": "other"}, account_value=10**7)
    files.state("one", 1.0)
    files.state("two", 1.0)
    assert whats(checked(files)) == ["this key may not read the balance"]


def test_offline_no_exchange_is_connected(files: Files) -> None:
    """Only --online goes to the network."""
    files.settings(venue("refusing") + venue("hanging", "other"))
    findings = checked(files, online=False, seconds=SOON)
    assert (findings.problems, findings.exit_code) == ([], 0)


@pytest.mark.parametrize("online", [False, True])
def test_an_exchange_without_credentials_is_78_and_names_the_three_places(files: Files, *, online: bool) -> None:
    """The daemon could not trade on it."""
    files.settings(venue("ccxt", "my-okx", exchange="okx"))
    findings = checked(files, online=online)
    assert findings.exit_code == 78
    (problem,) = [found for found in findings.problems if found.what == "the venue has no credentials"]
    assert problem.where == "venue my-okx"
    for place in ("$PORTFOLIOD_MY_OKX_API_KEY", "$CREDENTIALS_DIRECTORY/credentials.toml", "config/credentials.toml"):
        assert place in problem.mend


def write_credentials(files: Files, text: str, mode: int = 0o600) -> Path:
    path = files.root / "config/credentials.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def test_credentials_are_found_and_named_but_not_shown(files: Files) -> None:
    """What is there is told by name and place."""
    files.settings(venue("ccxt", exchange="okx"))
    write_credentials(files, f'[main]\napiKey = "{KEY}"\nsecret = "{SECRET}"\npassword = "correct horse"\n')
    findings = checked(files, online=False)
    assert "venue main: api_key, secret, password from config/credentials.toml" in findings.fine
    assert "the venue has no credentials" not in whats(findings)


@pytest.mark.parametrize("driver", ["ccxt", "quiet"])
def test_credentials_that_others_can_read_are_said_once_and_are_78_for_a_venue_that_needs_them(
    files: Files, driver: str
) -> None:
    """The daemon would refuse to start."""
    files.settings(venue(driver, **({"exchange": "okx"} if driver == "ccxt" else {})))
    write_credentials(files, f'[main]\nsecret = "{SECRET}"\n', 0o640)
    findings = checked(files, online=False)
    assert findings.exit_code == 78
    assert whats(findings).count("others can read the credentials") == 1
    assert findings.problems[0].mend == "chmod 600 config/credentials.toml"


def test_credentials_that_do_not_fit_are_78_for_their_venue_alone(files: Files) -> None:
    """The key is named with the nearest known one; the other venue is looked at."""
    files.settings(venue("quiet") + venue("quiet", "other"))
    write_credentials(files, f'[main]\nsecrte = "{SECRET}"\n')
    findings = checked(files)
    assert findings.exit_code == 78
    assert "main.secrte" in findings.problems[0].where
    assert "`secret`" in findings.problems[0].found
    assert "venue other: equity 10,000.00" in findings.fine


def test_venues_that_read_the_same_variables_are_named(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that differ in a dash become one variable: each venue would trade with the other's keys."""
    files.settings(venue("quiet", "my-okx") + venue("quiet", "my_okx") + venue("quiet", "main"))
    assert checked(files).exit_code == 0
    monkeypatch.setenv("PORTFOLIOD_MY_OKX_SECRET", SECRET)
    findings = checked(files)
    assert findings.exit_code == 1
    assert findings.problems[0].where == "venues my-okx, my_okx"
    assert "$PORTFOLIOD_MY_OKX_*" in findings.problems[0].found


@pytest.mark.slow
@pytest.mark.parametrize(("driver", "code"), [("inspected", 1), ("refusing", 77), ("broken", 75), ("quiet", 0)])
@pytest.mark.usefixtures("keys")
def test_the_command_exits_as_it_found_and_prints_nothing_of_the_keys(files: Files, driver: str, code: int) -> None:
    """Neither the table nor the JSON, nor what a driver logs or raises, holds a secret; the JSON stands alone."""
    files.settings(venue(driver))
    before = set(files.root.rglob("*"))
    table = run_command(files.root, "-v", "check", "--online")
    printed = run_command(files.root, "-v", "check", "--online", "--json")
    findings = json.loads(printed.stdout)
    assert (table.returncode, printed.returncode, findings["exit_code"]) == (code, code, code)
    for text in (table.stdout, table.stderr, printed.stdout, printed.stderr):
        assert not any(part in text for part in (KEY[:8], KEY[16:], SECRET[:8], SECRET[32:]))
    assert table.stdout.count("problem:") == len(findings["problems"])
    assert printed.stderr == ""
    assert set(files.root.rglob("*")) == before, "a check writes nothing"


def test_check_of_the_default_workspace_online_needs_no_network(files: Files) -> None:
    """The paper venue is a venue as any other."""
    findings = checked(files)
    assert findings.exit_code == 0
    assert any("a paper account" in line for line in findings.fine)
    assert not os.listdir(files.root)
