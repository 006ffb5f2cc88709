"""The server's own pages in a real browser: sign-in, consent, demo EHR and console.

Every page at three widths, light and dark, and at 200 %: nothing scrolls sideways, axe finds nothing, the
keyboard reaches everything and shows where it is. Each page is opened once, at 200 %, and asked all of that. In
the dark only the rules about colours are asked again: nothing else changes there (test_color_schemes.py). With
SCREENSHOTS=folder each page is saved there to look at.
WCAG 2.2 AA (w3.org/TR/WCAG22): 1.3.1, 1.4.3, 1.4.4, 1.4.10, 1.4.11, 2.1.1, 2.4.1, 2.4.7, 3.3.1, 4.1.2.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from server.storage import open_store
from server.storage.hl7v2_log import NewMessage
from server.storage.hl7v2_messages import LoggedMessage
from server.storage.hl7v2_sources import SourceRow

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.early]

AXE = Path(__file__).parents[1] / "vendor" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
WIDTHS = (1440, 1024, 420)
CALLBACK = "http://127.0.0.1:9/callback"
Browse = Callable[..., AbstractContextManager[Page]]
SCOPE = (
    "openid fhirUser offline_access launch/patient patient/Patient.rs patient/MedicationRequest.rs "
    "patient/Condition.rs "
    "patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory "
    "user/Practitioner.rs user/Task.cruds"
)


class Site:
    """A deployment with a registered app that asks for consent, and what its pages are opened with."""

    def __init__(self, deployment: Any) -> None:
        self.deployment = deployment
        self.base = deployment.base_url
        added = deployment.baton(
            "client", "add", "--public", "--name", "Growth chart", "--redirect-uri", CALLBACK,
            "--scope", f"{SCOPE} launch/encounter",
        )  # fmt: skip
        self.client = json.loads(added)["client_id"]
        token = deployment.token("system/*.rs")
        self.patient = deployment.patients_with_discharge(token)[0]
        self.two_versions = self._two_versions()
        account = deployment.baton("user", "add", "administrator", "--role", "administrator")
        self.administrator = json.loads(account)["password"]
        self.partner = "sunrise"
        deployment.baton(
            "partner", "add", self.partner, "--name", "Sunrise Home Health", "--kind", "home-health",
            "--purpose", "TREAT", "--agreement", "treatment", "--from", "2020-01-01",
            "--contact", "Intake desk",
        )  # fmt: skip
        deployment.baton("partner", "add-user", self.partner, "intake.sunrise", "--name", "Intake desk")
        self.message = self._message()

    def _message(self) -> LoggedMessage:
        """An HL7 v2 message that the worker has done, whatever came of it."""
        url = self.deployment.environment.get("BATON_DATABASE_URL")
        store = open_store(url or f"sqlite:///{self.deployment.home / 'baton.sqlite3'}")
        raw = (
            b"MSH|^~\\&|PAGES|HOSP|BATON|SITE|20260301080000+0000||ADT^A08^ADT_A01|1|P|2.5.1\r"
            b"EVN|A08|20260301080000+0000\r"
            b"PID|1||PAGES-1^^^HOSP^MR||Synthetic^Ana||19700102|F|||1 Main St^^Springfield^IL^62701\r"
            b"PV1|1|N\r"
        )
        at = time.time_ns() // 1000
        new = NewMessage(
            "pages-hosp", "mllp", "1", sha256(raw).digest(), at, raw, "ADT", "A08", "ADT_A01", at, 1,
            mrn="PAGES-1", ack_code="AA",
        )  # fmt: skip
        source = SourceRow("pages-hosp", "PAGES", "HOSP", "new", "{}", at)
        try:
            (kept,) = store.hl7v2_log.keep([new], since=0, new_sources=[source])
            deadline = time.monotonic() + 60
            while (found := store.hl7v2_messages.get(kept.id)) is None or found.state in ("received", "mapped"):
                assert time.monotonic() < deadline, "a worker does the message"
                time.sleep(0.1)
            return found
        finally:
            store.close()

    def _two_versions(self) -> str:
        """A CarePlan of the patient that was changed once."""
        plan = {
            "resourceType": "CarePlan",
            "id": "two-versions",
            "status": "draft",
            "intent": "plan",
            "subject": {"reference": f"Patient/{self.patient}"},
            "note": [{"text": f"synthetic note {number}"} for number in range(8)],
        }
        later = plan | {"status": "active", "title": "Going home"}
        file = self.deployment.home / "two-versions.ndjson"
        file.write_text(f"{json.dumps(plan)}\n{json.dumps(later)}\n")
        self.deployment.baton("load", str(file))
        return "CarePlan/two-versions"

    def authorize(self, **changed: str) -> str:
        asked = {
            "response_type": "code",
            "client_id": self.client,
            "redirect_uri": CALLBACK,
            "scope": SCOPE,
            "state": "state",
            "aud": self.deployment.fhir,
            "code_challenge": "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg",
            "code_challenge_method": "S256",
        }
        return f"{self.base}/oauth2/authorize?{urlencode(asked | changed)}"


@pytest.fixture(scope="module")
def site(baton: Any) -> Site:
    return Site(baton)


@pytest.fixture(scope="module")
def signed_in(site: Site, chromium: Browser, people: ModuleType) -> dict[str, Any]:
    """Role -> what a browser keeps of its sign-in."""
    kept = {}
    for role in ("rn", "engineer", "pharmacist"):
        context = chromium.new_context()
        context.set_default_timeout(20_000)
        people.sign_in(context.new_page(), site.deployment, role)
        kept[role] = context.storage_state()
        context.close()
    context = chromium.new_context()
    page = context.new_page()
    page.goto(f"{site.base}/console")
    page.get_by_label("User name").fill("administrator")
    page.get_by_label("Password").fill(site.administrator)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Clients")).to_be_visible()
    kept["administrator"] = context.storage_state()
    context.close()
    return kept


# The pages: how one gets there.


def prove(page: Page, password: str) -> bool:
    """Answer the question who it is, where the sign-in is a while ago; whether it was asked."""
    asked = page.get_by_role("heading", name="Is it you?").is_visible()
    if asked:
        page.get_by_label("Password").fill(password)
        page.get_by_role("button", name="Go on").click()
    return asked


def sign_in(page: Page, site: Site) -> None:
    page.goto(f"{site.base}/oauth2/login?next=/ehr")


def sign_in_failed(page: Page, site: Site) -> None:
    sign_in(page, site)
    page.get_by_label("User name").fill("rn")
    page.get_by_label("Password").fill("not this one")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_be_visible()


def patient_picker(page: Page, site: Site) -> None:
    page.goto(site.authorize())
    expect(page.get_by_role("heading", name="Choose a patient")).to_be_visible()


def nobody_found(page: Page, site: Site) -> None:
    patient_picker(page, site)
    page.get_by_label("Name begins with").fill("Zzyzx")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_text("No patient was found.")).to_be_visible()


def patient_search_fault(page: Page, site: Site) -> None:
    patient_picker(page, site)
    page.get_by_label("Date of birth").evaluate("field => { field.type = 'text'; field.value = 'in spring'; }")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("alert")).to_contain_text("The date of birth is a day")


def visit_picker(page: Page, site: Site) -> None:
    page.goto(site.authorize(scope="launch/patient launch/encounter patient/Patient.rs"))
    page.get_by_role("list", name="Patients").get_by_role("button").first.click()
    expect(page.get_by_role("list", name="Visits")).to_be_visible()


def consent(page: Page, site: Site) -> None:
    patient_picker(page, site)
    page.get_by_role("list", name="Patients").get_by_role("button").first.click()
    expect(page.get_by_role("heading", name="Allow Growth chart")).to_be_visible()


def consent_narrowed(page: Page, site: Site) -> None:
    consent(page, site)
    page.get_by_text("Only some of it: Problems and diagnoses").click()
    page.get_by_label("Problem list").check()
    page.evaluate("scrollTo(0, 0)")


def grants(page: Page, site: Site) -> None:
    page.goto(f"{site.base}/ehr/patients/{site.patient}")
    page.get_by_role("link", name="Baton care transitions").click()
    expect(page.frame_locator("iframe").get_by_role("heading", name="Overview")).to_be_visible()
    page.goto(f"{site.base}/oauth2/grants")
    expect(page.get_by_role("button", name="Withdraw").first).to_be_visible()


def account(page: Page, site: Site) -> None:
    page.goto(f"{site.base}/oauth2/account")
    expect(page.get_by_role("heading", name="Where you are signed in")).to_be_visible()


def change_password(page: Page, site: Site) -> None:
    page.goto(f"{site.base}/oauth2/account/password")
    expect(page.get_by_label("Password of now")).to_be_visible()


def second_factor_set_up(page: Page, site: Site) -> None:
    account(page, site)
    page.get_by_role("button", name="Set up").click()
    if prove(page, site.deployment.password("pharmacist")):
        page.get_by_role("button", name="Set up").click()
    expect(page.get_by_role("img", name="QR code of the key below")).to_be_visible()


def authorization_refused(page: Page, site: Site) -> None:
    page.goto(site.authorize(redirect_uri="http://127.0.0.1:9/another"))
    expect(page.get_by_role("heading", name="This app cannot be opened")).to_be_visible()


def ehr_patients(page: Page, site: Site) -> None:
    page.goto(f"{site.base}/ehr")
    expect(page.get_by_role("table")).to_be_visible()


def ehr_nobody(page: Page, site: Site) -> None:
    page.goto(f"{site.base}/ehr/?name=Zzyzx")
    expect(page.get_by_text("No patient's name starts with that.")).to_be_visible()


def ehr_chart(page: Page, site: Site) -> None:
    page.goto(f"{site.base}/ehr/patients/{site.patient}")
    expect(page.get_by_role("heading", name="Active medications")).to_be_visible()


def ehr_app(page: Page, site: Site) -> None:
    ehr_chart(page, site)
    page.get_by_role("link", name="Baton care transitions").click()
    expect(page.frame_locator("iframe").get_by_role("heading", name="Overview")).to_be_visible()


def ehr_problem(page: Page, site: Site) -> None:
    page.goto(f"{site.base}/ehr/patients/nobody")
    expect(page.get_by_role("heading", name="This cannot be shown")).to_be_visible()


def console_resources(page: Page, site: Site) -> None:
    page.goto(f"{site.base}/console")
    expect(page.get_by_role("table")).to_be_visible()


def console_empty(page: Page, site: Site) -> None:
    page.goto(f"{site.base}/console/resources?type=ResearchStudy")
    expect(page.get_by_text("No ResearchStudy")).to_be_visible()


def console_search_error(page: Page, site: Site) -> None:
    page.goto(f"{site.base}/console/resources?type=Patient&query=colour%3Dred")
    expect(page.get_by_role("alert")).to_be_visible()


def console_instance(page: Page, site: Site) -> None:
    page.goto(f"{site.base}/console/resources/Patient/{site.patient}")
    expect(page.get_by_role("heading", name="History")).to_be_visible()


def console_comparison(page: Page, site: Site) -> None:
    page.goto(f"{site.base}/console/resources/{site.two_versions}")
    page.get_by_role("link", name="What changed in version 2").click()
    expect(page.get_by_role("heading", name="Side by side")).to_be_visible()


def console_search_explained(page: Page, site: Site) -> None:
    page.goto(f"{site.base}/console/explain")
    page.get_by_label("Search, as in the API").fill("patient.name:contains=a&_sort=-date")
    page.get_by_label("Type").select_option("Observation")
    page.get_by_role("button", name="Explain").click()
    expect(page.get_by_role("region", name="Plan of statement 1")).to_be_visible()


def console_audit(page: Page, site: Site) -> None:
    page.goto(f"{site.base}/console/audit")
    expect(page.get_by_role("img", name="Events over time")).to_be_visible()
    expect(page.get_by_role("table")).to_be_visible()


def console_audit_numbers(page: Page, site: Site) -> None:
    console_audit(page, site)
    page.get_by_role("link", name="As numbers").click()
    expect(page.get_by_role("region", name="Events over time")).to_be_visible()


def console_audit_empty(page: Page, site: Site) -> None:
    page.goto(f"{site.base}/console/audit?principal=Practitioner/nobody")
    expect(page.get_by_text("No event matches.")).to_be_visible()


def console_audit_error(page: Page, site: Site) -> None:
    page.goto(f"{site.base}/console/audit?patient=Smith,%20John")
    expect(page.get_by_role("alert")).to_be_visible()


def console_audit_row(page: Page, site: Site) -> None:
    console_audit(page, site)
    page.get_by_role("region", name="Events").get_by_role("link").first.click()
    expect(page.get_by_role("heading", name="Audit row")).to_be_visible()


def console_disclosures(page: Page, site: Site) -> None:
    page.goto(f"{site.base}/console/disclosures?patient={site.patient}&all=1")
    expect(page.get_by_text("Nothing went out to a partner")).to_be_visible()


def console_disclosures_to_print(page: Page, site: Site) -> None:
    page.goto(f"{site.base}/console/disclosures/print?patient={site.patient}")
    expect(page.get_by_role("heading", name="Accounting of disclosures")).to_be_visible()


def console_missing(page: Page, site: Site) -> None:
    page.goto(f"{site.base}/console/resources/Patient/nobody")
    expect(page.get_by_role("heading", name="This cannot be shown")).to_be_visible()


def console_refused(page: Page, site: Site) -> None:
    page.goto(f"{site.base}/console")
    expect(page.get_by_text("Your role may not use the console.")).to_be_visible()


def console_queue(page: Page, site: Site) -> None:
    page.goto(f"{site.base}/console/queue")
    expect(page.get_by_role("heading", name="Workers")).to_be_visible()


def console_discard(page: Page, site: Site) -> None:
    page.goto(f"{site.base}/console/queue/discard")
    prove(page, site.deployment.password("engineer"))
    expect(page.get_by_role("button", name="Discard")).to_be_visible()


def console_messages(page: Page, site: Site) -> None:
    page.goto(f"{site.base}/console/messages?source={site.message.source}")
    expect(page.get_by_role("cell", name="A08")).to_be_visible()


def console_message(page: Page, site: Site) -> None:
    page.goto(f"{site.base}/console/messages/{site.message.id}")
    expect(page.get_by_role("button", name="Apply again")).to_be_visible()


def console_message_masked(page: Page, site: Site) -> None:
    page.goto(f"{site.base}/console/messages/{site.message.id}")
    expect(page.get_by_text("Your role does not read patients")).to_be_visible()


def console_clients(page: Page, site: Site) -> None:
    page.goto(f"{site.base}/console/clients")
    expect(page.get_by_role("link", name="Growth chart")).to_be_visible()


def console_clients_none(page: Page, site: Site) -> None:
    page.goto(f"{site.base}/console/clients?text=Zzyzx")
    expect(page.get_by_text("No client matches.")).to_be_visible()


def console_client(page: Page, site: Site) -> None:
    page.goto(f"{site.base}/console/clients/baton-app")
    expect(page.get_by_role("heading", name="Keys")).to_be_visible()


def console_registration(page: Page, site: Site) -> None:
    page.goto(f"{site.base}/console/client-registration")
    prove(page, site.administrator)
    page.get_by_label("Name, as people see it").fill("Medication review")
    page.get_by_label("The most it may be granted").fill("patient/Unicorn.rs")
    page.get_by_role("button", name="Register").click()
    expect(page.get_by_role("alert")).to_be_visible()


def console_partners(page: Page, site: Site) -> None:
    page.goto(f"{site.base}/console/partners")
    expect(page.get_by_role("link", name="Sunrise Home Health")).to_be_visible()


def console_partner(page: Page, site: Site) -> None:
    page.goto(f"{site.base}/console/partners/{site.partner}")
    expect(page.get_by_role("heading", name="Agreements")).to_be_visible()


def console_partner_suspended(page: Page, site: Site) -> None:
    console_partner(page, site)
    page.get_by_role("link", name="Suspend").click()
    prove(page, site.administrator)
    expect(page.get_by_label("Reason")).to_be_visible()


def console_grants(page: Page, site: Site) -> None:
    page.goto(f"{site.base}/console/grants")
    expect(page.get_by_role("heading", name="Grants")).to_be_visible()


def console_keys(page: Page, site: Site) -> None:
    page.goto(f"{site.base}/console/keys")
    expect(page.get_by_text("signs now")).to_be_visible()


def console_policies(page: Page, site: Site) -> None:
    page.goto(f"{site.base}/console/policies")
    page.locator("#may").select_option("create")
    page.locator("#type").select_option("Task")
    page.get_by_role("button", name="Ask").click()
    expect(page.get_by_role("region", name="Answer")).to_be_visible()


PAGES: dict[Callable[[Page, Site], None], str] = {
    sign_in: "",
    sign_in_failed: "",
    patient_picker: "rn",
    nobody_found: "rn",
    patient_search_fault: "rn",
    visit_picker: "rn",
    consent: "rn",
    consent_narrowed: "rn",
    grants: "rn",
    account: "rn",
    change_password: "rn",
    second_factor_set_up: "pharmacist",
    authorization_refused: "rn",
    ehr_patients: "rn",
    ehr_nobody: "rn",
    ehr_chart: "rn",
    ehr_app: "rn",
    ehr_problem: "rn",
    console_resources: "engineer",
    console_empty: "engineer",
    console_search_error: "engineer",
    console_instance: "engineer",
    console_comparison: "engineer",
    console_search_explained: "engineer",
    console_audit: "engineer",
    console_audit_numbers: "engineer",
    console_audit_empty: "engineer",
    console_audit_error: "engineer",
    console_audit_row: "engineer",
    console_disclosures: "engineer",
    console_disclosures_to_print: "engineer",
    console_missing: "engineer",
    console_queue: "engineer",
    console_discard: "engineer",
    console_messages: "engineer",
    console_message: "engineer",
    console_message_masked: "administrator",
    console_clients: "administrator",
    console_clients_none: "engineer",
    console_client: "administrator",
    console_registration: "administrator",
    console_partners: "engineer",
    console_partner: "administrator",
    console_partner_suspended: "administrator",
    console_grants: "administrator",
    console_keys: "engineer",
    console_policies: "engineer",
    console_refused: "rn",
}


@pytest.fixture(scope="module")
def browse(chromium: Browser, site: Site, signed_in: dict[str, Any]) -> Browse:
    """`with browse(page function, viewport=..) as page`: that page, opened by who may open it."""

    @contextmanager
    def open_page(opened: Callable[[Page, Site], None], **options: Any) -> Iterator[Page]:
        role = PAGES[opened]
        context = chromium.new_context(storage_state=signed_in.get(role), **options)
        context.set_default_timeout(20_000)
        try:
            page = context.new_page()
            opened(page, site)
            if role in signed_in:  # whoever proved who they are has another cookie since
                signed_in[role] = context.storage_state()
            yield page
        finally:
            context.close()

    return open_page


@pytest.fixture(scope="module", params=PAGES, ids=lambda opened: opened.__name__)
def shown(request: pytest.FixtureRequest, browse: Browse) -> Iterator[Page]:
    """Each page in turn, at 200 % on a small screen. What is asked of it leaves its content as it is."""
    with browse(request.param, viewport={"width": 720, "height": 450}, device_scale_factor=2) as page:
        yield page


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """What the page is called here."""
    return str(request.node.callspec.id)


def faults(page: Page, name: str, width: int, scheme: str = "light") -> list[str]:
    """What axe finds (outside of the app's frame, which has tests of its own), and scrolling sideways."""
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text("utf-8"))
    violations = page.evaluate(
        """([tags, colors]) => {
          const rules = axe.getRules(tags).filter(rule => !colors || rule.tags.includes("cat.color"));
          const runOnly = {type: "rule", values: rules.map(rule => rule.ruleId)};
          return axe.run({runOnly, iframes: false}).then(found => found.violations);
        }""",
        [RULES, scheme == "dark"],
    )
    found = [f"{name}: {rule['id']} {[node['target'] for node in rule['nodes']]}" for rule in violations]
    across = page.evaluate("document.documentElement.scrollWidth")
    return found + ([f"{name}: {across} px wide at {width}"] if across > width else [])


