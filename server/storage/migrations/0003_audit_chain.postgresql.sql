-- The audit chain. `audit` becomes what waits to be sealed: rows come into it with what they tell of, and the
-- sealer moves them into `audit_chain`, numbered without gaps and each hashed over the one before. A row that
-- waits is never looked up, so what searches need stands on the chain alone and costs no request anything.
DROP INDEX audit_recorded;
DROP INDEX audit_patient;
ALTER TABLE audit ADD COLUMN username text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE audit ADD COLUMN token_id text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE audit ADD COLUMN purpose text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE audit ADD COLUMN address text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE audit ADD COLUMN results bigint NOT NULL DEFAULT 0;
ALTER TABLE audit ADD COLUMN detail text COLLATE "C" NOT NULL DEFAULT '';

CREATE TABLE audit_chain (
    sequence bigint PRIMARY KEY,       -- 1, 2, 3, ... without gaps
    recorded bigint NOT NULL,
    principal text COLLATE "C" NOT NULL,
    username text COLLATE "C" NOT NULL,
    client_id text COLLATE "C" NOT NULL,
    token_id text COLLATE "C" NOT NULL,
    purpose text COLLATE "C" NOT NULL,
    address text COLLATE "C" NOT NULL,
    interaction text COLLATE "C" NOT NULL,
    type text COLLATE "C" NOT NULL,
    resource_id text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    patient text COLLATE "C" NOT NULL, -- ids, separated by spaces; the same ones as rows in audit_patient
    outcome bigint NOT NULL,
    results bigint NOT NULL,
    detail text COLLATE "C" NOT NULL,
    request_id text COLLATE "C" NOT NULL,
    hash bytea NOT NULL                  -- SHA-256 of the hash before and of this row: server/storage/audit_chain.py
);
CREATE INDEX audit_chain_recorded ON audit_chain (recorded, sequence);
CREATE INDEX audit_chain_principal ON audit_chain (principal, recorded, sequence);
CREATE INDEX audit_chain_client ON audit_chain (client_id, recorded, sequence);
CREATE INDEX audit_chain_interaction ON audit_chain (interaction, recorded, sequence);
CREATE INDEX audit_chain_resource ON audit_chain (type, resource_id, recorded, sequence);
CREATE INDEX audit_chain_request ON audit_chain (request_id);
CREATE INDEX audit_chain_refused ON audit_chain (recorded, sequence) WHERE outcome >= 400;

-- Whose records a row tells of, to find all rows of a patient.
CREATE TABLE audit_patient (
    patient text COLLATE "C" NOT NULL,
    recorded bigint NOT NULL,
    sequence bigint NOT NULL,
    PRIMARY KEY (patient, recorded, sequence)
);
CREATE INDEX audit_patient_sequence ON audit_patient (sequence);

-- How far the chain reaches. Whoever seals moves this on first, so that two never seal at once. No row: nothing
-- was ever sealed.
CREATE TABLE audit_sealer (
    "only" bigint PRIMARY KEY,
    sequence bigint NOT NULL
);

-- Signatures over the chain as far as `sequence`: a JWT, and the public key (JWK) that it was made with.
CREATE TABLE audit_head (
    sequence bigint PRIMARY KEY,
    signed bigint NOT NULL,
    signature text COLLATE "C" NOT NULL,
    public_key text COLLATE "C" NOT NULL
);
