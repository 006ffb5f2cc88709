from __future__ import annotations


def test_first(pages):
    for path in ("/overview", "/reconciliation", "/worklist"):
        r = pages.get(path)
        print(path, r.status_code, len(r.text))
        assert r.status_code == 200, r.text
