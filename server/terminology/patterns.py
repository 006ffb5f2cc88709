"""Regular expressions of value set filters, matched in time proportional to pattern and text.

Whoever may store a ValueSet chooses the pattern; so it is run as a set of states, and no pattern makes it
slow. Known: literals, `.`, classes, `\\d \\w \\s` and their opposites, groups, `|`, `* + ?` and `{m,n}`. The
whole text must match; `^` at the beginning and `$` at the end may be written.
Source: hl7.org/fhir/R4/codesystem-filter-operator.html (regex); www.w3.org/TR/xmlschema-2/#regexs
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

# Longest pattern, and states it may need: {m,n} repeats what it stands behind.
PATTERN_MAXIMUM, STATES_MAXIMUM = 500, 2_000

_DEPTH = 50
_CLASSES = {
    "d": (("0", "9"),),
    "w": (("0", "9"), ("A", "Z"), ("_", "_"), ("a", "z")),
    "s": ((" ", " "), ("\t", "\r")),
}
_CONTROLS = {"n": "\n", "r": "\r", "t": "\t"}


class UnsupportedPattern(ValueError):
    """A pattern that is malformed, too long, or uses what is not known here."""


@dataclass(frozen=True, slots=True)
class _Characters:
    """One character in, or not in, one of the ranges of code points."""

    ranges: tuple[tuple[int, int], ...]
    negated: bool = False

    def __contains__(self, point: int) -> bool:
        return any(low <= point <= high for low, high in self.ranges) is not self.negated


@dataclass(frozen=True, slots=True)
class _Sequence:
    parts: tuple[_Node, ...]


@dataclass(frozen=True, slots=True)
class _Choice:
    ways: tuple[_Node, ...]


@dataclass(frozen=True, slots=True)
class _Repeat:
    what: _Node
    least: int
    most: int | None


_Node = _Characters | _Sequence | _Choice | _Repeat

# A step is characters to pass one of, or where to go on without any.
_Step = _Characters | tuple[int, ...]


class Pattern:
    """A compiled pattern. Raises: UnsupportedPattern."""

    def __init__(self, text: str) -> None:
        if len(text) > PATTERN_MAXIMUM:
            raise UnsupportedPattern(f"more than {PATTERN_MAXIMUM} characters")
        self._steps: list[_Step] = []
        self._compile(_Reader(text).whole())

    @property
    def states(self) -> int:
        """How many states may have to be looked at for each character of a text."""
        return len(self._steps)

    def matches(self, text: str) -> bool:
        """Whether the whole text matches."""
        states = self._reached([0])
        for character in text:
            point = ord(character)
            following = [
                state + 1
                for state in states
                if state < len(self._steps)
                and isinstance(step := self._steps[state], _Characters)
                and point in step
            ]
            if not following:
                return False
            states = self._reached(following)
        return len(self._steps) in states

    def _reached(self, states: list[int]) -> set[int]:
        """The states and all that are reached from them without a character; the end is one past the last."""
        found = set(states)
        while states:
            state = states.pop()
            step = self._steps[state] if state < len(self._steps) else ()
            if isinstance(step, tuple):
                states.extend(target for target in step if target not in found)
                found.update(step)
        return found

    def _compile(self, node: _Node) -> None:
        if isinstance(node, _Characters):
            self._add(node)
        elif isinstance(node, _Sequence):
            for part in node.parts:
                self._compile(part)
        elif isinstance(node, _Choice):
            self._choose(node.ways)
        else:
            self._repeat(node)

    def _choose(self, ways: tuple[_Node, ...]) -> None:
        fork = self._add(())
        starts, ends = [], []
        for way in ways:
            starts.append(len(self._steps))
            self._compile(way)
            ends.append(self._add(()))
        self._steps[fork] = tuple(starts)
        for end in ends:
            self._steps[end] = (len(self._steps),)

    def _repeat(self, node: _Repeat) -> None:
        for _ in range(node.least):
            self._compile(node.what)
        if node.most is None:
            fork = self._add(())
            self._compile(node.what)
            self._add((fork,))
            self._steps[fork] = (fork + 1, len(self._steps))
            return
        forks = []
        for _ in range(node.most - node.least):
            forks.append(self._add(()))
            self._compile(node.what)
        for fork in forks:
            self._steps[fork] = (fork + 1, len(self._steps))

    def _add(self, step: _Step) -> int:
        if len(self._steps) >= STATES_MAXIMUM:
            raise UnsupportedPattern(f"more than {STATES_MAXIMUM} states")
        self._steps.append(step)
        return len(self._steps) - 1


class _Reader:
    """Reads a pattern from left to right."""

    def __init__(self, text: str) -> None:
        text = text.removeprefix("^")
        escapes = len(text) - 1 - len(text[:-1].rstrip("\\"))
        self._text = text[:-1] if text.endswith("$") and escapes % 2 == 0 else text
        self._at = 0
        self._depth = 0

    def whole(self) -> _Node:
        node = self._choice()
        if self._at < len(self._text):
            raise UnsupportedPattern("a parenthesis is closed that none opened")
        return node

    def _choice(self) -> _Node:
        ways = [self._sequence()]
        while self._take("|"):
            ways.append(self._sequence())
        return ways[0] if len(ways) == 1 else _Choice(tuple(ways))

    def _sequence(self) -> _Node:
        parts = []
        while self._at < len(self._text) and self._text[self._at] not in "|)":
            parts.append(self._repeated())
        return _Sequence(tuple(parts))

    def _repeated(self) -> _Node:
        node = self._atom()
        while self._at < len(self._text):
            if self._take("*"):
                node = _Repeat(node, 0, None)
            elif self._take("+"):
                node = _Repeat(node, 1, None)
            elif self._take("?"):
                node = _Repeat(node, 0, 1)
            elif self._take("{"):
                node = _Repeat(node, *self._counts())
            else:
                break
        return node

    def _counts(self) -> tuple[int, int | None]:
        inside, closed, _ = self._text[self._at :].partition("}")
        least, comma, most = inside.partition(",")
        known = [part for part in (least, most) if part]
        if (
            not closed
            or not least
            or not all(part.isascii() and part.isdigit() and len(part) < 5 for part in known)
        ):
            raise UnsupportedPattern("{m}, {m,} or {m,n} is expected")
        self._at += len(inside) + 1
        low = int(least)
        high = int(most) if most else None if comma else low
        if high is not None and high < low:
            raise UnsupportedPattern("{m,n} needs m up to n")
        return low, high

    def _atom(self) -> _Node:
        character = self._next()
        if character == "(":
            self._depth += 1
            if self._depth > _DEPTH:
                raise UnsupportedPattern("parentheses are too deep")
            if self._take("?") and not self._take(":"):
                raise UnsupportedPattern("a group with a question mark is not known")
            node = self._choice()
            if not self._take(")"):
                raise UnsupportedPattern("a parenthesis is not closed")
            self._depth -= 1
            return node
        if character == "[":
            return self._class()
        if character == ".":
            return _Characters(((10, 10), (13, 13)), negated=True)
        if character == "\\":
            return self._escaped()
        if character in "*+?{}":
            raise UnsupportedPattern("there is nothing to repeat")
        return _Characters(((ord(character), ord(character)),))

    def _escaped(self) -> _Characters:
        name = self._next()
        if name.lower() in _CLASSES:
            return _Characters(_points(_CLASSES[name.lower()]), negated=name.isupper())
        if name.isalnum() and name not in _CONTROLS:
            raise UnsupportedPattern("an escape is not known")
        point = ord(_CONTROLS.get(name, name))
        return _Characters(((point, point),))

    def _class(self) -> _Characters:
        negated = self._take("^")
        ranges: list[tuple[int, int]] = []
        first = True
        while first or not self._take("]"):
            first = False
            low = self._member(ranges)
            if low is None:
                continue
            high = low
            if self._text[self._at : self._at + 1] == "-" and self._text[self._at + 1 : self._at + 2] not in (
                "",
                "]",
            ):
                self._at += 1
                end = self._member(ranges)
                if end is None or end < low:
                    raise UnsupportedPattern("a range of characters is not in order")
                high = end
            ranges.append((low, high))
        return _Characters(tuple(ranges), negated)

    def _member(self, ranges: list[tuple[int, int]]) -> int | None:
        """A code point of a class; None where an escape brought ranges of its own."""
        character = self._next()
        if character == "[":
            raise UnsupportedPattern("a class inside a class is not known")
        if character != "\\":
            return ord(character)
        escaped = self._escaped()
        if escaped.negated:
            raise UnsupportedPattern("an opposite inside a class is not known")
        if len(escaped.ranges) == 1 and escaped.ranges[0][0] == escaped.ranges[0][1]:
            return escaped.ranges[0][0]
        ranges.extend(escaped.ranges)
        return None

    def _next(self) -> str:
        if self._at >= len(self._text):
            raise UnsupportedPattern("the pattern ends too early")
        self._at += 1
        return self._text[self._at - 1]

    def _take(self, character: str) -> bool:
        if self._text[self._at : self._at + 1] != character:
            return False
        self._at += 1
        return True


def _points(ranges: Iterable[tuple[str, str]]) -> tuple[tuple[int, int], ...]:
    return tuple((ord(low), ord(high)) for low, high in ranges)
