"""Credentials that do not fit are refused in the real commands, and what stands in them is not quoted.

The harness searches all that the commands print and write for the secret.
"""

from __future__ import annotations

import sys

import pytest

from portfoliod.logs import redacted, redaction
from portfoliod.venues import VenueContext, open_venue
from tests.harness.canaries import CANARIES
from tests.harness.daemon import Daemon, run_command
from tests.harness.workspace import Files, replace
from tests.tasks.evidence import journal, until

# Two commands in each test.
pytestmark = [pytest.mark.slow, pytest.mark.started_anew]

SECRET = CANARIES["a file's secret"]
STRANGE = CANARIES["a strange variable"]
LIVE = """
mode = "live"
default_venue = "main"

[venues.main]
driver = "ccxt"
exchange = "binanceusdm"
"""
BAD = {
    "not TOML, the line of the secret": f'[main]\napi_key = "x"\nsecret = {SECRET}\n',
    "not TOML, no closing quote": f'[main]\nsecret = "{SECRET}\napi_key = "y"\n',
    "not TOML, the secret alone": SECRET,
    "INI": f"[main]\nsecret: {SECRET}\n",
    "JSON": f'{{"main": {{"secret": "{SECRET}"}}}}',
    "the secret twice": f'[main]\nsecret = "{SECRET}"\nsecret = "{SECRET}"\n',
    "a typo in the name": f'[main]\nsecrte = "{SECRET}"\n',
    "the secret as a name": f'[main]\n{SECRET} = "secret"\n',
    "the secret as a table": f'[{SECRET}]\nsecret = 1\n[main]\nsecret = ["{SECRET}"]\n',
    "outside of a table": f'secret = "{SECRET}"\n',
    "a list": f'[main]\nsecret = ["{SECRET}"]\n',
    "a table": f'[main.secret]\nvalue = "{SECRET}"\n',
    "a line break": f'[main]\napi_key = "{SECRET}\\n{SECRET}"\n',
    "not complete": f'[main]\nsecret = "{SECRET}"\n',
    "bytes that are no text": f'[main]\nsecret = "{SECRET}"\n'.encode().decode() + "\udcff",
}


@pytest.mark.parametrize("content", BAD.values(), ids=BAD)
def test_a_file_that_does_not_fit_is_refused_without_being_quoted(files: Files, content: str) -> None:
    """By the daemon and by `check`, which also run verbosely: exit 78, a place, and no word of the secret."""
    files.settings(LIVE)
    path = files.root / "config/credentials.toml"
    path.write_bytes(content.encode(errors="surrogateescape"))
    path.chmod(0o600)
    for arguments in (["run", "--live", "--log-format", "json"], ["check", "--json"]):
        done = run_command(files.root, *arguments, verbose=True)
        assert done.returncode == 78
        assert "credentials" in done.stdout + done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "environment",
    [
        {"PORTFOLIOD_MAIN_API_KEY": f"{STRANGE}\n{STRANGE}"},
        {"PORTFOLIOD_MAIN_SECRET": f"{STRANGE}\x07"},
        {"PORTFOLIOD_MAIN_SECRET": f"-----BEGIN EC PRIVATE KEY-----\n{STRANGE}"},
        {"PORTFOLIOD_MAIN_PRIVATE_KEY": STRANGE},
        {"PORTFOLIOD_MAIN_API_KEY": STRANGE},
        {"PORTFOLIOD_MAIN_SECRET": f'{{"secret": "{STRANGE}"}}'},
    ],
    ids=["a line break", "a bell", "half a PEM", "the wrong kind", "half of it", "JSON"],
)
def test_variables_that_do_not_fit_are_refused_without_being_quoted(files: Files, environment: dict[str, str]) -> None:
    """The variable's name is told, or what is missing; never what it holds."""
    files.settings(LIVE)
    for arguments in (["run", "--live", "--log-format", "json"], ["check", "--json"]):
        done = run_command(files.root, *arguments, environment=environment, verbose=True)
        assert done.returncode == 78
        assert "Traceback" not in done.stderr


SCRIPT = """
import os

TOKEN = os.environ["MY_BROKER_TOKEN"]


def get_positions():
    return {}


def get_price(symbol):
    return 100


def place_order(symbol, quantity, reduce_only, client_order_id):
    raise ConnectionError(f"POST https://broker.example/orders?token={TOKEN} timed out")
"""


@pytest.fixture
def broker(files: Files) -> Files:
    """A workspace that trades through a script which quotes its token in an error."""
    replace(files.root / "config/my_broker.py", SCRIPT)
    files.settings(
        'mode = "live"\ndefault_venue = "mine"\n[venues.mine]\ndriver = "script"\nscript = "config/my_broker.py"\n'
    )
    files.portfolio({"one": 1.0})
    files.state("one", 1.0)
    return files


@pytest.mark.parametrize(
    ("name", "value", "hidden"),
    [
        ("MONKEYS", "market prices", False),
        ("KEYBOARD_LAYOUT", "german-qwertz", False),
        ("TOKENIZERS_PARALLELISM", "not-at-all", False),
        ("BROKER_KEY_FILE", "/etc/broker/key", False),
        ("API_KEY", "market", False),
        ("API_KEY", "Market", False),
        ("API_KEY", "mark3t", True),
        ("API_KEY", "marketmarket", True),
        ("brokerApiKey", "0123456789", True),
        ("MY_TOKENS", "0123456789", True),
        ("SECRET2", "0123456789", True),
        ("PGPASSWORD", "0123456789", True),
        ("SECRETKEY", "0123456789", True),
        ("KEY_ID", "0123456789", True),
        ("BYBITAPIKEY", "0123456789", True),
        ("API_KEYID", "0123456789", True),
        ("tokenvalue", "0123456789", True),
        ("MYSECRETVALUE", "0123456789", True),
        ("BROKER_PASSWORD", "hunter", True),
        ("BROKER_PASS", "0123456789", True),
        ("IB_PASS", "0123456789", True),
        ("BROKER_PASS", "market", False),
        ("TURKEY_API_KEY", "0123456789", True),
        ("TOKENIZER_API_KEY", "0123456789", True),
        ("COMMONKEY", "0123456789", True),
        ("COMPASS_URL", "0123456789", False),
    ],
)
def test_what_a_scripts_environment_calls_a_secret_is_taken_out_and_ordinary_words_are_not(
    broker: Files, monkeypatch: pytest.MonkeyPatch, name: str, value: str, hidden: bool
) -> None:
    """Rather too much is hidden than a key told; what only reads like one, or names a place, is known."""
    monkeypatch.setattr(redaction, "_redactions", [])
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    monkeypatch.setenv(name, value)
    table = {"driver": "script", "script": "config/my_broker.py"}
    open_venue(VenueContext("mine", broker.root / "var", broker.root / "config/portfoliod.toml", True), table)
    assert (value not in redacted(f"the {value} is open")) is hidden


def test_a_script_that_quotes_its_token_does_not_get_it_into_log_and_journal(broker: Files) -> None:
    """What a script raises is told, but what its environment calls a token is taken out."""
    daemon = Daemon(broker.root, "--live", environment={"MY_BROKER_TOKEN": CANARIES["a script's token"]})
    daemon.wait_for("order.unknown")
    until(lambda: journal(broker.root, "SELECT outcome FROM intents WHERE outcome != ''"))
    daemon.terminate()
