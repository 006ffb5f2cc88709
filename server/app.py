"""create_app: the one place where the parts of the web server are joined. Read it as the parts list."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from time import monotonic

from flask import Blueprint, Flask, Response, redirect, request

from server.api.admission import MOST_BODY, admitted, forwarded, most_body
from server.api.brands import brands_blueprint
from server.api.errors import register_errors
from server.api.exchange import Authenticate
from server.api.fhir import fhir_blueprint, respond
from server.api.hl7v2 import hl7v2_blueprint
from server.api.launch_endpoint import launch_blueprint
from server.api.listener_metrics import listener_metrics
from server.api.observability import Metrics, note_route, observability_blueprint, observed
from server.api.pages import pages_blueprint
from server.api.protection import protected
from server.api.rates import Rate, counted
from server.api.registration import registration_blueprint
from server.api.representation import represented
from server.api.scope_words import scope_sentences
from server.api.smart import smart_blueprint
from server.auth.build import authorization_server
from server.auth.context import AuthContext, auth_context
from server.auth.credentials import derived_key
from server.auth.external_provider import ExternalProvider
from server.auth.launches import issue_launch
from server.auth.sessions import Session
from server.auth.tokens import Authenticator
from server.brands import read_brand
from server.console.views import blueprint as console_blueprint
from server.dispatch import dispatched
from server.fhir.dates import microseconds
from server.hl7v2.current_maps import CurrentMaps, overlays_of
from server.hl7v2.intake import Intake
from server.hl7v2.sources import Sources
from server.interactions.perform import perform
from server.interactions.request import Context, Limits
from server.logs import Log, describe
from server.mllp.counts import BUCKETS
from server.mllp.counts import read as read_counts
from server.mllp.limits import Limits as ListenerLimits
from server.outbound_http import fetch
from server.policy.roles import use
from server.settings import Settings
from server.storage import open_store
from server.storage.audit_segments import AuditSegment
from server.storage.interface import Store

Clock = Callable[[], datetime]
LOGIN_URL = "/oauth2/login"
REGISTRATIONS_A_MINUTE = 30  # of one address; nobody registers more in earnest


def now() -> datetime:
    """The wall clock, in UTC."""
    return datetime.now(UTC)


def new_id() -> str:
    """A new logical id: a random UUID."""
    return str(uuid.uuid4())


def make_context(
    settings: Settings, store: Store, *, clock: Clock = now, new_id: Callable[[], str] = new_id
) -> Context:
    """What interactions work with; the loader makes the same one as the web server. From here on the site's
    access policy is in force in this process, and the store knows of the deployment's terminology."""
    use(settings.policy)
    store.vocabulary = settings.home / "terminology"
    return Context(
        store=store,
        base_url=settings.fhir_base,
        clock=clock,
        new_id=new_id,
        cursor_key=derived_key(settings.secret_key, "paging cursors"),
        time_zone=settings.time_zone,
        audit=AuditSegment(settings.home / "audit").append,
        limits=Limits(**settings.limits),
        software_version=version("baton-fhir"),
    )


