"""Where keys are found, who may read them, and that nothing of them is ever shown."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import os
import pickle
import re
import traceback
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.pretty import Pretty

from portfoliod.credentials import CCXT_SPELLING, NAMES, Credentials, find_credentials
from portfoliod.errors import SettingsError

KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zv"
SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
PEM = """\
-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIOVmPUZE6mv9
SD5VNHk4HlWFsOr6aKE2zvAAAA==
-----END PRIVATE KEY-----"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where config/credentials.toml would be; the folder exists."""
    path = tmp_path / "config" / "credentials.toml"
    path.parent.mkdir()
    return path


def write(path: Path, text: str, mode: int = 0o600) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def table(venue: str = "main", **values: str) -> str:
    return "\n".join([f"[{venue}]", *(f"{name} = {json.dumps(value)}" for name, value in values.items()), ""])


def found(venue: str, path: Path, environment: Mapping[str, str] | None = None) -> Credentials:
    credentials = find_credentials(venue, path, environment or {})
    assert credentials is not None
    return credentials


def refused(venue: str, path: Path, environment: Mapping[str, str] | None = None) -> SettingsError:
    """Return the refusal, after a look that nothing it carries holds a value."""
    with pytest.raises(SettingsError) as caught:
        find_credentials(venue, path, environment or {})
    told = "".join(traceback.format_exception(caught.value))
    assert KEY not in told
    assert SECRET not in told
    chain: BaseException | None = caught.value
    while chain is not None:
        assert not any(SECRET in repr(value) for value in (*chain.args, *vars(chain).values()))
        chain = chain.__context__
    assert caught.value.exit_code == 78
    assert caught.value.mend
    return caught.value


def test_nothing_anywhere_is_none(file: Path) -> None:
    """A venue without credentials is for its driver to judge."""
    assert find_credentials("main", file, {}) is None
    assert find_credentials("main", file, {"CREDENTIALS_DIRECTORY": str(file.parent / "missing")}) is None
    assert find_credentials("main", file.parent / "not" / "there.toml", {}) is None


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("venue", "prefix"), [("main", "MAIN"), ("my-okx", "MY_OKX"), ("Bybit_2", "BYBIT_2")])
def test_each_value_has_a_variable_of_the_venue(file: Path, name: str, venue: str, prefix: str) -> None:
    """The variable is the venue in upper case, dashes as underscores, then the name of the value."""
    credentials = found(venue, file, {f"PORTFOLIOD_{prefix}_{name.upper()}": KEY, "PORTFOLIOD_ROOT": "/srv"})
    assert credentials.given() == [name]
    assert getattr(credentials, name) == KEY
    assert credentials.source == f"$PORTFOLIOD_{prefix}_*"


def test_the_first_place_that_has_any_is_used_whole(file: Path, tmp_path: Path) -> None:
    """The environment comes before systemd's folder, that before the file, and values are never mixed."""
    write(file, table(api_key="from the file", secret="from the file", uid="from the file"))
    write(tmp_path / "systemd/credentials.toml", table(api_key="from systemd", secret="from systemd"), 0o440)
    systemd = {"CREDENTIALS_DIRECTORY": str(tmp_path / "systemd")}
    credentials = found("main", file, {**systemd, "PORTFOLIOD_MAIN_API_KEY": "from the environment"})
    assert (credentials.api_key, credentials.secret, credentials.uid) == ("from the environment", None, None)
    credentials = found("main", file, systemd)
    assert (credentials.api_key, credentials.secret, credentials.uid) == ("from systemd", "from systemd", None)
    assert credentials.source == "$CREDENTIALS_DIRECTORY/credentials.toml"
    credentials = found("main", file)
    assert (credentials.secret, credentials.uid, credentials.source) == (
        "from the file",
        "from the file",
        "config/credentials.toml",
    )


