"""`baton load`: files of resources into the store, by the same door as every request."""

from __future__ import annotations

import gzip
import json
import pickle
from pathlib import Path

import msgspec
import pytest
import responses
from click.testing import CliRunner

from server.fhir.json_codec import decode, encode
from server.fhir.visibility import EVERYTHING
from server.load_command import load as load_command
from server.load_command import own_store
from server.loading import StoreAway, Summary, find_files, load, units_of

ROOT = Path(__file__).resolve().parents[2]
PATIENTS = ROOT / "server" / "demo_data" / "patients"
US_CORE = ROOT / "tests" / "server" / "fhir" / "examples_us_core"
URN = "urn:uuid:0f7a3c1e-0000-4000-8000-00000000000"


@pytest.fixture
def send(settings, store):
    return own_store(settings)


@pytest.fixture
def run(settings, store, monkeypatch):
    """`baton load` with arguments: exit status, summary, what was said on standard error."""
    monkeypatch.setenv("BATON_HOME", str(settings.home))
    monkeypatch.setenv("BATON_DATABASE_URL", settings.database_url)
    monkeypatch.setenv("BATON_SECRET_KEY", settings.secret_key.decode())
    monkeypatch.setenv("BATON_TIME_ZONE", settings.time_zone)

    def invoke(*arguments):
        result = CliRunner().invoke(load_command, [*map(str, arguments), "--json"])
        assert result.exit_code in (0, 2), result.output
        return result.exit_code, json.loads(result.stdout), result.stderr

    return invoke


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    return folder


def counts(read=0, created=0, updated=0, unchanged=0, refused=0):
    return {"read": read, "created": created, "updated": updated, "unchanged": unchanged, "refused": refused}


def without_seconds(summary):
    assert summary["seconds"] >= 0
    return {name: value for name, value in summary.items() if name != "seconds"}


