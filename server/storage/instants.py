"""Points in time as the tables keep them: whole milliseconds since 1970 UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def milliseconds(moment: datetime) -> int:
    """An aware datetime as milliseconds, rounded down."""
    return (moment - EPOCH) // _MILLISECOND


def optional_milliseconds(moment: datetime | None) -> int | None:
    return None if moment is None else milliseconds(moment)


def instant(value: int) -> datetime:
    """Milliseconds as an aware UTC datetime."""
    return EPOCH + timedelta(milliseconds=value)


def optional_instant(value: int | None) -> datetime | None:
    return None if value is None else instant(value)
