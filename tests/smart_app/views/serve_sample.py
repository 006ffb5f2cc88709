"""The pages over the sample chart, to look at while working on them:

    .venv/bin/python tests/smart_app/views/serve_sample.py [PORT]

then open http://127.0.0.1:PORT/start (with a cookie) or /start-without-cookie. Nothing is kept.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from pathlib import Path

import responses

from terminology.rxnorm import open_rxnorm

if __name__ == "__main__":
    spec = importlib.util.spec_from_file_location("views_conftest", Path(__file__).parent / "conftest.py")
    assert spec is not None
    assert spec.loader is not None
    conftest = importlib.util.module_from_spec(spec)
    sys.modules["views_conftest"] = conftest
    spec.loader.exec_module(conftest)
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 18350
    with (
        tempfile.TemporaryDirectory() as folder,
        responses.RequestsMock(assert_all_requests_are_fired=False) as mock,
    ):
        home = Path(folder)
        pages = conftest.make_pages(home, open_rxnorm(home / "terminology"), port)
        pages.fhir.install(mock)
        print(f"http://127.0.0.1:{port}/start")
        pages.app.run(port=port, threaded=True)
