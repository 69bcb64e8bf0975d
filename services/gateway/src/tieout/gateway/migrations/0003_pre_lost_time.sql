-- A time that this database has forgotten, because an older backup was put in its place: what came then and led to no command
-- is lost. `until` is set when the recovery has ended; one that was interrupted goes on with the same `since`.
CREATE TABLE lost_time (
    since timestamptz PRIMARY KEY,
    until timestamptz
);
CALL state_table('lost_time');

-- Documents of such a time that led to commands: their commands stand again, their own bytes do not.
CREATE TABLE rebuilt_document (
    id        uuid PRIMARY KEY,
    satellite text COLLATE "C" NOT NULL,
    since     timestamptz NOT NULL REFERENCES lost_time
);
CALL fact_table('rebuilt_document');
