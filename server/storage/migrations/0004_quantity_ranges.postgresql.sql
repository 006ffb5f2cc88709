-- Quantities by parameter and unit, from either end: a comparison reads the rows on its own side, of its own unit.

DROP INDEX quantity_value_low;
CREATE INDEX quantity_value_low ON quantity_value (parameter, unit, low, high, rid);
CREATE INDEX quantity_value_high ON quantity_value (parameter, unit, high, low, rid);
