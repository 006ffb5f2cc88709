"""A person in front of pages of HTML: opens addresses, keeps cookies, fills forms in and presses buttons.

Knows forms as any browser does and nothing of whose they are: what a page is for is told by what it asks.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter

Pair = tuple[str, str]
_ALLOW = re.compile(r"\s*(allow|approve|authori[sz]e|continue|accept)\b", re.I)
_DENY = re.compile(r"\s*(do not allow|deny|cancel|refuse)\b", re.I)
_MOST_STEPS = 20  # of pages and redirects between the first address and the client's


class _From(HTTPAdapter):
    """Connections from one of this machine's own addresses."""

    def __init__(self, address: str) -> None:
        self._address = address
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, source_address=(self._address, 0), **options)


def a_machine_of_its_own() -> requests.Session:
    """Requests that come from another address than everybody else's, where the server is on this machine.

    Who fails often is slowed down by address; one test must not slow down the next.
    """
    session = requests.Session()
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    address = ".".join(["127", *(str(1 + secrets.randbelow(254)) for _ in range(3))])
    session.mount("http://127.0.0.1:", _From(address))
    return session


@dataclass(slots=True)
class Form:
    """A form. fields: hidden and typed ones with their values. boxes: checkboxes and radio buttons as (name,
    value, ticked). buttons: (name, value, text)."""

    action: str
    method: str
    fields: list[Pair] = field(default_factory=list)
    types: dict[str, str] = field(default_factory=dict)
    boxes: list[tuple[str, str, bool]] = field(default_factory=list)
    buttons: list[tuple[str, str, str]] = field(default_factory=list)

    def named(self, type: str) -> str:
        """The name of the first field of an input type, "" where there is none."""
        return next((name for name, kind in self.types.items() if kind == type), "")

    def ticked(self) -> list[Pair]:
        return [(name, value) for name, value, on in self.boxes if on]

    def button(self, wanted: Callable[[str, str], bool]) -> Pair | None:
        """The first button whose value and text are wanted, as what it sends."""
        for name, value, text in self.buttons:
            if wanted(value, text):
                return name, value
        return None


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.frames: list[str] = []
        self._form: Form | None = None
        self._button: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "iframe":
            self.frames.append(given.get("src", ""))
        if tag == "form":
            self._form = Form(given.get("action", ""), given.get("method", "get").upper())
            self.forms.append(self._form)
        if self._form is None:
            return
        name, type = given.get("name", ""), given.get("type", "text").lower()
        if tag == "button":
            self._button = [name, given.get("value", ""), ""]
        elif tag == "input" and type in ("checkbox", "radio"):
            self._form.boxes.append((name, given.get("value", "on"), "checked" in given))
        elif tag == "input" and type == "submit":
            self._form.buttons.append((name, given.get("value", ""), given.get("value", "")))
        elif tag == "input" and name:
            self._form.fields.append((name, given.get("value", "")))
            self._form.types[name] = type

    def handle_data(self, data: str) -> None:
        if self._button is not None:
            self._button[2] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "button" and self._button is not None and self._form is not None:
            self._form.buttons.append((self._button[0], self._button[1], " ".join(self._button[2].split())))
            self._button = None
        if tag == "form":
            self._form = None


@dataclass(frozen=True, slots=True)
class Page:
    """What a browser shows. url: where it is."""

    url: str
    status: int
    text: str
    headers: Any

    @property
    def forms(self) -> list[Form]:
        return self._read().forms

    @property
    def frames(self) -> list[str]:
        """The addresses of its frames."""
        return [urljoin(self.url, source) for source in self._read().frames]

    def _read(self) -> _Reader:
        reader = _Reader()
        reader.feed(self.text)
        return reader


@dataclass(slots=True)
class Choices:
    """How a person answers the pages. patient: (id, family name) to choose. keep: (value of a box, whether it
    is ticked) -> whether it shall be; None leaves all as they are."""

    patient: Pair = ("", "")
    keep: Callable[[str, bool], bool] | None = None
    allow: bool = True


