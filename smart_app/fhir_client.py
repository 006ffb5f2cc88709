"""Speaks FHIR R4 over HTTP with any server: the only module of the app that does.

FhirFault
 +- Unavailable   no answer, or a state that passes (429, 502, 503, 504)
 +- Unauthorized  401, also after a fresh token
 +- Forbidden     403
 +- NotFound      404 and 410
 +- Conflict      409 and 412
 +- Refused       any other status that is no success, with the server's OperationOutcome
 +- NotFhir       a success whose body is not what FHIR asks

Source: hl7.org/fhir/R4/http.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote, urlencode, urljoin, urlsplit

from smart_app import fhir_json
from smart_app.fhir_json import Resource
from smart_app.outbound_http import PASSING, Answer, NoAnswer, OutboundHttp

MEDIA_TYPE = "application/fhir+json"
PAGE_SIZE = 200
MAXIMUM_PAGES = 20

Parameters = Sequence[tuple[str, str]]


class AccessToken(Protocol):
    """Gives an access token that is none of the `refused` ones, which a server answered with 401."""

    def __call__(self, *, refused: str = "") -> str: ...


class FhirFault(Exception):
    """A FHIR interaction that did not succeed.

    words: what happened, for people and logs, without patient data. outcome: the server's
    OperationOutcome, {} without one; its texts are the server's and never logged.
    """

    def __init__(self, words: str, *, status: int = 0, outcome: Resource | None = None) -> None:
        super().__init__(words)
        self.words = words
        self.status = status
        self.outcome = outcome or {}


class Unavailable(FhirFault):
    pass


class Unauthorized(FhirFault):
    pass


class Forbidden(FhirFault):
    pass


class NotFound(FhirFault):
    pass


class Conflict(FhirFault):
    pass


class Refused(FhirFault):
    pass


class NotFhir(FhirFault):
    pass


_FAULTS: Mapping[int, type[FhirFault]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: NotFound,
    412: Conflict,
    **dict.fromkeys(PASSING, Unavailable),
}


@dataclass(frozen=True, slots=True)
class SearchResult:
    """All pages of a search. `complete` is False where the limit of pages cut it off."""

    matches: tuple[Resource, ...]
    included: tuple[Resource, ...]
    complete: bool


@dataclass(frozen=True, slots=True)
class Written:
    """The outcome of a create or update. `created` is False where the resource was already there."""

    resource: Resource
    created: bool

    @property
    def version(self) -> str | None:
        return version_of(self.resource)


def version_of(resource: Resource) -> str | None:
    """meta.versionId."""
    meta = resource.get("meta")
    version = meta.get("versionId") if isinstance(meta, dict) else None
    return version if isinstance(version, str) else None


def reference_of(resource: Resource) -> str:
    """`Type/id`."""
    return f"{resource.get('resourceType', '')}/{resource.get('id', '')}"


class FhirClient:
    """One FHIR server on behalf of one user or one backend client; safe for several threads."""

    def __init__(self, base: str, http: OutboundHttp, token: AccessToken | None = None) -> None:
        self.base = base.rstrip("/")
        self._http = http
        self._token = token

    def read(self, resource_type: str, resource_id: str, *, known: Resource | None = None) -> Resource:
        """A resource's current version; `known` is answered again where it is still current (304)."""
        headers = {}
        if known and (version := version_of(known)):
            headers["If-None-Match"] = f'W/"{version}"'
        answer = self._ask("GET", self._url(resource_type, resource_id), headers)
        if answer.status == 304 and known:
            return known
        return _resource(answer, resource_type)

    def vread(self, resource_type: str, resource_id: str, version: str) -> Resource:
        answer = self._ask("GET", self._url(resource_type, resource_id, "_history", version))
        return _resource(answer, resource_type)

    def search(
        self, resource_type: str, parameters: Parameters, *, maximum_pages: int = MAXIMUM_PAGES
    ) -> SearchResult:
        """All matches and what came with them, by following `next` up to `maximum_pages` pages.

        Raises: FhirFault; NotFhir also where a next link leads to another origin.
        """
        given = [*parameters]
        if not any(name == "_count" for name, _ in given):
            given.append(("_count", str(PAGE_SIZE)))
        url: str | None = f"{self._url(resource_type)}?{urlencode(given)}"
        matches: dict[str, Resource] = {}
        included: dict[str, Resource] = {}
        for _ in range(maximum_pages):
            if url is None:
                break
            bundle = _resource(self._ask("GET", url), "Bundle")
            for entry in _entries(bundle):
                resource = entry["resource"]
                mode = entry["search"].get("mode") if isinstance(entry.get("search"), dict) else None
                if mode == "outcome" or resource.get("resourceType") == "OperationOutcome":
                    continue
                side = included if mode == "include" else matches
                side[reference_of(resource)] = resource
            url = self._next(url, bundle)
        return SearchResult(tuple(matches.values()), tuple(included.values()), complete=url is None)

    def create(self, resource: Resource, *, if_none_exist: Parameters = ()) -> Written:
        """Create; with `if_none_exist` only where no resource matches, else the one that does."""
        headers = {"Prefer": "return=representation"}
        if if_none_exist:
            headers["If-None-Exist"] = urlencode(if_none_exist)
        resource_type = str(resource["resourceType"])
        answer = self._ask("POST", self._url(resource_type), headers, resource)
        return self._written(answer, resource)

    def update(self, resource: Resource, *, if_match: str | None = None) -> Written:
        """Put a resource under its own id: over version `if_match`, or (None) where there is none yet."""
        headers = {"Prefer": "return=representation"}
        if if_match is None:
            headers["If-None-Match"] = "*"
        else:
            headers["If-Match"] = f'W/"{if_match}"'
        url = self._url(str(resource["resourceType"]), str(resource["id"]))
        return self._written(self._ask("PUT", url, headers, resource), resource)

    def transaction(self, bundle: Resource) -> Resource:
        """Send a transaction; the transaction-response. All of it is done, or nothing."""
        answer = self._ask("POST", self.base, {"Prefer": "return=minimal"}, bundle)
        return _resource(answer, "Bundle")

    def capabilities(self) -> Resource:
        """The CapabilityStatement; needs no token."""
        url = self._url("metadata")
        try:
            answer = self._http.get(url, {"Accept": MEDIA_TYPE})
        except NoAnswer as fault:
            raise Unavailable(str(fault)) from None
        return _resource(_checked(answer), "CapabilityStatement")

    def _written(self, answer: Answer, sent: Resource) -> Written:
        """What was written; servers that answer no body are read again."""
        resource_type = str(sent["resourceType"])
        if answer.body:
            resource = _resource(answer, "")
            if resource.get("resourceType") == resource_type:
                return Written(resource, created=answer.status == 201)
        resource_id = str(sent.get("id", "")) or _id_of_location(answer.headers.get("Location", ""))
        if not resource_id:
            raise NotFhir("a write was answered without body and Location", status=answer.status)
        return Written(self.read(resource_type, resource_id), created=answer.status == 201)

    def _ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        resource: Resource | None = None,
    ) -> Answer:
        token = self._token() if self._token is not None else ""
        answer = self._send(method, url, headers or {}, resource, token)
        if answer.status == 401 and self._token is not None:
            answer = self._send(method, url, headers or {}, resource, self._token(refused=token))
        return _checked(answer)

    def _send(
        self, method: str, url: str, headers: Mapping[str, str], resource: Resource | None, token: str
    ) -> Answer:
        sent = {"Accept": MEDIA_TYPE, **headers}
        if token:
            sent["Authorization"] = f"Bearer {token}"
        try:
            if resource is None:
                return self._http.get(url, sent)
            sent["Content-Type"] = MEDIA_TYPE
            return self._http.send(method, url, sent, fhir_json.encode(resource))
        except NoAnswer as fault:
            raise Unavailable(str(fault)) from None

    def _url(self, *segments: str) -> str:
        return "/".join((self.base, *(quote(segment, safe="$") for segment in segments)))

    def _next(self, url: str, bundle: Resource) -> str | None:
        links = bundle.get("link")
        for link in links if isinstance(links, list) else ():
            if isinstance(link, dict) and link.get("relation") == "next" and isinstance(link.get("url"), str):
                target = urljoin(url, link["url"])
                if urlsplit(target)[:2] != urlsplit(self.base)[:2]:
                    raise NotFhir("a next link leads to another origin")
                return target
        return None