def test_at_200_percent_every_page_keeps_its_content_in_sight(shown: Page, name: str) -> None:
    assert faults(shown, f"{name}-zoomed", 720) == []
    heading = shown.get_by_role("heading", level=1)
    expect(heading).to_be_in_viewport()


def test_no_page_has_a_violation_or_scrolls_sideways(shown: Page, name: str) -> None:
    found = []
    for scheme in ("light", "dark"):
        shown.emulate_media(color_scheme=scheme)
        for width in WIDTHS:
            shown.set_viewport_size({"width": width, "height": 900})
            found += faults(shown, f"{name}-{width}-{scheme}", width, scheme)
    assert found == []


def test_the_keyboard_reaches_everything_and_shows_where_it_is(shown: Page) -> None:
    page = shown
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 1024, "height": 700})
    # Start before the first element, also where a field has the focus to begin with.
    page.evaluate("document.body.tabIndex = -1; document.body.focus()")
    expected = page.locator(
        ":is(a[href], button, input:not([type=hidden]), select, summary, textarea, [tabindex='0']):visible"
    ).count()
    stops: list[dict[str, Any]] = []
    for _ in range(4 * expected + 1):
        page.keyboard.press("Tab")
        stop = page.evaluate(
            """() => {
              const element = document.activeElement;
              if (element === document.body) return null;
              if (element.dataset.reached) return element.type === "date" ? "within" : null;
              if (element.tagName === "IFRAME") return null;
              element.dataset.reached = "yes";
              const style = getComputedStyle(element);
              const box = element.getBoundingClientRect();
              return {
                what: element.outerHTML.slice(0, 120),
                ring: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
                seen: box.width > 0 && box.right > 0 && box.bottom > 0 && box.top < innerHeight,
              };
            }"""
        )
        if stop is None:
            break
        if stop != "within":
            stops.append(stop)
    assert [stop for stop in stops if not (stop["ring"] and stop["seen"])] == []
    assert len(stops) == expected


