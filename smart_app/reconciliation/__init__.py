"""Medication reconciliation: pure rules from two medication lists to groups, decisions and a signed list.

No module here does I/O, reads a clock or draws a random number. The drug vocabulary is passed in
(`records.DrugLookup`; `terminology.rxnorm.RxNorm` is the one that ships).

collect    FHIR resources of a chart or a collection Bundle -> Items on the sides before, after, evidence
normalise  coded or written medication -> Medication, with provenance and confidence
sig        dosageInstruction or free text -> Sig
match      Items -> Reconciliation (groups, alerts, versions)
compare    two Items -> Differences in words
alerts     what is checked now about the lists, and what is not
decide     who may decide what, what is still open, what may be accepted in bulk
draft      Decisions <-> the autosaved draft List
write_back Decisions -> one FHIR transaction Bundle
"""
