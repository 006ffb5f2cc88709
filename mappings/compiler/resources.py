"""`resource:` from YAML: type, name, identity, how it is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from mappings.compiler.conditions import condition
from mappings.compiler.context import Compilation, Place
from mappings.compiler.document import Node
from mappings.compiler.element_paths import NoPath, resolve
from mappings.compiler.elements import elements_of, required_in, resource_types
from mappings.compiler.problems import did_you_mean
from mappings.compiler.values import function_named
from mappings.findings import FINDINGS
from mappings.running.identity import IdentitySource, OfIdentifier, OfParts, OfPatient
from mappings.running.resources import ResourceRule
from mappings.running.rules import Rule
from mappings.running.source_path import SourcePath

WORDS = frozenset(
    {
        "resource",
        "as",
        "identity",
        "unidentified",
        "finding",
        "write",
        "lists",
        "keep",
        "status",
        "ranks",
        "always",
        "alike",
    }
) | {"rules"}
WRITES = ("merge", "create", "replace", "retire")
UNIDENTIFIED = ("new", "skip", "refuse")
ALIKE = ("any", "best")
_LISTS = ("union", "transfer")

Blocks: TypeAlias = Callable[[Compilation, Node, Place], Rule]


def type_named(compilation: Compilation, name: str) -> str:
    """The type of the resource that rules of the library call by this name, "" where none does."""
    documents = [*compilation.library.maps.values(), *compilation.library.pieces.values()]
    for document in documents:
        for node in document.walk():
            if "resource" in node and "as" in node and node["as"].text == name:
                return node["resource"].text
    return ""


def resource(compilation: Compilation, node: Node, place: Place, block: Blocks) -> Rule | None:
    """The rule that makes a resource; None after saying what is wrong."""
    kind = node["resource"].text
    if kind not in resource_types():
        compilation.wrong(
            node["resource"], f"R4 has no resource {kind!r}{did_you_mean(kind, resource_types())}"
        )
        return None
    if "as" not in node or "rules" not in node:
        compilation.wrong(node, "a resource has a name (`as`) and `rules`")
        return None
    name = node["as"].text
    if name in ("all", "ordinal"):
        compilation.wrong(node["as"], f"{name!r} is a word of the language")
    compilation.names.add(name)
    inside = place.building(kind, is_root=True)
    write = _one_of(compilation, node.get("write"), WRITES)
    unidentified = _one_of(compilation, node.get("unidentified"), UNIDENTIFIED)
    finding = node["finding"].text if "finding" in node else "unidentified"
    if finding not in FINDINGS:
        compilation.wrong(node, f"no finding {finding!r} in findings.json{did_you_mean(finding, FINDINGS)}")
    keep = node["keep"].items if "keep" in node else []
    for item in keep:
        _check_path(compilation, item, kind)
    status = node.get("status")
    if status is not None:
        _check_path(compilation, status, kind)
    ranks = _ranks(compilation, node)
    check_required(compilation, node, kind)
    return ResourceRule(
        node.where,
        kind,
        name,
        tuple(_identities(compilation, node, place)),
        (block(compilation, node["rules"], inside),),
        unidentified,
        finding,
        write,
        _lists(compilation, node, kind),
        tuple(item.text for item in keep),
        status.text if status else "",
        ranks,
        node["always"].text == "true" if "always" in node else False,
        _one_of(compilation, node.get("alike"), ALIKE) == "best",
    )


def _one_of(compilation: Compilation, node: Node | None, words: tuple[str, ...]) -> str:
    """The word that a node says; the first where there is no node."""
    if node is None:
        return words[0]
    if node.text not in words:
        compilation.wrong(node, f"one of {', '.join(words)}{did_you_mean(node.text, words)}")
    return node.text


def _check_path(compilation: Compilation, node: Node, kind: str) -> None:
    try:
        resolve(kind, node.text, compilation.library.extensions)
    except NoPath as error:
        compilation.wrong(node, str(error))


def _lists(compilation: Compilation, node: Node, kind: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for path, rule in node["lists"].mapping.items() if "lists" in node else ():
        _check_path(compilation, rule.with_content(path), kind)
        verb, _, names = rule.text.partition(":")
        if verb not in _LISTS or (names and verb != "union"):
            compilation.wrong(rule, "union, union:element,element or transfer")
        found[path] = rule.text.replace(" ", "")
    return found


def _ranks(compilation: Compilation, node: Node) -> dict[str, int]:
    if "ranks" not in node:
        return {}
    name = node["ranks"].text
    found = compilation.library.ranks.get(name)
    if found is None:
        known = compilation.library.ranks
        compilation.wrong(node["ranks"], f"no ranks {name!r} in ranks.yaml{did_you_mean(name, known)}")
    if "status" not in node:
        compilation.wrong(node["ranks"], "`ranks` are of the element that `status` names")
    return dict(found or {})


def _identities(compilation: Compilation, node: Node, place: Place) -> list[IdentitySource]:
    found: list[IdentitySource] = []
    for item in node["identity"].items if "identity" in node else []:
        when = condition(compilation, item.get("when"), place)
        if "of" in item:
            compilation.only(item, frozenset({"of", "kind", "when"}))
            parts = tuple(p for part in item["of"].items if (p := _part(compilation, part, place)) is not None)
            if "kind" not in item and not any(isinstance(part, SourcePath) for part in parts):
                compilation.wrong(
                    item["of"], "an identity has a part that is read from the message, or a `kind`"
                )
            found.append(OfParts(parts, item["kind"].text if "kind" in item else "", when))
            continue
        compilation.only(item, frozenset({"from", "using", "by", "when"}))
        if "from" not in item or "using" not in item:
            compilation.wrong(item, "an identity is `from` a place, `using` a function, or `of` parts")
            continue
        path, _ = compilation.path(item["from"], place)
        function = function_named(compilation, item["using"])
        if path is None or function is None:
            continue
        if function.result != "Identifier":
            compilation.wrong(item["using"], f"{function.name!r} gives {function.result}, not an Identifier")
        if "by" in item:
            _one_of(compilation, item["by"], ("authority",))
            found.append(OfPatient(path, function, when))
        else:
            found.append(OfIdentifier(path, function, when))
    return found


def _part(compilation: Compilation, node: Node, place: Place) -> str | SourcePath | None:
    if node.text == "ordinal":
        return "ordinal"
    if node.text[:1].islower():
        compilation.references.append((node, node.text))
        return node.text
    return compilation.path(node, place)[0]


def check_required(compilation: Compilation, node: Node, type_name: str) -> None:
    """Warn of elements that R4 demands of a type and that no rule of a node writes."""
    written = _written(compilation, node["rules"], ())
    if "." in written:
        return
    for name in required_in(type_name):
        choices = {n for n, e in elements_of(type_name).items() if e.choice == name}
        if not ({name, f"{name}[x]"} | choices) & written:
            compilation.doubtful(node, f"R4 demands {name!r} of a {type_name}; no rule writes it")


def _written(compilation: Compilation, rules: Node, pieces: tuple[str, ...]) -> set[str]:
    found: set[str] = set()
    for item in rules.items:
        if "to" in item:
            found.add(item["to"].text.partition(".")[0] or ".")
        elif "use" in item and item["use"].text not in pieces:
            piece = compilation.library.pieces.get(item["use"].text)
            if piece is not None and "rules" in piece:
                found |= _written(compilation, piece["rules"], (*pieces, item["use"].text))
        elif "rules" in item and "resource" not in item and "in" not in item:
            found |= _written(compilation, item["rules"], pieces)
    return found
