"""The keys of each venue: from the environment, from systemd, or from a file that only its owner can read.

A key is shown nowhere: errors name the place and the kind of a value, `Credentials` does not print or encode its
values, and `redact` takes them out of what others say.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import shlex
import stat
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Final, NoReturn, SupportsIndex
from urllib.parse import quote

from portfoliod.errors import SettingsError
from portfoliod.safe_read import parse_toml, read_settings, require_owner

NAMES = ("api_key", "secret", "password", "uid", "wallet_address", "private_key")
CCXT_SPELLING = {"apiKey": "api_key", "walletAddress": "wallet_address", "privateKey": "private_key"}
IN_PEM = ("secret", "private_key")
"""What may be a key of several lines."""
MOST_PROBLEMS = 50
SHORTEST_HIDDEN = 6
"""Shorter values are ordinary words: to redact them would garble a text."""
LONGEST_SHOWN = 7
"""How many characters in a row of a value a redacted text may still hold."""
MASK = "***"
KEPT = "they are not used; a running daemon keeps the keys that it has"

_LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")
_HIDDEN = re.compile(b"\1+")
_SHOWN_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,19}")
_POSITION = re.compile(r"\(at (line \d+, column \d+|end of document)\)")
_TYPES = {bool: "a boolean", int: "a number", float: "a number", list: "a list", dict: "a table"}


class Credentials:
    """What a venue knows its user by; None is what was not given. A plain class, because a struct encodes itself."""

    __slots__ = (*NAMES, "_block", "_blocks", "_fragments", "_sizes", "source")

    def __init__(
        self,
        source: str,
        *,
        api_key: str | None = None,
        secret: str | None = None,
        password: str | None = None,
        uid: str | None = None,
        wallet_address: str | None = None,
        private_key: str | None = None,
    ) -> None:
        self.source: Final = source
        """Which of the three places they are from, for messages."""
        self.api_key: Final = api_key
        self.secret: Final = secret
        self.password: Final = password
        self.uid: Final = uid
        self.wallet_address: Final = wallet_address
        self.private_key: Final = private_key
        self._fragments: Final = frozenset(
            fragment
            for value in (api_key, secret, password, uid, wallet_address, private_key)
            for fragment in _fragments(value or "")
        )
        self._sizes: Final = frozenset(map(len, self._fragments))
        # Wherever a fragment lies in a text, one of the text's blocks of this size lies in the fragment whole.
        self._block: Final = (min(self._sizes, default=1) + 1) // 2
        self._blocks: Final = frozenset(
            fragment[start : start + self._block]
            for fragment in self._fragments
            for start in range(len(fragment) - self._block + 1)
        )

    def given(self) -> list[str]:
        """Return the names of the values that are there."""
        return [name for name in NAMES if getattr(self, name) is not None]

    def redact(self, text: str) -> str:
        """Return a text without the values, without what is left of them in a URL, and without longer parts of them."""
        lowered, block = text.translate(_LOWER), self._block
        suspects = [at for at in range(0, len(text), block) if lowered[at : at + block] in self._blocks]
        hidden = bytearray(len(text))
        for at in suspects:
            for size in self._sizes:
                for start in range(max(0, at + block - size), min(at, len(text) - size) + 1):
                    if lowered[start : start + size] in self._fragments:
                        hidden[start : start + size] = b"\1" * size
        shown, told = [], 0
        for run in _HIDDEN.finditer(hidden):
            shown += [text[told : run.start()], MASK]
            told = run.end()
        return "".join([*shown, text[told:]])

    def __repr__(self) -> str:
        return f"Credentials({', '.join(self.given())} from {self.source})"

    def __rich_repr__(self) -> Iterator[tuple[str, str]]:
        yield "source", self.source
        yield from ((name, MASK) for name in self.given())

    def __reduce_ex__(self, _protocol: SupportsIndex) -> NoReturn:
        raise TypeError("credentials are neither copied nor pickled")

    def __getstate__(self) -> NoReturn:
        raise TypeError("credentials are neither copied nor pickled")


def find_credentials(venue: str, config_file: Path, environment: Mapping[str, str]) -> Credentials | None:
    """Return the credentials of a venue from the first place that has any, None where none has.

    A place is used whole: values of two places are never mixed. Venues whose names differ in nothing but case and
    `-` or `_` share their variables.

    Args:
        venue: its name in portfoliod.toml.
        config_file: config/credentials.toml of the workspace.
        environment: the variables of the process.

    Raises:
        SettingsError: a file is not private or does not fit, or a value cannot be a key.
    """
    values = {name: text for name in NAMES if (text := _from_environment(venue, name, environment))}
    if values:
        return Credentials(f"${variable_prefix(venue)}_*", **values)
    folder = environment.get("CREDENTIALS_DIRECTORY", "")
    if folder:
        # systemd sees to it that only the service can read it.
        values = _from_file(venue, Path(folder) / "credentials.toml", private=False)
        if values:
            return Credentials("$CREDENTIALS_DIRECTORY/credentials.toml", **values)
    values = _from_file(venue, config_file, private=True)
    return Credentials(f"{config_file.parent.name}/{config_file.name}", **values) if values else None


def variable_prefix(venue: str) -> str:
    """Return what the names of a venue's environment variables begin with."""
    return f"PORTFOLIOD_{venue.upper().replace('-', '_')}"


