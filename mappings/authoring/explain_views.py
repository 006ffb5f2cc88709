"""An explanation as text, as JSON, and as one HTML page with message and result side by side."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import msgspec

from mappings.authoring.explain import UNMAPPED, Explanation, Output
from mappings.hl7v2.message import Message


def as_text(explanation: Explanation) -> Iterator[str]:
    """Lines: every element with its origin, then every filled component with its fate."""
    mapped = explanation.mapped
    yield f"maps {mapped.version}"
    if mapped.refused:
        yield f"refused: {mapped.refused.code} {mapped.refused.position} {mapped.refused.text}"
    for intent in mapped.intents:
        known = ", ".join(f"{identity.system}|{identity.value}" for identity in intent.identities) or "new"
        yield f"\n{intent.key} ({intent.resource['resourceType']}, {intent.write}; {known})"
        for output in explanation.outputs:
            if output.intent == intent.key:
                yield f"  {output.path} = {_json(output.value)}  <- {_origin(output)}"
        for path in intent.cleared:
            yield f"  {path} emptied"
    for merge in mapped.merges:
        yield f"\nmerge {merge.resource_type}: {merge.victim} into {merge.survivor}"
    yield "\nmessage"
    for entry in explanation.inputs:
        fate = "; ".join(
            (*entry.became, *(f"decided {rule}" for rule in entry.decided), *filter(None, [entry.note]))
        )
        yield f"  {entry.position} {entry.name}: {_json(entry.raw)} -> {fate}"
    for finding in mapped.findings:
        yield f"finding {finding.code} {finding.position}: {finding.text}"
    yield (
        f"\n{len(explanation.outputs)} elements, {len(explanation.unexplained)} without a rule; "
        f"{len(explanation.inputs)} filled components, {len(explanation.unmapped)} unmapped"
    )


def _origin(output: Output) -> str:
    step = output.step
    if step is None:
        return "?"
    parts = [" ".join(step.positions) or "constant", step.rule]
    parts += [f"using {step.using}"] if step.using else []
    parts += [f"table {step.table}"] if step.table else []
    return ", ".join(parts)


def as_json(explanation: Explanation) -> dict[str, Any]:
    """The same as data."""
    return {
        "version": explanation.mapped.version,
        "refused": msgspec.structs.asdict(explanation.mapped.refused) if explanation.mapped.refused else None,
        "outputs": [_output(output) for output in explanation.outputs],
        "inputs": [asdict(entry) for entry in explanation.inputs],
        "findings": [msgspec.structs.asdict(finding) for finding in explanation.mapped.findings],
    }


def _output(output: Output) -> dict[str, Any]:
    step = msgspec.structs.asdict(output.step) if output.step else None
    return {"intent": output.intent, "path": output.path, "value": output.value, "step": step}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Message and result</title>
<style>
body{font:14px/1.5 system-ui,sans-serif;margin:0;display:grid;grid-template-columns:1fr
1fr;gap:1rem;padding:1rem;color-scheme:light dark}
pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:0}h1{font-size:1rem;grid-column:1/-1;margin:0}
span[data-k]{cursor:default}.unmapped{text-decoration:underline wavy #b35900}.on{background:#ffd54d;color:#000}
table{border-collapse:collapse;width:100%}td{vertical-align:top;padding:.1rem .5rem .1rem
0;overflow-wrap:anywhere}
tr.h td{padding-top:.8rem;font-weight:600}small{opacity:.7}
</style></head><body><h1>TITLE</h1><pre>MESSAGE</pre><div><table>ROWS</table></div>
<script>
const show=(keys,on)=>document.querySelectorAll('[data-k]').forEach(e=>{
 if(e.dataset.k.split(' ').some(k=>keys.includes(k)))e.classList.toggle('on',on)});
document.querySelectorAll('[data-k]').forEach(e=>{const k=e.dataset.k.split(' ').filter(Boolean);
 e.addEventListener('mouseenter',()=>show(k,true));e.addEventListener('mouseleave',()=>show(k,false))});
</script></body></html>
"""


def as_html(message: Message, explanation: Explanation) -> str:
    """One page without anything from elsewhere: what is pointed at on one side is marked on the other."""
    rows = []
    for intent in explanation.mapped.intents:
        heading = html.escape(f"{intent.key}: {intent.resource['resourceType']}, {intent.write}")
        rows.append(f'<tr class="h"><td colspan="3">{heading}</td></tr>')
        for output in explanation.outputs:
            if output.intent == intent.key:
                keys = " ".join(output.step.positions) if output.step else ""
                cells = (output.path, _json(output.value), _origin(output))
                path, value, origin = (html.escape(cell) for cell in cells)
                row = f"<td>{path}</td><td>{value}</td><td><small>{origin}</small></td>"
                rows.append(f'<tr data-k="{html.escape(keys)}">{row}</tr>')
    counted = f"{len(explanation.outputs)} elements, {len(explanation.unmapped)} unmapped"
    title = f"maps {explanation.mapped.version}: {counted}"
    page = _PAGE.replace("TITLE", html.escape(title)).replace("ROWS", "\n".join(rows))
    return page.replace("MESSAGE", _marked(message, explanation))


def _marked(message: Message, explanation: Explanation) -> str:
    """The message with each filled component named, and marked where it is unmapped."""
    parts: list[str] = []
    at = 0
    for entry in explanation.inputs:
        fate = "; ".join((*entry.became, *entry.decided, *filter(None, [entry.note])))
        title = html.escape(f"{entry.position} {entry.name}: {fate}")
        kind = ' class="unmapped"' if entry.note.startswith(UNMAPPED) else ""
        parts.append(_plain(message, at, entry.start))
        text = _plain(message, entry.start, entry.end)
        parts.append(f'<span data-k="{html.escape(entry.position)}" title="{title}"{kind}>{text}</span>')
        at = entry.end
    parts.append(_plain(message, at, len(message.raw)))
    return "".join(parts)


def _plain(message: Message, start: int, end: int) -> str:
    text = message.raw[start:end].decode(message.charset, "replace")
    return html.escape(text.replace("\r\n", "\n").replace("\r", "\n"))
