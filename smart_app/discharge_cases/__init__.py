"""Synthetic discharges: from medications and a seed, two lists that disagree, and what the right answer is.

Never imports the matcher (`smart_app.reconciliation`): what it records as expected is independent of
what the matcher finds.

formulary  the products that may be drawn
regimen    how one is taken, and the ways in which a chart writes that down
lines      lines of a list as FHIR resources
edits      the edits a discharge makes, each with the expected answer
combined   several edits of one medication, and ways of naming it: misspelt, by strength, by NDC
special    insulins, patches, packs, tapers, weekly and alternating amounts, herbals
cases      a whole case: two Lists in a collection Bundle, expected groups and alerts
story      the same for a synthetic patient's chart, for the demonstration
"""
