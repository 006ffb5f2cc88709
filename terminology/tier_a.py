"""What ships, written into a new file: RxNorm, drug classes, SNOMED CT's patient set, CVX and their neighbours.

Each table's origin, release and licence stand in the SOURCES.toml beside it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace

from terminology import tables
from terminology.loaders import icd10cm, rxnorm
from terminology.loaders.fhir_package import write_resource
from terminology.systems import (
    CVX,
    ICD_10_CM,
    LOINC,
    MED_RT,
    MESH,
    NDC,
    PLACE_OF_SERVICE,
    RXNORM,
    SNOMED_CT,
    UNII,
    VUID,
)
from terminology.writing import IS_A, ConceptRow, EdgeRow, MapRow, SystemRow, Writer

Progress = Callable[[str], None]

NDC_TO_CVX = "urn:baton:concept-map:ndc-cvx"
VA_TO_SNOMED = "urn:baton:concept-map:va-reactions"
_OFFICIAL = "nlm-prescribable-2025"
_TAG = re.compile(r"^(?P<name>.+) \((?P<tag>[^()]+)\)$")


def write(writer: Writer, progress: Progress) -> None:
    """Every shipped table."""
    for part in (_rxnorm, _classes, _snomed, _vaccines, _place_of_service, _va, _loinc, _diagnoses):
        part(writer)
        progress(part.__name__.strip("_").replace("_", " "))
    for name in sorted(tables.sources()):
        if name.endswith(".ndjson.gz"):
            for line in tables.read(name).splitlines():
                write_resource(writer, json.loads(line))
            progress(name)


def _system(url: str, name: str, table: str, kind: str = "", content: str = "fragment") -> SystemRow:
    source = tables.sources()[table]
    return SystemRow(url, source.release, name, content, source.licence, source.notice, kind, source.sha256)


def _rxnorm(writer: Writer) -> None:
    told = tables.rows("rxnorm/concepts.tsv.gz")
    # What drugs are resolved from is more than one table: together they are the release's checksum.
    checksum = tables.content_hash("rxnorm/", "drug_classes/", "units.tsv")
    told_of = _system(RXNORM, "RxNorm", "rxnorm/concepts.tsv.gz", "TTY")
    system = writer.system(replace(told_of, sha256=checksum))
    concepts = list(told)
    writer.concepts(system, (_drug_concept(row) for row in concepts))
    writer.edges(
        system,
        (
            EdgeRow(r["rxcui1"], rxnorm.RELATIONS.get(r["rela"], r["rela"]), r["rxcui2"])
            for r in tables.rows("rxnorm/relations.tsv.gz")
        ),
    )
    writer.close(system)
    writer.ndcs(((row["ndc11"], row["rxcui"]) for row in tables.rows("rxnorm/ndc11.tsv.gz")), "rxnorm")
    pairs = (MapRow(RXNORM, row["rxcui"], UNII, row["unii"], "equal") for row in concepts if row["unii"])
    writer.concept_map(
        rxnorm.RXNORM_TO_UNII, tables.sources()["rxnorm/concepts.tsv.gz"].release, "RxNorm to UNII", pairs
    )


def _drug_concept(row: dict[str, str]) -> ConceptRow:
    told = (("UNII", row["unii"], "code"), ("overlay", row["source"].removeprefix(_OFFICIAL), "code"))
    return ConceptRow(row["rxcui"], row["name"], row["tty"], properties=told)


def _classes(writer: Writer) -> None:
    """Classes of MED-RT, and the chemical structures of MeSH that RxClass puts drugs into."""
    told = list(tables.rows("drug_classes/classes.tsv"))
    above = [EdgeRow(r["class_id"], IS_A, r["parent_id"]) for r in tables.rows("drug_classes/class_isa.tsv.gz")]
    for url, name, ours in ((MED_RT, "MED-RT", True), (MESH, "MeSH", False)):
        system = writer.system(_system(url, name, "drug_classes/classes.tsv", "class-type"))
        writer.concepts(
            system,
            (
                ConceptRow(row["class_id"], row["class_name"], row["class_type"])
                for row in told
                if row["class_id"].startswith("N") == ours
            ),
        )
        writer.edges(system, above)
        writer.close(system)
    names = {row["class_id"]: row["class_name"] for row in told}
    members = [
        (row["rxcui"], row["class_type"], row["class_id"], names[row["class_id"]], row["rela_source"])
        for row in tables.rows("drug_classes/class_members.tsv.gz")
        if row["class_id"] in names
    ]
    labels = [
        (row["rxcui"], row["type"].upper(), row["class_id"], names.get(row["class_id"], row["class"]), "NDC")
        for row in tables.rows("drug_classes/fda_ndc_pharm_class_by_ingredient_2019.tsv.gz")
        if row["class_id"]
    ]
    writer.classes(members + labels)


def _snomed(writer: Writer) -> None:
    name = "snomed_gps/gps_2020-09-30.tsv.gz"
    system = writer.system(_system(SNOMED_CT, "SNOMED CT Global Patient Set", name, "semantic-tag"))
    writer.concepts(system, (_snomed_concept(row["conceptId"], row["fsn"]) for row in tables.rows(name)))
    writer.close(system)


def _snomed_concept(code: str, fsn: str) -> ConceptRow:
    tagged = _TAG.match(fsn)
    names = (("fully-specified-name", fsn),)
    return ConceptRow(
        code, tagged["name"] if tagged else fsn, tagged["tag"] if tagged else "", designations=names
    )


def _vaccines(writer: Writer) -> None:
    system = writer.system(_system(CVX, "CVX", "cvx/cvx.tsv", "vaccine-status", "complete"))
    writer.concepts(
        system,
        (
            ConceptRow(
                row["cvx"],
                row["short_description"],
                row["status"],
                row["status"] != "Inactive",
                (("full-name", row["full_name"]), *(("product", name) for name in row["products"].split("|"))),
                tuple(("group", group, "code") for group in row["groups"].split("|")),
            )
            for row in tables.rows("cvx/cvx.tsv")
        ),
    )
    writer.close(system)
    pairs = (
        MapRow(NDC, ndc11, CVX, row["cvx"], "wider")
        for row in tables.rows("cvx/ndc_to_cvx.tsv")
        for ndc11 in {row["ndc"], row["ndc"].replace("-", "")}
    )
    writer.concept_map(NDC_TO_CVX, tables.sources()["cvx/ndc_to_cvx.tsv"].release, "NDC to CVX", pairs)


def _place_of_service(writer: Writer) -> None:
    name = "cms/place_of_service.tsv"
    system = writer.system(_system(PLACE_OF_SERVICE, "CMS place of service", name, content="complete"))
    writer.concepts(
        system,
        (
            ConceptRow(row["code"], row["display"], properties=(("definition", row["definition"], "string"),))
            for row in tables.rows(name)
        ),
    )
    writer.close(system)


def _va(writer: Writer) -> None:
    """Drug classes, allergens and reactions of VistA, each under its unique id."""
    system = writer.system(_system(VUID, "VA unique identifiers", "va/allergy_reactants.tsv", "domain"))
    classes = list(tables.rows("va/va_drug_class.tsv"))
    ids = {row["code"]: row["vuid"] for row in classes}
    reactants = list(tables.rows("va/allergy_reactants.tsv"))
    reactions = list(tables.rows("va/reaction_signs_symptoms.tsv"))
    writer.concepts(
        system,
        (
            ConceptRow(
                row["vuid"],
                row["name"],
                "drug class",
                True,
                (("class-code", row["code"]),),
                (("class-code", row["code"], "code"), ("definition", row["description"], "string")),
            )
            for row in classes
        ),
    )
    writer.edges(
        system, (EdgeRow(row["vuid"], IS_A, ids[row["parent"]]) for row in classes if row["parent"] in ids)
    )
    writer.concepts(system, (_reactant(row) for row in reactants))
    writer.concepts(system, (ConceptRow(row["vuid"], row["name"], "reaction") for row in reactions))
    writer.close(system)
    systems = {"SCT": SNOMED_CT, "RXNORM": RXNORM}
    pairs = (
        MapRow(VUID, row["vuid"], systems[kind], code, "equivalent")
        for row in (*reactants, *reactions)
        for kind, _, code in (part.partition(":") for part in row["codes"].split("|") if part)
    )
    release = tables.sources()["va/allergy_reactants.tsv"].release
    writer.concept_map(VA_TO_SNOMED, release, "VA allergens and reactions to SNOMED CT and RxNorm", pairs)


def _reactant(row: dict[str, str]) -> ConceptRow:
    return ConceptRow(
        row["vuid"],
        row["name"],
        "reactant",
        designations=tuple(("synonym", name) for name in row["synonyms_incl_misspellings"].split("|")),
        properties=(
            *(("type", kind, "code") for kind in row["types"].split("|")),
            *(("va-drug-class", code, "code") for code in row["va_drug_classes"].split("|")),
        ),
    )


def _loinc(writer: Writer) -> None:
    system = writer.system(_system(LOINC, "LOINC", "loinc/loinc.tsv"))
    writer.concepts(
        system,
        (
            ConceptRow(row["code"], row["display"], properties=(("source", row["source"], "code"),))
            for row in tables.rows("loinc/loinc.tsv")
        ),
    )
    writer.close(system)


def _diagnoses(writer: Writer) -> None:
    name = "icd10cm/icd10cm_2026-04-01.tsv.gz"
    icd10cm.write_codes(
        writer,
        _system(ICD_10_CM, "ICD-10-CM", name, icd10cm.KIND, "complete"),
        icd10cm.table(tables.rows(name)),
    )
