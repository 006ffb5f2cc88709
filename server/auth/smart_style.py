"""How an app may look so that it fits in: the SMART style of this server (pure).

The values are the design tokens of our own pages. The URL is the version: other values, another URL.
Source: hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html (SMART app styling)
"""

from __future__ import annotations

import hashlib
import json

STYLE = {
    "color_background": "#f4f6f8",
    "color_error": "#a8071a",
    "color_highlight": "#0b5c6b",
    "color_modal_backdrop": "#15202b",
    "color_success": "#1d6b3a",
    "color_text": "#15202b",
    "dim_border_radius": "8px",
    "dim_font_size": "14px",
    "dim_spacing_size": "16px",
    "font_family_body": "system-ui, sans-serif",
    "font_family_heading": "system-ui, sans-serif",
}
STYLE_PATH = "/oauth2/smart-style.json"
_VERSION = hashlib.sha256(json.dumps(STYLE, sort_keys=True).encode()).hexdigest()[:12]


def style_url(base_url: str) -> str:
    """`smart_style_url` of the server at this origin."""
    return f"{base_url}{STYLE_PATH}?v={_VERSION}"
