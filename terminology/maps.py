"""Concept maps and value sets of the terminology's file, as reads."""

from __future__ import annotations

import json
from typing import Any

from terminology.coded import Member, Translation
from terminology.connection import Connection
from terminology.systems import NDC, RXNORM

NDC_TO_RXNORM = "urn:baton:concept-map:ndc-rxnorm"
"""The map from a package's NDC to its drug: RxNorm's own statement (RXNSAT, ATN=NDC)."""
RXNORM_TO_INGREDIENT = "urn:baton:concept-map:rxnorm-ingredient"
"""The map from a drug to its ingredients (TTY IN), as RxNorm's relations give them."""


class MapsAndSets:
    """Reads of a built file; `concepts.Concepts` adds those of code systems."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def translate(self, system: str, code: str, target: str | None = None) -> tuple[Translation, ...]:
        """What a code becomes in another system, or in any where none is named; by target and map."""
        found = [
            Translation(*row)
            for row in self._db.all(
                "select tgt_system, tgt_code, equivalence, url from map join concept_map on id = map_id"
                " where src_system = ? and src_code = ? order by tgt_system, tgt_code, url",
                system,
                code,
            )
            if target in (None, row[0])
        ]
        if target in (None, RXNORM):
            found += self._drug_translations(system, code)
        return tuple(found)

    def _drug_translations(self, system: str, code: str) -> list[Translation]:
        if system == NDC:
            row = self._db.one("select rxcui from ndc where ndc11 = ?", code.replace("-", ""))
            return [Translation(RXNORM, row[0], "wider", NDC_TO_RXNORM)] if row else []
        row = self._db.one("select body from drug where code = ?", code) if system == RXNORM else None
        parts = json.loads(row[0])[1] if row else []
        ingredients = sorted({part[0] for part in parts if part[0] and part[0] != code})
        return [Translation(RXNORM, ingredient, "wider", RXNORM_TO_INGREDIENT) for ingredient in ingredients]

    def translate_back(self, system: str, code: str, source: str | None = None) -> tuple[Translation, ...]:
        """The codes that a code is the target of: `system` and `code` of each are those of the source."""
        return tuple(
            Translation(*row)
            for row in self._db.all(
                "select src_system, src_code, equivalence, url from map join concept_map on id = map_id"
                " where tgt_system = ? and tgt_code = ? order by src_system, src_code, url",
                system,
                code,
            )
            if source in (None, row[0])
        )

    def concept_maps(self) -> tuple[str, ...]:
        """Canonical urls of the maps in the file."""
        return tuple(row[0] for row in self._db.all("select url from concept_map order by url"))

    def concept_map(self, url: str) -> Any:
        """A map's ConceptMap resource without its groups; None if it is not there."""
        row = self._db.one("select body from concept_map where url = ?", url)
        return json.loads(row[0]) if row else None

    def value_sets(self) -> tuple[tuple[str, str], ...]:
        """(url, version) of the value sets in the file."""
        return tuple(self._db.all("select url, version from value_set order by url, version"))

    def value_set(self, url: str, version: str | None = None) -> Any:
        """The ValueSet resource as it came, the newest version where none is named; None if not there."""
        row = self._value_set(url, version)
        return json.loads(row[1]) if row else None

    def members(self, value_set: str, version: str | None = None) -> tuple[Member, ...] | None:
        """The codes of a value set that lists each of them, in its order.

        None if it is not there, or defined by filters, whole systems or other sets: `value_set` gives
        its definition then.
        """
        row = self._value_set(value_set, version)
        if row is None or not row[2]:
            return None
        found = self._db.all(
            "select system, version, code, display from vs_member where vs = ? order by n", row[0]
        )
        return tuple(Member(*member) for member in found)

    def _value_set(self, url: str, version: str | None) -> Any:
        return self._db.one(
            "select id, body, enumerated from value_set where url = ?1 and ?2 in ('', version)"
            " order by version desc limit 1",
            url,
            version or "",
        )
