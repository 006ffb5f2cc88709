"""Senders of HL7 v2 messages and their settings."""

from __future__ import annotations

from dataclasses import dataclass

from server.storage.database import Connection, Database

_COLUMNS = "name, sending_application, sending_facility, state, settings, created, last_message"


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A sender. state: new, confirmed or disabled. settings: JSON (`server.hl7v2.sources`).

    created, last_message: UTC microseconds; last_message is 0 before the first one.
    """

    name: str
    sending_application: str
    sending_facility: str
    state: str
    settings: str
    created: int
    last_message: int = 0


class Hl7v2Sources:
    """The table of sources."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> tuple[SourceRow, ...]:
        """Every source, by name."""
        with self._database.reading() as connection:
            rows = connection.execute(f"SELECT {_COLUMNS} FROM hl7v2_source ORDER BY name").fetchall()
        return tuple(SourceRow(*row) for row in rows)

    def get(self, name: str) -> SourceRow | None:
        """The source of that name."""
        with self._database.reading() as connection:
            row = connection.execute(
                f"SELECT {_COLUMNS} FROM hl7v2_source WHERE name = :name", {"name": name}
            ).fetchone()
        return SourceRow(*row) if row else None

    def put(self, row: SourceRow) -> None:
        """Add a source, or change who it is, its state and its settings; when it last sent stays."""
        with self._database.writing() as connection:
            connection.execute(
                f"INSERT INTO hl7v2_source ({_COLUMNS}) VALUES (:name, :application, :facility, :state,"
                " :settings, :created, :last) ON CONFLICT (name) DO UPDATE SET"
                " sending_application = excluded.sending_application,"
                " sending_facility = excluded.sending_facility, state = excluded.state,"
                " settings = excluded.settings",
                _values(row),
            )


def add_new(connection: Connection, row: SourceRow) -> None:
    """Add a source that is not there yet, within the transaction that stores its first message."""
    connection.execute(
        f"INSERT INTO hl7v2_source ({_COLUMNS}) VALUES (:name, :application, :facility, :state,"
        " :settings, :created, :last) ON CONFLICT (name) DO NOTHING",
        _values(row),
    )


def heard(connection: Connection, name: str, received: int) -> None:
    """Note when a source sent last."""
    connection.execute(
        "UPDATE hl7v2_source SET last_message = :received WHERE name = :name AND last_message < :received",
        {"name": name, "received": received},
    )


def _values(row: SourceRow) -> dict[str, str | int]:
    return {
        "name": row.name,
        "application": row.sending_application,
        "facility": row.sending_facility,
        "state": row.state,
        "settings": row.settings,
        "created": row.created,
        "last": row.last_message,
    }
