-- The log: every event, append-only, in commit order (DESIGN 7).

CREATE TABLE events (
    position    bigint      NOT NULL UNIQUE CHECK (position > 0),
    stream_id   text        COLLATE "C" NOT NULL,
    version     bigint      NOT NULL CHECK (version >= 0),
    topic       text        COLLATE "C" NOT NULL,
    state       bytea       NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (stream_id, version)
);

-- The last position given out, and the time of its append. One row, locked by each append until
-- it commits: that alone makes positions dense and in commit order, and time never go back.
-- Free space in the page keeps its many new versions in one place.
CREATE TABLE log_head (
    only_row    boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
    position    bigint      NOT NULL CHECK (position >= 0),
    recorded_at timestamptz NOT NULL
) WITH (fillfactor = 10, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);

INSERT INTO log_head (position, recorded_at) VALUES (0, '-infinity');

-- How far each reader of a log has come.
CREATE TABLE tracking (
    application text   COLLATE "C" PRIMARY KEY,
    position    bigint NOT NULL
);

-- The second line of defence, for everybody, the owner and superusers too: the first is that the
-- role jifen_writer has no right to do it (writer_role.sql).
CREATE FUNCTION refuse_change_of_log() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the log is append-only: % on % is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'object_not_in_prerequisite_state',
              HINT = 'Record a further event that corrects what is wrong.';
END
$$;

CREATE TRIGGER append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_log();

-- Also for a session that says it is replaying replication.
ALTER TABLE events ENABLE ALWAYS TRIGGER append_only;
