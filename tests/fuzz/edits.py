"""Strategies that spoil good files, as hypothesis draws them."""

import functools
import json
import re

from hypothesis import strategies as st

# Numbers that headers and formats get wrong, by their size in bytes.
_NUMBERS = st.sampled_from(
    [0, 1, 2, 7, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 2**24]
    + [0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1]
)
_FIELD = st.sampled_from([1, 2, 4, 8])
_HEAD_BYTES = 256


@st.composite
def places(draw, content):
    """A place in a file: most in its head and its chunks' headers, some anywhere."""
    chunks = [
        found.end() for found in re.finditer(rb"[A-Za-z]{3}[A-Za-z0-9 ]", content)
    ]
    kind = draw(st.integers(0, 3))
    if kind == 0 and chunks:
        return draw(st.sampled_from(chunks[:200])) + draw(st.integers(0, 24))
    last = len(content) if kind == 1 else min(_HEAD_BYTES, len(content))
    return draw(st.integers(0, last))


@st.composite
def spoiled(draw, contents, max_edits=4):
    """One of some files, with none to four edits."""
    content = draw(st.sampled_from(contents))
    for _ in range(draw(st.integers(0, max_edits))):
        place = draw(places(content))
        kind = draw(
            st.sampled_from("number number bytes cut remove repeat splice".split())
        )
        if kind == "number":
            size, number = draw(_FIELD), draw(_NUMBERS)
            order = draw(st.sampled_from(["little", "big"]))
            field = (number % 2 ** (8 * size)).to_bytes(size, order)
            content = content[:place] + field + content[place + size :]
        elif kind == "bytes":
            field = draw(st.binary(min_size=1, max_size=16))
            content = content[:place] + field + content[place + len(field) :]
        elif kind == "cut":
            content = content[: draw(st.integers(0, len(content)))]
        elif kind == "remove":
            content = content[:place] + content[place + draw(st.integers(1, 4096)) :]
        elif kind == "repeat":
            end = place + draw(st.integers(1, 4096))
            content = content[:end] + content[place:]
        else:
            other = draw(st.sampled_from(contents))
            content = content[:place] + other[draw(places(other)) :]
    return content


# Values that a JSON file should not have, and some that it may.
JUNK = st.sampled_from(
    [None, True, False, 0, 1, -1, 2, 3, 0.5, -0.0, 1e308, -1e308, 10**30, 2**31, 2**63]
    + [
        float("nan"),
        float("inf"),
        "",
        "a",
        ".",
        "..",
        "../x",
        "/",
        "x/y",
        "\0",
        "\ud800",
    ]
    + [
        "é" * 300,
        [],
        {},
        [None],
        [0],
        [1, "a"],
        [[]],
        {"a": 1},
        {"": None},
        [[1] * 9] * 9,
    ]
)


def _paths(value, path=()):
    yield path
    children = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list):
        children = list(enumerate(value))[:20]
    for key, child in children:
        yield from _paths(child, (*path, key))


def _changed(value, path, change):
    if not path:
        return change(value)
    copied = dict(value) if isinstance(value, dict) else list(value)
    copied[path[0]] = _changed(copied[path[0]], path[1:], change)
    return copied


def _without(key, parent):
    if isinstance(parent, dict):
        return {name: value for name, value in parent.items() if name != key}
    return parent[:key] + parent[key + 1 :]


def _with(name, value, parent):
    if isinstance(parent, dict):
        return {**parent, name: value}
    return [*(parent if isinstance(parent, list) else [parent]), value]


@st.composite
def spoiled_values(draw, values, max_edits=3):
    """One of some JSON values, with none to three parts of it changed."""
    value = draw(st.sampled_from(values))
    others = st.one_of(JUNK, JUNK, st.integers(), st.floats(), st.text(max_size=8))
    for _ in range(draw(st.integers(0, max_edits))):
        path = draw(st.sampled_from(list(_paths(value))))
        kind = draw(st.sampled_from(["other", "other", "remove", "add"]))
        if kind == "remove" and path:
            change = functools.partial(_without, path[-1])
            path = path[:-1]
        elif kind == "add":
            change = functools.partial(_with, draw(st.text(max_size=8)), draw(others))
        else:
            change = functools.partial(_replaced, draw(others))
        value = _changed(value, path, change)
    return value


def _replaced(value, _):
    return value


_ODD_TEXTS = [
    b"",
    b"{",
    b"[" * 5000,
    b'{"a":' * 5000,
    b"\xff\xfe",
    b"1" * 5000,
    b"null",
]


@st.composite
def spoiled_json(draw, values):
    """A JSON file of one of some values, spoiled as a value or as a file."""
    kind = draw(st.integers(0, 9))
    if kind == 0:
        return draw(st.sampled_from(_ODD_TEXTS))
    content = json.dumps(draw(spoiled_values(values))).encode(errors="surrogatepass")
    return draw(spoiled([content], max_edits=2)) if kind == 1 else content
