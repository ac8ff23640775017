"""Texts that no writer means and some writer writes: noise, damaged documents, and the right keys with wrong values."""

from __future__ import annotations

import json
from collections.abc import Callable

from hypothesis import strategies as st

NUMBERS = (
    *("0", "-0", "-0.0", "1", "0.5", "-1", "1e308", "-1e308", "1e999", "-1e999", "1e-999", "5e-324", "0.1e1", "1E+2"),
    *("1" + "0" * 400, "-" + "9" * 5000, "0." + "3" * 400, "9007199254740993", "18446744073709551616"),
    *("00", "01", "+1", ".5", "1.", "1e", "0x10", "1_000", "NaN", "Infinity", "-Infinity", "inf", "nan", "\u0661"),
)
TEXTS = (
    *(
        '""',
        '" "',
        '"BTCUSDT"',
        '"2024-01-01"',
        '"2024-02-30"',
        '"9999-12-31"',
        '"0000-01-01"',
        '"2024-01-01T00:00:00Z"',
    ),
    *(r'"\ud800"', r'"\ud83d\ude00"', r'"\u0000"', '"\\', '"\x00"', '"\u0662\u0660\u0662\u0664-01-01"', '"\ufeff"'),
    *('"' + "x" * 5000 + '"', '"\u202eTDSU"', '"a\nb"', '"../other"', "'single'", '"$.position"', '"]["'),
)
WORDS = ("null", "true", "false", "True", "None", "undefined", "[", "]", "{", "}", "{}", "[]", ",", ":", "/* */", "#")
PIECES = (
    *(
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"\x00",
        b"\r\n",
        b"\r",
        b"\xed\xa0\x80",
        b"\xc0\x80",
        b"\xf4\x90\x80\x80",
        b"\xe2\x80\xa8",
    ),
    *(b"[" * 2000, b'{"a":' * 2000, b"]" * 2000, b" " * 3000, b"1" * 5000, b"\\", b'"', b"'", b'"""', b"=", b"."),
    *(b".a" * 1000, b"\xd9\xa1", b"[[", b"]]", b"\x7f", b"\x1b[2J", b"inf", b"nan", b"0x_", b"1979-05-27"),
)

scalars = st.sampled_from((*NUMBERS, *TEXTS, *WORDS)) | st.floats().map(repr) | st.text(max_size=8).map(json.dumps)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda items: f"[{','.join(items)}]")
        | st.lists(st.tuples(st.text(max_size=4).map(json.dumps), inner), max_size=4).map(
            lambda rows: "{" + ",".join(f"{name}:{value}" for name, value in rows) + "}"
        )
    ),
    max_leaves=8,
)


def objects(keys: tuple[str, ...]) -> st.SearchStrategy[bytes]:
    """JSON objects with some of these keys, perhaps twice, and whatever values."""
    names = st.sampled_from(keys) | st.text(max_size=5)
    rows = st.lists(st.tuples(names.map(json.dumps), values), max_size=6)
    return rows.map(
        lambda found: ("{" + ", ".join(f"{name}: {value}" for name, value in found) + "}").encode(
            errors="surrogatepass"
        )
    )


@st.composite
def damaged(draw: st.DrawFn, documents: tuple[bytes, ...]) -> bytes:
    """Good documents that were cut, doubled, overwritten, or had something put into them."""
    content = draw(st.sampled_from(documents))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        end = draw(st.integers(start, min(len(content), start + 40)))
        content = draw(st.sampled_from(_DAMAGES))(content, start, end, draw(st.sampled_from(_INSERTS)))
    return content


_INSERTS = (*PIECES, *(text.encode() for text in (*NUMBERS, *TEXTS, *WORDS)))
_DAMAGES: tuple[Callable[[bytes, int, int, bytes], bytes], ...] = (
    lambda content, start, _, __: content[:start],
    lambda content, start, end, _: content[:start] + content[end:],
    lambda content, start, end, piece: content[:start] + piece + content[end:],
    lambda content, start, _, piece: content[:start] + piece + content[start:],
    lambda content, start, end, _: content[:end] + content[start:],
    lambda content, _, __, ___: content * 2,
    lambda content, start, end, _: content[:start] + content[start:end].swapcase() + content[end:],
    lambda content, _, __, ___: content.replace(b"\n", b"\r\n"),
    lambda content, _, __, ___: content.decode(errors="replace").encode("utf-16"),
)


def hostile(documents: tuple[bytes, ...], keys: tuple[str, ...]) -> st.SearchStrategy[bytes]:
    """All of it: noise, damaged documents, wrong values, and good documents in between."""
    return st.one_of(st.binary(max_size=200), damaged(documents), damaged(documents), objects(keys))
