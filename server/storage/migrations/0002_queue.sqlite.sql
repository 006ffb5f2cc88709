-- What happens after a commit. The outbox keeps only what a write adds; the relay moves its rows, numbered, into
-- one delivery for every consumer, and everything that waits for time or for a person stands there.

DROP INDEX outbox_available;
ALTER TABLE outbox DROP COLUMN state;
ALTER TABLE outbox DROP COLUMN owner;
ALTER TABLE outbox DROP COLUMN available;
ALTER TABLE outbox DROP COLUMN attempts;

-- One row: the last event number and the last batch number given out.
CREATE TABLE relay (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    event INTEGER NOT NULL,
    batch INTEGER NOT NULL
) STRICT;
INSERT INTO relay (only, event, batch) VALUES (1, 0, 0);

-- Who is told of events: every consumer that a worker has ever found installed, until somebody removes it.
CREATE TABLE consumer (
    name TEXT PRIMARY KEY,
    registered INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE delivery (
    consumer TEXT NOT NULL,
    event INTEGER NOT NULL,             -- event number: the order in which the relay found the commits
    rid INTEGER NOT NULL,
    type TEXT NOT NULL,
    resource_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    method TEXT NOT NULL,
    patient INTEGER,
    created INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('new', 'held', 'dead')),
    owner TEXT NOT NULL,                -- held: the batch that has it, '' while it waits for its retry
    available INTEGER NOT NULL,         -- when it may be claimed: at once, at the end of a lease, at a retry
    attempts INTEGER NOT NULL,
    error TEXT NOT NULL,                -- the class of the last error, never its text
    PRIMARY KEY (event, consumer)       -- in this order: without statistics SQLite would scan a consumer's rows
) STRICT, WITHOUT ROWID;
CREATE INDEX delivery_new ON delivery (consumer, event) WHERE state = 'new';
CREATE INDEX delivery_held ON delivery (consumer, event) WHERE state = 'held';
CREATE INDEX delivery_patient ON delivery (patient, consumer, event) WHERE state = 'held';
CREATE INDEX delivery_resource ON delivery (rid, consumer, event) WHERE state = 'held';
CREATE INDEX delivery_owner ON delivery (owner) WHERE state = 'held';
CREATE INDEX delivery_dead ON delivery (consumer, event) WHERE state = 'dead';

-- Work in the background that is no event. payload: ids, as JSON.
CREATE TABLE job (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    payload TEXT NOT NULL,
    every INTEGER NOT NULL,             -- milliseconds from one run to the next, 0: it runs once
    state TEXT NOT NULL CHECK (state IN ('new', 'claimed', 'done', 'dead')),
    owner TEXT NOT NULL,
    available INTEGER NOT NULL,         -- when it may be claimed: at once, at the end of a lease, at a retry
    heartbeat INTEGER,
    attempts INTEGER NOT NULL,
    done INTEGER NOT NULL,
    total INTEGER NOT NULL,
    error TEXT NOT NULL,
    created INTEGER NOT NULL,
    finished INTEGER
) STRICT;
CREATE UNIQUE INDEX job_open ON job (kind, key) WHERE state IN ('new', 'claimed');
CREATE INDEX job_available ON job (available, id) WHERE state IN ('new', 'claimed');
CREATE INDEX job_finished ON job (finished) WHERE state = 'done';

-- The worker processes that live, and what they do.
CREATE TABLE worker (
    name TEXT PRIMARY KEY,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    started INTEGER NOT NULL,
    seen INTEGER NOT NULL,
    doing TEXT NOT NULL
) STRICT, WITHOUT ROWID;
