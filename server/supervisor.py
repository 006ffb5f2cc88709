"""Starts the parts of Baton as child processes, restarts those that end, and stops them all together.

Children die with this process, also on SIGKILL (`process.die_with_parent`). A part that keeps ending is started
again with growing pauses, for ever, and holds up no other part. SIGTERM, SIGINT and the end of the terminal ask
every part to drain; after DRAIN_SECONDS the rest is killed.
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
# Before the first, second ... restart of a part that does not become steady; the last one for all that follow.
PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)


@dataclass(slots=True)
class _Child:
    part: str
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    failures: int = 0
    restart_at: float | None = None

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None


@dataclass(slots=True)
class Supervisor:
    """Runs `command(part)` for every part until it is told to stop; a part that is named twice, twice.

    say: prints one line for people. command: the argv that runs a part in the foreground.
    """

    parts: Sequence[str]
    command: Callable[[str], list[str]]
    say: Callable[[str], None]
    _children: list[_Child] = field(default_factory=list)
    _stopping: bool = False

    def start(self) -> None:
        """Start all parts; SIGTERM, SIGINT and SIGHUP (unless it is ignored: nohup) stop them from now on."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._on_signal)
        self._children = [_Child(part) for part in self.parts]
        for child in self._children:
            self._spawn(child)

    def wait(self, each_round: Callable[[], object] = lambda: None) -> int:
        """Watch the parts until a signal stops them. Returns the exit status.

        each_round: called a few times a second, for what has to be watched beside.
        """
        while not self._stopping:
            self._restart_ended()
            each_round()
            time.sleep(0.2)
        return self.stop()

    def stop(self) -> int:
        """Ask every part to drain, wait DRAIN_SECONDS, end the rest. Returns 0, or 1 if one had to be ended."""
        self._stopping = True
        self.say("stopping")
        living = [(child.part, child.process) for child in self._children if child.process]
        for _, process in living:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        deadline = time.monotonic() + DRAIN_SECONDS
        killed = False
        for part, process in living:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                self.say(f"{part} did not stop in {DRAIN_SECONDS:.0f} s and was ended")
                process.kill()
                process.wait()
                killed = True
        return int(killed)

    def _spawn(self, child: _Child) -> None:
        """Start a part. Where not even that can be done (no memory, no process left) it counts as an end."""
        supervisor = os.getpid()
        child.started, child.restart_at = time.monotonic(), None
        try:
            child.process = subprocess.Popen(  # noqa: S603 - our own command line
                self.command(child.part),
                stdin=subprocess.DEVNULL,
                preexec_fn=lambda: die_with_parent(supervisor),
            )
        except (OSError, subprocess.SubprocessError) as error:
            child.process = None
            self._plan_restart(child, f"could not be started ({error.__class__.__name__})")

    def _restart_ended(self) -> None:
        for child in self._children:
            if child.runs:
                continue
            if child.restart_at is None:
                status = child.process.returncode if child.process else 0
                how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
                self._plan_restart(child, how)
            elif time.monotonic() >= child.restart_at:
                self._spawn(child)

    def _plan_restart(self, child: _Child, what: str) -> None:
        now = time.monotonic()
        child.failures = 0 if now - child.started > STEADY_SECONDS else child.failures + 1
        pause = PAUSES[min(child.failures, len(PAUSES)) - 1] if child.failures else 0.0
        child.restart_at = now + pause
        often = f", {child.failures} times in a row" if child.failures > 1 else ""
        self.say(f"{child.part} {what}{often}; starting it again in {pause:.0f} s")

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True


def part_command(part: str) -> list[str]:
    """The argv that runs one part in the foreground with this interpreter."""
    return [sys.executable, "-m", "server.cli", "serve", part]
