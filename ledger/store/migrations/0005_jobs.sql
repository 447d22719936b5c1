-- What the scheduler has run, and who may run it: the scheduler itself holds no state (DESIGN 2.10).

CREATE TABLE job_runs (
    run_id      text        COLLATE "C" PRIMARY KEY,
    job         text        COLLATE "C" NOT NULL,
    as_of       timestamptz NOT NULL,
    status      text        COLLATE "C" NOT NULL CHECK (status IN ('running', 'done', 'failed')),
    affected    bigint      NOT NULL DEFAULT 0,
    reason      text,
    started_at  timestamptz NOT NULL,
    finished_at timestamptz
);

CREATE INDEX job_runs_by_job ON job_runs (job, started_at);

-- One leader at a time; a lease that is not renewed is free for the next.
CREATE TABLE leases (
    name         text        COLLATE "C" PRIMARY KEY,
    holder       text        NOT NULL,
    leased_until timestamptz NOT NULL
);
