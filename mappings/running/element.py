"""What is being built: drafts of intents, and the elements inside of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from mappings.result import Identity, Intent


@dataclass(slots=True)
class Draft:
    """An intent in the making. name: what the rule that began it calls it. lists, keep, status, ranks,
    write: as in `mappings.result.Intent`.
    """

    key: str
    name: str
    resource_type: str
    identities: tuple[Identity, ...] = ()
    write: str = "merge"
    lists: Mapping[str, str] = field(default_factory=dict)
    keep: tuple[str, ...] = ()
    status: str = ""
    ranks: Mapping[str, int] = field(default_factory=dict)
    cleared: list[str] = field(default_factory=list)
    defaulted: list[str] = field(default_factory=list)
    root: Element = field(init=False)

    def __post_init__(self) -> None:
        self.root = Element({"resourceType": self.resource_type}, self.resource_type, self, is_root=True)

    def let_go(self) -> None:
        """Forget the root, which knows the draft: what holds itself is left to the collector of garbage, and to
        look for it in each message takes longer than to make it."""
        del self.root

    @property
    def reference(self) -> dict[str, str]:
        return {"reference": f"#intent:{self.key}"}

    def intent(self) -> Intent:
        """The intent as it stands. What was emptied first and filled later is not empty."""
        return Intent(
            self.key,
            self.root.content,
            self.identities,
            self.write,
            tuple(path for path in dict.fromkeys(self.cleared) if not is_filled(self.root.content, path)),
            self.lists,
            tuple(dict.fromkeys((*self.keep, *self.defaulted))),
            self.status,
            self.ranks,
        )


class Element(msgspec.Struct, eq=False):
    """An object of FHIR JSON that rules write to. path: from the resource type on, with indexes.

    A struct, as `Step` is.
    is_substance: whether something of the message is in it; what has only constants is not written.
    """

    content: dict[str, Any]
    path: str
    draft: Draft
    is_root: bool = False
    is_substance: bool = False

    def append(self, holder: dict[str, Any], spelled: str, name: str, value: Any) -> int:
        """Add a value to a list unless it has it; answers its index.

        What counts as the same is what the resource's `lists` say of the path: equal content; with `union:a,b`
        also what has these elements equal, and what is a part of one that is there. One url of extensions may
        say several things (citizenships).
        """
        listed = holder.get(name)
        if listed is None:
            holder[name] = [value]
            return 0
        rule = self.draft.lists.get(spelled, "") if self.is_root else ""
        for index, other in enumerate(listed):
            if other == value or (rule and _has(other, value, rule)):
                return index
        listed.append(value)
        return len(listed) - 1


def _has(one: Any, other: Any, rule: str) -> bool:
    """Whether a list that has `one` needs no `other`, which is not equal."""
    kind, _, names = rule.partition(":")
    if kind != "union" or names in ("", "url") or not isinstance(one, dict) or not isinstance(other, dict):
        return False
    if all(one.get(name) == value for name, value in other.items()):
        return True  # it says less of the same: PID-2 with the bare number of what PID-3 has with its authority
    return all(name in one and one[name] == other.get(name) for name in names.split(","))


def is_filled(content: Mapping[str, Any], path: str) -> bool:
    """Whether something stands at a path; for `value`, at one of the forms of `value[x]`."""
    found: Any = content
    *steps, last = path.split(".")
    for step in steps:
        if not isinstance(found, Mapping) or step not in found:
            return False
        found = found[step]
    return isinstance(found, Mapping) and any(
        name == last or (name.startswith(last) and name[len(last)].isupper()) for name in found
    )
