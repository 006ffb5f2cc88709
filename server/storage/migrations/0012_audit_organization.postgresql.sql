-- The partner that acted, as "Organization/id", "" for the site's own people and apps: whom an accounting of
-- disclosures names. Hashed behind the columns before it, and only where it holds something (`audit_chain.py`).
ALTER TABLE audit ADD COLUMN organization text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE audit_chain ADD COLUMN organization text COLLATE "C" NOT NULL DEFAULT '';