def test_a_place_that_says_nothing_of_the_venue_is_passed_over(file: Path, tmp_path: Path) -> None:
    """An empty value is a missing one, and another venue's table is another venue's."""
    write(file, table(api_key=KEY) + table("other", api_key="x", nonsense="y"))
    write(tmp_path / "systemd/credentials.toml", table("other", api_key="x") + table(api_key="  ", secret=""))
    environment = {
        "CREDENTIALS_DIRECTORY": str(tmp_path / "systemd"),
        "PORTFOLIOD_MAIN_API_KEY": " \n",
        "PORTFOLIOD_OTHER_SECRET": SECRET,
    }
    assert found("main", file, environment).api_key == KEY
    assert found("main", file, {"CREDENTIALS_DIRECTORY": ""}).api_key == KEY


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o660, 0o644, 0o602, 0o700 | 0o001])
def test_a_file_that_others_can_reach_is_refused_with_chmod(file: Path, mode: int) -> None:
    """Whatever group or others may do with it is too much."""
    error = refused("main", write(file, table(secret=SECRET), mode))
    assert error.mend == f"chmod 600 {file}"
    assert str(file) in error.where


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_a_file_of_its_owner_alone_is_read(file: Path, mode: int) -> None:
    """Nobody else has any right."""
    assert found("main", write(file, table(secret=SECRET), mode)).secret == SECRET


def test_a_link_is_as_private_as_what_it_leads_to(file: Path, tmp_path: Path) -> None:
    """The rights that count are those of the file at the end of the links."""
    target = write(tmp_path / "elsewhere.toml", table(secret=SECRET))
    file.symlink_to(target)
    assert found("main", file).secret == SECRET
    target.chmod(0o644)
    assert "chmod 600" in refused("main", file).mend


def test_systemd_sees_to_the_rights_of_its_own_file(file: Path, tmp_path: Path) -> None:
    """The file of a service may be readable for its group."""
    write(tmp_path / "systemd/credentials.toml", table(secret=SECRET), 0o444)
    assert found("main", file, {"CREDENTIALS_DIRECTORY": str(tmp_path / "systemd")}).secret == SECRET


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_somebody_else_is_refused(file: Path) -> None:
    """Whoever owns it can read and change it."""
    os.chown(write(file, table(secret=SECRET)), 12345, -1)
    error = refused("main", file)
    assert "12345" in error.found
    assert error.mend.startswith("chown")


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read everything")
def test_a_file_that_cannot_be_read_is_refused(file: Path) -> None:
    """It is there, so it is not missing."""
    assert "cannot be read" in refused("main", write(file, table(secret=SECRET), 0o000)).what


def test_what_is_no_file_is_refused_and_nothing_hangs(file: Path) -> None:
    """A FIFO, a folder and a link that leads to itself are errors at once."""
    os.mkfifo(file, 0o600)
    assert "regular" in refused("main", file).what
    file.unlink()
    file.mkdir(0o700)
    refused("main", file)
    file.rmdir()
    file.symlink_to(file)
    refused("main", file)


@pytest.mark.parametrize(("spelling", "name"), CCXT_SPELLING.items())
def test_the_spelling_of_ccxt_is_taken_too(file: Path, spelling: str, name: str) -> None:
    """What a user copies from an example of ccxt works."""
    credentials = found("main", write(file, table(**{spelling: KEY})))
    assert getattr(credentials, name) == KEY


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (f'[main]\napi_kye = "{SECRET}"\n', ("main.api_kye", "`api_key`")),
        (f'[main]\npassphrase = "{SECRET}"\n', ("main.passphrase", "`password`")),
        (f'[main]\nsecret = ["{SECRET}"]\n', ("main.secret", "a list")),
        ("[main]\nuid = 123456789\n", ("main.uid", "a number", "in quotes")),
        ("[main]\nuid = true\n", ("main.uid", "a boolean")),
        ("[main]\nuid = 2024-01-01\n", ("main.uid", "a date")),
        (f'[main.secret]\nof = "{SECRET}"\n', ("main.secret", "a table")),
        (f'[main]\napi_key = "{KEY}"\napiKey = "{KEY}"\n', ("main.apiKey", "`api_key`")),
        (f'secret = "{SECRET}"\n', ("secret", "outside")),
        (f'[main]\napi_key = "{KEY}\\n{SECRET}"\n', ("main.api_key", "line break")),
        (f'[main]\nnonsense = "{SECRET}"\nuid = 1\n', ("main.nonsense", "main.uid", "2 errors")),
    ],
)
def test_what_does_not_fit_is_named_by_its_key_and_never_shown(
    file: Path, content: str, named: tuple[str, ...]
) -> None:
    """All misfits are told at once, with the nearest known key, without any value."""
    told = str(refused("main", write(file, content)))
    assert all(text in told for text in named), told


