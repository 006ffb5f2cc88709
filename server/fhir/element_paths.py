"""Paths to elements: the part of FHIRPath that says where something stands, evaluated on a tree of elements.

    parse_path("Patient.name.where(use = 'official').given[0]").nodes(root, walk)

FHIRPath libraries give values; a change needs the places of elements, and a bound on the work that a hostile
path causes, so this is an evaluator of its own. What it knows:

    names, also of choices (`value`, `deceased`) and delimited by backticks, `$this`, `[n]`, parentheses
    where, exists, all, empty, not, first, last, tail, skip, take, single, count, ofType, as, extension,
    startsWith, endsWith, contains; the operators =, !=, and, or, xor, as
    literals: 'text', 3, 1.5, true, false, @2024-05-17

Within that part its answers are FHIRPath's. All else (arithmetic, other functions, variables, unions) is
refused.
Sources: hl7.org/fhirpath/N1 (grammar and functions), hl7.org/fhir/R4/fhirpath.html
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar

from server.fhir.element_steps import (
    PLAIN,
    WITH_CRITERIA,
    WITH_NUMBER,
    WITH_TEXT,
    Collection,
    PathError,
    Step,
    Walk,
    at,
    constant,
    equality,
    exists,
    follow,
    logic,
    member,
    of_type,
    part,
)
from server.fhir.element_tree import Node

LENGTH_MAXIMUM = 1_000  # characters of a path
DEPTH_MAXIMUM = 16  # parentheses within parentheses
_NEAR = 40  # characters of a path that tell where it cannot be read
_Found = TypeVar("_Found")
_ELEMENTS_OF_ONE_TOKEN = 10  # that are looked at in the time in which a token of a path is read


# What a step does, for those who ask where a path can lead before there is a resource: ("name", name), ("some",
# name) for some of that name, ("type", name), ("same", "") for some of what is there, ("computed", "") for a
# value that is no element.
Mark = tuple[str, str]
_SAME: Mark = ("same", "")
_COMPUTED: Mark = ("computed", "")
# Functions whose answer is some of the elements that they are asked of.
_SELECTING = frozenset({"where", "first", "last", "tail", "single", "skip", "take"})


@dataclass(frozen=True, slots=True)
class Path:
    """A path that was read. outline: what its steps do, those within leading parentheses one by one."""

    steps: tuple[Step, ...]
    outline: tuple[Mark, ...]

    @property
    def last(self) -> str:
        """Its last step where that is a plain name, else ""."""
        kind, name = self.outline[-1]
        return name if kind == "name" else ""

    def nodes(self, root: Node, walk: Walk) -> list[Node]:
        """The elements the path leads to. Raises: PathError."""
        return _elements(follow(self.steps, [root], walk))

    def container(self, root: Node, walk: Walk) -> tuple[Node, str]:
        """The one element in which the path's last name stands, and that name: where a list is, even an empty
        one. Raises: PathError."""
        if not self.last or len(self.steps) < 2:
            raise PathError("the path of a list ends with the list's name")
        found = _elements(follow(self.steps[:-1], [root], walk))
        if len(found) != 1:
            raise PathError(f"the list stands in {'no' if not found else 'more than one'} element")
        return found[0], self.last


def parse_path(text: str, walk: Walk | None = None) -> Path:
    """A path to elements. walk: pays for the reading.

    Raises: PathError for anything beyond the part of FHIRPath described above.
    """
    if len(text) > LENGTH_MAXIMUM:
        raise PathError(f"a path may have {LENGTH_MAXIMUM} characters")
    tokens = _tokens(text)
    if walk is not None:
        walk.spend(len(tokens) * _ELEMENTS_OF_ONE_TOKEN)
    reader = _Reader(tokens)
    try:
        steps, outline = reader.path()
        reader.needed(reader.kind("end"))
    except PathError as error:
        error.near = reader.near()
        raise
    return Path(steps, outline)


def _elements(items: Collection) -> list[Node]:
    if not all(isinstance(item, Node) for item in items):
        raise PathError("the path leads to a computed value, not to an element")
    return items


_TOKEN = re.compile(
    r"(?P<space>\s+)|(?P<text>'(?:[^'\\]|\\.)*')|(?P<date>@[0-9T:.+Z-]+)|(?P<number>[0-9]+(?:\.[0-9]+)?)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*|`[^`\\]*`|\$this)|(?P<sign>!=|[.\[\](),=])",
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPED = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}

Token = tuple[str, str]  # what it is (text, date, number, name, sign, end) and how it is written


def _tokens(text: str) -> list[Token]:
    found: list[Token] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            error = PathError("the path has a character or an operator that such paths cannot have")
            error.near = text[position : position + _NEAR]
            raise error
        position = match.end()
        if match.lastgroup != "space":
            found.append((match.lastgroup, match[0]))
    return [*found, ("end", "")]


def _text(token: str) -> str:
    return _ESCAPE.sub(
        lambda escape: (
            chr(int(escape[1][1:], 16)) if len(escape[1]) == 5 else _ESCAPED.get(escape[1], escape[1])
        ),
        token[1:-1],
    )


class _Reader:
    """Recursive descent over the tokens; each method gives what evaluates the part that it read."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._next = 0
        self._depth = 0

    def near(self) -> str:
        """What is read, and what would be read next."""
        around = self._tokens[max(self._next - 2, 0) : self._next + 2]
        return "".join(text for _, text in around)[:_NEAR]

    def kind(self, wanted: str) -> str | None:
        """The next token if it is of this kind."""
        kind, text = self._tokens[self._next]
        if kind != wanted:
            return None
        self._next += 1
        return text

    def word(self, *wanted: str) -> str | None:
        """The next token if it is one of these signs or keywords."""
        kind, text = self._tokens[self._next]
        if kind not in ("sign", "name") or text not in wanted:
            return None
        self._next += 1
        return text

    def needed(self, found: str | None) -> str:
        """Raises: PathError where nothing was found."""
        if found is None:
            raise PathError("the path is not well-formed, or uses what such paths cannot use")
        return found

    def path(self) -> tuple[tuple[Step, ...], tuple[Mark, ...]]:
        """The steps of a path, and what they do."""
        first, marks = self._primary()
        steps, outline = [first], [*marks]
        while True:
            if self.word("."):
                step, mark = self._invocation(first=False)
            elif self.word("["):
                step, mark = at(int(self._whole_number())), _SAME
                self.needed(self.word("]"))
            elif self.word("as"):
                type = self._type()
                step, mark = of_type(type), ("type", type)
            else:
                return tuple(steps), tuple(outline)
            steps.append(step)
            outline.append(mark)

    def _criteria(self) -> tuple[Step, tuple[Mark, ...]]:
        """A boolean expression, down to its weakest operator; or a path alone."""
        left, outline = self._conjunction()
        while operator := self.word("or", "xor"):
            left, outline = logic(operator, left, self._conjunction()[0]), (_COMPUTED,)
        return left, outline

    def _conjunction(self) -> tuple[Step, tuple[Mark, ...]]:
        left, outline = self._comparison()
        while self.word("and"):
            left, outline = logic("and", left, self._comparison()[0]), (_COMPUTED,)
        return left, outline

    def _comparison(self) -> tuple[Step, tuple[Mark, ...]]:
        left, outline = self._operand()
        operator = self.word("=", "!=")
        if operator:
            return equality(left, self._operand()[0], operator == "="), (_COMPUTED,)
        return left, outline

    def _operand(self) -> tuple[Step, tuple[Mark, ...]]:
        steps, outline = self.path()
        return lambda items, walk: follow(steps, items, walk), outline

    def _primary(self) -> tuple[Step, tuple[Mark, ...]]:
        if self.word("("):
            inner = self._nested(self._criteria)
            self.needed(self.word(")"))
            return inner
        if text := self.kind("text"):
            return constant(_text(text)), (_COMPUTED,)
        if text := self.kind("date"):
            return constant(text[1:]), (_COMPUTED,)
        if text := self.kind("number"):
            return constant(Decimal(text) if "." in text else int(text)), (_COMPUTED,)
        if text := self.word("true", "false"):
            return constant(text == "true"), (_COMPUTED,)
        step, mark = self._invocation(first=True)
        return step, (mark,)

    def _invocation(self, *, first: bool) -> tuple[Step, Mark]:
        name = self.needed(self.kind("name"))
        if name == "$this":
            if not first:
                raise PathError("$this stands at the beginning of a path")
            return (lambda items, walk: items), _SAME
        if self.word("("):
            found = self._nested(lambda: self._function(name))
            self.needed(self.word(")"))
            return found
        name = name.strip("`")
        return member(name, first=first), ("name", name)

    def _function(self, name: str) -> tuple[Step, Mark]:
        if name in ("ofType", "as"):
            type = self._type()
            return of_type(type), ("type", type)
        mark = _SAME if name in _SELECTING else _COMPUTED
        if name in WITH_CRITERIA:
            return WITH_CRITERIA[name](self._criteria()[0]), mark
        if name == "exists":
            return exists(None if self._tokens[self._next][1] == ")" else self._criteria()[0]), mark
        if name in WITH_NUMBER:
            return part(name, int(self._whole_number())), mark
        if name in WITH_TEXT:
            step = WITH_TEXT[name](_text(self.needed(self.kind("text"))))
            return step, ("some", name) if name == "extension" else mark
        if name in PLAIN:
            return PLAIN[name], mark
        known = ", ".join(sorted(("exists", "ofType", "as", *WITH_CRITERIA, *WITH_NUMBER, *WITH_TEXT, *PLAIN)))
        raise PathError(f"such paths know the functions {known}")

    def _type(self) -> str:
        name = self.needed(self.kind("name")).strip("`")
        return (
            self.needed(self.kind("name")).strip("`") if name in ("FHIR", "System") and self.word(".") else name
        )

    def _whole_number(self) -> str:
        number = self.needed(self.kind("number"))
        if "." in number or len(number) > 9:
            raise PathError("an index is a whole number")
        return number

    def _nested(self, read: Callable[[], _Found]) -> _Found:
        self._depth += 1
        if self._depth > DEPTH_MAXIMUM:
            raise PathError(f"parentheses are nested more than {DEPTH_MAXIMUM} deep")
        found = read()
        self._depth -= 1
        return found
