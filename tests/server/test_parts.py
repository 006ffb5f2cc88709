"""What the web part loads before its workers are forked."""

from __future__ import annotations

import subprocess
import sys

from server.parts import SHARED


def test_what_is_imported_before_the_fork_leaves_metrics_to_the_workers() -> None:
    # A process of its own: this one has imported everything already.
    program = (
        "import importlib, sys\n"
        f"for name in {SHARED!r}: importlib.import_module(name)\n"
        "print('prometheus_client' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
