-- Quantities: nearly all rows are points, whose lower end is their upper one. The index by the upper end holds only
-- those that reach over a range, so that the others cost one page less.
DROP INDEX quantity_value_high;
CREATE INDEX quantity_value_range ON quantity_value (parameter, unit, high, low, rid) WHERE low < high;

-- What stored resources are being indexed again for; a row goes when it is done. A search that needs what is not
-- there yet is refused. This schema begins with everything that was stored before it.
CREATE TABLE reindex (
    what text COLLATE "C" PRIMARY KEY,
    position bigint NOT NULL,           -- all resources up to this rid are done
    last bigint NOT NULL                -- rid of the last resource that there was; later ones are complete
);
INSERT INTO reindex (what, position, last) SELECT 'schema-5', 0, rid FROM resource ORDER BY rid DESC LIMIT 1;
