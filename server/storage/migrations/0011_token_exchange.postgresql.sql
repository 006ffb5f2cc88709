-- Apps launched by another EHR: whose users and patients there are whose here, as people confirmed it.

-- An EHR whose id tokens may be exchanged for access here.
CREATE TABLE trusted_issuer (
    issuer text COLLATE "C" PRIMARY KEY,            -- `iss` of its id tokens
    disabled bigint NOT NULL,
    created bigint NOT NULL,
    document text COLLATE "C" NOT NULL              -- JSON: everything else
);

-- A user or patient of such an EHR, and the account or Patient here.
CREATE TABLE identity_link (
    link_id text COLLATE "C" PRIMARY KEY,
    kind text COLLATE "C" NOT NULL CHECK (kind IN ('patient', 'staff')),
    issuer text COLLATE "C" NOT NULL,
    there text COLLATE "C" NOT NULL,                -- patient: the id there; staff: Practitioner/ID, PractitionerRole/ID or npi|NUMBER
    here text COLLATE "C" NOT NULL,                 -- patient: the id here; staff: the user name; '' until a person chose
    state text COLLATE "C" NOT NULL CHECK (state IN ('proposed', 'confirmed', 'refused', 'revoked')),
    created bigint NOT NULL,
    decided bigint,
    document text COLLATE "C" NOT NULL              -- JSON: by whom, and how it was proposed; no demographics
);
-- Whoever is looked up is one row: of one name there, one link holds and one waits.
CREATE UNIQUE INDEX identity_link_confirmed ON identity_link (kind, issuer, there) WHERE state = 'confirmed';
CREATE UNIQUE INDEX identity_link_proposed ON identity_link (kind, issuer, there) WHERE state = 'proposed';
CREATE INDEX identity_link_there ON identity_link (kind, issuer, there);
CREATE INDEX identity_link_state ON identity_link (state, created, link_id);

-- A launch that waits for somebody to compare: what the EHR says of the patient, for minutes.
CREATE TABLE link_ticket (
    ticket_hash bytea PRIMARY KEY,
    expires bigint NOT NULL,
    document text COLLATE "C" NOT NULL              -- JSON with demographics of one patient, until it is purged
);
CREATE INDEX link_ticket_expires ON link_ticket (expires);

-- What a grant rests on ("issuer ISS", "link ID"): it ends with any of them.
CREATE TABLE grant_basis (
    basis text COLLATE "C" NOT NULL,
    grant_id text COLLATE "C" NOT NULL,
    expires bigint NOT NULL,              -- of the last token of the grant
    PRIMARY KEY (basis, grant_id)
);
CREATE INDEX grant_basis_expires ON grant_basis (expires);
