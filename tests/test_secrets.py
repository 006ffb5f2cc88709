"""No secret stands in the repository: keys of known makers, PEM blocks, tokens, passwords in code or settings.

Found by detect-secrets (github.com/Yelp/detect-secrets); what only looks like one is listed below. It asks
every detector about every line, which takes most of a minute for this repository: here their own expressions
are first searched for in whole files, and it reads the files where one is found.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from detect_secrets.core.scan import get_plugins, scan_file
from detect_secrets.plugins.keyword import DENYLIST, KeywordDetector
from detect_secrets.settings import transient_settings

ROOT = Path(__file__).resolve().parent.parent
PLUGINS = (
    "AWSKeyDetector",
    "ArtifactoryDetector",
    "AzureStorageKeyDetector",
    "BasicAuthDetector",
    "DiscordBotTokenDetector",
    "GitHubTokenDetector",
    "GitLabTokenDetector",
    "JwtTokenDetector",
    "KeywordDetector",
    "MailchimpDetector",
    "NpmDetector",
    "OpenAIDetector",
    "PrivateKeyDetector",
    "PypiTokenDetector",
    "SendGridDetector",
    "SlackDetector",
    "SquareOAuthDetector",
    "StripeDetector",
    "TwilioKeyDetector",
)
# Data of others (terminologies, definitions, charts, vendored scripts), which have SOURCES.toml beside them.
DATA = ("generated", "definitions", "vendor", "golden", "images", "released_schemas", "static")
LARGEST = 200_000  # bytes: what people write is smaller

# File -> what only looks like a secret there, and why it is none.
ALLOWED = {
    "benchmarks/hl7v2_intake.py": "the key of a server that lives for a minute",
    "benchmarks/processes.py": "the key of a server that lives for a minute",
    "server/settings.py": "the names of settings, and how to make a key",
    "server/storage/database_url.py": "the form of an address",
    "tests/": "keys, passwords and tokens of servers that live for a test",
    "docs/reference/": "the form of an address",
    "docker/": "settings of a container whose values are given when it starts",
}
# What may stand nowhere, tests included: these belong to somebody.
NOWHERE = {"Private Key", "AWS Access Key", "GitHub Token", "Slack Token", "Stripe Access Key", "PyPI Token"}


def tracked() -> Iterator[str]:
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in listing.stdout.splitlines():
        path = ROOT / name
        if path.suffix in {".lock", ".gz", ".png", ".woff2", ".mo", ".po"} or set(DATA) & set(Path(name).parts):
            continue
        if path.is_file() and path.stat().st_size < LARGEST:
            yield name


def detectors(names: Iterable[str]) -> Any:
    """Settings in which these detectors look."""
    return transient_settings({"plugins_used": [{"name": name} for name in names]})


@cache
def expressions() -> dict[str, list[re.Pattern[str]]]:
    """Detector -> what it looks for in a line, so that it is found in a text of many lines as well."""
    with detectors(PLUGINS):
        made = {type(plugin).__name__: plugin for plugin in get_plugins()}
    found = {
        name: [re.compile(each.pattern, each.flags | re.MULTILINE) for each in plugin.denylist]
        for name, plugin in made.items()
        if not isinstance(plugin, KeywordDetector)
    }
    # All its expressions have one of these words in them; they are too slow for whole files.
    return found | {KeywordDetector.__name__: [re.compile("|".join(DENYLIST), re.IGNORECASE)]}


def found_in(paths: Iterable[Path]) -> Iterator[tuple[Path, str, int]]:
    """(file, kind of secret, line) of each secret."""
    suspects: dict[str, list[Path]] = {name: [] for name in PLUGINS}
    for path in paths:
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        for name, looked_for in expressions().items():
            if any(each.search(text) for each in looked_for):
                suspects[name].append(path)
    for name, suspected in suspects.items():
        with detectors([name]):
            for path in suspected:
                yield from ((path, secret.type, secret.line_number) for secret in scan_file(str(path)))


def is_allowed(name: str, kind: str) -> bool:
    return kind not in NOWHERE and any(name == known or name.startswith(known) for known in ALLOWED)


@pytest.mark.slow
@pytest.mark.early
def test_no_secret_is_kept_in_the_repository() -> None:
    named = {ROOT / name: name for name in tracked()}
    found = [
        f"{named[path]}:{line}: {kind}"
        for path, kind, line in found_in(named)
        if not is_allowed(named[path], kind)
    ]
    assert found == [], "remove it, make it void, or say in ALLOWED why it is none"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("-----BEGIN " + "RSA PRIVATE KEY-----", "Private Key"),
        ("key = 'AKIA" + "IOSFODNN7EXAMPLQ'", "AWS Access Key"),
        ("token = 'ghp_" + "a1B2c3D4" * 4 + "e5F6'", "GitHub Token"),
        ("db = 'postgresql://baton:" + "hunter22@db/baton'", "Basic Auth Credentials"),
        ("password = '" + "correct horse battery'", "Secret Keyword"),
    ],
)
def test_the_scan_finds_what_it_should(tmp_path: Path, text: str, kind: str) -> None:
    path = tmp_path / "written.py"
    path.write_text(text + "\n")
    assert kind in {found for _, found, _ in found_in([path])}


def test_every_detector_is_asked() -> None:
    assert set(expressions()) == set(PLUGINS)
    assert all(expressions().values())


@pytest.mark.slow
def test_nothing_is_found_in_a_file_that_was_not_suspected() -> None:
    """Of the files of this folder, which look like secrets in many ways: all detectors, line by line."""
    paths = [path for path in (ROOT / "tests" / "attacks").glob("*.py") if path.is_file()]
    with detectors(PLUGINS):
        whole = {(path, secret.type, secret.line_number) for path in paths for secret in scan_file(str(path))}
    assert whole
    assert set(found_in(paths)) == whole


def test_every_exception_is_still_needed() -> None:
    names = list(tracked())
    for known in ALLOWED:
        assert any(name == known or name.startswith(known) for name in names), known
