-- The audit chain. `audit` becomes what waits to be sealed: rows come into it with what they tell of, and the
-- sealer moves them into `audit_chain`, numbered without gaps and each hashed over the one before. A row that
-- waits is never looked up, so what searches need stands on the chain alone and costs no request anything.
DROP INDEX audit_recorded;
DROP INDEX audit_patient;
ALTER TABLE audit ADD COLUMN username TEXT NOT NULL DEFAULT '';
ALTER TABLE audit ADD COLUMN token_id TEXT NOT NULL DEFAULT '';
ALTER TABLE audit ADD COLUMN purpose TEXT NOT NULL DEFAULT '';
ALTER TABLE audit ADD COLUMN address TEXT NOT NULL DEFAULT '';
ALTER TABLE audit ADD COLUMN results INTEGER NOT NULL DEFAULT 0;
ALTER TABLE audit ADD COLUMN detail TEXT NOT NULL DEFAULT '';

CREATE TABLE audit_chain (
    sequence INTEGER PRIMARY KEY,       -- 1, 2, 3, ... without gaps
    recorded INTEGER NOT NULL,
    principal TEXT NOT NULL,
    username TEXT NOT NULL,
    client_id TEXT NOT NULL,
    token_id TEXT NOT NULL,
    purpose TEXT NOT NULL,
    address TEXT NOT NULL,
    interaction TEXT NOT NULL,
    type TEXT NOT NULL,
    resource_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    patient TEXT NOT NULL,              -- ids, separated by spaces; the same ones as rows in audit_patient
    outcome INTEGER NOT NULL,
    results INTEGER NOT NULL,
    detail TEXT NOT NULL,
    request_id TEXT NOT NULL,
    hash BLOB NOT NULL                  -- SHA-256 of the hash before and of this row: server/storage/audit_chain.py
) STRICT;
CREATE INDEX audit_chain_recorded ON audit_chain (recorded, sequence);
CREATE INDEX audit_chain_principal ON audit_chain (principal, recorded, sequence);
CREATE INDEX audit_chain_client ON audit_chain (client_id, recorded, sequence);
CREATE INDEX audit_chain_interaction ON audit_chain (interaction, recorded, sequence);
CREATE INDEX audit_chain_resource ON audit_chain (type, resource_id, recorded, sequence);
CREATE INDEX audit_chain_request ON audit_chain (request_id);
CREATE INDEX audit_chain_refused ON audit_chain (recorded, sequence) WHERE outcome >= 400;

-- Whose records a row tells of, to find all rows of a patient.
CREATE TABLE audit_patient (
    patient TEXT NOT NULL,
    recorded INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    PRIMARY KEY (patient, recorded, sequence)
) STRICT, WITHOUT ROWID;
CREATE INDEX audit_patient_sequence ON audit_patient (sequence);

-- How far the chain reaches. Whoever seals moves this on first, so that two never seal at once. No row: nothing
-- was ever sealed.
CREATE TABLE audit_sealer (
    only INTEGER PRIMARY KEY,
    sequence INTEGER NOT NULL
) STRICT;

-- Signatures over the chain as far as `sequence`: a JWT, and the public key (JWK) that it was made with.
CREATE TABLE audit_head (
    sequence INTEGER PRIMARY KEY,
    signed INTEGER NOT NULL,
    signature TEXT NOT NULL,
    public_key TEXT NOT NULL
) STRICT;
