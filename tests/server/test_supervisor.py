"""Parts as processes: restarted when they end, drained on SIGTERM, never left behind.

Covers server/supervisor.py, server/process.py.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.network

PROGRAM = """
import sys
from server.supervisor import Supervisor

CHILD = "import os, sys, time; open(sys.argv[1], 'a').write(f'{os.getpid()}\\\\n'); time.sleep(60)"
FAILING = "import sys; sys.exit(3)"
file = sys.argv[1]

def command(part):
    if part == "missing":
        return [f"{file}.no-such-program"]
    return [sys.executable, "-c", FAILING if part == "failing" else CHILD, f"{file}.{part}"]

supervisor = Supervisor(sys.argv[2:], command, lambda text: print(text, flush=True))
supervisor.start()
print("started", flush=True)
sys.exit(supervisor.wait())
"""


def pids(file: Path) -> list[int]:
    return [int(line) for line in file.read_text().split()] if file.exists() else []


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def until(condition: Callable[[], object], seconds: float = 15) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.fixture
def supervised(tmp_path: Path):
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "pids"), "one", "two"]
    # A run under nohup ignores SIGHUP, and so would its children.
    process = subprocess.Popen(command, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL))
    files = [tmp_path / "pids.one", tmp_path / "pids.two"]
    assert until(lambda: all(pids(file) for file in files))
    yield process, files
    if process.poll() is None:
        process.kill()
        process.wait()


def test_a_part_that_ends_is_started_again(supervised) -> None:
    _, (one, two) = supervised
    os.kill(pids(one)[0], signal.SIGKILL)
    assert until(lambda: len(pids(one)) == 2)
    assert len(pids(two)) == 1


def test_a_part_that_is_named_twice_runs_twice_and_both_are_watched(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(tmp_path / "pids"), "one", "one"])
    file = tmp_path / "pids.one"
    try:
        assert until(lambda: len(pids(file)) == 2)
        for count, pid in enumerate(pids(file), 3):
            os.kill(pid, signal.SIGKILL)
            assert until(lambda count=count: len(pids(file)) == count)
    finally:
        process.terminate()
        assert process.wait(15) == 0
    assert not any(alive(pid) for pid in pids(file))


def test_sigterm_stops_every_part(supervised) -> None:
    process, files = supervised
    process.terminate()
    assert process.wait(15) == 0
    assert not any(alive(pid) for file in files for pid in pids(file))


def test_parts_do_not_outlive_a_killed_supervisor(supervised) -> None:
    process, files = supervised
    process.kill()
    process.wait()
    assert until(lambda: not any(alive(pid) for file in files for pid in pids(file)))


def test_the_end_of_the_terminal_stops_every_part(supervised) -> None:
    process, files = supervised
    process.send_signal(signal.SIGHUP)
    assert process.wait(15) == 0
    assert not any(alive(pid) for file in files for pid in pids(file))


@pytest.mark.parametrize("part", ["failing", "missing"])
def test_a_part_that_never_starts_is_tried_again_and_holds_up_no_other(tmp_path: Path, part: str) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "pids"), part, "one"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        said = [process.stdout.readline() for _ in range(4)]
        words = "ended with status 3" if part == "failing" else "could not be started (FileNotFoundError)"
        assert f"{part} {words}; starting it again in 1 s\n" in said
        assert f"{part} {words}, 2 times in a row; starting it again in 2 s\n" in said
        assert until(lambda: pids(tmp_path / "pids.one"))
        os.kill(pids(tmp_path / "pids.one")[0], signal.SIGKILL)
        assert until(lambda: len(pids(tmp_path / "pids.one")) == 2)
        assert process.poll() is None
    finally:
        process.terminate()
        assert process.wait(15) == 0
        process.stdout.close()
