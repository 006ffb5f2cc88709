-- HL7 v2 messages as they came, what became of them, and who sends them. Times in microseconds UTC.
-- A partial index answers a statement that has its WHERE word for word: SQLite compares it as it is written.

CREATE TABLE hl7v2_message (
    id INTEGER PRIMARY KEY,           -- in the order of arrival, also across processes
    source TEXT NOT NULL,             -- name of its hl7v2_source
    listener TEXT NOT NULL,           -- by which way it came: mllp, http, file
    control_id TEXT NOT NULL,         -- MSH-10, '' for none
    sha256 BLOB NOT NULL,             -- of the bytes
    received INTEGER NOT NULL,
    raw BLOB NOT NULL,                -- as it came; empty for a duplicate (duplicate_of has the same bytes)
    type TEXT NOT NULL,               -- MSH-9.1
    trigger TEXT NOT NULL,            -- MSH-9.2
    structure TEXT NOT NULL,          -- MSH-9.3, or as table 0354 has it
    event_at INTEGER NOT NULL,        -- EVN-6, EVN-2, MSH-7, or received
    order_key INTEGER NOT NULL,      -- hash of its patient, else of its source; one of a key after the other
    second_key INTEGER,               -- of the patient that a merge ends
    mrn TEXT NOT NULL,                -- PID-3.1 of the identifier that tells the patient
    visit TEXT NOT NULL,              -- PV1-19.1
    state TEXT NOT NULL
        CHECK (state IN ('received', 'mapped', 'applied', 'duplicate', 'failed', 'parked')),
    attempts INTEGER NOT NULL DEFAULT 0,
    next_attempt INTEGER NOT NULL,    -- not before
    lease_owner TEXT NOT NULL DEFAULT '',
    lease_until INTEGER NOT NULL DEFAULT 0,
    error TEXT NOT NULL DEFAULT '',   -- code, blank, words; nothing of the message
    warnings TEXT NOT NULL DEFAULT '',  -- what was odd about its arrival: codes, blanks between
    after_error INTEGER NOT NULL DEFAULT 0,  -- 1: an earlier one of its key has failed
    mapping_version TEXT NOT NULL DEFAULT '',
    duplicate_of INTEGER,             -- id of the same message, received before
    ack_code TEXT NOT NULL,           -- MSA-1 of the answer to its sender, '' where none was to be sent
    owed TEXT NOT NULL DEFAULT '',    -- MSH-16 while its application acknowledgement is to come
    result TEXT NOT NULL DEFAULT '[]' -- JSON list of Type/id/_history/v
) STRICT;
CREATE INDEX hl7v2_message_repeated ON hl7v2_message (source, control_id, sha256) WHERE duplicate_of IS NULL;
CREATE INDEX hl7v2_message_due ON hl7v2_message (state, next_attempt, id);
CREATE INDEX hl7v2_message_order ON hl7v2_message (order_key, id)
    WHERE state IN ('received', 'mapped', 'parked');
CREATE INDEX hl7v2_message_second ON hl7v2_message (second_key, id)
    WHERE state IN ('received', 'mapped', 'parked') AND second_key IS NOT NULL;
CREATE INDEX hl7v2_message_owed ON hl7v2_message (id) WHERE owed <> '';
CREATE INDEX hl7v2_message_state ON hl7v2_message (state, id);
CREATE INDEX hl7v2_message_source ON hl7v2_message (source, id);
CREATE INDEX hl7v2_message_mrn ON hl7v2_message (mrn, id);
CREATE INDEX hl7v2_message_visit ON hl7v2_message (visit, id);
CREATE INDEX hl7v2_message_control_id ON hl7v2_message (control_id, id);
CREATE INDEX hl7v2_message_type ON hl7v2_message (type, trigger, id);

-- Senders. A message of one that is not here makes it, in state new.
CREATE TABLE hl7v2_source (
    name TEXT PRIMARY KEY,
    sending_application TEXT NOT NULL,  -- MSH-3
    sending_facility TEXT NOT NULL,     -- MSH-4
    state TEXT NOT NULL CHECK (state IN ('new', 'confirmed', 'disabled')),
    settings TEXT NOT NULL,             -- JSON
    created INTEGER NOT NULL,
    last_message INTEGER NOT NULL       -- when its latest one was received
) STRICT, WITHOUT ROWID;
CREATE INDEX hl7v2_source_sender ON hl7v2_source (sending_application, sending_facility);

-- What an identity of a map became for good, and of what moment and rank that is which was applied to it last.
CREATE TABLE hl7v2_identity (
    hash INTEGER PRIMARY KEY,           -- of resource type, system and value
    resource_type TEXT NOT NULL,
    resource_id TEXT NOT NULL,
    moment INTEGER NOT NULL,
    rank INTEGER NOT NULL
) STRICT;
CREATE INDEX hl7v2_identity_resource ON hl7v2_identity (resource_type, resource_id);

-- How each element of a result came about, zlib.
CREATE TABLE hl7v2_trace (
    message INTEGER NOT NULL,
    mapping_version TEXT NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (message, mapping_version)
) STRICT;
