"""The web processes as they run: granian with two of them, one deployment (docs/reference/fhir-api.md)."""

from __future__ import annotations

import base64
import gzip
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from click.testing import CliRunner

from server.auth.tokens import Claims, mint
from server.fhir.json_codec import encode
from server.load_command import load as load_command
from server.supervisor import DRAIN_SECONDS

pytestmark = pytest.mark.network

ROOT = Path(__file__).resolve().parents[2]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def serve(settings, store, tmp_path):
    """Start the web processes; gives the origin and ends them."""
    running = []

    def start():
        port = free_port()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("BATON_")}
        environment |= {
            "BATON_HOME": str(settings.home),
            "BATON_DATABASE_URL": settings.database_url,
            "BATON_SECRET_KEY": settings.secret_key.decode(),
            "BATON_TIME_ZONE": settings.time_zone,
            "BATON_PORT_WEB": str(port),
            "BATON_WORKERS": "2",
        }
        command = [
            *(sys.executable, "-m", "server.cli", "serve", "web", "--prepared"),
        ]
        with (tmp_path / "web.log").open("ab") as log:
            process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        running.append(process)
        origin = f"http://127.0.0.1:{port}"
        for _ in range(200):
            try:
                if requests.get(f"{origin}/healthz", timeout=2).ok:
                    return origin
            except requests.RequestException:
                time.sleep(0.1)
        raise AssertionError((tmp_path / "web.log").read_text())

    def stop():
        process = running.pop()
        process.send_signal(signal.SIGTERM)
        process.wait(20)

    start.stop = stop
    yield start
    while running:
        stop()


@pytest.fixture
def token(authorization, clock):
    from datetime import UTC, datetime

    clock.now = datetime.now(UTC)  # the processes look at the real clock
    return mint(authorization, Claims(client_id="tests", scope="system/*.cruds"), timedelta(hours=1))


def counted(origin):
    text = requests.get(f"{origin}/metrics", timeout=5).text
    lines = [line for line in text.splitlines() if line.startswith("baton_http_requests_total{")]
    return sum(float(line.rpartition(" ")[2]) for line in lines if 'route="/fhir/{type}/{id}"' in line)


def test_metrics_are_those_of_all_processes_and_begin_anew_with_the_server(serve, settings, token):
    origin = serve()
    headers = {"Authorization": f"Bearer {token}"}
    for number in range(40):
        requests.get(f"{origin}/fhir/Patient/p{number}", headers=headers, timeout=5)
    assert counted(origin) == 40
    serve.stop()

    origin = serve()

    assert counted(origin) == 0
    assert len(list((settings.home / "metrics").iterdir())) == 1


def test_on_the_wire_bodies_come_and_go_as_gzip_and_head_describes_them(serve, token, build):
    origin = serve()
    photo = base64.b64encode(random.Random(1).randbytes(900_000)).decode()  # hardly gets smaller
    patient = build.patient(id="p1", photo=[{"contentType": "image/png", "data": photo}])
    url = f"{origin}/fhir/Patient/p1"
    bearer = {"Authorization": f"Bearer {token}"}
    coded = bearer | {"Content-Type": "application/fhir+json", "Content-Encoding": "gzip"}
    assert requests.put(url, data=gzip.compress(encode(patient)), headers=coded, timeout=9).status_code == 201
    bomb = gzip.compress(bytes(50_000_000))
    assert requests.put(url, data=bomb, headers=coded, timeout=9).status_code == 413

    plain = requests.get(url, headers=bearer | {"Accept-Encoding": "identity"}, timeout=9)
    connection = http.client.HTTPConnection(urlsplit(origin).netloc, timeout=9)
    seen = {}
    for method in ("GET", "HEAD", "GET"):  # over one connection: nothing of an answer is left behind
        connection.request(method, "/fhir/Patient/p1", headers=bearer | {"Accept-Encoding": "gzip"})
        answer = connection.getresponse()
        body = answer.read()
        seen.setdefault(method, dict(answer.getheaders()))
        assert (answer.status, answer.headers["Content-Encoding"]) == (200, "gzip")
        assert gzip.decompress(body) == plain.content if method == "GET" else body == b""
    got, asked = (
        {
            name.lower(): value
            for name, value in seen[method].items()
            if name.lower() not in ("x-request-id", "date")
        }
        for method in ("GET", "HEAD")
    )
    assert asked == got
    assert int(asked["content-length"]) > 600_000


