-- How far each view has come, and the events it could not take. A view's rows are in a schema of
-- its own, made from the view's .sql file: a view is rebuilt, never migrated (projections).
-- `definition` is the fingerprint of that file: another one there means that a rebuild is due.

CREATE TABLE view_positions (
    view       text   COLLATE "C" PRIMARY KEY,
    position   bigint NOT NULL CHECK (position >= 0),
    definition text   NOT NULL
) WITH (fillfactor = 10, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);

-- Set aside with the reason while the rest goes on (FAILURES 26); gone when the view is rebuilt.
CREATE TABLE bad_events (
    view       text        COLLATE "C" NOT NULL,
    position   bigint      NOT NULL,
    stream_id  text        COLLATE "C" NOT NULL,
    topic      text        COLLATE "C" NOT NULL,
    reason     text        NOT NULL,
    first_seen timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (view, position)
);

CREATE INDEX bad_events_by_stream ON bad_events (view, stream_id);
