"""The FHIR R4 definitions that Baton's tables and validators are generated from; see SOURCES.toml."""
