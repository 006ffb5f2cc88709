"""Lifecycles of care: which state a resource may go to, who sets it and what it must then say (pure).

The machines are the JSON files of `lifecycles/`, one each: the resources it governs (a type, within it any of
the codes or profiles), the element that holds the state, for each state where it leads and which parties may
take it there (none named: whoever may write it), and the elements that have to be present in a state (all of
the groups, any of a group). A resource that no machine governs moves freely.

The version that is replaced decides which machine judges; so a first version may be in any state, and a
resource cannot be taken out of its machine to be moved outside of it.
Sources: named in each file and in `SOURCES.toml`; docs/reference/lifecycles.md shows them all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from server.errors import Issue

Resource = Mapping[str, Any]
ActsFor = Callable[[str], bool]  # whether the caller acts for whom a reference names


@dataclass(frozen=True, slots=True)
class Machine:
    """One lifecycle. codes: `system|code`. state: name of the element. parties: party -> element that names it.

    open: parties that nobody has to be named as: then anyone who may write it acts as this party.
    handed_over_by: party -> parties of which any may name another one in its place.
    moves: state -> state that can follow -> parties of which any may set it. content: state -> groups of paths.
    """

    id: str
    title: str
    version: str
    effective: str
    source: str
    resource_type: str
    codes: frozenset[str]
    profiles: frozenset[str]
    state: str
    parties: Mapping[str, str]
    open: frozenset[str]
    handed_over_by: Mapping[str, tuple[str, ...]]
    moves: Mapping[str, Mapping[str, tuple[str, ...]]]
    content: Mapping[str, tuple[tuple[str, ...], ...]]

    def governs(self, resource: Resource) -> bool:
        """Whether the resource, of this machine's type, is one of those the machine is for."""
        if not self.codes and not self.profiles:
            return True
        return not self.codes.isdisjoint(_codes(resource)) or not self.profiles.isdisjoint(_profiles(resource))

    def state_of(self, resource: Resource) -> str:
        """The state a resource is in, "" where it has none (its element holds an extension only)."""
        state = resource.get(self.state)
        return state if isinstance(state, str) else ""


def judge(before: Resource, after: Resource, acts_for: ActsFor) -> tuple[Issue, ...]:
    """What is against replacing one version of a resource by another; nothing for almost all.

    acts_for: asked only where a move is left to certain parties. Each issue names its rule and what is allowed,
    never what the resource says.
    """
    machine = machine_of(before)
    if machine is None:
        return ()
    if machine_of(after) is not machine:
        return (_leaving(machine),)
    if handed_over := tuple(_handed_over(machine, before, after, acts_for)):
        return handed_over
    old, new = machine.state_of(before), machine.state_of(after)
    if old == new:
        # What the state needs may not be taken away while it lasts.
        return tuple(_content(machine, new, after)) if not any(_content(machine, new, before)) else ()
    if old in machine.moves and new not in machine.moves[old]:
        return (_move(machine, old),)
    setters = machine.moves.get(old, {}).get(new, ())
    found = [*_content(machine, new, after)]
    if setters and not any(_is_party(machine, party, before, after, acts_for) for party in setters):
        found.insert(0, _setter(machine, setters))
    return tuple(found)


def machine_of(resource: Resource) -> Machine | None:
    """The machine that governs a resource, None where none does."""
    candidates = machines().get(str(resource.get("resourceType", "")), ())
    return next((machine for machine in candidates if machine.governs(resource)), None)


def is_governed(resource_type: str) -> bool:
    """Whether resources of the type can have a lifecycle at all."""
    return resource_type in machines()


@cache
def machines() -> Mapping[str, tuple[Machine, ...]]:
    """All machines by type, in the order of their files: of two that would govern a resource the first does."""
    found: dict[str, tuple[Machine, ...]] = {}
    folder = files(__package__).joinpath("lifecycles")
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if file.name.endswith(".json"):
            machine = _machine(json.loads(file.read_text("utf-8")))
            found[machine.resource_type] = (*found.get(machine.resource_type, ()), machine)
    return found


