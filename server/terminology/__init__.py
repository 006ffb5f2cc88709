"""Code systems and value sets as FHIR R4 has them: what a value set contains, what a concept subsumes.

Pure rules over definitions, and R4's own definitions as data; those stored on this server come in through the
`Definitions` that a caller gives. (The package `terminology` beside `server` is drug vocabulary.)
"""
