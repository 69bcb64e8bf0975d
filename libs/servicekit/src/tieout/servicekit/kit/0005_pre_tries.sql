-- What a dead letter tells of a message: the headers that it came with, and when this service tried it.
ALTER TABLE parked
    ADD headers bytea         NOT NULL DEFAULT '',
    ADD tries   timestamptz[] NOT NULL DEFAULT '{}';
