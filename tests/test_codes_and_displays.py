"""Every code with a display in this repository is what the bundled vocabulary says it is.

Read are the sources (Python by its syntax tree, so that constants of `terminology.systems` count), data files,
fixtures and the JSON of documentation. Where a bundled system is a fragment, a code that it does not have says
nothing; RxCUIs must be there.
Public code is full of codes under wrong names, and one such line in a rule or a fixture is a wrong drug.
"""

import ast
import csv
import gzip
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from terminology import systems
from terminology.concepts import Concepts, open_concepts
from terminology.names import fold
from terminology.systems import RXNORM, SNOMED_CT

ROOT = Path(__file__).parent.parent
FOLDERS = ("server", "smart_app", "mappings", "terminology", "tests", "docs", "benchmarks")
SYSTEMS = {name: value for name, value in vars(systems).items() if name.isupper()}
_FENCE = re.compile(r"^```json\n(.*?)^```", re.MULTILINE | re.DOTALL)
_NUMBER = re.compile(r"^[0-9]{1,18}$")
_TAGGED = re.compile(r"\((substance|finding|disorder|product|procedure|situation)\)$")

Found = tuple[str, str, str, str]
"""Where, system, code, display."""

ALLOWED = {
    ("tests/server/fhir/test_criteria.py", "2160-0"): "a shorter name, as senders write it",
    ("tests/smart_app/reconciliation/test_normalise.py", "197361"): "a wrong name on purpose: the code decides",
    ("tests/smart_app/reconciliation/test_normalise.py", "315971"): "another name on purpose: code and text",
    ("tests/smart_app/reconciliation/test_normalise.py", "99999999"): "no code on purpose: the text is left",
}
"""(file, code): why its display may be another one."""
FOREIGN = ("server/demo_data/patients/", "tests/server/fhir/examples")
"""Charts and examples as others published them; their displays are theirs, their codes are looked at."""
SENT = "tests/mappings/"
"""Messages as senders write them: the words beside a code are theirs. A drug's are its own there too."""
_DISPLAY = re.compile(r"[a-z]{3}")
_URL = re.compile(r"^[a-z]+:")


def _files() -> Iterator[Path]:
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path


def _in_json(where: str, value: Any) -> Iterator[Found]:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            system, code, display = (one.get(key) for key in ("system", "code", "display"))
            if isinstance(system, str) and isinstance(code, str) and isinstance(display, str):
                yield where, system, code, display
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one


def _text_of(node: ast.expr | None) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.Name | ast.Attribute):
        return SYSTEMS.get(node.id if isinstance(node, ast.Name) else node.attr, "")
    return ""


def _in_python(where: str, text: str) -> Iterator[Found]:
    """Dictionaries and calls that name system, code and display; arguments in that order count too."""
    for node in ast.walk(ast.parse(text)):
        told: dict[str, str] = {}
        if isinstance(node, ast.Dict):
            told = {_text_of(key): _text_of(value) for key, value in zip(node.keys, node.values, strict=True)}
        elif isinstance(node, ast.Call):
            told = {keyword.arg or "": _text_of(keyword.value) for keyword in node.keywords}
            values = [_text_of(argument) for argument in node.args[:3]]
            if len(values) == 3 and values[0] in SYSTEMS.values():
                told |= dict(zip(("system", "code", "display"), values, strict=True))
        elif isinstance(node, ast.Tuple):
            values = [_text_of(element) for element in node.elts[:3]]
            if len(values) == 3 and values[0] in SYSTEMS.values():
                told = dict(zip(("system", "code", "display"), values, strict=True))
        system, code, display = (told.get(key, "") for key in ("system", "code", "display"))
        numbered = _NUMBER.match(code) if system == RXNORM else any(map(str.isdigit, code))
        if system and numbered and _DISPLAY.search(display) and not _URL.match(display):
            yield f"{where}:{node.lineno}", system, code, display  # type: ignore[attr-defined]


