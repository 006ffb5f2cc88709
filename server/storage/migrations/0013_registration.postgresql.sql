-- Key sets that clients publish by URL, as they were fetched last. Times in milliseconds.
CREATE TABLE key_set (
    url text COLLATE "C" PRIMARY KEY,
    fetched bigint,                     -- NULL while no fetch has succeeded
    fresh_until bigint NOT NULL,
    busy_until bigint NOT NULL,         -- a process is fetching it
    not_before bigint NOT NULL,         -- when it may be tried again
    document text COLLATE "C" NOT NULL  -- {"keys": [...]}
);

-- What was fetched for the clients so far, to be fetched again at once.
INSERT INTO key_set (url, fetched, fresh_until, busy_until, not_before, document)
SELECT DISTINCT ON (document::json ->> 'jwks_uri')
       document::json ->> 'jwks_uri', (document::json ->> 'jwks_fetched')::bigint, 0, 0, 0,
       document::json ->> 'jwks'
FROM client
WHERE coalesce(document::json ->> 'jwks_uri', '') <> '' AND (document::json ->> 'jwks_fetched')::bigint > 0
ORDER BY document::json ->> 'jwks_uri', (document::json ->> 'jwks_fetched')::bigint DESC;

-- Initial access tokens of dynamic registration (RFC 7591), stored as keyed digests.
CREATE TABLE registration_invitation (
    token_hash bytea PRIMARY KEY,
    invitation_id text COLLATE "C" NOT NULL,
    created bigint NOT NULL,
    expires bigint NOT NULL,
    uses_left bigint NOT NULL,
    document text COLLATE "C" NOT NULL
);
CREATE UNIQUE INDEX registration_invitation_id ON registration_invitation (invitation_id);
CREATE INDEX registration_invitation_expires ON registration_invitation (expires);
