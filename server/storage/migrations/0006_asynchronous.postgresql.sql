-- Requests that are answered later (Prefer: respond-async), and their answers until they expire.

CREATE TABLE asynchronous_request (
    id text COLLATE "C" PRIMARY KEY,  -- part of the URL that is asked for the answer
    caller bytea NOT NULL,  -- digest of who may ask: client, user, launch context, role, scopes
    client_id text COLLATE "C" NOT NULL,
    token_hash bytea NOT NULL,  -- of the token the request came with, judged again when it is done
    address text COLLATE "C" NOT NULL,
    request bytea NOT NULL,  -- the interaction as JSON, without its body
    created bigint NOT NULL,
    expires bigint NOT NULL,
    finished bigint,
    done bigint NOT NULL,  -- entries of a batch that were done, of `total`
    total bigint NOT NULL,
    patients text COLLATE "C" NOT NULL,  -- of the answer, for the audit trail: ids
    results bigint NOT NULL
);
CREATE INDEX asynchronous_request_open ON asynchronous_request (client_id) WHERE finished IS NULL;
CREATE INDEX asynchronous_request_expires ON asynchronous_request (expires);

-- part: 'body' (as it came), 'row' (of a batch, number: position of the entry), 'answer'; zlib, in pieces.
CREATE TABLE asynchronous_content (
    request_id text COLLATE "C" NOT NULL,
    part text COLLATE "C" NOT NULL CHECK (part IN ('body', 'row', 'answer')),
    number bigint NOT NULL,
    content bytea NOT NULL,
    PRIMARY KEY (request_id, part, number)
);
