"""JSON at the file border: typed decoding that says what does not fit and where, and edits that keep the rest."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec

from portfoliod.errors import FileRejected
from portfoliod.workspace import Unsettled

Document = TypeVar("Document")


def decode(raw: bytes, kind: type[Document], shown: str, example: str) -> Document:
    """Return a file's content as a struct.

    Args:
        raw: the file.
        kind: the struct; keys that it does not have are ignored.
        shown: the file's path, for errors.
        example: content that would fit, for errors.

    Raises:
        Unsettled: not JSON; a writer may be at work.
        FileRejected: it does not fit; the error names the place and the value.
    """
    try:
        document = msgspec.json.decode(raw, type=kind)
        raw.decode()  # what is skipped was not decoded, and may be written back
    except msgspec.ValidationError as error:
        raise _explained(raw, error, shown, example) from error
    except msgspec.DecodeError as error:
        line, found = _broken(raw, str(error))
        raise Unsettled(
            "not JSON" if raw.strip() else "the file is empty",
            where=f"{shown}{line}",
            found=found,
            mend=f"write, for example, {example}",
        ) from error
    except (RecursionError, UnicodeDecodeError) as error:
        raise FileRejected(
            "not JSON that can be read",
            where=shown,
            found="it is nested too deeply" if isinstance(error, RecursionError) else str(error),
            mend=f"write, for example, {example}",
        ) from error
    return document


def _explained(raw: bytes, error: msgspec.ValidationError, shown: str, example: str) -> FileRejected:
    """Say which value does not fit: msgspec names the place but neither the key of a mapping nor the value."""
    sentence, _, place = str(error).partition(" - at `")
    place = place.rstrip("`") or "$"
    found: object = ""
    try:
        place, found = _look_up(msgspec.json.decode(raw), place, _wrong(sentence))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, LookupError, TypeError):
        found = ""
    shown_value = shortened(json.dumps(found, ensure_ascii=False)) if found != "" else ""
    expected = _plain(sentence)
    return FileRejected(
        f"{shown.rpartition('/')[2]} does not fit",
        where=f"{shown}  {place}",
        found=f"{shown_value}, {expected}" if shown_value else expected,
        mend=f"write, for example, {example}",
    )


def _look_up(document: object, place: str, wrong: Callable[[object], bool]) -> tuple[str, object]:
    """Follow a place such as `$.weights[...]`; `[...]` stands for the first value of a mapping that is wrong."""
    path = "$"
    for part in re.findall(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]", place):
        if part[0] and isinstance(document, dict):
            document, path = document[part[0]], f"{path}.{part[0]}"
        elif part[1] == "..." and isinstance(document, dict):
            name = _first(document, wrong)
            document, path = document[name], f"{path}[{json.dumps(name, ensure_ascii=False)}]"
        elif isinstance(document, list):
            document, path = document[int(part[1])], f"{path}[{part[1]}]"
    return path, document


def _first(mapping: Mapping[str, object], wrong: Callable[[object], bool]) -> str:
    for name, value in mapping.items():
        if wrong(value):
            return name
    raise LookupError


def _wrong(sentence: str) -> Callable[[object], bool]:
    """Return the test that a value of a mapping failed, by what msgspec says of it."""
    if "range" in sentence:
        return lambda value: isinstance(value, int) and abs(value) > sys.float_info.max
    if sentence.startswith("Expected `str`"):
        return lambda value: not isinstance(value, str)
    return lambda value: isinstance(value, bool) or not isinstance(value, (int, float))


def _plain(sentence: str) -> str:
    names = {
        "float": "a number",
        "str": "a text",
        "object": "an object",
        "array": "a list",
        "int": "a whole number",
        "null": "null",
        "bool": "a truth value",
    }
    plain = re.sub(
        r"`([a-z| ]+)`",
        lambda match: " or ".join(names.get(name.strip(), name.strip()) for name in match[1].split("|")),
        sentence,
    )
    return plain[:1].lower() + plain[1:]


def _broken(raw: bytes, message: str) -> tuple[str, str]:
    """Return the line and column of a syntax error, and what stands there."""
    match = re.search(r"\(byte (\d+)\)", message)
    if match is None:
        return "", "it ends in the middle" if raw.strip() else "nothing"
    at = int(match[1])
    newline = b"\n"
    line = f":{raw.count(newline, 0, at) + 1}:{at - raw.rfind(newline, 0, at)}"
    rest = raw[at : at + 20].decode(errors="replace").partition("\n")[0]
    return line, f"{rest} is not JSON"


def shortened(text: str) -> str:
    """Return a text cut to at most 120 characters."""
    return text if len(text) <= 120 else f"{text[:117]}..."


def replace_keys(raw: bytes, keys: Mapping[str, object]) -> bytes:
    """Return a JSON object's text with some keys set and every other key's text as it was, byte for byte.

    Args:
        raw: the object as it stands, or b"" for none.
        keys: what to set; keys that the object has keep their place, others follow in the order given. A value of
            None removes the key.
    """
    kept: dict[str, msgspec.Raw] = msgspec.json.decode(raw, type=dict[str, msgspec.Raw]) if raw else {}
    texts = {name: bytes(value).decode() for name, value in kept.items()}
    for name, value in keys.items():
        if value is None:
            texts.pop(name, None)
        else:
            texts[name] = _text(value)
    rows = ",\n".join(f"  {json.dumps(name, ensure_ascii=False)}: {text}" for name, text in texts.items())
    return f"{{\n{rows}\n}}\n".encode()


def _text(value: object) -> str:
    if isinstance(value, dict) and value:
        rows = ",\n".join(
            f"    {json.dumps(name, ensure_ascii=False)}: {json.dumps(item, ensure_ascii=False, allow_nan=False)}"
            for name, item in value.items()
        )
        return f"{{\n{rows}\n  }}"
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
