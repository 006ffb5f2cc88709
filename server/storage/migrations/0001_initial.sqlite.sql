-- The first schema. Times are milliseconds since 1970 UTC unless a comment says microseconds.
-- Hashes are those of server/fhir/hashing.py. No foreign keys: rows of one patient must be able to live on
-- another machine than those of the next.

-- Current versions. A deletion keeps its row (deleted = 1, empty body) so that a read can answer 410.
CREATE TABLE resource (
    rid INTEGER PRIMARY KEY,            -- internal number, never reused; order of creation
    type TEXT NOT NULL,
    id TEXT NOT NULL,
    version INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    method TEXT NOT NULL,
    deleted INTEGER NOT NULL,
    self_hash INTEGER NOT NULL,         -- reference_hash("Type/id"): what chains join on
    patient INTEGER,                    -- reference_hash("Patient/id") of the chart, NULL for none or several
    main_date INTEGER,                  -- microseconds
    settled_version INTEGER NOT NULL,   -- first version since which the compartments have not changed
    body BLOB NOT NULL,
    tokens BLOB NOT NULL                -- the row's token hashes, 8 bytes each, sorted: the old side of a difference
) STRICT;
CREATE UNIQUE INDEX resource_self ON resource (self_hash);
CREATE INDEX resource_type ON resource (type, deleted, rid);
CREATE INDEX resource_date ON resource (type, deleted, main_date, rid);
CREATE INDEX resource_updated ON resource (type, deleted, updated, rid);

-- One row a version. body NULL: it is the current version and its body stands in resource.
CREATE TABLE version (
    seq INTEGER PRIMARY KEY,
    rid INTEGER NOT NULL,
    version INTEGER NOT NULL,
    type TEXT NOT NULL,
    updated INTEGER NOT NULL,
    method TEXT NOT NULL,
    patient INTEGER,
    body BLOB
) STRICT;
CREATE UNIQUE INDEX version_instance ON version (rid, version);
CREATE INDEX version_type ON version (type, updated, seq);
CREATE INDEX version_updated ON version (updated, seq);

CREATE TABLE token (
    hash INTEGER NOT NULL,
    rid INTEGER NOT NULL,
    PRIMARY KEY (hash, rid)
) STRICT, WITHOUT ROWID;

-- Typed values: clustered by resource (probes, sorting, differences), indexed by value (searches).
CREATE TABLE date_value (
    rid INTEGER NOT NULL,
    parameter INTEGER NOT NULL,
    low INTEGER NOT NULL,               -- microseconds, [low, high)
    high INTEGER NOT NULL,
    PRIMARY KEY (rid, parameter, low, high)
) STRICT, WITHOUT ROWID;
CREATE INDEX date_value_low ON date_value (parameter, low, high, rid);
CREATE INDEX date_value_high ON date_value (parameter, high, rid);

CREATE TABLE string_value (
    rid INTEGER NOT NULL,
    parameter INTEGER NOT NULL,
    normal TEXT NOT NULL,
    exact TEXT NOT NULL,
    PRIMARY KEY (rid, parameter, normal, exact)
) STRICT, WITHOUT ROWID;
CREATE INDEX string_value_normal ON string_value (parameter, normal, rid);

CREATE TABLE quantity_value (
    rid INTEGER NOT NULL,
    parameter INTEGER NOT NULL,
    low REAL NOT NULL,
    high REAL NOT NULL,
    unit INTEGER NOT NULL,
    PRIMARY KEY (rid, parameter, low, high, unit)
) STRICT, WITHOUT ROWID;
CREATE INDEX quantity_value_low ON quantity_value (parameter, low, high, unit, rid);

CREATE TABLE uri_value (
    rid INTEGER NOT NULL,
    parameter INTEGER NOT NULL,
    uri TEXT NOT NULL,
    PRIMARY KEY (rid, parameter, uri)
) STRICT, WITHOUT ROWID;
CREATE INDEX uri_value_uri ON uri_value (parameter, uri, rid);

-- Reference parameters followed forward (_include, chains); backward goes through token by link_hash.
CREATE TABLE reference_value (
    rid INTEGER NOT NULL,
    parameter INTEGER NOT NULL,
    target INTEGER NOT NULL,            -- self_hash of the resource referred to
    PRIMARY KEY (rid, parameter, target)
) STRICT, WITHOUT ROWID;

-- Whose compartments a resource is in. Rows outlive the deletion of the resource: 410 is for those who may see.
CREATE TABLE compartment (
    patient INTEGER NOT NULL,
    type TEXT NOT NULL,
    rid INTEGER NOT NULL,
    PRIMARY KEY (patient, type, rid)
) STRICT, WITHOUT ROWID;
CREATE INDEX compartment_rid ON compartment (rid);

