"""`when:` and `first:` alternatives' own `when:`, from YAML to tests."""

from __future__ import annotations

from mappings.compiler.context import Compilation, Place
from mappings.compiler.document import Node
from mappings.compiler.problems import did_you_mean
from mappings.compiler.v2_fields import group_names
from mappings.running.conditions import (
    AnyOf,
    Condition,
    HasGroup,
    Is,
    IsFilled,
    IsIn,
    IsKnown,
    IsSingle,
    IsThere,
    SettingIs,
    Test,
    TriggerIs,
)

STATES = ("valued", "empty", "null")
WORDS = frozenset({"trigger", "known", "unknown", "segment", "group", "single", "several", "any"})
# Settings of a source that are no switches, with what they are where nobody says.
_SETTINGS = {"source.production": "true", "source.medication_list": "false"}


def condition(compilation: Compilation, node: Node | None, place: Place) -> Condition | None:
    """The condition that a node spells; None for no node."""
    if node is None:
        return None
    if not node.mapping:
        compilation.wrong(node, "`when` is a mapping from places to what stands there")
        return None
    tests = [
        found
        for name, value in node.mapping.items()
        if (found := _test(compilation, node, name, value, place)) is not None
    ]
    return Condition(tuple(tests))


def _test(compilation: Compilation, node: Node, name: str, value: Node, place: Place) -> Test | None:
    if name == "any":
        inner = [condition(compilation, item, place) for item in value.items]
        return AnyOf(tuple(one for one in inner if one is not None))
    if name in ("known", "unknown"):
        compilation.references.append((value, value.text))
        return IsKnown(value.text, negated=name == "unknown")
    if name in ("single", "several"):
        return IsSingle(value.text, negated=name == "several")
    if "in" in value:
        return _in_table(compilation, value, name, place)
    texts, negated = _texts(compilation, value)
    if name == "segment":
        return IsThere(texts, negated)
    if name == "group":
        for text in sorted(texts - group_names()):
            compilation.wrong(value, f"no group {text!r}{did_you_mean(text, group_names())}")
        return HasGroup(texts, negated)
    if name == "trigger":
        return TriggerIs(texts, negated)
    if name.startswith(("switch.", "source.")):
        return _setting(compilation, value, name, texts, negated)
    path, _ = compilation.path(value.with_content(name), place)
    if path is None:
        return None
    states = texts & set(STATES)
    if states:
        if len(texts) > 1 or negated:
            compilation.wrong(value, f"{', '.join(STATES)} stand alone")
        return IsFilled(path, next(iter(states)))
    return Is(path, texts, negated)


def _in_table(compilation: Compilation, node: Node, name: str, place: Place) -> IsIn | None:
    compilation.only(node, frozenset({"in"}))
    table = node["in"].text
    if table not in compilation.tables:
        compilation.wrong(node["in"], f"no table {table!r}{did_you_mean(table, compilation.tables)}")
    compilation.tables_used.add(table)
    path, _ = compilation.path(node.with_content(name), place)
    return IsIn(path, table) if path is not None else None


def _texts(compilation: Compilation, value: Node) -> tuple[frozenset[str], bool]:
    negated = "not" in value
    if value.mapping:
        compilation.only(value, frozenset({"not"}))
    inner = value["not"] if negated else value
    texts = frozenset(item.text for item in inner.items)
    if "" in texts:
        compilation.wrong(value, f"a text, a list of texts, {{not: ...}}, or one of {', '.join(STATES)}")
    return texts, negated


def _setting(
    compilation: Compilation, node: Node, name: str, texts: frozenset[str], negated: bool
) -> SettingIs | None:
    kind, _, short = name.partition(".")
    if kind == "source":
        if name not in _SETTINGS:
            compilation.wrong(node, f"a source has no {short!r}{did_you_mean(name, _SETTINGS)}")
            return None
        return SettingIs(name, _SETTINGS[name], texts, negated)
    switch = compilation.library.switches.get(short)
    if switch is None:
        known = compilation.library.switches
        compilation.wrong(node, f"no switch {short!r} in switches.yaml{did_you_mean(short, known)}")
        return None
    for text in sorted(texts - set(switch.values)):
        compilation.wrong(node, f"the switch {short!r} is never {text!r}{did_you_mean(text, switch.values)}")
    return SettingIs(name, switch.values[0], texts, negated)
