"""Canonical URIs of the code systems Baton speaks of. One constant a system, nothing else.

Source: hl7.org/fhir/R4/terminologies-systems.html, terminology.hl7.org, and the HL7 OID registry for
MeSH and the unique ids of the U.S. Department of Veterans Affairs.
"""

RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
NDC = "http://hl7.org/fhir/sid/ndc"
UNII = "http://fdasis.nlm.nih.gov"
SNOMED_CT = "http://snomed.info/sct"
LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
CVX = "http://hl7.org/fhir/sid/cvx"
ICD_10_CM = "http://hl7.org/fhir/sid/icd-10-cm"
ATC = "http://www.whocc.no/atc"
MED_RT = "http://va.gov/terminology/medrt"
MESH = "urn:oid:2.16.840.1.113883.6.177"
VUID = "urn:oid:2.16.840.1.113883.6.233"
PLACE_OF_SERVICE = "https://www.cms.gov/Medicare/Coding/place-of-service-codes/Place_of_Service_Code_Set"
NPI = "http://hl7.org/fhir/sid/us-npi"

V3_ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
V3_TIMING_EVENT = "http://terminology.hl7.org/CodeSystem/v3-TimingEvent"
V3_GTS_ABBREVIATION = "http://terminology.hl7.org/CodeSystem/v3-GTSAbbreviation"
V3_ROUTE = "http://terminology.hl7.org/CodeSystem/v3-RouteOfAdministration"
V3_DATA_OPERATION = "http://terminology.hl7.org/CodeSystem/v3-DataOperation"
V3_ORDERABLE_DRUG_FORM = "http://terminology.hl7.org/CodeSystem/v3-orderableDrugForm"

EVENT_TIMING = "http://hl7.org/fhir/event-timing"
DOSE_RATE_TYPE = "http://terminology.hl7.org/CodeSystem/dose-rate-type"
MEDICATION_REQUEST_CATEGORY = "http://terminology.hl7.org/CodeSystem/medicationrequest-category"
MEDICATION_STATEMENT_CATEGORY = "http://terminology.hl7.org/CodeSystem/medication-statement-category"
PROVENANCE_PARTICIPANT = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
ALLERGY_CLINICAL = "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical"
ALLERGY_VERIFICATION = "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification"

MEDICATION_LIST_FLAG = "urn:oid:1.2.36.1.2001.1001.101.104.16592"
"""Change types of the Australian Digital Health Agency: the example binding of List.entry.flag."""

BATON = "urn:baton:code-system"
"""Codes of our own: `reconciliation-draft`, `reconciliation-changes`, `clarify-medication` ..."""
BATON_RECONCILIATION = "urn:baton:reconciliation"
"""Identifier system of everything a signed reconciliation writes: session/role/line."""
