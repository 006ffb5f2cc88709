"""Health, readiness, metrics, request ids and logs; and that none of them ever tells of a patient."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

import pytest

from server.errors import KINDS

BASE = "http://127.0.0.1:8000"
# Recognisable wherever it turns up; it is nobody's.
PLANTED = "Zyxwvutzka"


@pytest.fixture
def client(app):
    return app.test_client()


def test_healthz_answers_while_the_process_does(client):
    answer = client.get("/healthz", base_url=BASE)
    assert (answer.status_code, answer.text) == (200, "ok\n")


def test_readyz_follows_the_database(client, store, settings):
    assert client.get("/readyz", base_url=BASE).status_code == 200
    with store.database.writing() as connection:
        connection.execute("DROP TABLE schema_version")
    assert client.get("/readyz", base_url=BASE).status_code == 503
    assert client.get("/healthz", base_url=BASE).status_code == 200


def test_metrics_count_by_route_template_method_and_status(client, fhir, build):
    fhir.put("Patient/p1", build.patient(id="p1"))
    fhir.get("Patient/p1")
    fhir.get("Patient/p1")
    fhir.get("Patient/other")

    text = client.get("/metrics", base_url=BASE).text

    count = 'baton_http_requests_total{{method="{}",route="/fhir/{{type}}/{{id}}",status="{}"}} {}'
    assert count.format("GET", 200, "2.0") in text
    assert count.format("GET", 404, "1.0") in text
    assert count.format("PUT", 201, "1.0") in text
    assert 'baton_http_request_duration_seconds_count{method="GET",route="/fhir/{type}/{id}"} 3.0' in text


def test_metrics_are_for_the_machine_itself_or_a_system_token(app, client, as_token, fhir):
    def status(address, **headers):
        return client.get(
            "/metrics", environ_base={"REMOTE_ADDR": address}, headers=headers, base_url=BASE
        ).status_code

    assert status("127.0.0.1") == 200
    assert status("::1") == 200
    assert status("10.1.2.3") == 401
    assert status("127.0.0.1", **{"X-Forwarded-For": "10.1.2.3"}) == 401
    patient, system = as_token("patient/*.rs", patient="p1"), as_token("system/Patient.rs")
    assert status("10.1.2.3", Authorization=f"Bearer {patient._token}") == 403
    assert status("10.1.2.3", Authorization=f"Bearer {system._token}") == 200


@pytest.mark.parametrize("given", ["6f9619ff-8b86-d011-b42d-00c04fc964ff", "4BF92F3577B34DA6A3CE929D0E0E4736"])
def test_a_sane_request_id_is_kept(fhir, log_lines, given):
    answer = fhir.get("Patient/p1", X_Request_Id=given)
    assert answer.headers["X-Request-Id"] == given
    assert json.loads(log_lines().splitlines()[-1])["request_id"] == given


@pytest.mark.parametrize("given", ["", "Anna-Muster-1950", "x" * 100, "a b", "<script>", PLANTED])
def test_any_other_is_replaced(fhir, given):
    answer = fhir.get("Patient/p1", X_Request_Id=given)
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["X-Request-Id"])


def test_each_request_is_one_line_of_fixed_fields(fhir, log_lines, build):
    fhir.put("Patient/p1", build.patient(id="p1"))
    (line,) = log_lines().splitlines()
    record = json.loads(line)
    assert set(record) == {
        "time",
        "level",
        "event",
        "request_id",
        "method",
        "route",
        "status",
        "milliseconds",
        "client",
    }
    assert (record["method"], record["route"], record["status"]) == ("PUT", "/fhir/{type}/{id}", 201)
    assert record["client"] == "tests"


def test_a_defect_is_answered_with_the_request_id_and_logged_without_the_text_of_the_error(
    app, fhir, log_lines, monkeypatch
):
    def broken(*arguments):
        raise ValueError(f"cannot read {PLANTED}")

    monkeypatch.setattr("server.api.fhir.answer", broken)

    answer = fhir.get(f"Patient/{PLANTED}")

    assert (answer.status, answer.codes) == (500, ["exception"])
    assert answer.headers["X-Request-Id"] in answer.text
    record = json.loads(log_lines().splitlines()[0])
    assert (record["event"], record["error"]) == ("exception", ["ValueError"])
    assert any("broken" in place for place in record["where"])
    assert PLANTED not in log_lines()


def test_every_kind_of_error_has_an_answer_in_http():
    assert all(400 <= kind.status < 600 for kind in KINDS.values())


def planted_requests(build):
    """Requests that fail in every way there is, each full of the planted word."""
    p = PLANTED
    bad_json = f'{{"resourceType":"Patient","name":[{{"family":"{p}"'.encode()
    patient = build.patient(id=p, name=[{"family": p}])
    fine, code = (
        {"Content_Type": "application/fhir+json"},
        {"Content_Type": "application/x-www-form-urlencoded"},
    )
    yield "GET", f"Patient/{p}", None, {}
    yield "GET", f"{p}/1", None, {}
    yield "GET", f"Patient/1/{p}", None, {}
    yield "GET", f"Patient/${p}", None, {}
    yield "GET", f"Patient/1/_history/{p}", None, {}
    yield "GET", f"Patient/1?_summary={p}", None, {}
    yield "GET", f"Patient?birthdate={p}", None, {}
    yield "GET", f"Patient?_sort={p}", None, {}
    yield "GET", f"Patient?_count={p}", None, {}
    yield "GET", f"Patient?_include={p}", None, {}
    yield "GET", f"Patient?_include=Patient:{p}", None, {}
    yield "GET", f"Patient?_total={p}", None, {}
    yield "GET", f"Patient?_cursor={p}", None, {}
    yield "GET", f"Patient?_elements={p}-", None, {}
    yield "GET", f"Observation?value-quantity={p}", None, {}
    yield "GET", f"Observation?subject:Patient.birthdate={p}", None, {}
    yield "GET", f"Observation?subject:missing={p}", None, {}
    yield "GET", f"Patient?_format={p}", None, {}
    yield "GET", f"Patient/_history?_since={p}", None, {}
    yield "GET", "Patient/1", None, {"Accept": f"application/{p}"}
    yield "GET", "Patient/1", None, {"Authorization": f"Bearer {p * 4}"}
    yield "GET", "Patient/1", None, {"Authorization": f"Basic {p}"}
    yield "GET", "Patient/1", None, {"X_Request_Id": p, "Cookie": p, "User_Agent": p, "Referer": p}
    yield p.upper(), "Patient/1", None, {}
    yield "DELETE", f"Patient/{p}", None, {"If_Match": p}
    yield "POST", "Patient", bad_json, fine
    yield "POST", "Patient", f'{{"resourceType":"{p}"}}'.encode(), fine
    yield "POST", "Patient", f'{{"{p}":1,"{p}":2}}'.encode(), fine
    yield "POST", "Patient", patient | {"gender": p, "birthDate": p}, {}
    yield "POST", "Patient", patient | {"name": [{"family": p, "period": {"start": p}}]}, {}
    yield (
        "POST",
        "Patient",
        patient | {"text": {"status": "generated", "div": f"<div><script>{p}</script></div>"}},
        {},
    )
    yield "POST", "Patient", patient | {"contact": [{"name": {"family": p}, "gender": p}]}, {}
    yield "POST", "Patient", patient | {"managingOrganization": {"reference": f"{p}/1"}}, {}
    yield "POST", "Patient", patient, {"Content_Type": f"text/{p}"}
    yield "POST", "Patient", patient, {"If_None_Exist": f"birthdate={p}"}
    yield "POST", "Patient", patient, {"If_None_Exist": f"identifier={p}&_sort={p}"}
    yield "PUT", "Patient/1", patient, {}
    yield "PUT", f"Patient/{p}_", patient, {}
    yield "PUT", f"Patient/{p}", patient, {"If_Match": 'W/"7"'}
    yield "POST", "Patient/_search", f"birthdate={p}".encode(), code
    yield "POST", "Patient/_search", p.encode(), {"Content_Type": f"application/{p}"}
    yield "POST", "", {"resourceType": "Bundle", "type": p}, {}
    for entry in (
        {"request": {"method": p, "url": p}},
        {"request": {"method": "GET", "url": f"Patient/{p}"}},
        {"request": {"method": "PUT", "url": f"Patient/{p}"}, "resource": patient | {"gender": p}},
        {
            "request": {"method": "POST", "url": "Observation"},
            "resource": build.observation(f"Patient?name={p}"),
        },
        {
            "request": {"method": "POST", "url": "Observation"},
            "resource": build.observation(f"Patient?birthdate={p}"),
        },
        {
            "request": {"method": "POST", "url": "Patient", "ifNoneExist": f"_id:missing={p}"},
            "resource": patient,
        },
        {"fullUrl": p, "request": {"method": "GET", "url": p, "ifModifiedSince": p}},
    ):
        for type in ("transaction", "batch"):
            yield "POST", "", {"resourceType": "Bundle", "type": type, "entry": [entry, entry]}, {}


def outcomes(value):
    if isinstance(value, dict):
        if value.get("resourceType") == "OperationOutcome":
            yield value
        for item in value.values():
            yield from outcomes(item)
    elif isinstance(value, list):
        for item in value:
            yield from outcomes(item)


def test_nothing_of_a_patient_reaches_a_log_a_metric_or_an_outcome(
    fhir, as_token, client, build, log_lines, settings
):
    seen = 0
    for caller in (fhir, as_token("patient/Patient.r", patient="other")):
        for method, path, body, headers in planted_requests(build):
            answer = caller(method, path, body, **headers)
            assert answer.status < 500, (method, path, body)
            told = [str(outcome) for outcome in outcomes(answer.json)] if answer.body else []
            seen += len(told)
            assert not [text for text in told if PLANTED.lower() in text.lower()], (method, path, body)
            for name, value in answer.headers.items():
                # The one header that names a resource of the caller's own choice of id.
                if name not in ("Location", "Content-Location"):
                    assert PLANTED.lower() not in value.lower(), (method, path, name)
    assert seen > 80
    assert PLANTED.lower() not in log_lines().lower()
    assert PLANTED.lower() not in client.get("/metrics", base_url=BASE).text.lower()


def test_library_logs_tell_where_they_come_from_and_nothing_more(tmp_path):
    import logging

    from server.logs import Log, configure_logging

    path = tmp_path / "lines"
    root = logging.getLogger()
    before = SimpleNamespace(handlers=root.handlers[:], level=root.level)
    with path.open("ab") as stream:
        try:
            configure_logging(Log("INFO", stream.fileno()))
            logging.getLogger("werkzeug").warning("GET /Patient/%s", PLANTED)
            try:
                raise ValueError(PLANTED)
            except ValueError:
                logging.getLogger("some.library").exception("while reading %s", PLANTED)
        finally:
            root.handlers[:] = before.handlers
            root.setLevel(before.level)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["logger"] for line in lines] == ["werkzeug", "some.library"]
    assert lines[1]["error"] == ["ValueError"]
    assert PLANTED not in path.read_text()
