"""From YAML to rules that run: reading, overlays, checks. docs/reference/mapping-language.md describes the
language.
"""
