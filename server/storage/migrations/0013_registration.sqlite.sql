-- Key sets that clients publish by URL, as they were fetched last. Times in milliseconds.
CREATE TABLE key_set (
    url TEXT PRIMARY KEY,
    fetched INTEGER,                    -- NULL while no fetch has succeeded
    fresh_until INTEGER NOT NULL,
    busy_until INTEGER NOT NULL,        -- a process is fetching it
    not_before INTEGER NOT NULL,        -- when it may be tried again
    document TEXT NOT NULL              -- {"keys": [...]}
) STRICT, WITHOUT ROWID;

-- What was fetched for the clients so far, to be fetched again at once.
INSERT INTO key_set (url, fetched, fresh_until, busy_until, not_before, document)
SELECT json_extract(document, '$.jwks_uri'), max(json_extract(document, '$.jwks_fetched')), 0, 0, 0,
       json_extract(document, '$.jwks')
FROM client
WHERE coalesce(json_extract(document, '$.jwks_uri'), '') <> '' AND json_extract(document, '$.jwks_fetched') > 0
GROUP BY json_extract(document, '$.jwks_uri');

-- Initial access tokens of dynamic registration (RFC 7591), stored as keyed digests.
CREATE TABLE registration_invitation (
    token_hash BLOB PRIMARY KEY,
    invitation_id TEXT NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    uses_left INTEGER NOT NULL,
    document TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX registration_invitation_id ON registration_invitation (invitation_id);
CREATE INDEX registration_invitation_expires ON registration_invitation (expires);
