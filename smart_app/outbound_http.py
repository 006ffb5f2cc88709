"""The one place where the app opens connections: time limits, size limit, no redirects, no cookies.

Redirects are never followed, because a token must not travel to an address that nobody configured.
Connections are kept per thread, since `requests.Session` promises nothing across threads.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from requests.structures import CaseInsensitiveDict

CONNECT_SECONDS = 3.05  # just above a multiple of 3, TCP's retransmission window
READ_SECONDS = 10.0
MAXIMUM_BODY = 32 * 1024 * 1024
RETRY_PAUSES = (0.2, 0.6)  # two more tries of what may be repeated, below one second in all
RETRY_WITHIN_SECONDS = 2.0  # whoever was slow is not asked again: somebody is waiting
PASSING = frozenset((429, 502, 503, 504))  # states of a server that pass
USER_AGENT = "Baton-app"


class NoAnswer(Exception):
    """The other side could not be reached, was too slow, or sent too much. Words without patient data."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _NoNetrc(AuthBase):
    """Keeps `requests` from replacing our Authorization header by one of ~/.netrc."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


class OutboundHttp:
    """Sends requests; safe for use by many threads."""

    def __init__(
        self,
        *,
        connect_seconds: float = CONNECT_SECONDS,
        read_seconds: float = READ_SECONDS,
        maximum_body: int = MAXIMUM_BODY,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._timeout = (connect_seconds, read_seconds)
        self._maximum_body = maximum_body
        self._sleep = sleep
        self._local = threading.local()

    def get(self, url: str, headers: Mapping[str, str] | None = None) -> Answer:
        """GET, tried again where the state of the other side may pass. Raises: NoAnswer."""
        began = time.monotonic()
        for pause in RETRY_PAUSES:
            try:
                answer = self.send("GET", url, headers or {})
            except NoAnswer:
                if time.monotonic() - began > RETRY_WITHIN_SECONDS:
                    raise
            else:
                if answer.status not in PASSING or time.monotonic() - began > RETRY_WITHIN_SECONDS:
                    return answer
            self._sleep(pause)
        return self.send("GET", url, headers or {})

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None) -> Answer:
        """One request, one try. Raises: NoAnswer."""
        try:
            with self._session().request(
                method,
                url,
                headers={"User-Agent": USER_AGENT, **headers},
                data=body,
                timeout=self._timeout,
                allow_redirects=False,
                stream=True,
            ) as response:
                content = bytearray()
                for piece in response.iter_content(65536):
                    content += piece
                    if len(content) > self._maximum_body:
                        raise NoAnswer("the answer is too large")
                return Answer(response.status_code, CaseInsensitiveDict(response.headers), bytes(content))
        except requests.exceptions.Timeout:
            raise NoAnswer("no answer in time") from None
        except (requests.exceptions.RequestException, ValueError) as error:
            raise NoAnswer(type(error).__name__) from None

    def _session(self) -> requests.Session:
        session = getattr(self._local, "session", None)
        if session is None:
            session = requests.Session()
            session.auth = _NoNetrc()
            session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
            adapter = HTTPAdapter(pool_connections=4, pool_maxsize=4)
            session.mount("http://", adapter)
            session.mount("https://", adapter)
            self._local.session = session
        return session