def _machine(document: Mapping[str, Any]) -> Machine:
    governs, from_any = document["governs"], document["from_any"]
    return Machine(
        id=document["id"],
        title=document["title"],
        version=document["version"],
        effective=document["effective"],
        source=document["source"],
        resource_type=governs["type"],
        codes=frozenset(governs["codes"]),
        profiles=frozenset(governs["profiles"]),
        state=document["state"],
        parties=document["parties"],
        open=frozenset(document["open"]),
        handed_over_by={party: tuple(by) for party, by in document["handed_over_by"].items()},
        moves={
            state: {target: tuple(by) for target, by in (following | from_any).items() if target != state}
            for state, following in document["moves"].items()
        },
        content={
            state: tuple(tuple(group) for group in groups) for state, groups in document["content"].items()
        },
    )


def _codes(resource: Resource) -> Iterator[str]:
    concept = resource.get("code")
    for coding in concept.get("coding") or () if isinstance(concept, dict) else ():
        yield f"{coding.get('system', '')}|{coding.get('code', '')}"


def _profiles(resource: Resource) -> Iterator[str]:
    for profile in resource.get("meta", {}).get("profile") or ():
        yield str(profile).partition("|")[0]


def _is_party(machine: Machine, party: str, before: Resource, after: Resource, acts_for: ActsFor) -> bool:
    """Whether the caller is the party; whom the version before does not name, the next one may (a claim)."""
    element = machine.parties[party]
    named = before.get(element) or after.get(element)
    if not named:
        return party in machine.open
    reference = named.get("reference")
    return isinstance(reference, str) and acts_for(reference)


def _handed_over(machine: Machine, before: Resource, after: Resource, acts_for: ActsFor) -> Iterator[Issue]:
    """Parties that another one was named for by somebody who may not: or anybody could make itself a party."""
    for party, element in machine.parties.items():
        old, new = before.get(element), after.get(element)
        if not old or old.get("reference") == (new or {}).get("reference"):
            continue
        by = machine.handed_over_by[party]
        if not any(_is_party(machine, each, before, before, acts_for) for each in by):
            words = f"only {_who(machine, by)} may name another {party}"
            yield _issue(machine, "party", words, f"{machine.resource_type}.{element}")


def _content(machine: Machine, state: str, resource: Resource) -> Iterator[Issue]:
    for group in machine.content.get(state, ()):
        if not any(_is_present(resource, path.split(".")) for path in group):
            paths = [f"{machine.resource_type}.{path}" for path in group]
            yield _issue(machine, "content", f"this state needs {_either(paths)}", paths[0])


def _is_present(element: Any, path: list[str]) -> bool:
    if not path:
        return element not in (None, "", {}, [])
    return isinstance(element, dict) and _is_present(element.get(path[0]), path[1:])


def _move(machine: Machine, old: str) -> Issue:
    allowed = sorted(machine.moves[old])
    words = f"from here only {_either(allowed)} can follow" if allowed else "nothing can follow this state"
    return _issue(machine, "move", words, f"{machine.resource_type}.{machine.state}")


def _setter(machine: Machine, setters: tuple[str, ...]) -> Issue:
    words = f"only {_who(machine, setters)} may set this state"
    return _issue(machine, "setter", words, f"{machine.resource_type}.{machine.state}")


def _who(machine: Machine, parties: tuple[str, ...]) -> str:
    return _either([f"the {party} ({machine.resource_type}.{machine.parties[party]})" for party in parties])


def _leaving(machine: Machine) -> Issue:
    element = "code" if machine.codes else "meta.profile"
    return _issue(
        machine,
        "kind",
        f"what makes this {machine.resource_type} one of this lifecycle stays; one that is none is set to"
        " entered-in-error",
        f"{machine.resource_type}.{element}",
    )


def _issue(machine: Machine, rule: str, words: str, expression: str) -> Issue:
    name = f"{machine.id}-{rule}, version {machine.version}"
    return Issue("business-rule", f"{words} (rule {name}: {machine.title.lower()})", expression)


def _either(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