@dataclass(slots=True)
class Person:
    """Somebody with a browser. origin: of the server whose cookies are kept. session: the way there."""

    origin: str
    username: str = ""
    password: str = ""
    cookies: dict[str, str] = field(default_factory=dict)
    seen: list[Page] = field(default_factory=list)
    session: requests.Session = field(default_factory=a_machine_of_its_own)

    def ask(self, method: str, url: str, form: list[Pair] | None = None, **headers: str) -> requests.Response:
        """One request, without following what it answers; the cookies it sets are kept."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        # Session cookies are Secure; a browser sends them to its own machine over http, requests does not.
        if url.startswith(self.origin) and self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if form is not None:
            sent.setdefault("Origin", self.origin)
        query = {"params": form} if method == "GET" and form else {"data": form}
        answer = self.session.request(method, url, headers=sent, allow_redirects=False, timeout=60, **query)
        assert answer.status_code < 500, f"{method} {url}: {answer.status_code}"
        for line in answer.raw.headers.getlist("Set-Cookie"):
            name, _, value = line.partition(";")[0].strip().partition("=")
            self.cookies[name] = value
            if not value.strip('"') or "max-age=0" in line.lower():
                del self.cookies[name]
        return answer

    def open(self, url: str, method: str = "GET", form: list[Pair] | None = None) -> Page | str:
        """The page at an address; a text is the address outside of the server that redirects led to."""
        for _ in range(_MOST_STEPS):
            if not url.startswith(f"{self.origin}/"):
                return url
            answer = self.ask(method, url, form)
            if answer.status_code not in (301, 302, 303, 307, 308):
                page = Page(url, answer.status_code, answer.text, answer.headers)
                self.seen.append(page)
                return page
            url = urljoin(url, answer.headers["Location"])
            if answer.status_code in (301, 302, 303):
                method, form = "GET", None
        raise AssertionError(f"redirects without an end, at {url}")

    def send(self, page: Page, form: Form, *more: Pair, boxes: list[Pair] | None = None) -> Page | str:
        """A form with further fields; those of the same name are replaced. boxes: those ticked."""
        given = dict(more)
        kept = [(name, given.get(name, value)) for name, value in form.fields]
        kept += form.ticked() if boxes is None else boxes
        kept += [pair for pair in more if pair[0] and pair[0] not in {name for name, _ in form.fields}]
        return self.open(urljoin(page.url, form.action or page.url), form.method, kept)

    def sign_in(self, page: Page) -> Page | str:
        """Fill in the form that asks for a password."""
        form = next(form for form in page.forms if form.named("password"))
        user = form.named("email") or form.named("text")
        return self.send(page, form, (user, self.username), (form.named("password"), self.password))

    def decide(self, start: str, choices: Choices, method: str = "GET", form: list[Pair] | None = None) -> str:
        """From an address of the authorization server through all its pages: where it leaves to.

        Raises: Stopped on a page that asks nothing a person could answer.
        """
        page = self.open(start, method, form)
        for _ in range(_MOST_STEPS):
            if isinstance(page, str):
                return page
            page = self.step(page, choices)
        raise AssertionError("pages without an end")

    def step(self, page: Page, choices: Choices) -> Page | str:
        forms = page.forms
        if any(form.named("password") for form in forms):
            if sum(any(form.named("password") for form in old.forms) for old in self.seen[-3:]) > 2:
                raise Stopped(page)
            return self.sign_in(page)
        id, family = choices.patient
        for form in forms:
            if id and (button := form.button(lambda value, text: value == id)):
                return self.send(page, form, button)
        for form in forms:
            allow = form.button(lambda value, text: bool(_ALLOW.match(text)))
            deny = form.button(lambda value, text: bool(_DENY.match(text)))
            if allow and deny:
                boxes = [
                    (name, value)
                    for name, value, on in form.boxes
                    if (on if choices.keep is None else choices.keep(value, on))
                ]
                return self.send(page, form, allow if choices.allow else deny, boxes=boxes)
        for form in forms:
            if id and form.named("search") and dict(form.fields)[form.named("search")] != family:
                return self.send(page, form, (form.named("search"), family))
        raise Stopped(page)


class Stopped(Exception):
    """A page after which there is nothing to do. page: it."""

    def __init__(self, page: Page) -> None:
        super().__init__(f"{page.status} at {urlsplit(page.url).path}: {_text(page.text)[:300]}")
        self.page = page


def _text(html: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())
