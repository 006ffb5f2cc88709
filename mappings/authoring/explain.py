"""Both ways between a message and what became of it: each element with its origin, each filled component
with its fate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mappings.compiler.v2_fields import is_set_id
from mappings.datatypes import FUNCTIONS
from mappings.hl7v2.fields import full_name
from mappings.hl7v2.message import Message
from mappings.result import Mapped, Step

# What becomes of the header beyond resources: reading, storing, choosing a map, acknowledging.
_HEADER = {
    5: "the acknowledgement",
    6: "the acknowledgement",
    7: "the time of the message, where the event has none",
    9: "chooses the map",
    10: "the message log and the acknowledgement",
    11: "whether it is production",
    12: "the acknowledgement",
    15: "the acknowledgement",
    16: "the acknowledgement",
    18: "how the message is decoded",
    20: "how the message is decoded",
}
UNMAPPED = "unmapped"
# A function read the field and leaves this component alone on purpose.
NO_PLACE = "unmapped: FHIR has no place for it"


@dataclass(frozen=True, slots=True)
class Output:
    """A leaf of the result. step: the one that made it, or the nearest element around it; None for neither."""

    intent: str
    path: str
    value: Any
    step: Step | None


@dataclass(frozen=True, slots=True)
class Input:
    """A filled component. name: in words. became: `intent: path` of elements. decided: rules whose condition it
    met.

    note: starts with `unmapped`, or says what else it is good for.
    """

    position: str
    name: str
    raw: str
    start: int
    end: int
    became: tuple[str, ...]
    decided: tuple[str, ...]
    note: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """A message and its result, accounted for."""

    mapped: Mapped
    outputs: tuple[Output, ...]
    inputs: tuple[Input, ...]

    @property
    def unexplained(self) -> tuple[Output, ...]:
        """Elements that no rule answers for; there are none unless the engine is wrong."""
        return tuple(output for output in self.outputs if output.step is None)

    @property
    def unmapped(self) -> tuple[Input, ...]:
        return tuple(entry for entry in self.inputs if entry.note.startswith(UNMAPPED))


def explain(message: Message, mapped: Mapped) -> Explanation:
    """The account of a message by the trace of its result."""
    made: dict[tuple[str, str], Step] = {}
    by_position: dict[str, list[Step]] = {}
    for step in mapped.steps:
        if step.path:
            made.setdefault((step.intent, step.path), step)
        for position in step.positions:
            by_position.setdefault(position, []).append(step)
    outputs = [
        Output(intent.key, path, value, _nearest(made, intent.key, path))
        for intent in mapped.intents
        for path, value in leaves(intent.resource, intent.resource["resourceType"])
    ]
    return Explanation(mapped, tuple(outputs), tuple(_inputs(message, mapped, by_position)))


def leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every primitive of FHIR JSON with its path."""
    if isinstance(value, Mapping):
        for name, member in value.items():
            if name != "resourceType":
                yield from leaves(member, f"{path}.{name}")
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from leaves(member, f"{path}[{index}]")
    else:
        yield path, value


def _nearest(made: Mapping[tuple[str, str], Step], intent: str, path: str) -> Step | None:
    while path:
        if (intent, path) in made:
            return made[intent, path]
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    return None


def _field_of(position: str) -> str:
    """`PID[1]-3[2]` of `PID[1]-3[2].4.1`."""
    return position.partition(".")[0]


def _inputs(message: Message, mapped: Mapped, steps: Mapping[str, list[Step]]) -> Iterator[Input]:
    unread = set(mapped.unread)
    functions = {(_field_of(position), step.using) for position, found in steps.items() for step in found}
    for leaf in message.filled():
        place = leaf.position
        position = str(place)
        found = steps.get(position, [])
        became = tuple(dict.fromkeys(f"{step.intent}: {step.path}" for step in found if step.path))
        decided = tuple(dict.fromkeys(step.rule for step in found if not step.path))
        note = ""
        if place.segment == "MSH" and place.field in _HEADER:
            note = _HEADER[place.field]
        elif is_set_id(place.segment, place.field):
            note = "counts the segments"
        elif place.segment == "EVN" and place.field == 1:
            note = "the event, as MSH-9 has it"
        elif position in unread or not (became or decided):
            used = [FUNCTIONS[name] for field, name in functions if name and field == _field_of(position)]
            is_left = any(place.component in function.unmapped for function in used)
            note = NO_PLACE if is_left else UNMAPPED
        name = full_name(place.segment, place.field, place.component, place.subcomponent)
        yield Input(position, name, leaf.text, leaf.start, leaf.end, became, decided, note)
