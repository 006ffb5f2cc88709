"""Starts the parts of Baton as child processes, restarts those that end, and stops them all together.

Children die with this process, also on SIGKILL (`process.die_with_parent`). A part that keeps ending is started
again with growing pauses. SIGTERM and SIGINT ask every part to drain; after DRAIN_SECONDS the rest is killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import FrameType

from server.process import die_with_parent

DRAIN_SECONDS = 10.0
STEADY_SECONDS = 30.0  # a part that ran this long starts again without a pause
LONGEST_PAUSE_SECONDS = 30.0


@dataclass(slots=True)
class _Child:
    part: str
    process: subprocess.Popen[bytes]
    started: float
    failures: int = 0
    restart_at: float | None = None


@dataclass(slots=True)
class Supervisor:
    """Runs `command(part)` for every part until it is told to stop.

    say: prints one line for people. command: the argv that runs a part in the foreground.
    """

    parts: Sequence[str]
    command: Callable[[str], list[str]]
    say: Callable[[str], None]
    _children: dict[str, _Child] = field(default_factory=dict)
    _stopping: bool = False

    def start(self) -> None:
        """Start all parts; SIGTERM and SIGINT stop them from now on."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        for part in self.parts:
            self._children[part] = self._spawn(part)

    def wait(self) -> int:
        """Watch the parts until a signal stops them. Returns the exit status."""
        while not self._stopping:
            self._restart_ended()
            time.sleep(0.2)
        return self.stop()

    def running(self, part: str) -> bool:
        """Whether a part's process is alive now."""
        child = self._children.get(part)
        return child is not None and child.process.poll() is None

    @property
    def stopping(self) -> bool:
        """Whether a signal asked to stop."""
        return self._stopping

    def stop(self) -> int:
        """Ask every part to drain, wait DRAIN_SECONDS, end the rest. Returns 0, or 1 if one had to be ended."""
        self._stopping = True
        self.say("stopping")
        living = [child for child in self._children.values() if child.process.poll() is None]
        for child in living:
            with contextlib.suppress(ProcessLookupError):
                child.process.terminate()
        deadline = time.monotonic() + DRAIN_SECONDS
        killed = False
        for child in living:
            try:
                child.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                self.say(f"{child.part} did not stop in {DRAIN_SECONDS:.0f} s and was ended")
                child.process.kill()
                child.process.wait()
                killed = True
        return int(killed)

    def _spawn(self, part: str) -> _Child:
        supervisor = os.getpid()
        process = subprocess.Popen(  # noqa: S603 - our own command line
            self.command(part),
            stdin=subprocess.DEVNULL,
            preexec_fn=lambda: die_with_parent(supervisor),
        )
        return _Child(part, process, time.monotonic())

    def _restart_ended(self) -> None:
        now = time.monotonic()
        for part, child in list(self._children.items()):
            status = child.process.poll()
            if status is None:
                continue
            if child.restart_at is None:
                failures = 0 if now - child.started > STEADY_SECONDS else child.failures + 1
                pause = min(LONGEST_PAUSE_SECONDS, 0.5 * 2**failures) if failures else 0.0
                child.failures, child.restart_at = failures, now + pause
                self.say(f"{part} ended with status {status}; starting it again in {pause:.0f} s")
            if now >= child.restart_at:
                fresh = self._spawn(part)
                fresh.failures = child.failures
                self._children[part] = fresh

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True


def part_command(part: str) -> list[str]:
    """The argv that runs one part in the foreground with this interpreter."""
    return [sys.executable, "-m", "server.cli", "serve", part]
