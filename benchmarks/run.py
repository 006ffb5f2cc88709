"""`make bench`: run every benchmark, one after the other, and show what each printed.

Each benchmark can be run alone; docs/performance.md says what the figures mean.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import click

HERE = Path(__file__).resolve().parent
BENCHMARKS = ("validation.py", "index_values.py", "storage.py", "read_rate.py", "reconciliation_quality.py")


def main() -> int:
    """Run all; 1 if one failed or missed its bar."""
    failed = []
    for number, name in enumerate(BENCHMARKS, 1):
        click.secho(f"[{number}/{len(BENCHMARKS)}] {name}", bold=True)
        started = time.monotonic()
        status = subprocess.run([sys.executable, str(HERE / name)], cwd=HERE.parent).returncode
        click.echo(f"      {time.monotonic() - started:.0f} s, {'ok' if status == 0 else f'status {status}'}\n")
        if status:
            failed.append(name)
    click.secho(
        f"{len(BENCHMARKS) - len(failed)} of {len(BENCHMARKS)} done" + (f"; {failed}" if failed else "")
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