def put(folder, name, *contents):
    """Write resources to a file: one as JSON, several as lines."""
    data = b"\n".join(encode(content) for content in contents)
    (folder / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return folder / name


def test_folders_files_lines_and_gzip_are_read(run, fhir, build, folder):
    put(folder, "one.json", build.patient(id="p1"))
    (folder / "below").mkdir()
    put(folder / "below", "many.ndjson.gz", build.patient(id="p2"), build.patient(id="p3"))
    put(
        folder / "below", "collection.json.gz", build.bundle("collection", {"resource": build.patient(id="p4")})
    )
    (folder / "notes.txt").write_text("nothing to load")

    status, summary, _ = run(folder)

    assert (status, without_seconds(summary)) == (0, counts(read=4, created=4))
    assert fhir.get("Patient").json["total"] == 4


def test_loading_again_changes_nothing_and_a_change_makes_one_version(run, fhir, build, folder):
    put(folder, "a.ndjson", build.patient(id="p1"), build.patient(id="p2"))
    run(folder)
    assert without_seconds(run(folder)[1]) == counts(read=2, unchanged=2)

    put(folder, "a.ndjson", build.patient(id="p1", gender="male"), build.patient(id="p2"))

    assert without_seconds(run(folder)[1]) == counts(read=2, updated=1, unchanged=1)
    assert fhir.get("_history").json["total"] == 3


def test_loading_by_the_operator_needs_no_if_match_and_is_held_to_the_lifecycles(run, fhir, folder):
    plan = {"resourceType": "CarePlan", "id": "c1", "status": "active", "intent": "plan"}
    plan["subject"] = {"reference": "Patient/p1"}
    put(folder, "a.ndjson", plan)
    run(folder)
    assert without_seconds(run(folder)[1]) == counts(read=1, unchanged=1)

    put(folder, "a.ndjson", plan | {"status": "completed"})
    assert without_seconds(run(folder)[1]) == counts(read=1, updated=1)
    put(folder, "a.ndjson", plan)
    status, summary, said = run(folder)

    assert (status, without_seconds(summary)) == (2, counts(read=1, refused=1))
    assert "care-plan-move" in said


def test_a_transaction_keeps_its_ids_and_gets_real_references(run, fhir, build, folder):
    patient, observation = build.patient(id="p1"), build.observation(URN + "1", id="o1")
    bundle = build.bundle(
        "transaction",
        build.entry("POST", "Observation", observation, URN + "2"),
        build.entry("POST", "Patient", patient, URN + "1"),
    )
    put(folder, "bundle.json", bundle)

    assert without_seconds(run(folder)[1]) == counts(read=2, created=2)
    assert fhir.get("Observation/o1").json["subject"] == {"reference": "Patient/p1"}


def test_an_entry_without_an_id_takes_the_uuid_of_its_full_url(run, fhir, build, folder):
    bundle = build.bundle("collection", {"fullUrl": URN + "1", "resource": build.patient()})
    put(folder, "bundle.json", bundle)
    run(folder)
    assert without_seconds(run(folder)[1]) == counts(read=1, unchanged=1)
    assert fhir.get(f"Patient/{URN.removeprefix('urn:uuid:')}1").status == 200


def test_a_bad_entry_refuses_its_transaction_as_a_whole(run, fhir, build, folder):
    bundle = build.bundle(
        "transaction",
        build.entry("PUT", "Patient/p1", build.patient(id="p1")),
        build.entry("PUT", "Patient/p2", build.patient(id="p2", gender="wrong")),
    )
    put(folder, "bundle.json", bundle)
    errors = folder.parent / "errors.out"

    status, summary, _ = run(folder, "--errors", errors)

    assert (status, without_seconds(summary)) == (2, counts(read=2, refused=2))
    (outcome,) = [decode(line) for line in errors.read_bytes().splitlines()]
    assert outcome["resourceType"] == "OperationOutcome"
    assert outcome["issue"][0]["diagnostics"].startswith("bundle.json: ")
    assert outcome["issue"][0]["expression"] == ["Bundle.entry[1].resource.gender"]
    assert fhir.get("Patient").json["total"] == 0


def test_a_bad_line_does_not_keep_back_its_neighbours(run, fhir, build, folder):
    lines = [encode(build.patient(id=f"p{n}")) for n in range(5)]
    lines[1] = encode(build.patient(id="p1", gender="wrong"))
    lines[3] = b"{not json"
    (folder / "a.ndjson").write_bytes(b"\n".join(lines))
    errors = folder.parent / "errors.out"

    status, summary, _ = run(folder, "--errors", errors)

    assert (status, without_seconds(summary)) == (2, counts(read=5, created=3, refused=2))
    places = [
        decode(line)["issue"][0]["diagnostics"].split(": ")[0] for line in errors.read_bytes().splitlines()
    ]
    assert sorted(places) == ["a.ndjson:2", "a.ndjson:4"]


def test_lines_of_one_id_are_versions_in_their_order(run, fhir, build, folder):
    put(folder, "a.ndjson", build.patient(id="p1"), build.patient(id="p1", gender="male"))
    assert without_seconds(run(folder)[1]) == counts(read=2, created=1, updated=1)
    assert fhir.get("Patient/p1").json["gender"] == "male"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", b"{"),
        ("a.json.gz", b"\x1f\x8bnonsense"),
        ("a.json", b""),
        ("a.ndjson", b"\n\n"),
        ("a.json", b'{"resourceType":"Bundle","type":"history","entry":[]}'),
        ("a.json", b'{"resourceType":"Bundle","type":"collection","entry":{}}'),
        ("a.json", b'{"resourceType":"Nonsense","id":"1"}'),
        ("a.json", b'{"id":"1"}'),
    ],
)
def test_a_file_that_cannot_be_loaded_is_refused_and_named(run, folder, name, content):
    (folder / name).write_bytes(content)
    status, summary, said = run(folder)
    assert (status, without_seconds(summary)) == (2, counts(read=1, refused=1))
    assert name in said


def test_json_that_is_no_resource_is_said_to_be_none(run, folder):
    (folder / "package.json").write_text('{"name": "x"}')
    status, _, said = run(folder)
    assert status == 2
    assert "package.json: not a FHIR resource: resourceType is missing" in said


def test_conditional_entries_stay_conditional(run, fhir, build, folder):
    bundle = build.bundle(
        "transaction",
        build.entry(
            "POST", "Patient", build.patient(), URN + "1", ifNoneExist="identifier=urn:example:mrn|A-1"
        ),
        build.entry("PUT", "Observation/o1", build.observation(URN + "1", id="o1")),
    )
    put(folder, "bundle.json", bundle)
    run(folder)
    assert without_seconds(run(folder)[1]) == counts(read=2, unchanged=2)
    assert fhir.get("Patient").json["total"] == 1


def test_what_is_loaded_is_audited(run, store, build, folder):
    put(folder, "one.json", build.patient(id="p1"))
    run(folder)
    (row,) = store.audit_rows(limit=10)
    assert (row.client_id, row.interaction, row.resource_type, row.id) == (
        "baton-load",
        "update",
        "Patient",
        "p1",
    )
    assert row.patient == "p1"


def expected(resource, links):
    """What a loaded resource reads back as, apart from versionId and lastUpdated."""

    def with_links(value):
        if isinstance(value, dict):
            return {name: with_links(item) for name, item in value.items()}
        if isinstance(value, list):
            return [with_links(item) for item in value]
        return links.get(value, value) if isinstance(value, str) else value

    return with_links(resource)


def without_version(resource):
    meta = {name: value for name, value in resource["meta"].items() if name not in ("versionId", "lastUpdated")}
    return {**resource, "meta": meta} if meta else {n: v for n, v in resource.items() if n != "meta"}