def places(venue: str) -> str:
    """Return the three places in which a venue's credentials are looked for, as a person is told."""
    return (
        f"${variable_prefix(venue)}_API_KEY and _SECRET (_PASSWORD, _UID, _WALLET_ADDRESS, _PRIVATE_KEY); "
        f"$CREDENTIALS_DIRECTORY/credentials.toml (systemd) or config/credentials.toml, below [{venue}]"
    )


def read_file(path: Path, *, private: bool) -> bytes | None:
    """Return the content of a credentials file, None where there is none.

    Raises:
        SettingsError: it cannot be read, or `private` is asked for and others than its owner can read it.
    """
    return read_settings(path, partial(_require_private, path) if private else None, KEPT)


def _require_private(path: Path, found: os.stat_result) -> None:
    require_owner(path, found, "they are refused")
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise SettingsError(
            "others can read the credentials",
            where=str(path),
            found=stat.filemode(found.st_mode),
            kept="they are refused",
            mend=f"chmod 600 {shlex.quote(str(path))}",
        )


def _from_environment(venue: str, name: str, environment: Mapping[str, str]) -> str:
    variable = f"{variable_prefix(venue)}_{name.upper()}"
    text = _cleaned(environment.get(variable, ""))
    if not _usable(name, text):
        raise SettingsError(
            "a variable holds what cannot be a key",
            where=f"${variable}",
            found="a line break or another control character",
            kept=KEPT,
            mend="set it again, from the exchange's page",
        )
    return text


def _from_file(venue: str, path: Path, *, private: bool) -> dict[str, str]:
    content = read_file(path, private=private)
    if content is None:
        return {}
    document = _parsed(content, path)
    table = document.get(venue, {})
    outside = [_shown(key) for key, other in document.items() if not isinstance(other, dict)]
    problems = [f"{key}: outside of a venue's table" for key in outside[:MOST_PROBLEMS]]
    values = _values(table, f"{venue}.", problems) if isinstance(table, dict) else {}
    if problems:
        raise SettingsError(
            "credentials.toml does not fit" if len(problems) == 1 else f"credentials.toml has {len(problems)} errors",
            where=f"{path}  {problems[0].split(':')[0]}",
            found="\n         ".join(problems),
            kept=KEPT,
            mend=f'write, for example, below [{venue}]: api_key = "…"; then: portfoliod check',
        )
    return values


def _parsed(content: bytes, path: Path) -> dict[str, object]:
    try:
        return parse_toml(content)
    except ValueError as error:
        position = _POSITION.search(str(error))
    # Raised out here, because the parser's error carries the file.
    found = f"it stops making sense at {position[1]}" if position else "text that cannot be read"
    mend = 'write a table a venue: [main], and below it api_key = "…"'
    raise SettingsError("credentials.toml is not TOML", where=str(path), found=found, kept=KEPT, mend=mend)


def _values(table: Mapping[str, object], prefix: str, problems: list[str]) -> dict[str, str]:
    """Return what a table gives, and add what does not fit to `problems`, without any value."""
    values: dict[str, str] = {}
    for key, value in table.items():
        if len(problems) >= MOST_PROBLEMS:
            break
        place = f"{prefix}{_shown(key)}"
        name = CCXT_SPELLING.get(key, key)
        if name not in NAMES:
            nearest = difflib.get_close_matches(key[:64], (*NAMES, *CCXT_SPELLING), n=1, cutoff=0.5)
            hint = f"the nearest known one is `{nearest[0]}`" if nearest else f"known: {', '.join(NAMES)}"
            problems.append(f"{place}: unknown key ({hint})")
        elif not isinstance(value, str):
            problems.append(f"{place}: {_TYPES.get(type(value), 'a date or a time')}, expected text in quotes")
        elif name != key and name in table:
            problems.append(f"{place}: `{name}` says the same")
        elif not _usable(name, text := _cleaned(value)):
            problems.append(f"{place}: holds a line break or another control character")
        elif text:
            values[name] = text
    return values


def _shown(key: str) -> str:
    """Return a key of the file as it may be shown: what does not look like a key's name may be a secret."""
    return key if _SHOWN_KEY.fullmatch(key) else "(a name that may be a secret)"


def _cleaned(text: str) -> str:
    """Return a value without the white space around it, a PEM with its line breaks."""
    text = text.strip()
    return text.replace("\\n", "\n").replace("\r\n", "\n") if "-----BEGIN" in text else text


def _usable(name: str, text: str) -> bool:
    lines = text.split("\n") if name in IN_PEM else [text]
    return all(line.isprintable() for line in lines)


def _fragments(value: str) -> Iterator[str]:
    """Yield the parts of a value by which a text gives it away, in lower case."""
    for form in {value, quote(value, safe=""), json.dumps(value)[1:-1]}:
        lowered = form.translate(_LOWER)
        size = min(len(lowered), LONGEST_SHOWN + 1)
        if size >= SHORTEST_HIDDEN:
            yield from (lowered[start : start + size] for start in range(len(lowered) - size + 1))
