"""Where a rule writes: a path from the element at hand to a property, `period.start`,
`extension.birthPlace`, `.`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mappings.running.element import Element


@dataclass(frozen=True, slots=True)
class Target:
    """spelled: as in the map. steps: properties that hold one object each, outermost first. name: of the
    property.

    is_list: of the property. url: of an extension that the value is wrapped in, "" for none; `name` is then
    `extension` and `value_name` the property of the extension, `valueString`. whole: the value is an object
    whose
    members join the element at hand (`.`, or `value[x]`: the value brings the name of its type with it).
    """

    spelled: str
    steps: tuple[str, ...]
    name: str
    is_list: bool
    url: str = ""
    value_name: str = ""
    whole: bool = False

    def is_taken(self, element: Element) -> bool:
        """Whether something stands there already, so that a further value has no place."""
        if self.is_list:
            return False
        inner = self._inner(element) if self.steps else element.content
        if not self.whole:
            return self.name in inner
        choice = self.name
        return bool(choice) and any(
            name.startswith(choice) and name[len(choice) : len(choice) + 1].isupper() for name in inner
        )

    @property
    def kept(self) -> str:
        """The path that a default leaves as it is where something is stored: an extension of a primitive stands
        for the primitive."""
        return self._primitive or self.spelled

    @property
    def _primitive(self) -> str:
        """The path of the primitive whose extension this is, "" for none."""
        last = self.steps[-1] if self.url and self.steps else ""
        return ".".join((*self.steps[:-1], last[1:])) if last.startswith("_") else ""

    def is_filled(self, element: Element) -> bool:
        """Whether something came already, so that a default has no place: in a list any member; an extension
        that is there, or the primitive that it would be of."""
        if not self.is_list:
            return self.is_taken(element)
        members = self._inner(element).get(self.name, ())
        if not self.url:
            return bool(members)
        holder = element.content
        for step in self.steps[:-1]:
            holder = holder.get(step) or {}
        has_primitive = bool(self._primitive) and self.steps[-1][1:] in holder
        return has_primitive or any(member.get("url") == self.url for member in members)

    def place(self, element: Element) -> str:
        """Where a new object will stand."""
        path = ".".join((element.path, *self.steps)) if self.steps else element.path
        if self.whole:
            return path
        if not self.is_list:
            return f"{path}.{self.name}"
        return f"{path}.{self.name}[{len(self._inner(element).get(self.name, ()))}]"

    def standing(self, element: Element) -> dict[str, Any]:
        """A copy of the object that a further rule adds to; an empty one for a new object."""
        found = {} if self.is_list else self._inner(element).get(self.name, {})
        return dict(found) if isinstance(found, dict) else {}

    def put(self, element: Element, value: Any) -> str:
        """Write a value; answers the path of what it became, or of the equal one that a list already has."""
        holder, path = element.content, element.path
        for step in self.steps:
            holder = holder.setdefault(step, {})
            path = f"{path}.{step}"
        if self.whole:
            for name, member in value.items():
                holder.setdefault(name, member)
            return path
        if not self.is_list:
            holder[self.name] = value
            return f"{path}.{self.name}"
        if self.url:
            value = {"url": self.url, self.value_name: value}
        index = element.append(holder, self.spelled, self.name, value)
        return f"{path}.{self.name}[{index}]"

    def inside(self, place: str) -> str:
        """Where the members of a value stand that was put at a place: inside of the extension around it."""
        return f"{place}.{self.value_name}" if self.url else place

    def _inner(self, element: Element) -> dict[str, Any]:
        holder = element.content
        for step in self.steps:
            holder = holder.get(step) or {}
        return holder
