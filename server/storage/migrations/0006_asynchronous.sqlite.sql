-- Requests that are answered later (Prefer: respond-async), and their answers until they expire.

CREATE TABLE asynchronous_request (
    id TEXT PRIMARY KEY,  -- part of the URL that is asked for the answer
    caller BLOB NOT NULL,  -- digest of who may ask: client, user, launch context, role, scopes
    client_id TEXT NOT NULL,
    token_hash BLOB NOT NULL,  -- of the token the request came with, judged again when it is done
    address TEXT NOT NULL,
    request BLOB NOT NULL,  -- the interaction as JSON, without its body
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    finished INTEGER,
    done INTEGER NOT NULL,  -- entries of a batch that were done, of `total`
    total INTEGER NOT NULL,
    patients TEXT NOT NULL,  -- of the answer, for the audit trail: ids
    results INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX asynchronous_request_open ON asynchronous_request (client_id) WHERE finished IS NULL;
CREATE INDEX asynchronous_request_expires ON asynchronous_request (expires);

-- part: 'body' (as it came), 'row' (of a batch, number: position of the entry), 'answer'; zlib, in pieces.
CREATE TABLE asynchronous_content (
    request_id TEXT NOT NULL,
    part TEXT NOT NULL CHECK (part IN ('body', 'row', 'answer')),
    number INTEGER NOT NULL,
    content BLOB NOT NULL,
    PRIMARY KEY (request_id, part, number)
) STRICT;
