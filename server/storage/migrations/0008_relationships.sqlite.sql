-- Who may know whose chart, made of one resource each and written with it. Times in microseconds.

-- actor, patient: hashes of Type/id. rid: the resource it is made of; of an emergency access -1 times its number.
CREATE TABLE relationship (
    actor INTEGER NOT NULL,
    patient INTEGER NOT NULL,
    until INTEGER NOT NULL,
    rid INTEGER NOT NULL,
    starts INTEGER NOT NULL,
    PRIMARY KEY (actor, patient, until, rid, starts)
) STRICT, WITHOUT ROWID;
CREATE INDEX relationship_rid ON relationship (rid);

-- Who is related as party is so as member. kind: 1 role, 2 organization, 3 standing team.
CREATE TABLE membership (
    member INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    party INTEGER NOT NULL,
    until INTEGER NOT NULL,
    rid INTEGER NOT NULL,
    starts INTEGER NOT NULL,
    PRIMARY KEY (member, kind, party, until, rid, starts)
) STRICT, WITHOUT ROWID;
CREATE INDEX membership_rid ON membership (rid);

-- Charts that somebody opened without a relationship, for a stated reason and a short time. Times in milliseconds.
CREATE TABLE emergency_access (
    number INTEGER PRIMARY KEY,
    username TEXT NOT NULL,
    actor TEXT NOT NULL,
    patient TEXT NOT NULL,
    reason TEXT NOT NULL,
    comment TEXT NOT NULL,
    opened INTEGER NOT NULL,
    until INTEGER NOT NULL,
    ended INTEGER,
    reviewed INTEGER,
    reviewed_by TEXT NOT NULL,
    finding TEXT NOT NULL
) STRICT;
CREATE INDEX emergency_access_opened ON emergency_access (opened);
CREATE INDEX emergency_access_patient ON emergency_access (patient, opened);
CREATE INDEX emergency_access_unreviewed ON emergency_access (opened) WHERE reviewed IS NULL;

-- What was stored before has no such rows yet. Until it has, nobody whom they limit is answered.
INSERT INTO reindex (what, position, last, type)
SELECT 'relations-Appointment', 0, rid, 'Appointment' FROM resource WHERE type = 'Appointment' AND deleted = 0 ORDER BY rid DESC LIMIT 1;
INSERT INTO reindex (what, position, last, type)
SELECT 'relations-CarePlan', 0, rid, 'CarePlan' FROM resource WHERE type = 'CarePlan' AND deleted = 0 ORDER BY rid DESC LIMIT 1;
INSERT INTO reindex (what, position, last, type)
SELECT 'relations-CareTeam', 0, rid, 'CareTeam' FROM resource WHERE type = 'CareTeam' AND deleted = 0 ORDER BY rid DESC LIMIT 1;
INSERT INTO reindex (what, position, last, type)
SELECT 'relations-Encounter', 0, rid, 'Encounter' FROM resource WHERE type = 'Encounter' AND deleted = 0 ORDER BY rid DESC LIMIT 1;
INSERT INTO reindex (what, position, last, type)
SELECT 'relations-EpisodeOfCare', 0, rid, 'EpisodeOfCare' FROM resource WHERE type = 'EpisodeOfCare' AND deleted = 0 ORDER BY rid DESC LIMIT 1;
INSERT INTO reindex (what, position, last, type)
SELECT 'relations-Patient', 0, rid, 'Patient' FROM resource WHERE type = 'Patient' AND deleted = 0 ORDER BY rid DESC LIMIT 1;
INSERT INTO reindex (what, position, last, type)
SELECT 'relations-PractitionerRole', 0, rid, 'PractitionerRole' FROM resource WHERE type = 'PractitionerRole' AND deleted = 0 ORDER BY rid DESC LIMIT 1;
INSERT INTO reindex (what, position, last, type)
SELECT 'relations-Task', 0, rid, 'Task' FROM resource WHERE type = 'Task' AND deleted = 0 ORDER BY rid DESC LIMIT 1;