@pytest.fixture
def console(browse: Browse) -> Iterator[Page]:
    """The first page of the console."""
    with browse(console_resources) as page:
        yield page


def test_the_console_is_used_by_keyboard_alone(console: Page) -> None:
    page = console
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to content")
    expect(skip).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Type", exact=True)).to_be_focused()
    page.keyboard.type("MedicationRequest")
    page.keyboard.press("Tab")
    page.keyboard.type("status=active&_count=3")
    page.keyboard.press("Enter")
    expect(page.get_by_role("row")).to_have_count(4)
    page.get_by_role("link", name="MedicationRequest/").first.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="MedicationRequest/")).to_be_visible()
    expect(page.get_by_role("list").get_by_text("Version 1")).to_be_visible()
    page.go_back()
    page.get_by_role("link", name="Next page").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("row")).to_have_count(4)


def test_a_wrong_password_is_told_and_the_next_try_goes_on_to_where_one_wanted(
    site: Site, window: BrowserContext
) -> None:
    page = window.new_page()
    page.goto(f"{site.base}/ehr/patients/{site.patient}")
    expect(page.get_by_label("User name")).to_be_focused()
    page.keyboard.type("rn")
    page.keyboard.press("Tab")
    page.keyboard.type("not this one")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("The user name or the password is not right.")
    expect(page.get_by_label("Password")).to_be_focused()
    page.keyboard.type(site.deployment.password("rn"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Active medications")).to_be_visible()


def test_an_unknown_user_is_told_the_same_as_a_wrong_password(site: Site, window: BrowserContext) -> None:
    page = window.new_page()
    told = []
    for username in ("rn", "nobody"):
        sign_in(page, site)
        page.get_by_label("User name").fill(username)
        page.get_by_label("Password").fill("not this one")
        page.get_by_role("button", name="Sign in").click()
        told.append(page.get_by_role("alert").inner_text())
    assert told[0] == told[1]


def test_after_signing_out_of_the_ehr_nothing_of_it_comes_back(
    site: Site, window: BrowserContext, people: ModuleType
) -> None:
    page = window.new_page()
    people.sign_in(page, site.deployment)
    ehr_chart(page, site)
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("status")).to_have_text("You are signed out.")
    page.go_back()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.goto(f"{site.base}/console")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_session_that_ended_elsewhere_is_told_and_signing_in_goes_on(
    site: Site, chromium: Browser, window: BrowserContext, people: ModuleType
) -> None:
    page = window.new_page()
    people.sign_in(page, site.deployment)
    ehr_chart(page, site)
    other = chromium.new_context(storage_state=window.storage_state())
    elsewhere = other.new_page()
    elsewhere.goto(f"{site.base}/ehr")
    elsewhere.get_by_role("button", name="Sign out").click()
    expect(elsewhere.get_by_role("status")).to_be_visible()
    other.close()
    page.reload()
    expect(page.get_by_role("status")).to_have_text("Your session has ended. Sign in to go on where you were.")
    page.get_by_label("User name").fill("rn")
    page.get_by_label("Password").fill(site.deployment.password("rn"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Active medications")).to_be_visible()


def test_access_given_by_several_launches_is_one_row_and_withdrawn_at_once(
    site: Site, window: BrowserContext, people: ModuleType
) -> None:
    page = window.new_page()
    people.sign_in(page, site.deployment, "pharmacist")
    for _ in range(2):
        people.open_app(page, site.deployment, site.patient)
    page.goto(f"{site.base}/oauth2/grants")
    expect(page.get_by_role("listitem")).to_have_count(1)
    expect(page.get_by_role("listitem")).to_contain_text("opened 2 times")
    page.get_by_role("button", name="Withdraw access of Baton care transitions").click()
    expect(page.get_by_text("No program has access in your name.")).to_be_visible()
