-- Search parameters that a site defines (SearchParameter resources that are active), and which set of them is known.

CREATE TABLE custom_parameter (
    number bigint PRIMARY KEY,          -- in index rows in place of a registry's number; never given twice
    id text COLLATE "C" NOT NULL,       -- of the SearchParameter resource
    type text COLLATE "C" NOT NULL,     -- one of its base types
    code text COLLATE "C" NOT NULL,
    what text COLLATE "C" NOT NULL,     -- its row in `reindex`, while what was stored before it is being indexed
    definition text COLLATE "C" NOT NULL,  -- JSON: everything else that indexing and searching need
    done bigint NOT NULL                -- resources that were indexed again for it
);
CREATE UNIQUE INDEX custom_parameter_code ON custom_parameter (type, code);

-- epoch: names the set as it is now, 0 for the empty one of the beginning; no two sets have the same one.
CREATE TABLE custom_parameter_set (
    "only" bigint PRIMARY KEY CHECK ("only" = 1),
    epoch bigint NOT NULL,
    last_number bigint NOT NULL
);
INSERT INTO custom_parameter_set ("only", epoch, last_number) VALUES (1, 0, 1000000);

-- The only resource type that is being indexed again, '' for all.
ALTER TABLE reindex ADD COLUMN type text COLLATE "C" NOT NULL DEFAULT '';
