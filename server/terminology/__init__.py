"""Code systems, value sets and concept maps as FHIR R4 has them: what a value set contains, what a concept
subsumes, whether a code is valid.

Pure rules over definitions, and R4's own definitions as data; those stored on this server and those of the
terminology's file (the package `terminology` beside `server`) come in through the `Definitions` that a caller
gives.
"""
