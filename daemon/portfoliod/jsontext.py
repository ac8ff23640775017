"""JSON at the file border: typed decoding that says what does not fit and where, and edits that keep the rest."""

from __future__ import annotations

import contextlib
import functools
import json
import re
import sys
from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec

from portfoliod.errors import FileRejected
from portfoliod.workspace import Unsettled

Document = TypeVar("Document", bound=msgspec.Struct)
Unread = msgspec.Raw | msgspec.UnsetType
LARGEST_PART = 1024 * 1024
"""How many bytes the keys that the daemon reads may take, where a file has no other limit."""
LARGEST_EXPLAINED = 1024 * 1024
"""Of a larger part only the place is told: to show the value the part is decoded without knowing what it should be."""


def decode(raw: bytes, kind: type[Document], shown: str, example: str, largest: int = LARGEST_PART) -> Document:
    """Return a file's content as a struct.

    Args:
        raw: the file.
        kind: the struct; keys that it does not have are ignored, whatever they hold.
        shown: the file's path, for errors.
        example: content that would fit, for errors.
        largest: how many bytes the keys of the struct may take together. Decoded they take up to fifty times as much.

    Raises:
        Unsettled: not JSON; a writer may be at work.
        FileRejected: it does not fit; the error names the place and the value.
    """
    part = raw
    try:
        if len(raw) > largest:
            part = _known_part(raw, kind, shown, largest)
        document = msgspec.json.decode(part, type=kind)
        raw.decode()  # what is skipped was not decoded, and may be written back
    except msgspec.ValidationError as error:
        raise _explained(part, error, shown, example) from error
    except msgspec.DecodeError as error:
        line, found = _broken(raw, str(error))
        raise Unsettled(
            "not JSON" if raw.strip() else "the file is empty",
            where=f"{shown}{line}",
            found=found,
            mend=f"write, for example, {example}",
        ) from error
    except (RecursionError, UnicodeDecodeError) as error:
        found = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        mend = f"write, for example, {example}"
        raise FileRejected("not JSON that can be read", where=shown, found=found, mend=mend) from error
    return document


def _known_part(raw: bytes, kind: type[Document], shown: str, largest: int) -> bytes:
    """Return the object with the keys of the struct only: the rest of the file is skipped and takes no memory."""
    found = msgspec.json.decode(raw, type=_unread(kind))
    texts = {name: bytes(value) for name, value in msgspec.structs.asdict(found).items() if value is not msgspec.UNSET}
    size = sum(map(len, texts.values()))
    if size > largest:
        name = max(texts, key=lambda each: len(texts[each]))
        length = f"{len(texts[name])} bytes"
        mend = f"write at most {largest} bytes that the daemon reads; other keys may be as long as they like"
        raise FileRejected("the file says too much", where=f"{shown}  $.{name}", found=length, mend=mend)
    return b"{%b}" % b",".join(b'"%b":%b' % (name.encode(), text) for name, text in texts.items())


@functools.cache
def _unread(kind: type) -> type[msgspec.Struct]:
    """Return a struct of the same keys whose values are only looked through."""
    keys = [(field.encode_name, Unread, msgspec.UNSET) for field in msgspec.structs.fields(kind)]
    return msgspec.defstruct(f"Unread{kind.__name__}", keys)


def _explained(part: bytes, error: msgspec.ValidationError, shown: str, example: str) -> FileRejected:
    """Say which value does not fit: msgspec names the place but neither the key of a mapping nor the value."""
    sentence, _, place = str(error).partition(" - at `")
    place = place.rstrip("`") or "$"
    found: object = ""
    if len(part) <= LARGEST_EXPLAINED:
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError, LookupError, TypeError):
            place, found = _look_up(msgspec.json.decode(part), place, _wrong(sentence))
    shown_value = shortened(json.dumps(found, ensure_ascii=False)) if found != "" else ""
    expected = _plain(sentence)
    return FileRejected(
        f"{shown.rpartition('/')[2]} does not fit",
        where=f"{shown}  {printable(shortened(place))}",
        found=f"{printable(shown_value)}, {expected}" if shown_value else expected,
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
        elif isinstance(document, list) and part[1].isdecimal():
            document, path = document[int(part[1])], f"{path}[{part[1]}]"
        else:
            raise LookupError  # a key that is there twice: what was wrong is not what is kept
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
    return line, f"{printable(rest)} is not JSON"


def printable(text: str) -> str:
    """Return a text that a terminal can show: what a file holds must not move its cursor, or hide in it."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


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
