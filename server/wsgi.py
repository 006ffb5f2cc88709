"""The entry of every web process: granian calls `web()` once in each."""

from __future__ import annotations

import multiprocessing
import os
import shutil
from contextlib import suppress
from pathlib import Path

from flask import Flask

from server.process import die_with_parent
from server.settings import read_settings

# What all counters of one process can come to: about 500 pairs of a method and a route, 14 buckets each, some
# 250 bytes a bucket.
METRICS_BYTES = 2 * 1024 * 1024


def web() -> Flask:
    """The web server of this process, from the environment. BATON_DEMO=1 is set by `baton serve --demo`.

    Raises: SettingsError.
    """
    parent = multiprocessing.parent_process()
    die_with_parent(parent.pid if parent else None)
    settings = read_settings(os.environ)
    with suppress(
        OSError
    ):  # a full disk must not keep the server from starting: each process counts for itself
        share_metrics(settings.home)

    # prometheus_client looks for the shared folder when it is imported, hence only now.
    from server.app import create_app
    from server.logs import Log, configure_logging

    log = Log(settings.log_level)
    configure_logging(log)
    return create_app(settings, log=log)


def share_metrics(home: Path) -> None:
    """Let the processes of one server add up their metrics: they share a folder named by their parent.

    Folders of servers that ended are removed. The files take their room at once: they are mapped into memory,
    and a disk that is full when one of their pages is first used would end the process (SIGBUS).
    Raises: OSError, then nothing is shared.
    """
    folder = home / "metrics"
    own = folder / str(os.getppid())
    own.mkdir(parents=True, exist_ok=True)
    for other in folder.iterdir():
        if other != own and other.name.isdigit() and not _runs(int(other.name)):
            shutil.rmtree(other, ignore_errors=True)
    for kind in ("counter", "histogram"):  # as prometheus_client names its files; it takes those that are there
        with (own / f"{kind}_{os.getpid()}.db").open("ab") as file:
            os.posix_fallocate(file.fileno(), 0, METRICS_BYTES)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(own)


def _runs(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
