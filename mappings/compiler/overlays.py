"""`extends`: a site's changes to a map or piece that ships with Baton, so that an upgrade does not fork it."""

from __future__ import annotations

from collections.abc import Iterator

from mappings.compiler.document import Node
from mappings.compiler.problems import Problem, did_you_mean

_SETTINGS = frozenset({"identity", "write", "lists", "keep", "status", "ranks", "unidentified", "finding"})


def changed(document: Node, changes: Node, problems: list[Problem]) -> Node:
    """The document with the changes of another in it; the parts keep the places that they were written at."""
    for key, node in changes.mapping.items():
        if key not in ("extends", "changes", "for"):
            problems.append(node.problem(f"a file with `extends` has `changes`, and no {key!r}"))
    content = dict(document.mapping)
    if "for" in changes:
        content["for"] = changes["for"]
    if "rules" in content:
        rules = content["rules"]
        for change in changes["changes"].items if "changes" in changes else []:
            rules = _applied(rules, change, problems)
        content["rules"] = rules
    return document.with_content(content)


def _applied(rules: Node, change: Node, problems: list[Problem]) -> Node:
    verb = next((verb for verb in ("replace", "remove", "set") if verb in change), "")
    if not verb:
        return rules.with_content([*rules.items, change])
    name = change["in"].text if "in" in change else ""
    if verb == "set" and not name:
        problems.append(change.problem("`set` says with `in` which resource it is about"))
        return rules
    if not name:
        return _edited(rules, change, verb, problems)
    names = [node["as"].text for node in rules.walk() if "resource" in node and "as" in node]
    if name not in names:
        problems.append(
            change["in"].problem(f"no resource {name!r} in what is extended{did_you_mean(name, names)}")
        )
        return rules
    return _in_resource(rules, name, change, verb, problems)


def _in_resource(node: Node, name: str, change: Node, verb: str, problems: list[Problem]) -> Node:
    """The tree with a change in the rules of the resource of a name."""
    if isinstance(node.content, list):
        return node.with_content([_in_resource(item, name, change, verb, problems) for item in node.content])
    if "resource" in node and "as" in node and node["as"].text == name:
        content = dict(node.mapping)
        if verb == "set":
            for key, value in change["set"].mapping.items():
                if key not in _SETTINGS:
                    problems.append(value.problem(f"no setting {key!r}{did_you_mean(key, _SETTINGS)}"))
                content[key] = value
        elif "rules" in content:
            content["rules"] = _edited(content["rules"], change, verb, problems)
        return node.with_content(content)
    if "rules" in node:
        content = dict(node.mapping)
        content["rules"] = _in_resource(node["rules"], name, change, verb, problems)
        return node.with_content(content)
    return node


def _edited(rules: Node, change: Node, verb: str, problems: list[Problem]) -> Node:
    """Rules without those that the change names, and with its own in the place of the first."""
    called = change[verb].text
    known = sorted({name for node in rules.items for name in _called(node)})
    if called not in known:
        problems.append(
            change[verb].problem(f"nothing to {verb}: no rule for {called!r}{did_you_mean(called, known)}")
        )
        return rules
    own: list[Node] = []
    if verb == "replace":
        left = {key: value for key, value in change.mapping.items() if key not in ("replace", "in")}
        if not {"to", "use", "resource"} & left.keys():
            left = {"to": change["replace"], **left}
        own = [change.with_content(left)]
    return rules.with_content(list(_without(rules, called, own)))


def _without(rules: Node, called: str, own: list[Node]) -> Iterator[Node]:
    for node in rules.items:
        if called in _own_names(node):
            yield from own
            own.clear()
        elif _is_group(node) and called in _called(node):
            inner = list(_without(node["rules"], called, own))
            if inner:
                content = dict(node.mapping)
                content["rules"] = node["rules"].with_content(inner)
                yield node.with_content(content)
        else:
            yield node


def _is_group(node: Node) -> bool:
    """Whether a rule only holds others (foreach, when), so that a change looks into it."""
    return "rules" in node and not {"to", "resource", "in"} & node.mapping.keys()


def _own_names(node: Node) -> list[str]:
    return [node[key].text for key in ("to", "use", "as", "clear") if key in node]


def _called(node: Node) -> Iterator[str]:
    yield from _own_names(node)
    if _is_group(node):
        for inner in node["rules"].items:
            yield from _called(inner)