def test_a_secret_in_the_place_of_a_key_is_not_shown_either(file: Path) -> None:
    """A user who wrote the two sides the wrong way round must not find the secret in the log."""
    refused("main", write(file, f'[main]\n{SECRET} = "secret"\n'))
    refused("main", write(file, f'"{SECRET}" = "secret"\n'))


@pytest.mark.parametrize(
    "content",
    [
        f"[main]\nsecret = {SECRET}\n".encode(),
        f'[main]\nsecret = "{SECRET}\n'.encode(),
        f'[main]\n{SECRET} = "a"\n{SECRET} = "b"\n'.encode(),
        f"[{SECRET}]\n[{SECRET}]\n".encode(),
        f'secret = "{SECRET}'.encode(),
        SECRET.encode(),
        f"secret = '{SECRET}".encode() + b"\xff'",
        b"secret = " + b"[" * 100_000,
        b"\0" * 100,
        b'x = "' + b"a" * (1024 * 1024) + b'"',
    ],
)
def test_a_file_that_is_not_toml_is_refused_without_a_quotation(file: Path, content: bytes) -> None:
    """Neither the message nor the errors behind it hold the line."""
    file.write_bytes(content)
    file.chmod(0o600)
    assert str(file) in refused("main", file).where


def test_where_a_file_breaks_is_told(file: Path) -> None:
    """The line and the column help, and give nothing away."""
    assert "line 2" in refused("main", write(file, f"[main]\nsecret = {SECRET}\n")).found


