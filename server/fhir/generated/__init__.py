"""Tables and code generated from `server.fhir.definitions` by `make generate`; never edited by hand."""
