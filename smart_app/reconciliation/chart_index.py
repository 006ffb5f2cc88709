"""A set of FHIR resources, found by `Type/id`, by full URL or by a relative or absolute reference."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Resource = Mapping[str, Any]


def mappings(value: object) -> list[Resource]:
    """The objects in a list as FHIR has it; anything else of it, or instead of it, is passed over."""
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def reference_in(value: object) -> str:
    """The reference of a Reference; empty without one."""
    reference = value.get("reference") if isinstance(value, Mapping) else None
    return reference if isinstance(reference, str) else ""


class ChartIndex:
    """Lookups over the resources of one chart. The last version given of a resource counts."""

    def __init__(self, resources: Iterable[tuple[str | None, Resource]]) -> None:
        """resources: (fullUrl or None, resource)"""
        self._by_reference: dict[str, Resource] = {}
        self._names: dict[str, str] = {}
        for full_url, resource in resources:
            name = f"{resource.get('resourceType')}/{resource.get('id')}"
            self._by_reference[name] = resource
            if full_url:
                self._names[full_url] = name

    def of_type(self, kind: str) -> Iterator[tuple[str, Resource]]:
        """(`Type/id`, resource) in order of reference."""
        for name in sorted(self._by_reference):
            if name.startswith(f"{kind}/"):
                yield name, self._by_reference[name]

    def all(self) -> Iterator[tuple[str, Resource]]:
        """(`Type/id`, resource) of every resource, in order of reference."""
        yield from sorted(self._by_reference.items(), key=lambda each: each[0])

    def name(self, reference: str) -> str:
        """`Type/id` of a reference: full URLs of this chart resolve, versions and bases are cut off."""
        if reference in self._names:
            return self._names[reference]
        parts = reference.split("/_history/")[0].split("/")
        return "/".join(parts[-2:])

    def get(self, reference: str) -> Resource | None:
        return self._by_reference.get(self.name(reference))

    def medications(self) -> dict[str, Resource]:
        """Medication resources under every name they are referred to by."""
        found = dict(self.of_type("Medication"))
        return found | {url: found[name] for url, name in self._names.items() if name in found}