@given(st.binary(max_size=300))
def test_any_bytes_are_credentials_or_a_refusal(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """Nothing that a file holds raises anything else."""
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(b"[main]\n" + content)
    path.chmod(0o600)
    with contextlib.suppress(SettingsError):
        find_credentials("main", path, {})


def test_white_space_around_a_value_is_not_part_of_it(file: Path) -> None:
    """A trailing line break is what most editors and `echo` leave."""
    assert found("main", file, {"PORTFOLIOD_MAIN_SECRET": f" {SECRET}\r\n"}).secret == SECRET
    assert found("main", write(file, table(api_key=f"\t{KEY}\n"))).api_key == KEY


@pytest.mark.parametrize("name", ["secret", "private_key"])
def test_a_pem_keeps_its_lines_however_it_is_written(file: Path, name: str) -> None:
    """Line breaks may be real ones, or a backslash and an n, as variables often hold them."""
    variable = f"PORTFOLIOD_MAIN_{name.upper()}"
    for text in (PEM, PEM.replace("\n", "\\n"), PEM.replace("\n", "\r\n") + "\n"):
        assert getattr(found("main", file, {variable: text}), name) == PEM
    write(file, f"[main]\n{name} = '''\n{PEM}\n'''\n")
    assert getattr(found("main", file), name) == PEM


def test_a_variable_that_cannot_be_a_key_is_refused_by_its_name(file: Path) -> None:
    """A line break in a key would end up in a request's header."""
    error = refused("main", file, {"PORTFOLIOD_MAIN_API_KEY": f"{KEY}\nX-Header: {SECRET}"})
    assert error.where == "$PORTFOLIOD_MAIN_API_KEY"
    refused("main", file, {"PORTFOLIOD_MAIN_API_KEY": f"{KEY}\udcff"})


CREDENTIALS = Credentials("config/credentials.toml", api_key=KEY, secret=SECRET, password="short", private_key=PEM)


def test_no_way_of_printing_shows_a_value() -> None:
    """What is there is named, what it is stays hidden."""
    page = Console(file=io.StringIO(), width=200)
    page.print(CREDENTIALS, Pretty(CREDENTIALS), Pretty({"keys": [CREDENTIALS]}))
    assert isinstance(page.file, io.StringIO)
    texts = [repr(CREDENTIALS), str(CREDENTIALS), f"{CREDENTIALS}", page.file.getvalue()]
    for text in texts:
        assert "api_key" in text
        assert not any(part in text for part in (KEY[:8], SECRET[:8], "short", "MC4CAQ"))
    assert not hasattr(CREDENTIALS, "__dict__")


def test_credentials_are_neither_encoded_nor_pickled_nor_copied() -> None:
    """Nothing can carry them into a file by mistake."""
    for encode in (msgspec.json.encode, msgspec.msgpack.encode, msgspec.to_builtins, orjson.dumps, json.dumps):
        with pytest.raises(TypeError):
            encode(CREDENTIALS)
    for take in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            take(CREDENTIALS)


@pytest.mark.parametrize(
    "text",
    [
        f"GET /order?apiKey={KEY}&x=1",
        f"{KEY}{SECRET}",
        f"cut off: {SECRET[:32]}",
        f"cut off: {SECRET[32:]}",
        f"cut off: {SECRET[7:40]} and {KEY[:16]}",
        f"lower {KEY.lower()}",
        f"pem={quote(PEM, safe='')}",
        f"pem={quote(PEM)}",
        json.dumps({"privateKey": PEM}),
        repr({"secret": PEM}),
        PEM.splitlines()[1],
    ],
)
def test_a_redacted_text_holds_no_eight_characters_of_a_value(text: str) -> None:
    """Whole values, halves, what a URL or JSON makes of them: all of it is masked."""
    redacted = CREDENTIALS.redact(text).lower()
    assert "***" in redacted
    for value in (KEY, SECRET, *PEM.splitlines()):
        assert not any(value[start : start + 8].lower() in redacted for start in range(len(value) - 7))


def test_a_value_with_signs_is_redacted_in_its_url_form_too() -> None:
    """A base64 secret is full of signs that a URL writes otherwise."""
    secret = "a+b/c=d+e/f=g+h/"
    credentials = Credentials("", secret=secret)
    for form in (secret, quote(secret, safe=""), quote(secret, safe="").lower()):
        assert credentials.redact(f"?sign={form}&b") == "?sign=***&b"


def test_a_text_without_values_stays_as_it_is() -> None:
    """Values of fewer than six characters are words, and are left alone."""
    for text in ("", "a short ordinary sentence", "Ünïcode, İstanbul", KEY[:7]):
        assert CREDENTIALS.redact(text) == text
    assert Credentials("", password="sesame").redact("open sesame!") == "open ***!"


FEW = st.text("abAB%\n", max_size=24)
"""Texts that repeat themselves and each other."""


@given(values=st.lists(FEW, min_size=1, max_size=3), text=st.lists(FEW, max_size=6))
def test_what_is_hidden_is_every_part_of_eight_and_every_short_value_whole(values: list[str], text: list[str]) -> None:
    """Found by blocks, it is what a search for each part at each place finds, overlaps and all."""
    whole = "".join([*text, *values])
    hidden = [False] * len(whole)
    for value in values:
        for form in {value, quote(value, safe=""), json.dumps(value)[1:-1]}:
            size = min(len(form), 8)
            for part in {form[at : at + size].lower() for at in range(len(form) - size + 1)} if size >= 6 else ():
                for at in range(len(whole) - size + 1):
                    if whole[at : at + size].lower() == part:
                        hidden[at : at + size] = [True] * size
    shown = "".join("\0" if mask else letter for letter, mask in zip(whole, hidden, strict=True))
    given_values = dict(zip(NAMES, values, strict=False))
    assert Credentials("", **given_values).redact(whole) == re.sub("\0+", "***", shown)


@given(st.text(max_size=60), st.text(max_size=60), st.text(min_size=8, max_size=40))
def test_no_text_around_a_value_hides_it_from_the_redaction(before: str, after: str, value: str) -> None:
    """The value is gone, and what stands around it stays."""
    credentials = Credentials("", secret=value)
    redacted = credentials.redact(f"{before}{value}{after}")
    assert value not in redacted
    assert "***" in redacted