def create_app(
    settings: Settings,
    *,
    store: Store | None = None,
    clock: Clock = now,
    monotonic: Callable[[], float] = monotonic,
    new_id: Callable[[], str] = new_id,
    log: Log | None = None,
    dispatch: bool = True,
) -> Flask:
    """The web server. store: opened from the settings where none is given; its schema must be in place.

    dispatch: answer FHIR requests before Flask's routing; both ways answer alike.
    """
    store = store or open_store(settings.database_url)
    log = log or Log(settings.log_level)
    context = make_context(settings, store, clock=clock, new_id=new_id)
    authorization = auth_context(
        store.authorization,
        store,
        base_url=settings.base_url,
        home=settings.home,
        secret_key=settings.secret_key,
        clock=clock,
        outbound=settings.outbound_allow,
        brand=read_brand(settings.home, settings.fhir_base, demo=settings.demo),
        second_factor=settings.second_factor,
    )
    authenticate = Authenticator(authorization).authenticate
    clients = Rate("client", settings.rate_limit, monotonic)
    addresses = Rate("address", settings.rate_limit_address, monotonic)
    metrics = Metrics()

    app = Flask("server", static_folder=None)
    app.url_map.merge_slashes = False  # no FHIR path redirects
    app.json.sort_keys = False  # type: ignore[attr-defined]
    register_errors(app, log)
    fhir = partial(respond, context, counted(authenticate, clients), addresses, log)
    app.register_blueprint(fhir_blueprint(fhir))
    oauth2 = authorization_server(authorization)
    app.register_blueprint(smart_blueprint(oauth2))
    app.register_blueprint(
        registration_blueprint(authorization, Rate("registration", REGISTRATIONS_A_MINUTE, monotonic))
    )
    if authorization.brand is not None:
        app.register_blueprint(brands_blueprint(authorization.brand))
    app.register_blueprint(launch_blueprint(authorization, authenticate, partial(perform, context)))
    provider = _provider(settings, authorization)
    pages = pages_blueprint(oauth2, partial(perform, context), provider=provider, demo=settings.demo)
    app.register_blueprint(pages)
    app.register_blueprint(
        console_blueprint(
            context,
            authorization,
            login_url=LOGIN_URL,
            demo=settings.demo,
            scope_words=scope_sentences,
            emergencies=store.emergency_access,
            maps=CurrentMaps(overlays_of(settings.home), partial(_maps_failed, log)),
        )
    )
    if settings.demo:
        _register_demo_ehr(app, context, authorization)
    front = "/ehr" if settings.demo else "/console"
    app.add_url_rule("/", "front", lambda: redirect(front, 302))
    app.register_blueprint(_hl7v2(settings, context, store, counted(authenticate, clients), addresses, log))
    listeners = lambda: listener_metrics(read_counts(settings.home), BUCKETS)  # noqa: E731
    app.register_blueprint(observability_blueprint(store, metrics, authenticate, listeners))

    @app.after_request
    def note(response: Response) -> Response:
        if request.url_rule is not None and "baton.route" not in request.environ:
            note_route(request.environ, request.url_rule.rule)
        return response

    inner = dispatched(app.wsgi_app, fhir) if dispatch else app.wsgi_app
    inner = represented(protected(admitted(inner, addresses, context.limits.url_bytes), settings.base_url))
    app.wsgi_app = forwarded(observed(inner, metrics, log), settings.trusted_proxies)  # type: ignore[method-assign, assignment]
    messages = ListenerLimits(**settings.mllp_limits).message_bytes
    app.extensions[MOST_BODY] = most_body(authenticate, context.limits, messages)
    return app


def _maps_failed(log: Log, name: str, error: Exception) -> None:
    log("ERROR", "task-failed", task=name, **describe(error))


def _hl7v2(
    settings: Settings, context: Context, store: Store, authenticate: Authenticate, addresses: Rate, log: Log
) -> Blueprint:
    """HL7 v2 messages by HTTP, into the same log as those of the listener."""
    sources = Sources(store.hl7v2_sources, lambda: microseconds(context.clock()))
    intake = Intake(store.hl7v2_log, sources, context.clock, settings.time_zone, log)
    most = ListenerLimits(**settings.mllp_limits).message_bytes
    return hl7v2_blueprint(context, intake, authenticate, addresses, most)


def _provider(settings: Settings, authorization: AuthContext) -> ExternalProvider | None:
    """The OpenID provider that staff may sign in by, asked from this process."""
    if settings.provider is None:
        return None
    return ExternalProvider(
        settings.provider,
        base_url=settings.base_url,
        fetch=partial(fetch, allow=settings.outbound_allow),
        keys=authorization.keys,
        clock=authorization.clock,
    )


def _register_demo_ehr(app: Flask, context: Context, authorization: AuthContext) -> None:
    """The demonstration EHR offers every registered app that has a launch address."""
    from server.demo_ehr.views import App as EhrApp
    from server.demo_ehr.views import blueprint as demo_ehr_blueprint

    def apps() -> tuple[EhrApp, ...]:
        return tuple(
            EhrApp(row.client_id, row.name, row.launch_url)
            for row in authorization.rows.clients()
            if row.launch_url and not row.disabled
        )

    def launch_url(session: Session, client_id: str, patient: str, encounter: str) -> str:
        return issue_launch(authorization, session, client_id, patient=patient, encounter=encounter or None).url

    app.register_blueprint(
        demo_ehr_blueprint(context, authorization, apps=apps, launch_url=launch_url, login_url=LOGIN_URL)
    )
