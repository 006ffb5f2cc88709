"""A plot of rates against the number of resources, as an SVG that reads on light and dark pages alike."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

_WIDTH, _HEIGHT = 720, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 80, 190, 24, 44
_COLOURS = ("#3b7dd8", "#c8611f", "#2e9d6b")
_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#57606a}line{stroke:#8c959f;stroke-opacity:.35}"
    "@media(prefers-color-scheme:dark){text{fill:#9aa4af}}"
)


def plot(lines: Mapping[tuple[str, bool], Mapping[int, float]], *, title: str) -> str:
    """An SVG with logarithmic axes. lines: (name, dashed) -> size -> rate; lines of one name share a colour."""
    sizes = sorted({size for points in lines.values() for size in points})
    rates = [rate for points in lines.values() for rate in points.values()]
    low, high = 10 ** math.floor(math.log10(min(rates))), 10 ** math.ceil(math.log10(max(rates)))
    names = list(dict.fromkeys(name for name, _ in lines))

    def x(size: float) -> float:
        span = math.log10(sizes[-1] / sizes[0]) or 1.0
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * math.log10(size / sizes[0]) / span

    def y(rate: float) -> float:
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * math.log10(rate / low) / math.log10(high / low)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style>",
    ]
    for power in range(round(math.log10(low)), round(math.log10(high)) + 1):
        at = y(10**power)
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{10**power:,}/s</text>')
    for size in sizes:
        parts.append(f'<text x="{x(size):.1f}" y="{_HEIGHT - 18}" text-anchor="middle">{size:,}</text>')
    for (name, dashed), points in lines.items():
        colour = _COLOURS[names.index(name) % len(_COLOURS)]
        path = " ".join(f"{x(size):.1f},{y(rate):.1f}" for size, rate in sorted(points.items()))
        dash = ' stroke-dasharray="6 5"' if dashed else ""
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2.5"{dash}/>')
        for size, rate in points.items():
            parts.append(f'<circle cx="{x(size):.1f}" cy="{y(rate):.1f}" r="3.5" fill="{colour}"/>')
    parts += _legend(names)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _legend(names: Sequence[str]) -> list[str]:
    left = _WIDTH - _RIGHT + 20
    rows = [(name, _COLOURS[number % len(_COLOURS)], False) for number, name in enumerate(names)]
    rows += [("SQLite", "#8c959f", False), ("PostgreSQL", "#8c959f", True)]
    parts = []
    for number, (name, colour, dashed) in enumerate(rows):
        at = _TOP + 14 + 24 * number + (12 if number >= len(names) else 0)
        dash = ' stroke-dasharray="6 5"' if dashed else ""
        mark = f'points="{left},{at} {left + 28},{at}" fill="none" stroke="{colour}" stroke-width="2.5"{dash}'
        parts.append(f"<polyline {mark}/>")
        parts.append(f'<text x="{left + 36}" y="{at + 4}">{escape(name)}</text>')
    return parts
