"""Clean messages read as other parsers read them; structures and fields are those that other tables have.

Covers mappings/hl7v2 against PyPI hl7, hl7kit and hl7apy, which the product does not use.
Messages are synthetic.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import hl7
import hl7kit
import pytest
from hl7apy.v2_5_1 import datatypes as apy_datatypes
from hl7apy.v2_5_1 import groups as apy_groups
from hl7apy.v2_5_1 import messages as apy_messages
from hl7apy.v2_5_1 import segments as apy_segments
from hypothesis import given
from hypothesis import strategies as st

from mappings.hl7v2.abstract_syntax import Part, structures
from mappings.hl7v2.fields import components, fields
from mappings.hl7v2.message import parse
from mappings.hl7v2.separators import USUAL, escape

TEXTS = st.text(st.sampled_from("abcZ09 .,-()|^~\\&äßжé漢"), min_size=1, max_size=6).filter(
    lambda text: text == text.strip()
)
LEAVES = st.one_of(st.just(""), TEXTS)
FIELDS = st.lists(
    st.lists(st.lists(LEAVES, min_size=1, max_size=3), min_size=1, max_size=3), min_size=1, max_size=2
)
SEGMENTS = st.tuples(
    st.sampled_from(["PID", "PV1", "OBX", "NTE", "ZZZ"]), st.lists(FIELDS, min_size=1, max_size=4)
)


def _written(field: list[list[list[str]]]) -> bytes:
    return b"~".join(
        b"^".join(b"&".join(escape(leaf.encode(), USUAL) for leaf in component) for component in repetition)
        for repetition in field
    )


@st.composite
def clean_messages(draw: st.DrawFn) -> bytes:
    """Messages as the standard wants them: usual separators, CR, UTF-8 declared."""
    lines = [b"MSH|^~\\&|SYNTHETIC|WEST^1.2^ISO|BATON|HOME|2026||ADT^A01|1|P|2.5||||||UNICODE UTF-8"]
    for name, written in draw(st.lists(SEGMENTS, min_size=1, max_size=5)):
        lines.append(name.encode() + b"|" + b"|".join(_written(field) for field in written))
    return b"".join(line + b"\r" for line in lines)


def _of_hl7(data: bytes) -> dict[str, str]:
    """Every value with content as `hl7` reads it, by its position."""
    found = {}
    counts: dict[str, int] = {}
    for segment in hl7.parse(data.decode()):
        name = str(segment[0])
        counts[name] = counts.get(name, 0) + 1
        for number in range(3 if name == "MSH" else 1, len(segment)):
            for r, repetition in enumerate(segment[number], 1):
                for c, component in enumerate(_parts(repetition), 1):
                    for s, leaf in enumerate(_parts(component), 1):
                        if str(leaf).strip():
                            found[f"{name}[{counts[name]}]-{number}[{r}].{c}.{s}"] = str(leaf)
    return found


def _parts(container: Any) -> list[Any]:
    return [container] if isinstance(container, str) else list(container)


@given(clean_messages())
def test_hl7_finds_the_same_values_in_the_same_places(data: bytes) -> None:
    ours = {str(value.position): value.raw.decode() for value in parse(data).filled()}
    assert ours == _of_hl7(data)


@given(clean_messages())
def test_hl7_unescapes_as_we_do(data: bytes) -> None:
    theirs = hl7.parse(data.decode())
    for value in parse(data).filled():
        p = value.position
        raw = value.raw.decode()
        assert theirs.unescape(raw) == value.text, p


@given(clean_messages())
def test_hl7kit_finds_the_same_texts_at_the_same_bytes(data: bytes) -> None:
    message, theirs = parse(data), hl7kit.parse(data)
    assert [segment.name for segment in message.segments] == theirs.segments()
    for value in message.filled():
        p = value.position
        path = f"{p.segment}[{p.occurrence}]-{p.field}[{p.repetition}].{p.component}"
        segment = message.segments[p.ordinal - 1]
        if len(segment.repetitions(p.field)[p.repetition - 1].components[p.component - 1]) > 1:
            continue  # its paths end at components
        assert theirs.get(path) == value.text, path
        assert theirs.span(path) == (p.start, p.end), path


def test_clean_samples_read_alike(adt: bytes, oru: bytes) -> None:
    for data in (adt, oru):
        assert {str(value.position): value.raw.decode() for value in parse(data).filled()} == _of_hl7(data)
        theirs = hl7kit.parse(data)
        for value in parse(data).filled():
            if value.subcomponent == 1 and "&" not in value.raw.decode():
                p = value.position
                span = theirs.span(f"{p.segment}[{p.occurrence}]-{p.field}[{p.repetition}].{p.component}")
                assert span is not None
                assert span[0] == p.start


GROUPS_CALLED_OTHERWISE = {"OBXNTE_SUPPGRP": "OBSERVATION", "AUTCTD_SUPPGRP2": "AUTHORIZATION_CONTACT"}
NOT_THERE = {"ADT_A44"}  # came after v2.5.1
REGROUPED = {"ADT_A60": "IAM"}  # as in v2.8, with its notes


def _theirs(name: str, parts: Any, within: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    for part, _, _, kind in parts:
        if kind == "SEG":
            yield within, part
            continue
        choice, inner = apy_groups.GROUPS[part][:2]
        short = part.removeprefix(f"{name}_")
        here = within if choice == "choice" else (*within, GROUPS_CALLED_OTHERWISE.get(short, short))
        yield from _theirs(name, inner, here)


def _ours(part: Part, within: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    for one in part.parts:
        if one.parts:
            yield from _ours(one, (*within, one.name))
        else:
            yield from ((within, name) for name in one.holds)


@pytest.mark.parametrize("name", sorted(set(structures()) - NOT_THERE))
def test_every_place_that_hl7apy_knows_is_in_our_structure(name: str) -> None:
    theirs = [
        place for place in _theirs(name, apy_messages.MESSAGES[name][1], ()) if place[1] != REGROUPED.get(name)
    ]
    ours = list(_ours(structures()[name]))
    assert {place for place in theirs if theirs.count(place) > ours.count(place)} == set()


@pytest.mark.parametrize("name", sorted({name for name, _ in fields()} & set(apy_segments.SEGMENTS)))
def test_fields_have_the_datatypes_that_hl7apy_knows(name: str) -> None:
    for field, reference, _, _ in apy_segments.SEGMENTS[name][1]:
        number = int(field.partition("_")[2])
        if reference and reference[2] and number <= max(n for one, n in fields() if one == name):
            assert fields()[name, number].type == reference[2], field


def test_components_have_the_names_that_hl7apy_knows() -> None:
    def bare(name: str) -> str:
        return re.sub(r"[^a-z0-9]", "", name.lower())

    differing = []
    for datatype in sorted({name for name, _ in components()}):
        for component, reference, *_ in apy_datatypes.DATATYPES_STRUCTS.get(datatype) or ():
            number = int(component.partition("_")[2])
            theirs = reference[3].partition("_E_G_")[0]  # without examples
            if component != "NDL_1" and bare(theirs) != bare(components()[datatype, number].name):
                differing.append(f"{component} {reference[3]} {components()[datatype, number].name}")
    assert differing == []
