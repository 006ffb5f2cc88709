"""Rules from YAML: which kind each is, what it may say, what it becomes."""

from __future__ import annotations

import re
from dataclasses import replace

from mappings.compiler import resources, values
from mappings.compiler.conditions import condition
from mappings.compiler.context import Compilation, Place
from mappings.compiler.document import Node
from mappings.compiler.element_paths import NoPath, resolve
from mappings.compiler.elements import Element, elements_of
from mappings.compiler.problems import did_you_mean
from mappings.compiler.v2_fields import NoField, check_segment, group_names
from mappings.findings import FINDINGS
from mappings.running.alternatives import Constant
from mappings.running.conditions import Condition
from mappings.running.resources import EveryResource
from mappings.running.rules import (
    Block,
    Conditional,
    EachGroup,
    EachRepetition,
    EachSegment,
    FindingRule,
    MergeRule,
    Rule,
    Within,
)
from mappings.running.stored import ClearRule, KeepRule
from mappings.running.target import Target
from mappings.running.writing import ObjectRule, ValueRule

_SEGMENT = re.compile(r"[A-Z][A-Z0-9]{2}")
_GROUP = re.compile(r"[A-Z][A-Z0-9_]{3,}")
_AROUND = frozenset({"foreach", "together", "direct", "when", "in"})
_VALUE = frozenset({"to", "from", "first", "const", "reference", "using", "table", "join", "default"})
# The word that a kind of rule is known by -> the words that it may have besides those around every rule.
KINDS = {
    "resource": resources.WORDS,
    "use": frozenset({"use"}),
    "merge": frozenset({"merge", "survivor", "victim"}),
    "refuse": frozenset({"refuse", "text", "from"}),
    "warn": frozenset({"warn", "text", "from"}),
    "every": frozenset({"every", "rules"}),
    "clear": frozenset({"clear"}),
    "keep": frozenset({"keep"}),
    "to": _VALUE | {"rules", "always", "needs"},
    "rules": frozenset({"rules"}),
}
WORDS = _AROUND.union(*KINDS.values())
_MOST_PIECES = 12


def block(compilation: Compilation, node: Node, place: Place) -> Rule:
    """The rules of a list, as one."""
    found = [made for item in node.items if (made := rule(compilation, item, place)) is not None]
    _unreachable(compilation, node.items, found)
    return found[0] if len(found) == 1 else Block(node.where, tuple(found))


def _unreachable(compilation: Compilation, nodes: list[Node], made: list[Rule]) -> None:
    """Warn of rules for an element that an earlier rule, without a condition, always fills."""
    filled: dict[str, str] = {}
    values_made = {one.where: one for one in made if isinstance(one, ValueRule)}
    for node in nodes:
        one = values_made.get(node.where)
        if one is None or one.target.is_list or one.target.whole:
            continue
        name = one.target.spelled
        if name in filled:
            compilation.doubtful(node, f"never reached: {filled[name]} always fills {name!r}")
        ways = (*one.alternatives, *((one.default,) if one.default else ()))
        if one.when is None and any(isinstance(way, Constant) and way.when is None for way in ways):
            filled.setdefault(name, node.where)


def rule(compilation: Compilation, node: Node, place: Place) -> Rule | None:
    """The rule that a node spells; None after saying what is wrong."""
    kind = next((word for word in KINDS if word in node), None)
    if kind is None:
        guess = next((did_you_mean(key, WORDS) for key in node.mapping if key not in WORDS), "")
        compilation.wrong(node, f"a rule has one of the words {', '.join(KINDS)}{guess}")
        return None
    compilation.only(node, KINDS[kind] | _AROUND)
    return _around(compilation, node, kind, place)