def _checked(answer: Answer) -> Answer:
    if answer.status == 304 or 200 <= answer.status < 300:
        return answer
    try:
        outcome = fhir_json.decode(answer.body)
    except ValueError:
        outcome = {}
    if outcome.get("resourceType") != "OperationOutcome":
        outcome = {}
    raise _FAULTS.get(answer.status, Refused)(
        f"answered {answer.status}", status=answer.status, outcome=outcome
    )


def _resource(answer: Answer, resource_type: str) -> Resource:
    try:
        resource = fhir_json.decode(answer.body)
    except ValueError as error:
        raise NotFhir(f"the answer is {error}", status=answer.status) from None
    if not isinstance(resource.get("resourceType"), str):
        raise NotFhir("the answer is not a resource", status=answer.status)
    if resource_type and resource["resourceType"] != resource_type:
        raise NotFhir(f"the answer is not a {resource_type}", status=answer.status)
    return resource


def _entries(bundle: Resource) -> list[Resource]:
    entries = bundle.get("entry")
    return [
        entry
        for entry in (entries if isinstance(entries, list) else ())
        if isinstance(entry, dict) and isinstance(entry.get("resource"), dict)
    ]


def _id_of_location(location: str) -> str:
    """`[base]/Type/id/_history/n` -> id; "" where it says none."""
    path = urlsplit(location).path.split("/_history/")[0].rstrip("/")
    return path.rpartition("/")[2]


def diagnostics(outcome: Resource) -> tuple[tuple[str, str], ...]:
    """(severity, words) of each issue of an OperationOutcome, for the person in front of the page."""
    issues = outcome.get("issue")
    found = []
    for issue in issues if isinstance(issues, list) else ():
        if not isinstance(issue, dict):
            continue
        details = issue.get("details")
        text = issue.get("diagnostics") or (details.get("text") if isinstance(details, dict) else "") or ""
        found.append((str(issue.get("severity", "error")), str(text)))
    return tuple(found)