def _in_table(where: str, text: str) -> Iterator[Found]:
    """Rows of an RxCUI and the name that goes with it, or of a SNOMED CT code and its fully specified name."""
    for number, row in enumerate(csv.DictReader(text.splitlines(), delimiter="\t"), 2):
        told = {key: value for key, value in row.items() if key and value}
        if _TAGGED.search(told.get("name", "")) and _NUMBER.match(told.get("code", "")):
            yield f"{where}:{number}", SNOMED_CT, told["code"], told["name"]
        names = {key: told.get(f"{key}_name") for key in told}
        names["rxcui"] = told.get("ingredient") or ("" if "code" in row else told.get("name"))
        for key, name in names.items():
            if name and _NUMBER.match(told.get(key, "")):
                yield f"{where}:{number}", RXNORM, told[key], name


def _in_toml(where: str, value: Any) -> Iterator[Found]:
    """Tables with an RxCUI and a name, and ingredients as names by RxCUI."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            code, name = one.get("rxcui"), one.get("name") or one.get("display")
            if isinstance(code, str) and isinstance(name, str) and _NUMBER.match(code):
                yield where, RXNORM, code, name
            ingredients = one.get("ingredients")
            for key, told in ingredients.items() if isinstance(ingredients, dict) else ():
                if _NUMBER.match(key) and isinstance(told, str):
                    yield where, RXNORM, key, told
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one


def _found() -> Iterator[Found]:
    for path in _files():
        where = str(path.relative_to(ROOT))
        raw = path.read_bytes()
        name = path.name.removesuffix(".gz")
        if path.name.endswith(".gz"):
            raw = gzip.decompress(raw) if name.endswith((".json", ".ndjson", ".tsv")) else b""
        if name.endswith(".py"):
            yield from _in_python(where, raw.decode())
        elif name.endswith(".json"):
            yield from _in_json(where, json.loads(raw or b"null"))
        elif name.endswith(".ndjson"):
            for line in raw.splitlines():
                yield from _in_json(where, json.loads(line))
        elif name.endswith(".tsv"):
            yield from _in_table(where, raw.decode())
        elif name.endswith(".toml"):
            yield from _in_toml(where, tomllib.loads(raw.decode()))
        elif name.endswith(".md"):
            for block in _FENCE.findall(raw.decode()):
                try:
                    yield from _in_json(where, json.loads(block))
                except ValueError:
                    continue


ANCHORS = {
    "314076": "lisinopril 10 MG Oral Tablet",
    "104377": "lisinopril 10 MG Oral Tablet [Zestril]",
    "197885": "hydrochlorothiazide 12.5 MG / lisinopril 10 MG Oral Tablet",
    "861007": "metformin hydrochloride 500 MG Oral Tablet",
    "855332": "warfarin sodium 5 MG Oral Tablet",
    "313988": "furosemide 40 MG Oral Tablet",
    "200809": "furosemide 40 MG Oral Tablet [Lasix]",
    "312961": "simvastatin 20 MG Oral Tablet",
    "866436": "24 HR metoprolol succinate 50 MG Extended Release Oral Tablet",
    "866514": "metoprolol tartrate 50 MG Oral Tablet",
    "198051": "omeprazole 20 MG Delayed Release Oral Capsule",
    "966221": "levothyroxine sodium 0.05 MG Oral Tablet",
    "198116": "potassium chloride 20 MEQ Extended Release Oral Tablet",
    "312941": "sertraline 50 MG Oral Tablet",
    "198145": "prednisone 10 MG Oral Tablet",
    "313096": "spironolactone 25 MG Oral Tablet",
    "309362": "clopidogrel 75 MG Oral Tablet",
    "311041": "insulin glargine 100 UNT/ML Injectable Solution",
    "835603": "tramadol hydrochloride 50 MG Oral Tablet",
    "197604": "digoxin 0.125 MG Oral Tablet",
    "197361": "amlodipine 5 MG Oral Tablet",
    "617310": "atorvastatin 20 MG Oral Tablet",
    "243670": "aspirin 81 MG Oral Tablet",
    "1364445": "apixaban 5 MG Oral Tablet",
    "29046": "lisinopril",
    "6809": "metformin",
    "11289": "warfarin",
    "4603": "furosemide",
    "36567": "simvastatin",
    "7646": "omeprazole",
    "10582": "levothyroxine",
    "5487": "hydrochlorothiazide",
    "274783": "insulin glargine",
}
"""Drugs whose codes were checked against RxNorm by hand; the vocabulary must keep them."""


@pytest.fixture(scope="module")
def concepts(pytestconfig: pytest.Config) -> Concepts:
    return open_concepts(pytestconfig.cache.mkdir("terminology"))


@pytest.fixture(scope="module")
def found() -> list[Found]:
    return list(_found())


@pytest.mark.parametrize(("code", "name"), ANCHORS.items())
def test_an_anchor_code_has_its_exact_name(concepts: Concepts, code: str, name: str) -> None:
    concept = concepts.find(RXNORM, code)
    assert concept is not None
    assert concept.display == name


def test_every_code_of_a_bundled_system_has_its_own_display(concepts: Concepts, found: list[Found]) -> None:
    wrong = [
        f"{where}: {system} {code} is called {display!r}"
        for where, system, code, display in found
        if not where.startswith(FOREIGN)
        and not (where.startswith(SENT) and system != RXNORM and _is_known(concepts, system, code))
        and (where.partition(":")[0], code) not in ALLOWED
        and not _agrees(concepts, system, code, display)
    ]
    assert not wrong, "\n".join(wrong)


def _agrees(concepts: Concepts, system: str, code: str, display: str) -> bool:
    """Whether a display is a name of the code; of a fragment, RxNorm aside, an unknown code says nothing."""
    info = concepts.system(system)
    if info is None:
        return True
    concept = concepts.find(system, code)
    if concept is None:
        return info.content == "fragment" and system != RXNORM
    names = (concept.display, *(name.value for name in concepts.designations(system, code)))
    return fold(display) in {fold(name) for name in names}


def _is_known(concepts: Concepts, system: str, code: str) -> bool:
    """Whether a system has a code; of a fragment nobody knows."""
    info = concepts.system(system)
    return info is None or info.content == "fragment" or concepts.find(system, code) is not None


def test_every_rxcui_of_published_charts_is_known_or_counted(concepts: Concepts, found: list[Found]) -> None:
    foreign = {code for where, system, code, _ in found if where.startswith(FOREIGN) and system == RXNORM}
    unknown = {code for code in foreign if concepts.find(RXNORM, code) is None}
    assert foreign
    assert len(unknown) / len(foreign) < 0.35, sorted(unknown)


def test_every_allowance_is_still_needed(concepts: Concepts, found: list[Found]) -> None:
    needed = {
        (where.partition(":")[0], code)
        for where, system, code, display in found
        if not _agrees(concepts, system, code, display)
    }
    assert set(ALLOWED) <= needed


def test_the_search_reads_every_kind_of_file(found: list[Found]) -> None:
    kinds = {Path(where.partition(":")[0]).suffix for where, *_ in found}
    assert {".py", ".gz", ".tsv"} <= kinds
    assert len(found) > 1000


@pytest.mark.parametrize(
    "source",
    [
        'x = {"system": RXNORM, "code": "314076", "display": "amlodipine"}',
        'coding(RXNORM, "314076", "amlodipine")',
        'coding(system=systems.RXNORM, code="314076", display="amlodipine")',
        f'ROWS = [("{RXNORM}", "314076", "amlodipine")]',
    ],
)
def test_a_wrong_display_in_a_source_is_seen(concepts: Concepts, source: str) -> None:
    [(_, system, code, display)] = _in_python("x.py", source)
    assert not _agrees(concepts, system, code, display)


def test_a_wrong_name_in_data_is_seen(concepts: Concepts) -> None:
    table = list(_in_table("x.tsv", "rxcui\tname\n314076\tamlodipine\n"))
    toml = list(_in_toml("x.toml", tomllib.loads('[[drug]]\nrxcui = "314076"\nname = "amlodipine"')))
    coding = dict(zip(("system", "code", "display"), [RXNORM, "314076", "amlodipine"], strict=True))
    for read in (table, toml, list(_in_json("x.json", {"code": {"coding": [coding]}}))):
        [(_, system, code, display)] = read
        assert not _agrees(concepts, system, code, display)
