-- Organisations that exchange records with this one, and who acts for them.

CREATE TABLE partner (
    partner_id text COLLATE "C" PRIMARY KEY,
    organization_id text COLLATE "C" NOT NULL,  -- id of its Organization
    name_key text COLLATE "C" NOT NULL,         -- its name, capitals of ASCII made small
    kind text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL CHECK (state IN ('invited', 'active', 'suspended', 'ended')),
    created bigint NOT NULL,
    document text COLLATE "C" NOT NULL          -- the rest of PartnerRow as JSON
);
CREATE UNIQUE INDEX partner_organization ON partner (organization_id) WHERE state <> 'ended';
CREATE INDEX partner_name ON partner (name_key, partner_id);
CREATE INDEX partner_state ON partner (state, name_key, partner_id);
CREATE INDEX partner_kind ON partner (kind, name_key, partner_id);

-- A client or an account acts for one partner or for none, and stays with it.
CREATE TABLE partner_member (
    kind text COLLATE "C" NOT NULL CHECK (kind IN ('client', 'user')),
    name text COLLATE "C" NOT NULL,             -- client_id or username
    partner_id text COLLATE "C" NOT NULL,
    added bigint NOT NULL,
    PRIMARY KEY (kind, name)
);
CREATE INDEX partner_member_partner ON partner_member (partner_id, kind, name);

-- Clients by name, a page at a time.
ALTER TABLE client ADD COLUMN name_key text COLLATE "C" NOT NULL DEFAULT '';
UPDATE client SET name_key = lower((document::json ->> 'name') COLLATE "C");
CREATE INDEX client_name ON client (name_key, client_id);
CREATE INDEX client_disabled ON client (disabled, name_key, client_id);

-- Until when something made from a grant can act: the end of its longest token. People's grants are listed by it.
ALTER TABLE access_grant ADD COLUMN stands_until bigint NOT NULL DEFAULT 0;
UPDATE access_grant SET stands_until = greatest(
    coalesce((SELECT max(expires) FROM access_token WHERE access_token.grant_id = access_grant.grant_id), 0),
    coalesce((SELECT max(expires) FROM refresh_token WHERE refresh_token.grant_id = access_grant.grant_id), 0)
);
CREATE INDEX access_grant_standing ON access_grant (stands_until, grant_id)
    WHERE revoked IS NULL AND username <> '';
CREATE INDEX access_grant_standing_client ON access_grant (client_id, stands_until, grant_id)
    WHERE revoked IS NULL AND username <> '';
CREATE INDEX access_grant_standing_username ON access_grant (username, stands_until, grant_id)
    WHERE revoked IS NULL AND username <> '';
