"""A YAML file as a tree whose every part knows its line and column, and whose every scalar is text.

Plain YAML reads `NO` as false, `0001` as a number and the last of two equal keys as the only one; maps are
about
codes, so nothing here is converted, and a key that stands twice is a mistake. No tags, anchors or aliases.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

import yaml

from mappings.compiler.problems import Problem

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DEEPEST = 40

Content: TypeAlias = "str | list[Node] | dict[str, Node]"


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """content: text, a list, or a mapping in the order of the file. keys: where each key of a mapping
    stands.
    """

    content: Content
    file: str
    line: int
    column: int

    def problem(self, text: str, *, is_warning: bool = False) -> Problem:
        return Problem(self.file, self.line, self.column, text, is_warning)

    @property
    def text(self) -> str:
        """The scalar; "" for anything else."""
        return self.content if isinstance(self.content, str) else ""

    @property
    def items(self) -> list[Node]:
        """The members of a list; a scalar or mapping is a list of one."""
        return self.content if isinstance(self.content, list) else [self]

    @property
    def mapping(self) -> dict[str, Node]:
        """The members of a mapping; none of anything else."""
        return self.content if isinstance(self.content, dict) else {}

    @property
    def where(self) -> str:
        """`file:line`, as traces name a rule."""
        return f"{self.file}:{self.line}"

    def with_content(self, content: Content) -> Node:
        return replace(self, content=content)

    def __getitem__(self, key: str) -> Node:
        return self.mapping[key]

    def __contains__(self, key: str) -> bool:
        return key in self.mapping

    def get(self, key: str) -> Node | None:
        return self.mapping.get(key)

    def walk(self) -> Iterator[Node]:
        """This node and all below it."""
        yield self
        children = self.content if isinstance(self.content, list) else self.mapping.values()
        for child in children:
            yield from child.walk()


def parse(text: str, file: str) -> tuple[Node | None, list[Problem]]:
    """The document of a file, None with the reasons if it cannot be read or is empty. Never raises for
    content.
    """
    problems: list[Problem] = []
    try:
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        return None, [Problem(file, line, column, error.problem or "not YAML")]
    except (yaml.YAMLError, RecursionError) as error:
        return None, [Problem(file, 1, 1, f"not YAML: {type(error).__name__}")]
    if root is None:
        return None, [Problem(file, 1, 1, "the file is empty")]
    return _node(root, file, problems, 0, set()), problems


def _node(node: yaml.Node, file: str, problems: list[Problem], depth: int, seen: set[int]) -> Node:
    line, column = node.start_mark.line + 1, node.start_mark.column + 1
    content: Content = ""
    if depth > _DEEPEST:
        problems.append(Problem(file, line, column, f"nested deeper than {_DEEPEST} levels"))
    elif id(node) in seen:
        problems.append(Problem(file, line, column, "anchors and aliases are not allowed"))
    elif isinstance(node, yaml.ScalarNode):
        content = node.value
    elif isinstance(node, yaml.SequenceNode):
        seen.add(id(node))
        content = [_node(child, file, problems, depth + 1, seen) for child in node.value]
    elif isinstance(node, yaml.MappingNode):
        seen.add(id(node))
        content = {}
        for key, value in node.value:
            at = (key.start_mark.line + 1, key.start_mark.column + 1)
            if not isinstance(key, yaml.ScalarNode):
                problems.append(Problem(file, *at, "a key is one word"))
            elif key.value in content:
                problems.append(Problem(file, *at, f"{key.value!r} stands twice"))
            else:
                content[key.value] = _node(value, file, problems, depth + 1, seen)
    return Node(content, file, line, column)