-- What happened, for the relay. Rows are removed when they have been handled.
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY,
    rid INTEGER NOT NULL,
    type TEXT NOT NULL,
    resource_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    method TEXT NOT NULL,
    patient INTEGER,
    created INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('new', 'claimed', 'dead')),
    owner TEXT NOT NULL,
    available INTEGER NOT NULL,         -- when it may be claimed: at once, at the end of a lease, at a retry
    attempts INTEGER NOT NULL
) STRICT;
CREATE INDEX outbox_available ON outbox (available, id) WHERE state <> 'dead';

CREATE TABLE claim (
    key BLOB PRIMARY KEY,
    times INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
    id INTEGER PRIMARY KEY,
    recorded INTEGER NOT NULL,
    principal TEXT NOT NULL,
    client_id TEXT NOT NULL,
    interaction TEXT NOT NULL,
    type TEXT NOT NULL,
    resource_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    patient TEXT NOT NULL,
    outcome INTEGER NOT NULL,
    request_id TEXT NOT NULL
) STRICT;
CREATE INDEX audit_recorded ON audit (recorded);
CREATE INDEX audit_patient ON audit (patient, recorded);

-- How far each segment file of read audits has been moved into the table.
CREATE TABLE audit_segment (
    name TEXT PRIMARY KEY,
    position INTEGER NOT NULL           -- bytes
) STRICT, WITHOUT ROWID;

-- The authorization server. Secrets are stored only as SHA-256 (random ones) or as a password hash.
CREATE TABLE security_epoch (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    value INTEGER NOT NULL
) STRICT;
INSERT INTO security_epoch (only, value) VALUES (1, 1);

CREATE TABLE client (
    client_id TEXT PRIMARY KEY,
    disabled INTEGER NOT NULL,
    created INTEGER NOT NULL,
    document TEXT NOT NULL              -- the rest of ClientRow as JSON
) STRICT, WITHOUT ROWID;

CREATE TABLE staff (
    username TEXT PRIMARY KEY,
    password_hash TEXT NOT NULL,
    role TEXT NOT NULL,
    practitioner_id TEXT NOT NULL,
    display TEXT NOT NULL,
    disabled INTEGER NOT NULL,
    failed_attempts INTEGER NOT NULL,
    locked_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE access_grant (
    grant_id TEXT PRIMARY KEY,
    client_id TEXT NOT NULL,
    username TEXT NOT NULL,
    created INTEGER NOT NULL,
    revoked INTEGER,
    document TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX access_grant_client ON access_grant (client_id);
CREATE INDEX access_grant_username ON access_grant (username);

CREATE TABLE authorization_code (
    code_hash BLOB PRIMARY KEY,
    grant_id TEXT NOT NULL,
    expires INTEGER NOT NULL,
    used INTEGER,
    document TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX authorization_code_expires ON authorization_code (expires);

CREATE TABLE launch (
    launch_hash BLOB PRIMARY KEY,
    expires INTEGER NOT NULL,
    used INTEGER,
    document TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX launch_expires ON launch (expires);

CREATE TABLE access_token (
    token_hash BLOB PRIMARY KEY,
    grant_id TEXT NOT NULL,
    client_id TEXT NOT NULL,
    expires INTEGER NOT NULL,
    revoked INTEGER,
    document TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX access_token_grant ON access_token (grant_id);
CREATE INDEX access_token_expires ON access_token (expires);

CREATE TABLE refresh_token (
    token_hash BLOB PRIMARY KEY,
    grant_id TEXT NOT NULL,             -- the family: every token rotated from the first one
    client_id TEXT NOT NULL,
    scope TEXT NOT NULL,
    expires INTEGER NOT NULL,
    rotated INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX refresh_token_grant ON refresh_token (grant_id);
CREATE INDEX refresh_token_expires ON refresh_token (expires);

CREATE TABLE assertion_id (
    issuer TEXT NOT NULL,
    jti TEXT NOT NULL,
    expires INTEGER NOT NULL,
    PRIMARY KEY (issuer, jti)
) STRICT, WITHOUT ROWID;
CREATE INDEX assertion_id_expires ON assertion_id (expires);

CREATE TABLE browser_session (
    session_hash BLOB PRIMARY KEY,
    area TEXT NOT NULL,
    username TEXT NOT NULL,
    created INTEGER NOT NULL,
    last_used INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    document TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX browser_session_username ON browser_session (username);
CREATE INDEX browser_session_expires ON browser_session (expires);