def _around(compilation: Compilation, node: Node, kind: str, place: Place) -> Rule | None:
    """The rule with the loop, the condition and the resource that stand around it."""
    each = node.get("foreach")
    inner = _inside_loop(compilation, each, place) if each is not None else place
    if inner is None:
        return None
    when = condition(compilation, node.get("when"), inner)
    here = inner
    if "in" in node:
        compilation.references.append((node["in"], node["in"].text))
        resource = resources.type_named(compilation, node["in"].text)
        here = inner.building(resource, is_root=True) if resource else inner
    is_value = kind == "to" and "rules" not in node
    made: Rule | None
    if is_value:
        made = _value(compilation, node, here, when)
    else:
        made = _core(compilation, node, kind, here)
    if made is None:
        return None
    if "in" in node:
        made = Within(node.where, node["in"].text, made)
    if when is not None and not is_value:
        made = Conditional(node.where, when, made)
    return _loop(compilation, node, each, made, inner) if each is not None else made


def _inside_loop(compilation: Compilation, each: Node, place: Place) -> Place | None:
    if _SEGMENT.fullmatch(each.text):
        try:
            check_segment(each.text)
        except NoField as error:
            compilation.wrong(each, str(error))
        return replace(place, datatype=None)
    if _GROUP.fullmatch(each.text):
        if each.text not in group_names():
            compilation.wrong(each, f"no group {each.text!r}{did_you_mean(each.text, group_names())}")
        return replace(place, datatype=None)
    path, datatype = compilation.path(each, place)
    if path is None:
        return None
    if path.component or not path.segment:
        compilation.wrong(each, "a loop is over the segments of a name, a group, or the repetitions of a field")
    return replace(place, datatype=datatype)


def _loop(compilation: Compilation, node: Node, each: Node, made: Rule, inner: Place) -> Rule | None:
    name = each.text
    together = node.get("together")
    direct = "direct" in node and node["direct"].text == "true"
    if _SEGMENT.fullmatch(name):
        if together is None:
            return EachSegment(node.where, name, made, direct)
        compilation.only(together, frozenset({"by", "when"}))
        by = together["by"].items if "by" in together else []
        paths = [compilation.path(item, inner)[0] for item in by]
        alike = condition(compilation, together.get("when"), inner)
        return EachSegment(node.where, name, made, direct, tuple(p for p in paths if p is not None), alike)
    if together is not None or direct:
        compilation.wrong(node, "`together` and `direct` are for loops over segments")
    if _GROUP.fullmatch(name):
        return EachGroup(node.where, name, made)
    path, _ = compilation.path(each, inner)
    return EachRepetition(node.where, path, made) if path is not None else None


def _core(compilation: Compilation, node: Node, kind: str, place: Place) -> Rule | None:
    if kind == "resource":
        return resources.resource(compilation, node, place, block)
    if kind == "use":
        return _piece(compilation, node, place)
    if kind == "merge":
        for word in ("survivor", "victim"):
            if word not in node:
                compilation.wrong(node, f"a merge says which resource is the {word}")
                return None
            compilation.references.append((node[word], node[word].text))
        return MergeRule(node.where, node["merge"].text, node["survivor"].text, node["victim"].text)
    if kind in ("refuse", "warn"):
        return _finding(compilation, node, kind, place)
    if kind == "every":
        if node["every"].text != "resource":
            compilation.wrong(node["every"], "`every: resource` is all there is")
        inner = (
            block(compilation, node["rules"], place.building("Patient", is_root=True))
            if "rules" in node
            else None
        )
        return EveryResource(node.where, (inner,)) if inner is not None else None
    if kind == "rules":
        return block(compilation, node["rules"], place)
    if not place.type:
        compilation.wrong(node, f"{kind!r} stands inside a `resource`, or says with `in` which one is meant")
        return None
    if kind in ("clear", "keep"):
        return _whole_path(compilation, node, kind, place)
    target, element = _target(compilation, node["to"], place)
    if target is None or element is None:
        return None
    if element.is_primitive or (element.type == "Reference" and target.whole):
        compilation.wrong(node, f"{node['to'].text!r} is a {element.type}: it has a value, not rules")
        return None
    inner_rules = block(compilation, node["rules"], place.building(element.type))
    resources.check_required(compilation, node, element.type)
    always = "always" in node and node["always"].text == "true"
    is_default = "default" in node
    if is_default and node["default"].text != "true":
        compilation.wrong(node["default"], "of an object `default` is true: its rules say what it is")
    needs = _needs(compilation, node, element)
    return ObjectRule(node.where, target, (inner_rules,), always, is_default, needs)


