"""A coverage as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from mappings.authoring.coverage import Coverage, Filled, Unknown
from mappings.hl7v2.fields import full_name, segment_name


def as_text(found: Coverage) -> Iterator[str]:
    """The report as lines."""
    yield f"{found.messages} messages, {found.unreadable} unreadable, {sum(found.refused.values())} refused"
    total = found.total
    yield f"{total.reached} of {total.filled} filled components reach FHIR ({total.share:.1%})"
    partly = [(name, each) for name, each in found.fields.items() if each.reached < each.filled]
    sections: tuple[tuple[str, list[str]], ...] = (
        ("types", [f"{kind}  {count}" for kind, count in found.types.most_common()]),
        ("refused", [f"{code}  {count}" for code, count in found.refused.most_common()]),
        ("segments", [_share(name, each, segment_name(name)) for name, each in found.segments.items()]),
        ("fields that reach it in part or never", [_share(name, each, _name(name)) for name, each in partly]),
        ("never mapped", list(_never(found))),
        ("codes without a row", list(_unknown(found.codes.most_common()))),
        ("names without a system", list(_unknown(found.systems.most_common()))),
        ("findings", [f"{code}  {count}" for code, count in found.findings.most_common()]),
        ("segments of the site", [f"{name}  {count}" for name, count in found.site_segments.most_common()]),
        ("rows of overlays that no message needed", found.rows_not_met()),
    )
    for title, lines in sections:
        if lines:
            yield f"\n{title}"
            yield from (f"  {line}" for line in lines)


def _share(name: str, each: Filled, words: str) -> str:
    return f"{name:<8} {each.reached:>6} of {each.filled:<6} {each.share:>6.1%}  {words}".rstrip()


def _never(found: Coverage) -> Iterator[str]:
    for place, count in found.never_mapped():
        why = "  (FHIR has no place for it)" if place in found.no_place else ""
        yield f"{place:<10} {count:>6}  {found.shapes[place]:<20} {_name(place)}{why}".rstrip()


def _unknown(rows: Iterable[tuple[Unknown, int]]) -> Iterator[str]:
    for each, count in rows:
        yield f"{each.place:<10} {count:>6}  {each.sent}  {each.words}"


def as_json(found: Coverage) -> dict[str, Any]:
    """The same as data."""
    return {
        "messages": found.messages,
        "unreadable": found.unreadable,
        "types": dict(found.types.most_common()),
        "refused": dict(found.refused.most_common()),
        "components": _counts(found.total),
        "segments": [{"segment": name, **_counts(each)} for name, each in found.segments.items()],
        "fields": [
            {"field": name, "name": _name(name), **_counts(each)} for name, each in found.fields.items()
        ],
        "never_mapped": [
            {
                "place": place,
                "name": _name(place),
                "count": count,
                "shape": found.shapes[place],
                "fhir_has_a_place": place not in found.no_place,
            }
            for place, count in found.never_mapped()
        ],
        "unknown_codes": [_row(each, count) for each, count in found.codes.most_common()],
        "unknown_systems": [_row(each, count) for each, count in found.systems.most_common()],
        "findings": dict(found.findings.most_common()),
        "site_segments": dict(found.site_segments.most_common()),
        "rows_not_met": found.rows_not_met(),
    }


def _counts(each: Filled) -> dict[str, Any]:
    return {"filled": each.filled, "reached": each.reached, "share": round(each.share, 4)}


def _row(each: Unknown, count: int) -> dict[str, Any]:
    return {"place": each.place, "code": each.sent, "count": count, "finding": each.words}


def _name(place: str) -> str:
    segment, _, rest = place.partition("-")
    field, component, subcomponent = ([int(number) for number in rest.split(".")] + [0, 0])[:3]
    return full_name(segment, field, component, subcomponent)
