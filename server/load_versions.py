"""Loading into a server that asks which versions are replaced: what is loaded replaces what is there.

A server may take changes of existing resources only with If-Match (428 otherwise). Our own store is spared the
question when the operator of the host loads into it; over HTTP the versions are read and named.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from server.loading import Send
from server.policy.if_match_required import if_match_required

_WHICH_VERSION = 428

Entry = dict[str, Any]


def naming_versions(send: Send) -> Send:
    """A Send that sends entries a second time, naming the versions they replace, where the server asks."""

    def send_again(bundle: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        status, answer = send(bundle)
        if status == _WHICH_VERSION:
            return send(bundle | {"entry": _with_versions(bundle["entry"], send)})
        rows = answer.get("entry", []) if status == 200 else []
        asked = [at for at, row in enumerate(rows) if _is_asked(row)]
        if asked:
            again, second = send(
                bundle | {"entry": _with_versions([bundle["entry"][at] for at in asked], send)}
            )
            for at, row in zip(asked, second.get("entry", []) if again == 200 else (), strict=False):
                rows[at] = row
        return status, answer

    return send_again


def _is_asked(row: dict[str, Any]) -> bool:
    return str(row.get("response", {}).get("status", "")).startswith(str(_WHICH_VERSION))


def _with_versions(entries: Sequence[Entry], send: Send) -> list[Entry]:
    """The entries with If-Match naming the version that is there now, where there is one."""
    urls = [entry["request"]["url"] for entry in entries if _replaces(entry)]
    reads = [{"request": {"method": "GET", "url": f"{url}?_elements=id"}} for url in urls]
    status, answer = send({"resourceType": "Bundle", "type": "batch", "entry": reads})
    rows = answer.get("entry", []) if status == 200 else []
    found = {
        url: version
        for url, row in zip(urls, rows, strict=False)
        if (version := row.get("response", {}).get("etag"))
    }
    return [
        entry | {"request": entry["request"] | {"ifMatch": found[url]}}
        if (url := entry["request"]["url"]) in found
        else entry
        for entry in entries
    ]


def _replaces(entry: Entry) -> bool:
    """Whether the entry may be one that the server asks about."""
    request = entry["request"]
    resource_type, _, id = str(request["url"]).partition("/")
    return request["method"] in ("PUT", "DELETE") and bool(id) and resource_type in if_match_required()
