"""Validation as a whole: real resources pass, both halves agree, tables are current and loaded late.

Covers hl7.org/fhir/R4/validation.html, docs/reference/validation.md.
"""

from __future__ import annotations

import gzip
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fhir.resources.R4B import get_fhir_model_class

from server.fhir import generate_validators
from server.fhir.json_codec import decode, encode
from server.fhir.validation import RESOURCE_TYPES, validate
from server.fhir.validation_accept import accepts
from server.fhir.validation_explain import MAX_ISSUES, explain
from server.fhir.validation_invariants import INVARIANTS
from server.fhir.validation_tables import codes, table

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = Path(__file__).parent / "examples_us_core"
SYNTHEA = ROOT / "server" / "demo_data" / "patients"
RELEASES = {"us_core_6_1_0": 183, "us_core_7_0_0": 214}


def examples(release: str) -> Iterator[tuple[bytes, dict[str, Any]]]:
    for line in gzip.decompress((EXAMPLES / f"{release}.ndjson.gz").read_bytes()).splitlines():
        yield line, decode(line)


@pytest.mark.parametrize("release", sorted(RELEASES))
def test_every_example_of_us_core_is_valid(release: str) -> None:
    resources = list(examples(release))
    assert len(resources) == RELEASES[release]
    faults = {f"{r['resourceType']}/{r['id']}": validate(r) for _, r in resources if validate(r)}
    assert faults == {}


@pytest.mark.parametrize("release", sorted(RELEASES))
def test_every_example_of_us_core_reads_back_equal(release: str) -> None:
    for line, resource in examples(release):
        assert decode(encode(resource)) == resource
        assert msgspec.json.decode(encode(resource)) == msgspec.json.decode(line)


def test_the_synthetic_charts_are_valid() -> None:
    paths = sorted(SYNTHEA.glob("*.json.gz"))
    assert len(paths) == 24
    for path in paths:
        chart = decode(gzip.decompress(path.read_bytes()))
        assert validate(chart) == (), path.name


def test_the_quick_half_is_certain_only_of_what_the_slow_half_finds_valid() -> None:
    certain = [r for release in RELEASES for _, r in examples(release) if accepts(r)]
    assert len(certain) > 350
    for resource in certain:
        assert explain(resource) == ()


def test_all_146_types_have_tables_that_work() -> None:
    assert len(RESOURCE_TYPES) == 146
    for name in RESOURCE_TYPES:
        required = set(table(name).required)
        issues = validate({"resourceType": name, "id": "a"})
        assert {i.expression for i in issues if i.code == "required"} == {f"{name}.{e}" for e in required}
        assert all(i.code in ("required", "invariant") for i in issues)


def test_every_rule_named_in_a_table_exists() -> None:
    waiting = [*RESOURCE_TYPES, "Extension"]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        described = table(name)
        assert set(described.invariants) <= set(INVARIANTS)
        for element in described.elements.values():
            assert set(element.invariants) <= set(INVARIANTS)
            assert not element.value_set or codes(element.value_set)
            if not element.is_primitive and element.type != "Resource":
                waiting.append(element.type)
    assert len(seen) > 600


def test_every_invariant_of_r4_is_accounted_for() -> None:
    rows = msgspec.json.decode((generate_validators.GENERATED / "invariants.json").read_bytes())
    assert len(rows) == 241
    for name, row in rows.items():
        assert row["status"] in ("implemented", "not applicable", "not checked"), name
        if row["status"] == "implemented":
            assert name in INVARIANTS or (ROOT / row["where"]).exists(), name
        else:
            assert row["reason"], name
        if row["status"] == "not checked":
            assert row["severity"] == "warning", name


def test_generating_again_changes_nothing(tmp_path: Path) -> None:
    generate_validators.generate(tmp_path)
    for made in sorted(path for path in tmp_path.rglob("*") if path.is_file()):
        kept = generate_validators.GENERATED / made.relative_to(tmp_path)
        assert kept.read_bytes() == made.read_bytes(), made.name
    kept_tables = {p.name for p in (generate_validators.GENERATED / "elements").glob("*.json")}
    assert kept_tables == {p.name for p in (tmp_path / "elements").glob("*.json")}


def test_importing_reads_no_table() -> None:
    program = (
        "import server.fhir.validation as v, server.fhir.validation_tables as t\n"
        "assert t._tables.cache_info().currsize == 0\n"
        "v.validate({'resourceType': 'Patient', 'active': True})\n"
        "assert t._tables.cache_info().currsize == 2\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


def test_a_report_is_bounded() -> None:
    flood = {"resourceType": "Patient", "name": [{"family": ""} for _ in range(MAX_ISSUES + 10)]}
    issues = validate(flood)
    assert len(issues) == MAX_ISSUES + 1
    assert issues[-1].code == "too-costly"


def test_fhir_resources_accepts_what_we_accept() -> None:
    """A second opinion. No disagreement is known for the examples."""
    refused = []
    for release in RELEASES:
        for line, resource in list(examples(release))[::4]:
            try:
                get_fhir_model_class(resource["resourceType"]).model_validate_json(line)
            except ValueError:
                refused.append(f"{resource['resourceType']}/{resource['id']}")
    assert refused == []


@pytest.mark.parametrize("named", [True, False])
def test_contained_resources_are_judged_in_time_linear_in_their_number(named: bool) -> None:
    contained = [
        {"resourceType": "Patient", "id": f"p{n}"}
        | ({"extension": [{"url": "urn:x", "valueUri": f"#p{n + 1}"}]} if named else {})
        for n in range(6_000)
    ]
    started = time.process_time()
    issues = validate({"resourceType": "Patient", "contained": contained})
    assert time.process_time() - started < 2
    assert len(issues) == (1 if named else MAX_ISSUES + 1)
