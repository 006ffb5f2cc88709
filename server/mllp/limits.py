"""What the listener takes, and how long it waits."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Set by BATON_MLLP_LIMITS; docs/reference/hl7v2-listener.md tells of each.

    message_bytes: of one message. held_bytes: of messages that are being received, of all connections.
    connections: at once. pipelined: messages of a connection that are not answered yet. idle_seconds: without
    a byte in the middle of a message. bytes_per_second: that a message has to come with after `grace_seconds`.
    write_seconds: for a sender to take an answer. settle_seconds: after an end block without carriage return.
    window_milliseconds: in which messages are gathered for one commit. processed_seconds: that original mode
    waits for a message to be processed. linger_seconds: for application acknowledgements, once a sender has
    said that it sends no more. shutdown_seconds: for answers under way. keepalive_seconds: of silence before
    TCP asks whether the other side is there.
    """

    message_bytes: int = 16_000_000
    held_bytes: int = 256_000_000
    connections: int = 2_000
    pipelined: int = 50
    idle_seconds: int = 30
    grace_seconds: int = 60
    bytes_per_second: int = 1_000
    write_seconds: int = 30
    settle_seconds: int = 1
    handshake_seconds: int = 5
    window_milliseconds: int = 3
    processed_seconds: int = 30
    linger_seconds: int = 10
    shutdown_seconds: int = 8
    keepalive_seconds: int = 120
