-- Apps launched by another EHR: whose users and patients there are whose here, as people confirmed it.

-- An EHR whose id tokens may be exchanged for access here.
CREATE TABLE trusted_issuer (
    issuer TEXT PRIMARY KEY,            -- `iss` of its id tokens
    disabled INTEGER NOT NULL,
    created INTEGER NOT NULL,
    document TEXT NOT NULL              -- JSON: everything else
) STRICT, WITHOUT ROWID;

-- A user or patient of such an EHR, and the account or Patient here.
CREATE TABLE identity_link (
    link_id TEXT PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('patient', 'staff')),
    issuer TEXT NOT NULL,
    there TEXT NOT NULL,                -- patient: the id there; staff: Practitioner/ID, PractitionerRole/ID or npi|NUMBER
    here TEXT NOT NULL,                 -- patient: the id here; staff: the user name; '' until a person chose
    state TEXT NOT NULL CHECK (state IN ('proposed', 'confirmed', 'refused', 'revoked')),
    created INTEGER NOT NULL,
    decided INTEGER,
    document TEXT NOT NULL              -- JSON: by whom, and how it was proposed; no demographics
) STRICT, WITHOUT ROWID;
-- Whoever is looked up is one row: of one name there, one link holds and one waits.
CREATE UNIQUE INDEX identity_link_confirmed ON identity_link (kind, issuer, there) WHERE state = 'confirmed';
CREATE UNIQUE INDEX identity_link_proposed ON identity_link (kind, issuer, there) WHERE state = 'proposed';
CREATE INDEX identity_link_there ON identity_link (kind, issuer, there);
CREATE INDEX identity_link_state ON identity_link (state, created, link_id);

-- A launch that waits for somebody to compare: what the EHR says of the patient, for minutes.
CREATE TABLE link_ticket (
    ticket_hash BLOB PRIMARY KEY,
    expires INTEGER NOT NULL,
    document TEXT NOT NULL              -- JSON with demographics of one patient, until it is purged
) STRICT, WITHOUT ROWID;
CREATE INDEX link_ticket_expires ON link_ticket (expires);

-- What a grant rests on ("issuer ISS", "link ID"): it ends with any of them.
CREATE TABLE grant_basis (
    basis TEXT NOT NULL,
    grant_id TEXT NOT NULL,
    expires INTEGER NOT NULL,              -- of the last token of the grant
    PRIMARY KEY (basis, grant_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX grant_basis_expires ON grant_basis (expires);
