-- Sign-in of staff: second factors, accounts at other providers, failed attempts, and logins whose cookie changes.

CREATE TABLE second_factor (
    username TEXT PRIMARY KEY,
    secret TEXT NOT NULL,               -- sealed; '' while none is confirmed
    pending TEXT NOT NULL,              -- sealed; shown to the person, confirmed by a first code; '' for none
    since INTEGER NOT NULL,             -- when `secret` was confirmed, 0 while it is ''
    last_step INTEGER NOT NULL          -- the time step of the last code that was taken: none of it or before is taken again
) STRICT, WITHOUT ROWID;

CREATE TABLE recovery_code (
    username TEXT NOT NULL,
    code_hash BLOB NOT NULL,
    PRIMARY KEY (username, code_hash)
) STRICT, WITHOUT ROWID;

CREATE TABLE external_identity (
    issuer TEXT NOT NULL,               -- of an OpenID provider
    subject TEXT NOT NULL,              -- the person there
    username TEXT NOT NULL,
    linked INTEGER NOT NULL,
    PRIMARY KEY (issuer, subject)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX external_identity_username ON external_identity (username, issuer);

-- Failed attempts of one account, address or client; keys are keyed hashes, so that no address stands here.
CREATE TABLE failed_attempt (
    key_hash BLOB PRIMARY KEY,
    level INTEGER NOT NULL,             -- thousandths of an attempt, at `counted`; leaks away with time
    counted INTEGER NOT NULL,
    closed_until INTEGER NOT NULL,
    expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX failed_attempt_expires ON failed_attempt (expires);

ALTER TABLE staff DROP COLUMN failed_attempts;
ALTER TABLE staff DROP COLUMN locked_until;

-- login: names a sign-in, and stays as the cookie (session_hash) changes.
ALTER TABLE browser_session ADD COLUMN login BLOB NOT NULL DEFAULT x'';
UPDATE browser_session SET login = session_hash;
CREATE INDEX browser_session_login ON browser_session (login);
