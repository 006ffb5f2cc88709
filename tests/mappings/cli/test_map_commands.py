"""`baton map lint|run|explain|test|record|coverage|docs|functions`: output and exit status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from mappings.cli import map_group

GOLDEN = Path(__file__).parent.parent / "maps" / "golden"
A01 = str(GOLDEN / "adt-a01-admission.hl7")


@pytest.fixture
def baton():
    """`baton map ...` as result with exit_code, stdout and stderr."""

    def run(*arguments: object, answer: str | None = None):
        return CliRunner().invoke(map_group, [str(a) for a in arguments], input=answer, catch_exceptions=False)

    return run


def overlay(folder: Path, text: str) -> Path:
    (folder / "ward").mkdir()
    (folder / "ward" / "pid.yaml").write_text(text)
    return folder


def test_lint_names_mistakes_and_fails(baton, tmp_path) -> None:
    assert baton("lint").exit_code == 0
    wrong = overlay(tmp_path, "extends: PID_content\nchanges:\n  - {to: gendre, from: PID-8}\n")
    found = baton("lint", "--overlays", wrong)
    assert found.exit_code == 1
    assert "ward/pid.yaml:3:10: Patient has no 'gendre'; did you mean 'gender'?" in found.stdout
    listed = json.loads(baton("lint", "--json", "--overlays", wrong).stdout)
    assert {"file", "line", "column", "text", "is_warning"} == set(listed[0])


def test_run_prints_intents(baton) -> None:
    found = baton("run", A01)
    assert found.exit_code == 0
    assert json.loads(found.stdout)["intents"][0]["resource"]["resourceType"] == "Patient"


def test_run_says_a_refusal_by_its_exit_status(baton) -> None:
    found = baton("run", GOLDEN / "adt-no-map.hl7")
    assert found.exit_code == 2
    assert json.loads(found.stdout)["refused"]["code"] == "no-map"


def test_a_file_that_is_no_message_is_said(baton, tmp_path) -> None:
    (tmp_path / "x").write_text("nothing")
    found = baton("run", tmp_path / "x")
    assert found.exit_code == 1
    assert "MSH" in found.stderr


def test_a_source_that_is_none_is_said(baton, tmp_path) -> None:
    (tmp_path / "s.toml").write_text("name = 's'\nzone = 'x'\n")
    found = baton("run", A01, "--source", tmp_path / "s.toml")
    assert found.exit_code == 1
    assert "a source has no 'zone'" in found.stderr


def test_explain_as_text_json_and_page(baton, tmp_path) -> None:
    assert "0 without a rule" in baton("explain", A01).stdout
    assert json.loads(baton("explain", A01, "--json").stdout)["outputs"]
    assert baton("explain", A01, "--html", tmp_path / "page.html").exit_code == 0
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")


def copied(folder: Path) -> Path:
    for suffix in (".hl7", ".toml", ".json"):
        path = Path(A01).with_suffix(suffix)
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def test_test_fails_on_a_difference_and_update_asks_before_it_writes(baton, tmp_path) -> None:
    golden = copied(tmp_path) / "adt-a01-admission.json"
    assert baton("test", tmp_path).exit_code == 0
    golden.write_text(golden.read_text().replace("SYNTHETIC", "OTHER"))
    failed = baton("test", tmp_path)
    assert failed.exit_code == 1
    assert '+      "family": "SYNTHETIC"' in failed.stdout
    assert baton("test", tmp_path, "--update", answer="n\n").exit_code == 1
    assert baton("test", tmp_path, "--update", answer="y\n").exit_code == 0
    assert baton("test", tmp_path).exit_code == 0


def test_test_fails_on_an_assertion(baton, tmp_path) -> None:
    path = copied(tmp_path) / "adt-a01-admission.toml"
    path.write_text(path.read_text().replace("'IMP'", "'AMB'"))
    failed = baton("test", tmp_path)
    assert failed.exit_code == 1
    assert "encounter: not true: Encounter.status" in failed.stdout


def test_record_coverage_docs_and_functions(baton, tmp_path) -> None:
    assert baton("record", A01, tmp_path / "t").exit_code == 0
    assert baton("record", A01, tmp_path / "t").exit_code == 1
    assert "SYNTHETIC" not in (tmp_path / "t.hl7").read_text()
    assert json.loads(baton("coverage", GOLDEN, "--json").stdout)["messages"] > 50
    assert "| PID-8 |" in baton("docs", "--map", "ADT_A01").stdout
    assert baton("docs", "--map", "NOPE").exit_code == 1
    assert "cx " in baton("functions").stdout