def test_logs_of_a_running_server_are_json_lines_without_patients(serve, settings, token, tmp_path, build):
    origin = serve()
    headers = {"Authorization": f"Bearer {token}"}
    patient = build.patient(id="Zyxwvutzka", name=[{"family": "Zyxwvutzka"}])
    url = f"{origin}/fhir/Patient/Zyxwvutzka"
    assert requests.put(url, headers=headers, data=encode(patient), timeout=5).status_code == 201
    assert requests.get(url + "?name=Zyxwvutzka", headers=headers, timeout=5).status_code == 400
    serve.stop()

    text = (tmp_path / "web.log").read_text()
    records = [json.loads(line) for line in text.splitlines()]
    assert {record.get("route") for record in records} >= {"/fhir/{type}/{id}", "/healthz"}
    assert "Zyxwvutzka" not in text


def test_a_connection_that_says_nothing_does_not_hold_up_the_end_beyond_the_supervisors_patience(serve):
    address = urlsplit(serve())
    with socket.create_connection((address.hostname, address.port)):
        asked = time.monotonic()
        serve.stop()
    assert time.monotonic() - asked < DRAIN_SECONDS - 2


def test_a_chunked_body_and_a_kept_connection_work(serve, token, build):
    origin = serve()
    with requests.Session() as session:
        session.headers.update({"Authorization": f"Bearer {token}", "Content-Type": "application/fhir+json"})
        body = encode(build.patient())
        for _ in range(3):
            assert session.post(f"{origin}/fhir/Patient", data=iter([body[:20], body[20:]]), timeout=5).ok
        endless = (b" " * 1_000_000 for _ in range(8))
        try:
            refused = session.post(f"{origin}/fhir/Patient", data=endless, timeout=10)
            assert refused.status_code == 413
        except requests.ConnectionError:
            pass  # the server may close before the whole body was sent
    found = requests.get(f"{origin}/fhir/Patient", headers={"Authorization": f"Bearer {token}"}, timeout=5)
    assert found.json()["total"] == 3


@pytest.mark.parametrize("workers", ["1", "3"])
def test_files_are_loaded_into_a_running_server(serve, token, build, tmp_path, workers):
    origin = serve()
    folder = tmp_path / "files"
    folder.mkdir()
    for number in range(4):
        resources = [build.patient(id=f"p{number}-{n}") for n in range(3)]
        (folder / f"{number}.ndjson").write_bytes(b"\n".join(map(encode, resources)))
    (folder / "bad.ndjson").write_bytes(encode(build.patient(id="bad", gender="wrong")))
    arguments = [str(folder), "--url", f"{origin}/fhir", "--token", token, "--workers", workers, "--json"]

    first = CliRunner().invoke(load_command, arguments)
    second = CliRunner().invoke(load_command, arguments)

    assert (first.exit_code, second.exit_code) == (2, 2)
    assert "bad.ndjson" in first.stderr
    summaries = [json.loads(result.stdout) for result in (first, second)]
    assert [(s["read"], s["created"], s["unchanged"], s["refused"]) for s in summaries] == [
        (13, 12, 0, 1),
        (13, 0, 12, 1),
    ]


def test_several_processes_load_into_their_own_store(settings, store, build, tmp_path, monkeypatch):
    monkeypatch.setenv("BATON_HOME", str(settings.home))
    monkeypatch.setenv("BATON_DATABASE_URL", settings.database_url)
    monkeypatch.setenv("BATON_SECRET_KEY", settings.secret_key.decode())
    monkeypatch.setenv("BATON_TIME_ZONE", settings.time_zone)
    folder = tmp_path / "files"
    folder.mkdir()
    for number in range(4):
        (folder / f"{number}.json").write_bytes(encode(build.patient(id=f"p{number}")))

    result = CliRunner().invoke(load_command, [str(folder), "--workers", "2", "--json"])

    assert (result.exit_code, json.loads(result.stdout)["created"]) == (0, 4)
