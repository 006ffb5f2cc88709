"""The entry of every web process: granian calls `web()` once in each."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from flask import Flask

from server.process import die_with_parent
from server.settings import read_settings


def web() -> Flask:
    """The web server of this process, from the environment. BATON_DEMO=1 is set by `baton serve --demo`.

    Raises: SettingsError.
    """
    die_with_parent()
    settings = read_settings(os.environ)
    share_metrics(settings.home)

    # prometheus_client looks for the shared folder when it is imported, hence only now.
    from server.app import create_app
    from server.logs import Log, configure_logging

    log = Log(settings.log_level)
    configure_logging(log)
    return create_app(settings, log=log)


def share_metrics(home: Path) -> None:
    """Let the processes of one server add up their metrics: they share a folder named by their parent.

    Folders of servers that ended are removed.
    """
    folder = home / "metrics"
    own = folder / str(os.getppid())
    own.mkdir(parents=True, exist_ok=True)
    for other in folder.iterdir():
        if other != own and other.name.isdigit() and not _runs(int(other.name)):
            shutil.rmtree(other, ignore_errors=True)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(own)


def _runs(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
