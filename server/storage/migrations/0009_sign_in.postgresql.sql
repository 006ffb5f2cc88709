-- Sign-in of staff: second factors, accounts at other providers, failed attempts, and logins whose cookie changes.

CREATE TABLE second_factor (
    username text COLLATE "C" PRIMARY KEY,
    secret text COLLATE "C" NOT NULL,   -- sealed; '' while none is confirmed
    pending text COLLATE "C" NOT NULL,  -- sealed; shown to the person, confirmed by a first code; '' for none
    since bigint NOT NULL,              -- when `secret` was confirmed, 0 while it is ''
    last_step bigint NOT NULL           -- the time step of the last code that was taken: none of it or before is taken again
);

CREATE TABLE recovery_code (
    username text COLLATE "C" NOT NULL,
    code_hash bytea NOT NULL,
    PRIMARY KEY (username, code_hash)
);

CREATE TABLE external_identity (
    issuer text COLLATE "C" NOT NULL,   -- of an OpenID provider
    subject text COLLATE "C" NOT NULL,  -- the person there
    username text COLLATE "C" NOT NULL,
    linked bigint NOT NULL,
    PRIMARY KEY (issuer, subject)
);
CREATE UNIQUE INDEX external_identity_username ON external_identity (username, issuer);

-- Failed attempts of one account, address or client; keys are keyed hashes, so that no address stands here.
CREATE TABLE failed_attempt (
    key_hash bytea PRIMARY KEY,
    level bigint NOT NULL,              -- thousandths of an attempt, at `counted`; leaks away with time
    counted bigint NOT NULL,
    closed_until bigint NOT NULL,
    expires bigint NOT NULL
);
CREATE INDEX failed_attempt_expires ON failed_attempt (expires);

ALTER TABLE staff DROP COLUMN failed_attempts;
ALTER TABLE staff DROP COLUMN locked_until;

-- login: names a sign-in, and stays as the cookie (session_hash) changes.
ALTER TABLE browser_session ADD COLUMN login bytea NOT NULL DEFAULT ''::bytea;
UPDATE browser_session SET login = session_hash;
CREATE INDEX browser_session_login ON browser_session (login);