# A form in which 1.50 and 1.5 differ, but not the order of keys.
exact = msgspec.json.Encoder(order="sorted", decimal_format="number").encode


def check_read_back(reader, resource, links=None):
    stored = reader.read(resource["resourceType"], resource["id"], EVERYTHING)
    original = expected(resource, links or {})
    if "meta" in original:
        original = without_version(original)
    assert exact(without_version(decode(stored.body))) == exact(original)


@pytest.mark.slow
def test_all_synthetic_charts_load_and_read_back_equal(send, store, fhir):
    files = find_files([PATIENTS])
    assert len(files) == 24
    summary, refusals = load((unit for file in files for unit in units_of(file)), send)
    assert refusals == []
    versions = fhir.get("Patient/_history?_count=1").json["total"]

    for file in files:
        bundle = decode(gzip.decompress(file.read_bytes()))
        links = {
            entry["fullUrl"]: f"{entry['resource']['resourceType']}/{entry['resource']['id']}"
            for entry in bundle["entry"]
        }
        with store.reading() as reader:
            for entry in bundle["entry"]:
                check_read_back(reader, entry["resource"], links)

    again, _ = load((unit for file in files for unit in units_of(file)), send)
    assert (again.unchanged, again.created, again.updated) == (summary.read, 0, 0)
    assert fhir.get("Patient/_history?_count=1").json["total"] == versions


def test_a_synthetic_chart_loads_and_reads_back_equal(send, store):
    file = min(find_files([PATIENTS]), key=lambda path: path.stat().st_size)
    summary, refusals = load(units_of(file), send)
    assert (refusals, summary.created) == ([], summary.read)
    bundle = decode(gzip.decompress(file.read_bytes()))
    links = {e["fullUrl"]: f"{e['resource']['resourceType']}/{e['resource']['id']}" for e in bundle["entry"]}
    with store.reading() as reader:
        for entry in bundle["entry"]:
            check_read_back(reader, entry["resource"], links)


@pytest.mark.parametrize(("release", "number"), [("6_1_0", 183), ("7_0_0", 214)])
def test_all_us_core_examples_load_and_read_back_equal(send, store, release, number):
    file = US_CORE / f"us_core_{release}.ndjson.gz"
    summary, refusals = load(units_of(file), send)
    assert refusals == []
    assert (summary.read, summary.created) == (number, number)
    with store.reading() as reader:
        for line in gzip.decompress(file.read_bytes()).splitlines():
            check_read_back(reader, decode(line))


class TestStoreAway:
    """A full disk (507) and a database that is away (503) end the command; nothing further is tried."""

    @pytest.fixture
    def patients(self, tmp_path):
        for number in range(4):
            patient = {"resourceType": "Patient", "id": f"p{number}"}
            (tmp_path / f"{number}.json").write_text(json.dumps(patient))
        return tmp_path

    @responses.activate
    @pytest.mark.parametrize("status", [503, 507])
    @pytest.mark.parametrize("workers", [1, 2])
    def test_the_first_such_answer_is_the_last_request(self, patients, status, workers):
        done = {
            "resourceType": "Bundle",
            "type": "transaction-response",
            "entry": [{"response": {"status": "201"}}],
        }
        outcome = {"resourceType": "OperationOutcome", "issue": [{"diagnostics": "no space is left."}]}
        responses.post("https://store.example/fhir", json=done)
        for _ in range(20):
            responses.post("https://store.example/fhir", json=outcome, status=status)
        arguments = [str(patients), "--url", "https://store.example/fhir", "--json", "--workers", str(workers)]
        result = CliRunner().invoke(load_command, arguments)
        assert result.exit_code == 1
        assert "stopped after 1 resources: no space is left. Run the same command again" in result.stderr
        assert json.loads(result.stdout)["created"] == 1
        assert len(responses.calls) <= 1 + workers * 2
        assert workers > 1 or len(responses.calls) == 2

    def test_an_entry_of_a_batch_that_meets_it_is_the_last(self, patients):
        units = [unit for file in find_files([patients]) for unit in units_of(file)]
        asked = []

        def send(bundle):
            asked.append(bundle["type"])
            if bundle["type"] == "transaction":
                return 400, {}
            return 200, {"entry": [{"response": {"status": "507 Insufficient Storage"}}]}

        with pytest.raises(StoreAway, match="no space left") as stopped:
            load(units, send)
        assert asked == ["transaction", "batch"]
        assert stopped.value.summary.refused == 1

    def test_it_crosses_processes_whole(self):
        away = pickle.loads(pickle.dumps(StoreAway("gone", Summary(read=3), [{"a": 1}])))
        assert (str(away), away.summary, away.refusals) == ("gone", Summary(read=3), [{"a": 1}])
