"""A table of TOML in, its struct or all of its errors out."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from typing import TypeVar, get_args, get_origin

import msgspec

from portfoliod.errors import SettingsError
from portfoliod.settings.source import KEPT, LONGEST_SHOWN

MOST_PROBLEMS = 50
"""To find the nearest known key takes a while, and nobody reads thousands of lines."""
SECRET = {"notify.urls"}
"""Keys whose values hold secrets."""
LIKE = 0.5
"""How like another name is for one to be meant, from 0 to 1."""
Table = TypeVar("Table", bound=msgspec.Struct)


def read_table(table: Mapping[str, object], kind: type[Table], *, where: str, prefix: str = "") -> Table:
    """Return a settings table as its struct.

    Args:
        table: what the TOML file holds.
        kind: a frozen struct with a default for each optional key.
        where: the file, for errors.
        prefix: the dotted name of the table in the file.

    Raises:
        SettingsError: with all keys that are unknown, missing or of the wrong type or range, one a line.
    """
    problems: list[str] = []
    values = _read_fields(table, kind, prefix, problems)
    if problems:
        raise SettingsError(
            "portfoliod.toml does not fit" if len(problems) == 1 else f"portfoliod.toml has {len(problems)} errors",
            where=f"{where}  {problems[0].split(':')[0]}",
            found="\n         ".join(problems),
            kept=KEPT,
            mend="mend each, then: portfoliod check",
        )
    return kind(**values)


def _read_fields(
    table: Mapping[str, object], kind: type[msgspec.Struct], prefix: str, problems: list[str]
) -> dict[str, object]:
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    values: dict[str, object] = {}
    for name, value in table.items():
        if len(problems) >= MOST_PROBLEMS:
            break
        place = f"{prefix}{name[:LONGEST_SHOWN]}"
        if name not in fields:
            hint = nearest(name, fields) or f" (known: {', '.join(fields)})"
            problems.append(f"{place}: unknown key{hint}")
            continue
        field_type = fields[name].type
        row_type = _row_type(field_type)
        if row_type is not None and isinstance(value, dict):
            values[name] = {
                row: _read_value(item, row_type, f"{place}.{row[:LONGEST_SHOWN]}", problems)
                for row, item in value.items()
            }
        else:
            values[name] = _read_value(value, field_type, place, problems)
    problems.extend(
        f"{prefix}{name}: missing" for name, field in fields.items() if field.required and name not in table
    )
    return values


def _read_value(value: object, kind: object, place: str, problems: list[str]) -> object:
    """Return a value as its type; None, and one problem more, where it does not fit."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and isinstance(value, dict):
        before = len(problems)
        nested = _read_fields(value, kind, f"{place}.", problems)
        return _build(kind, nested, place, problems) if len(problems) == before else None
    try:
        found: object = msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        shown = "(not shown)" if place in SECRET else repr(value)[:LONGEST_SHOWN]
        problems.append(f"{place}: {shown}: {_sentence(error)}")
        return None
    if not _finite(value):
        problems.append(f"{place}: {value!r}: expected a finite number")
    return found


def _row_type(field_type: object) -> object:
    """Return what a table holds whose keys the user chooses; None for any other field, and for a driver's own table."""
    arguments = get_args(field_type)
    row = arguments[-1] if get_origin(field_type) is Mapping else None
    return None if get_origin(row) is Mapping else row


def _finite(value: object) -> bool:
    numbers = value if isinstance(value, list) else [value]
    return all(math.isfinite(number) for number in numbers if isinstance(number, float))


def _build(kind: type[msgspec.Struct], values: dict[str, object], place: str, problems: list[str]) -> object:
    try:
        return kind(**values)
    except TypeError as error:
        problems.append(f"{place}: {error}")
        return None


def nearest(name: str, known: Mapping[str, object]) -> str:
    """Return a hint at the known name that is most like another one; empty where none is like it."""
    close = difflib.get_close_matches(name[:LONGEST_SHOWN], known, n=1, cutoff=LIKE)
    return f" (the nearest known one is `{close[0]}`)" if close else ""


def _sentence(error: msgspec.ValidationError) -> str:
    text = str(error)
    return text[:1].lower() + text[1:]
