"""The pages a nurse sees: overview, reconciliation board, review and result, worklist.

A view asks one function of the app for a frozen record (`view_records`) and renders it; it holds no
rules and speaks no FHIR. Every address lies under one launch, which `gate` has checked before.

rendering      what every template can use: translation, dates, words, the navigation
dates words    how dates and codes are said
cards          the board's layout, pure
cards evidence progress conflict review signed_list
               what a page shows, worked out from the records; pure but for signed_list, which reads
chart_pages    home, overview
connection_pages  connecting the chart of another EHR with the store
board_pages    the board and its draft
signing_pages  review, signing, result, the patient's list
worklist_pages worklist, logging a contact, opening another patient
"""

from __future__ import annotations

from flask import Blueprint

from smart_app.views import board_pages, chart_pages, connection_pages, rendering, signing_pages, worklist_pages

blueprint = Blueprint("pages", __name__, url_prefix="/c/<launch>")
blueprint.record_once(rendering.install)

for _path, _endpoint, _view, _method in (
    ("/", "home", chart_pages.home, "GET"),
    ("/overview", "overview", chart_pages.overview, "GET"),
    ("/connection", "connection", connection_pages.connection, "GET"),
    ("/connection/compare", "compare", connection_pages.compare, "POST"),
    ("/connection/check", "connect", connection_pages.connect, "POST"),
    ("/open", "open_chart", worklist_pages.open_chart, "POST"),
    ("/reconciliation", "reconciliation", board_pages.reconciliation, "GET"),
    ("/reconciliation/decisions", "decide", board_pages.decide, "POST"),
    ("/reconciliation/same", "accept_same", board_pages.accept_same, "POST"),
    ("/reconciliation/review", "review", signing_pages.review, "GET"),
    ("/reconciliation/sign", "sign", signing_pages.sign, "POST"),
    ("/reconciliation/signed", "signed", signing_pages.signed, "GET"),
    ("/reconciliation/list", "take_home", signing_pages.take_home, "GET"),
    ("/worklist", "worklist", worklist_pages.worklist, "GET"),
    ("/worklist/<task>/contact", "contact_form", worklist_pages.contact_form, "GET"),
    ("/worklist/<task>/contact", "log_contact", worklist_pages.log_contact, "POST"),
):
    blueprint.add_url_rule(_path, _endpoint, _view, methods=[_method])
