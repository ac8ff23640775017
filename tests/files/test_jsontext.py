"""Edits of a JSON object that leave every other key's text as it was."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfoliod.documents import parse_portfolio
from portfoliod.jsontext import decode, replace_keys, shortened

spellings = st.sampled_from(["10000.50", "1e4", "1E+4", "-0.0", "0.10", "12345678901234567890123", "1e400", "0"])
strings = st.text(st.characters(codec="utf-8"), max_size=6).map(lambda text: json.dumps(text, ensure_ascii=False))
escaped = st.text(max_size=6).filter(lambda text: text.isprintable()).map(json.dumps)
spaces = st.sampled_from(["", " ", "\n    ", "\t"])


@st.composite
def lists(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    space = draw(spaces)
    return f"[{space}" + f"{space},{space}".join(draw(st.lists(inner, max_size=3))) + f"{space}]"


@st.composite
def objects(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    space = draw(spaces)
    rows = [f"{name}{space}:{space}{value}" for name, value in draw(st.lists(st.tuples(strings, inner), max_size=3))]
    return f"{{{space}" + f"{space},{space}".join(rows) + f"{space}}}"


leaves = spellings | strings | escaped | st.sampled_from(["true", "false", "null"])
values = st.recursive(leaves, lambda inner: lists(inner) | objects(inner), max_leaves=6)
names = st.text(st.characters(codec="utf-8"), max_size=6)
documents = st.dictionaries(names, values, max_size=6)
new_values = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="utf-8"), max_size=5),
    st.dictionaries(names, st.floats(allow_nan=False, allow_infinity=False), max_size=3),
    st.integers(-10, 10),
)


@st.composite
def written(draw: st.DrawFn, document: dict[str, str]) -> bytes:
    """Spell an object with some white space, names escaped or not."""
    space, ascii_only = draw(spaces), draw(st.booleans())
    rows = [f"{json.dumps(name, ensure_ascii=ascii_only)}{space}:{space}{text}" for name, text in document.items()]
    return (f"{space}{{{space}" + f"{space},{space}".join(rows) + f"{space}}}{space}").encode()


def texts_of(raw: bytes) -> Iterator[tuple[str, str]]:
    """Yield each key of an object and its value's text, by the standard library's scanner."""
    text, scanner = raw.decode(), json.JSONDecoder(parse_int=str)
    at = text.index("{") + 1
    while True:
        at = _skip(text, at)
        if text[at] == "}":
            return
        name, at = scanner.raw_decode(text, at)
        at = _skip(text, _skip(text, at) + 1)
        _, end = scanner.raw_decode(text, at)
        yield name, text[at:end]
        at = _skip(text, end)
        at += text[at] == ","


def _skip(text: str, at: int) -> int:
    while text[at] in " \t\r\n":
        at += 1
    return at


@given(documents, st.data())
def test_untouched_keys_keep_their_text_and_all_keys_their_order(document: dict[str, str], data: st.DataObject) -> None:
    known = st.sampled_from(sorted(document)) if document else names
    edits = data.draw(st.dictionaries(known | names, st.none() | new_values, max_size=4))
    result = replace_keys(data.draw(written(document)), edits)
    found = dict(texts_of(result))
    kept = [name for name in document if edits.get(name, "") is not None]
    added = [name for name, value in edits.items() if name not in document and value is not None]
    assert list(found) == kept + added
    for name, text in found.items():
        if name in edits:
            assert json.loads(text) == edits[name]
        else:
            assert text == document[name]


@given(documents, st.data())
def test_an_edit_without_keys_is_stable(document: dict[str, str], data: st.DataObject) -> None:
    once = replace_keys(data.draw(written(document)), {})
    assert replace_keys(once, {}) == once
    assert dict(texts_of(once)) == document
    msgspec.json.decode(once, type=dict[str, msgspec.Raw])


def test_nothing_becomes_an_object_of_the_new_keys() -> None:
    assert replace_keys(b"", {"weights": {"a": 0.5, "b": 0.5}, "leverage": 2.62, "excluded": {}}) == (
        b'{\n  "weights": {\n    "a": 0.5,\n    "b": 0.5\n  },\n  "leverage": 2.62,\n  "excluded": {}\n}\n'
    )
    assert json.loads(replace_keys(b"", {})) == {}


def test_a_users_spelling_survives_an_optimization() -> None:
    raw = b'{"account_value":10000.50,"weights":{"a":1},"note":"\xc3\xa9 \\u00e9","exchanges":{ "a" : "main" }}'
    result = replace_keys(raw, {"weights": {"a": 0.25}, "leverage": 1.5})
    assert result.decode().splitlines() == [
        "{",
        '  "account_value": 10000.50,',
        '  "weights": {',
        '    "a": 0.25',
        "  },",
        '  "note": "é \\u00e9",',
        '  "exchanges": { "a" : "main" },',
        '  "leverage": 1.5',
        "}",
    ]


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("nested", [False, True])
def test_a_number_that_json_does_not_have_is_never_written(wrong: float, nested: bool) -> None:
    with pytest.raises(ValueError, match="JSON"):
        replace_keys(b"{}", {"weights": {"a": wrong} if nested else wrong})


@pytest.mark.parametrize("raw", [b'{"note": "\xff", "leverage": 1}', b'{"note": {"\xff": 1}, "leverage": 1}'])
def test_what_was_accepted_can_be_edited(raw: bytes) -> None:
    """The optimizer edits the file that is in force: either it is rejected, or the edit works."""
    try:
        parse_portfolio(raw, "portfolio_config.json")
    except Exception:  # noqa: BLE001 - how it is rejected is tested with the documents
        return
    assert b'"leverage": 2' in replace_keys(raw, {"leverage": 2})


class _Document(msgspec.Struct):
    count: int = 0


def test_decoding_ignores_keys_that_the_struct_does_not_have() -> None:
    assert decode(b'{"count": 3, "other": []}', _Document, "file.json", "{}").count == 3


@given(st.text())
def test_a_shortened_text_is_at_most_120_characters_and_begins_the_same(text: str) -> None:
    short = shortened(text)
    assert len(short) <= 120
    assert short == text or (text.startswith(short[:-3]) and short.endswith("..."))
