"""What a message says of a resource, joined with what is stored of it (pure).

An element that the message says replaces the stored one, the rest stays. Elements made of elements (backbone
elements), periods and `meta` are joined member by member, all other data types are replaced as a whole: half a
code of one system with half a code of another one would be none. Of a choice (`value[x]`) only one form stays,
and extensions of a primitive go with it. Lists are replaced unless a rule says otherwise:

    union                by equal content
    union:system,value   by these members: the message's item takes the place of the stored one
    transfer             the new items are added; stored ones whose period is open end at the message's moment

Of identifiers a retired one (`use` old) stays retired. Extensions are joined by their url, tags, labels and
profiles by content, because others than this feed write them.
Sources: HL7 v2.5.1 chapter 2.10.1 (a value, an empty field and "" say three things), hl7.org/fhir/R4/json.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from mappings.result import Intent
from server.fhir.changed_elements import canonical
from server.fhir.json_codec import encode
from server.fhir.validation_tables import Element, Table, table

Json = dict[str, Any]

# Data types that are joined member by member.
_BY_MEMBER = frozenset({"Period", "Meta"})
# How lists are joined where the map has no rule. By name, wherever they are.
_LISTS: Mapping[str, str] = {
    "extension": "union:url",
    "modifierExtension": "union:url",
    "meta.tag": "union:system,code",
    "meta.security": "union:system,code",
    "meta.profile": "union",
}
# What stands in meta of a version, and not of what the resource says.
_OF_THE_VERSION = ("versionId", "lastUpdated")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def content(resource: Mapping[str, Any]) -> Json:
    """What a stored resource says, without its number and time."""
    meta = {name: value for name, value in resource.get("meta", {}).items() if name not in _OF_THE_VERSION}
    said = {name: value for name, value in resource.items() if name != "meta"}
    return said | {"meta": meta} if meta else said


def joined(stored: Json, said: Mapping[str, Any], intent: Intent, moment: int) -> Json:
    """The resource as it is to be stored. stored: `content` of the current version. said: the intent's
    resource, its references resolved. moment: of the event, microseconds UTC. `stored` itself where the message
    says nothing else, as of wards and doctors most do."""
    if not intent.cleared and _repeats(stored, said):
        return stored
    resource_type = str(said["resourceType"])
    rules = _Rules(intent, resource_type, moment)
    result = rules.join(table(resource_type), stored, said, "")
    for path in intent.cleared:
        _clear(table(resource_type), result, _path(path, resource_type).split("."))
    return result


def same(stored: Mapping[str, Any], result: Mapping[str, Any]) -> bool:
    """Whether two contents say the same, digits and all, in whatever order of members."""
    return stored is result or encode(stored) == encode(result) or canonical(stored) == canonical(result)


def date_time(moment: int) -> str:
    """Microseconds UTC as a FHIR dateTime."""
    return (_EPOCH + timedelta(microseconds=moment)).strftime("%Y-%m-%dT%H:%M:%SZ")


def value_at(resource: Mapping[str, Any], path: str) -> Any:
    """The element at a dotted path, of lists the first item; None where there is none."""
    value: Any = resource
    for name in path.split("."):
        if isinstance(value, list):
            value = value[0] if value else None
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _repeats(stored: Mapping[str, Any], said: Mapping[str, Any]) -> bool:
    """Whether all elements that are said are stored just so, what belongs to primitives included."""
    for name, value in said.items():
        other_half = name[1:] if name.startswith("_") else f"_{name}"
        if name not in stored or (other_half in stored and other_half not in said):
            return False
        if encode(stored[name]) != encode(value):
            return False
    return True


def _path(path: str, resource_type: str) -> str:
    return path.removeprefix(f"{resource_type}.")


class _Rules:
    """What an intent says of its elements, by path without the resource type."""

    def __init__(self, intent: Intent, resource_type: str, moment: int) -> None:
        self._lists = {_path(path, resource_type): rule for path, rule in intent.lists.items()}
        self._keep = {_path(path, resource_type) for path in intent.keep}
        self._moment = moment

    def join(self, described: Table, stored: Mapping[str, Any], said: Mapping[str, Any], above: str) -> Json:
        result = dict(stored)
        for name, value in said.items():
            plain = name.removeprefix("_")
            element = described.elements.get(plain)
            if element is None:  # resourceType, id; what no table describes is refused later, with its path
                result[name] = value
                continue
            forms = described.choices.get(element.choice, ()) if element.choice else (plain,)
            path = f"{above}{plain}"
            if not self._keep.isdisjoint({path, f"{above}{element.choice or plain}"}) and _has(stored, forms):
                continue
            before = stored.get(name)
            for form in forms:
                if form not in said:
                    result.pop(form, None)
                if f"_{form}" not in said:
                    result.pop(f"_{form}", None)
            result[name] = self._joined(element, before, value, path)
        return result

    def _joined(self, element: Element, stored: Any, said: Any, path: str) -> Any:
        rule = self._lists.get(path) or _LISTS.get(path) or _LISTS.get(path.rpartition(".")[2], "")
        if element.is_list and rule and isinstance(said, list):
            return self._list(rule, stored if isinstance(stored, list) else (), said, path)
        by_member = "." in element.type or element.type in _BY_MEMBER
        if by_member and isinstance(said, dict) and isinstance(stored, dict):
            return self.join(table(element.type), stored, said, f"{path}.")
        return said

    def _list(self, rule: str, stored: Sequence[Any], said: Sequence[Any], path: str) -> list[Any]:
        if rule == "transfer":
            return _transferred(stored, said, self._moment)
        return united(stored, said, rule.partition(":")[2], retiring=path.endswith("identifier"))


def united(stored: Sequence[Any], said: Sequence[Any], members: str, *, retiring: bool = False) -> list[Any]:
    """The stored items with those of the message in the place of the ones that they equal, the others behind.

    members: by which they equal, with commas; "" for all of their content. retiring: what is of `use` old on
    either side is so from now on.
    """
    if members == "url":
        return _by_url(stored, said)
    result = list(stored)
    places = {_key(item, members): index for index, item in enumerate(result)}
    ended = {_key(item, members) for item in (*stored, *said) if retiring and _is_old(item)}
    for item in said:
        key = _key(item, members)
        place = places.setdefault(key, len(result))
        result[place : place + 1] = [{**item, "use": "old"} if key in ended else item]
    return result


def _by_url(stored: Sequence[Any], said: Sequence[Any]) -> list[Any]:
    """Extensions: all that the message says of a url, in the place of all that is stored of it."""
    told: dict[bytes, list[Any]] = {}
    for item in said:
        of_url = told.setdefault(_key(item, "url"), [])
        if item not in of_url:
            of_url.append(item)
    result: list[Any] = []
    left = dict(told)
    for item in stored:
        key = _key(item, "url")
        result += left.pop(key, ()) if key in told else (item,)
    return [*result, *(item for of_url in left.values() for item in of_url)]


def _is_old(item: Any) -> bool:
    return isinstance(item, dict) and item.get("use") == "old"


def _key(item: Any, members: str) -> bytes:
    if members and isinstance(item, dict):
        values = [value_at(item, name) for name in members.split(",")]
        if any(value is not None for value in values):
            return canonical(values)
    return canonical(item)


def _transferred(stored: Sequence[Any], said: Sequence[Any], moment: int) -> list[Any]:
    """The stored items, open ones ended unless the message says that they go on, and then the new ones."""
    going_on = {_place(item) for item in said if _is_open(item)}
    result = [
        _ended(item, moment) if _is_open(item) and _place(item) not in going_on else item for item in stored
    ]
    for item in said:
        met = [
            index
            for index, other in enumerate(result)
            if _place(other) == _place(item) and _is_open(other) == _is_open(item)
        ]
        if not met:
            result.append(item)
            continue
        other = result[met[-1]]
        period = {**other.get("period", {}), **item.get("period", {})}
        result[met[-1]] = {**other, **item} | ({"period": period} if period else {})
    return result


def _place(item: Any) -> bytes:
    """What an item of a list with periods is about."""
    if not isinstance(item, dict):
        return canonical(item)
    about = {name: value for name, value in item.items() if name not in ("period", "status", "id")}
    return canonical(about or item.get("status"))


def _is_open(item: Any) -> bool:
    return isinstance(item, dict) and "end" not in item.get("period", {}) and item.get("status") != "completed"


def _ended(item: Json, moment: int) -> Json:
    ended = {**item, "period": {**item.get("period", {}), "end": date_time(moment)}}
    return ended | {"status": "completed"} if item.get("status") == "active" else ended


def _has(stored: Mapping[str, Any], forms: Iterable[str]) -> bool:
    return any(form in stored or f"_{form}" in stored for form in forms)


def _clear(described: Table | None, value: Any, path: Sequence[str]) -> None:
    """Take out what stands at the path, in all items of lists; what has become empty goes with it."""
    if isinstance(value, list):
        for item in value:
            _clear(described, item, path)
        value[:] = [item for item in value if item not in ({}, [])]
        return
    if not isinstance(value, dict) or not path:
        return
    name, *below = path
    choices = described.choices.get(name, ()) if described else ()
    for form in (name, *choices):
        if not below:
            value.pop(form, None)
            value.pop(f"_{form}", None)
            continue
        element = described.elements.get(form) if described else None
        inner = None if element is None or element.is_primitive or element.type == "Resource" else element.type
        inside = value.get(form)
        if isinstance(inside, list | dict):
            value[form] = inside = [*inside] if isinstance(inside, list) else {**inside}
            if isinstance(inside, list):
                inside[:] = [{**item} if isinstance(item, dict) else item for item in inside]
            _clear(table(inner) if inner else None, inside, below)
            if not inside:
                del value[form]
