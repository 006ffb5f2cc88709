"""`to:` as a path of R4: `period.start`, `extension.birthPlace`, `birthDate.extension.birthTime`,
`value[x]`, `.`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mappings.compiler.elements import Element, elements_of
from mappings.compiler.problems import did_you_mean
from mappings.running.target import Target


@dataclass(frozen=True, slots=True)
class Extension:
    """An extension that maps know by name. on: type or element that has it. value: its FHIR type, as
    `string`.
    """

    name: str
    url: str
    on: frozenset[str]
    value: str

    @property
    def value_name(self) -> str:
        return f"value{self.value[0].upper()}{self.value[1:]}"


class NoPath(Exception):
    """The path is none of R4's; the text says why."""


def resolve(type_name: str, text: str, extensions: Mapping[str, Extension]) -> tuple[Target, Element]:
    """Where a path leads from an element of a type, and what stands there. Raises NoPath."""
    if text == ".":
        return Target(text, (), "", False, whole=True), Element(".", type_name)
    steps: list[str] = []
    names = text.split(".")
    for place, name in enumerate(names[:-1]):
        if name in ("extension", "modifierExtension"):
            return _extension(text, type_name, tuple(steps), name, names[place + 1 :], extensions)
        element = _element(type_name, name)
        if element.is_primitive and names[place + 1] == "extension":
            on = f"{type_name}.{name}"
            return _extension(text, on, (*steps, f"_{name}"), "extension", names[place + 2 :], extensions)
        if element.is_primitive:
            raise NoPath(f"{name!r} is a {element.type} and has no {names[place + 1]!r}")
        if element.is_list:
            raise NoPath(f"{name!r} is a list: write `to: {name}` with `rules:` for what stands in its members")
        steps.append(name)
        type_name = element.type
    name = names[-1]
    if name.endswith("[x]"):
        choice = name[:-3]
        if not any(element.choice == choice for element in elements_of(type_name).values()):
            raise NoPath(f"{type_name} has no {name!r}")
        if steps:
            raise NoPath(f"{name!r} stands alone: write `to: {'.'.join(steps)}` with `rules:` around it")
        return Target(text, (), choice, False, whole=True), Element(name, name)
    element = _element(type_name, name)
    return Target(text, tuple(steps), name, element.is_list), element


def _element(type_name: str, name: str) -> Element:
    known = elements_of(type_name)
    if name in known:
        return known[name]
    choices = sorted(n for n, e in known.items() if e.choice == name)
    if choices:
        raise NoPath(f"{name!r} has several types: write {name}[x] or one of {', '.join(choices[:4])}, ...")
    raise NoPath(f"{type_name} has no {name!r}{did_you_mean(name, known)}")


def _extension(
    text: str, on: str, steps: tuple[str, ...], name: str, rest: list[str], extensions: Mapping[str, Extension]
) -> tuple[Target, Element]:
    if len(rest) != 1:
        raise NoPath("an extension is written as `extension.NAME`, with a name of extensions.yaml")
    extension = extensions.get(rest[0])
    if extension is None:
        raise NoPath(f"no extension {rest[0]!r} in extensions.yaml{did_you_mean(rest[0], extensions)}")
    if extension.on and on not in extension.on:
        raise NoPath(f"the extension {extension.name!r} is not for {on}")
    target = Target(text, steps, name, True, extension.url, extension.value_name)
    return target, Element(rest[0], extension.value)
