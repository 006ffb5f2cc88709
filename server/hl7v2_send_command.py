"""`baton hl7v2 send`: send files of messages to a listener, for whoever sets up a feed."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import click

from mappings.hl7v2 import batch
from mappings.hl7v2.message import Hl7Error, parse
from server.command_context import command_settings, plain_words
from server.mllp.framing import END, RETURN, START, framed

_ANSWER_BYTES = 1_000_000
_PATH = click.Path(exists=True, path_type=Path)
_ACCEPTED = frozenset({"AA", "CA"})


@click.command("send")
@click.argument(
    "paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path), metavar="PATH..."
)
@click.option(
    "--to", "address", default="", metavar="HOST:PORT", help="Without it: this deployment's listener."
)
@click.option("--tls", is_flag=True, help="By TLS; the certificate must be one that this system trusts.")
@click.option("--timeout", type=click.FloatRange(0.1), default=30.0, show_default=True, help="Seconds.")
def send(paths: tuple[Path, ...], address: str, tls: bool, timeout: float) -> None:
    """Send messages by MLLP, one after the other, and print what is answered to each.

    PATH: files, each with one message, several or a batch, or folders of them (*.hl7, by name). Lines may end
    as they like; they are sent with carriage returns. Exit 2 if a message is not accepted.

    \b
    Examples:
      baton hl7v2 send admission.hl7
      baton hl7v2 send messages/ --to 10.20.0.5:2575
    """
    with plain_words():
        host, port = _address(address)
        messages = list(_messages(paths))
        refused = 0
        with _connected(host, port, tls, timeout) as connection:
            for name, message in messages:
                connection.sendall(framed(message))
                told, words = _answer(_frame(connection))
                refused += told not in _ACCEPTED
                click.echo(f"{told}  {name}{f'  {words}' if words else ''}")
    click.echo(f"{len(messages)} messages, {refused} not accepted", err=True)
    if refused:
        raise SystemExit(2)


def _address(text: str) -> tuple[str, int]:
    if not text:
        settings = command_settings()
        if not settings.port_mllp:
            raise click.ClickException("this deployment has no listener without TLS: name one with --to")
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host_mllp, settings.host_mllp)  # noqa: S104
        return host, settings.port_mllp
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdecimal() or not 0 < int(port) < 65536:
        raise click.UsageError("--to is HOST:PORT")
    return host.strip("[]"), int(port)


def _connected(host: str, port: int, tls: bool, timeout: float) -> socket.socket:
    plain = socket.create_connection((host, port), timeout=timeout)
    return ssl.create_default_context().wrap_socket(plain, server_hostname=host) if tls else plain


def _messages(paths: tuple[Path, ...]) -> Iterator[tuple[str, bytes]]:
    """Each message with the name of its file."""
    for path in paths:
        for file in sorted(path.rglob("*.hl7")) if path.is_dir() else [path]:
            for raw in batch.split(file.read_bytes()).messages:
                lines = raw.replace(b"\r\n", b"\r").replace(b"\n", b"\r").rstrip(b"\r")
                yield file.name, lines + b"\r"


def _frame(connection: socket.socket) -> bytes:
    """The next answer. Raises: OSError where none comes."""
    read = b""
    while END + RETURN not in read:
        got = connection.recv(65_536)
        if not got or len(read) > _ANSWER_BYTES:
            raise ConnectionError("the other side ended the connection without an answer")
        read += got
    return read.partition(END + RETURN)[0].rpartition(START)[2]


def _answer(frame: bytes) -> tuple[str, str]:
    """MSA-1, and what the answer says of an error."""
    try:
        answer = parse(frame)
    except Hl7Error:
        return "??", "what was answered is no message"
    words = (answer.get(path).text for path in ("ERR-8", "ERR-7", "MSA-3"))
    return answer.get("MSA-1").text or "??", next(filter(None, words), "")
