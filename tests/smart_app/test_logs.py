"""The app's log lines: our own words, and of libraries only where they spoke."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from smart_app.fhir_client import FhirClient, FhirFault
from smart_app.logs import JsonLines
from smart_app.outbound_http import OutboundHttp


@pytest.fixture
def odd_server() -> Iterator[str]:
    """A server whose answer has a header line that is none; its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 404 Not Found\r\nno header\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/fhir"
        thread.join(5)


def lines(caplog: Any) -> list[dict[str, Any]]:
    return [json.loads(JsonLines().format(record)) for record in caplog.records]


def test_a_library_that_quotes_an_address_quotes_it_nowhere(odd_server: str, caplog: Any) -> None:
    caplog.set_level("WARNING")
    with pytest.raises(FhirFault):
        FhirClient(odd_server, OutboundHttp()).read("Patient", "patient-of-this-test")
    written = lines(caplog)
    assert any(line["part"].startswith("urllib3") for line in written), written
    assert "patient-of-this-test" not in json.dumps(written)


def test_our_own_words_and_those_of_the_server_process_are_kept(caplog: Any) -> None:
    caplog.set_level("INFO")
    logging.getLogger("smart_app.part").info("something %s", "happened")
    logging.getLogger("_granian").info("Listening")
    assert [line["event"] for line in lines(caplog)] == ["something happened", "Listening"]
