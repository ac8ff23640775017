"""A table of TOML in, its struct or all of its errors out."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from typing import TypeVar

import msgspec

from portfoliod.errors import SettingsError
from portfoliod.settings.source import KEPT, LONGEST_SHOWN

MOST_PROBLEMS = 50
"""To find the nearest known key takes a while, and nobody reads thousands of lines."""
SECRET = {"notify.urls"}
"""Keys whose values hold secrets."""
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
            problems.append(f"{place}: unknown key{nearest(name, fields)}")
            continue
        field_type = fields[name].type
        if isinstance(field_type, type) and issubclass(field_type, msgspec.Struct) and isinstance(value, dict):
            nested = _read_fields(value, field_type, f"{place}.", problems)
            if not any(problem.startswith(f"{place}.") for problem in problems):
                values[name] = _build(field_type, nested, place, problems)
            continue
        try:
            values[name] = msgspec.convert(value, field_type)
        except msgspec.ValidationError as error:
            shown = "(not shown)" if place in SECRET else repr(value)[:LONGEST_SHOWN]
            problems.append(f"{place}: {shown}: {_sentence(error)}")
            continue
        if isinstance(value, float) and not math.isfinite(value):
            problems.append(f"{place}: {value!r}: expected a finite number")
    problems.extend(
        f"{prefix}{name}: missing" for name, field in fields.items() if field.required and name not in table
    )
    return values


def _build(kind: type[msgspec.Struct], values: dict[str, object], place: str, problems: list[str]) -> object:
    try:
        return kind(**values)
    except TypeError as error:
        problems.append(f"{place}: {error}")
        return None


def nearest(name: str, known: Mapping[str, object]) -> str:
    """Return a hint at the known name that is most like another one."""
    close = difflib.get_close_matches(name[:LONGEST_SHOWN], known, n=1, cutoff=0.0)
    return f" (the nearest known one is `{close[0]}`)" if close else ""


def _sentence(error: msgspec.ValidationError) -> str:
    text = str(error)
    return text[:1].lower() + text[1:]