def _needs(compilation: Compilation, node: Node, element: Element) -> tuple[tuple[str, ...], ...]:
    """The members that `needs` names, choices without `[x]`; `a | b` is one of the two."""
    known = {member.choice or name for name, member in elements_of(element.type).items()}
    known = {name.removesuffix("[x]") for name in known}
    found = []
    for item in node["needs"].items if "needs" in node else []:
        names = tuple(name.strip().removesuffix("[x]") for name in item.text.split("|"))
        for name in names:
            if name not in known:
                compilation.wrong(item, f"{element.type} has no {name!r}{did_you_mean(name, known)}")
        found.append(names)
    return tuple(found)


def _value(compilation: Compilation, node: Node, place: Place, when: Condition | None) -> ValueRule | None:
    if not place.type:
        compilation.wrong(node, "`to` stands inside a `resource`, or says with `in` which one is meant")
        return None
    target, element = _target(compilation, node["to"], place)
    if target is None or element is None:
        return None
    options = []
    if "first" in node:
        if not node["first"].items or {"from", "const", "reference"} & node.mapping.keys():
            compilation.wrong(
                node["first"], "`first` is a list of ways to a value, and the only one of its rule"
            )
        for item in node["first"].items:
            compilation.only(item, values.WORDS)
            options.append(values.alternative(compilation, item, place, element))
    elif {"from", "const", "reference"} & node.mapping.keys():
        stripped = {key: value for key, value in node.mapping.items() if key not in ("when", "to")}
        options.append(values.alternative(compilation, node.with_content(stripped), place, element))
    elif "default" not in node:
        compilation.wrong(node, "a value comes from one of from, first, const, reference, default")
    other = values.default(compilation, node["default"], place, element) if "default" in node else None
    return ValueRule(node.where, target, tuple(o for o in options if o is not None), other, when)


def _target(compilation: Compilation, node: Node, place: Place) -> tuple[Target | None, Element | None]:
    try:
        return resolve(place.type, node.text, compilation.library.extensions)
    except NoPath as error:
        compilation.wrong(node, str(error))
        return None, None


def _whole_path(compilation: Compilation, node: Node, kind: str, place: Place) -> Rule | None:
    target, _ = _target(compilation, node[kind], place)
    if target is None:
        return None
    if not place.is_root:
        compilation.wrong(node[kind], f"`{kind}` is of an element of a resource, by its whole path")
    if kind == "keep":
        return KeepRule(node.where, target.kept)
    return ClearRule(node.where, target.spelled.removesuffix("[x]"))


def _finding(compilation: Compilation, node: Node, kind: str, place: Place) -> FindingRule:
    code = node[kind].text
    if code not in FINDINGS:
        compilation.wrong(node[kind], f"no finding {code!r} in findings.json{did_you_mean(code, FINDINGS)}")
    path = compilation.path(node["from"], place)[0] if "from" in node else None
    text = node["text"].text if "text" in node else FINDINGS.get(code, "")
    return FindingRule(node.where, code, text, path, refuses=kind == "refuse")


def _piece(compilation: Compilation, node: Node, place: Place) -> Rule | None:
    name = node["use"].text
    piece = compilation.library.pieces.get(name)
    if piece is None:
        compilation.wrong(node["use"], f"no piece {name!r}{did_you_mean(name, compilation.library.pieces)}")
        return None
    if name in place.pieces or len(place.pieces) >= _MOST_PIECES:
        compilation.wrong(node["use"], f"the piece {name!r} is in itself")
        return None
    compilation.only(piece, frozenset({"piece", "segment", "about", "rules"}))
    if "rules" not in piece:
        compilation.wrong(piece, "a piece has rules")
        return None
    made = block(compilation, piece["rules"], replace(place, pieces=(*place.pieces, name)))
    if "segment" in piece:
        when = condition(compilation, piece.with_content({"segment": piece["segment"]}), place)
        return Conditional(piece.where, when, made) if when is not None else None
    return made
