"""HTTP of the site's brands: a public Bundle that apps of patients fetch now and then.

Any origin may read it (`cross_origin`), and a weak ETag says whether it has changed.
Source: hl7.org/fhir/smart-app-launch/STU2.2/brands.html#caching-brand-bundles
"""

from __future__ import annotations

from flask import Blueprint, Response, request

from server.api.headers import FHIR_JSON
from server.brands import PATH, Brand


def brands_blueprint(brand: Brand) -> Blueprint:
    """The route, for `create_app` to register at the root."""
    blueprint = Blueprint("brands", __name__)

    @blueprint.get(PATH)
    def bundle() -> Response:
        response = Response(brand.bundle, content_type=FHIR_JSON)
        response.headers["ETag"] = brand.etag
        response.headers["Cache-Control"] = "public, max-age=3600"
        response.make_conditional(request)
        return response

    return blueprint
