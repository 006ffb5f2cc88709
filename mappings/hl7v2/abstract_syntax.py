"""Message structures (`data/structures.toml`): the standard's abstract syntax, read into trees.

Source: HL7 v2.5.1, 2.12 (chapter formats for defining messages)
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

_SYMBOL = re.compile(r"\s*([A-Z][A-Z0-9_]*\(?|[\[\]{}<>|)])")


@dataclass(frozen=True, slots=True)
class Part:
    """A segment, a choice of segments, or a group.

    name: of a segment or group, "" for a choice. parts: of a group, none for segments. begins: names of the
    segments it can begin with; holds: of all that can be within.
    """

    name: str
    parts: tuple[Part, ...] = ()
    optional: bool = False
    repeats: bool = False
    begins: frozenset[str] = frozenset()
    holds: frozenset[str] = frozenset()


@cache
def structures() -> Mapping[str, Part]:
    """Every structure by its name, as a group of that name."""
    text = (files("mappings.hl7v2") / "data" / "structures.toml").read_text(encoding="utf-8")
    return {name: read(name, syntax) for name, syntax in tomllib.loads(text).items()}


def read(name: str, syntax: str) -> Part:
    """The group that an abstract syntax tells.

    Raises: ValueError for what is none.
    """
    found = _SYMBOL.findall(syntax)
    if "".join(found) != "".join(syntax.split()):
        raise ValueError(f"{name}: not an abstract syntax")
    symbols = iter(found)
    part = _group(name, symbols, "")
    if next(symbols, None) is not None:
        raise ValueError(f"{name}: something is closed that was not opened")
    return part


def _group(
    name: str, symbols: Iterator[str], closing: str, optional: bool = False, repeats: bool = False
) -> Part:
    parts = tuple(_parts(symbols, closing, optional=False, repeats=False))
    begins: set[str] = set()
    for part in parts:
        begins |= part.begins
        if not part.optional:
            break
    holds = frozenset[str]().union(*(part.holds for part in parts))
    return Part(name, parts, optional, repeats, frozenset(begins), holds)


def _parts(symbols: Iterator[str], closing: str, optional: bool, repeats: bool) -> Iterator[Part]:
    for symbol in symbols:
        if symbol == closing:
            return
        if symbol == "[":
            yield from _parts(symbols, "]", True, repeats)
        elif symbol == "{":
            yield from _parts(symbols, "}", optional, True)
        elif symbol == "<":
            names = frozenset(_choice(symbols))
            yield Part("", (), optional, repeats, names, names)
        elif symbol.endswith("("):
            yield _group(symbol[:-1], symbols, ")", optional, repeats)
        elif symbol in "]})>|":
            raise ValueError(f"{symbol} closes nothing")
        else:
            yield Part(symbol, (), optional, repeats, frozenset({symbol}), frozenset({symbol}))
    if closing:
        raise ValueError(f"{closing} is missing")


def _choice(symbols: Iterator[str]) -> Iterator[str]:
    for symbol in symbols:
        if symbol == ">":
            return
        if symbol != "|":
            yield symbol
    raise ValueError("> is missing")
