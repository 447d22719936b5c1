-- State beside the log: what follows from the events, written in the same transaction, so that a
-- command costs one read whatever the length of the history (DESIGN 2.4). All of it but
-- profiles and idempotency_keys can be rebuilt from the events.
-- The member's id is in every key: the tables can be distributed by it.

-- The head of a member. The free space keeps an update on its page (HOT), the index untouched.
CREATE TABLE member_states (
    member_id     text   COLLATE "C" PRIMARY KEY,
    version       bigint NOT NULL,
    referral_code text   COLLATE "C" NOT NULL UNIQUE,
    state         text   NOT NULL
) WITH (fillfactor = 60);

-- One row a lot; `expires_on` infinity: never.
CREATE TABLE lot_states (
    member_id   text        COLLATE "C" NOT NULL,
    lot_id      text        COLLATE "C" NOT NULL,
    expires_on  date        NOT NULL,
    earned_at   timestamptz NOT NULL,
    open        boolean     NOT NULL,
    has_expired boolean     NOT NULL,
    state       text        NOT NULL,
    PRIMARY KEY (member_id, lot_id)
) WITH (fillfactor = 80);

-- Drawing order (PROGRAMME 3.2).
CREATE INDEX lot_states_drawing ON lot_states (member_id, expires_on, earned_at, lot_id) WHERE open;
-- What is due for expiry, for the job (3.3).
CREATE INDEX lot_states_due ON lot_states (expires_on, member_id) WHERE open;
-- What late data may still draw (3.6).
CREATE INDEX lot_states_expired ON lot_states (member_id, expires_on) WHERE has_expired;

-- What the callers' ids mean, for ever: whose they are, what was asked (`fingerprint`), what the
-- first answer was (`status`, `answer`, and the event that was its last: its position is the
-- answer's), and what a later command must know (`state`).
CREATE TABLE directory (
    kind        text     COLLATE "C" NOT NULL,
    id          text     COLLATE "C" NOT NULL,
    member_id   text     COLLATE "C" NOT NULL,
    fingerprint bytea,
    status      smallint,
    answer      text,
    stream_id   text     COLLATE "C",
    version     bigint,
    state       text,
    PRIMARY KEY (kind, id)
) WITH (fillfactor = 90);

-- First answers by idempotency key, for 30 days at least. Where `kind` is given, the answer is
-- the directory's.
CREATE TABLE idempotency_keys (
    scope       text        COLLATE "C" NOT NULL,
    key         text        COLLATE "C" NOT NULL,
    fingerprint bytea       NOT NULL,
    kind        text        COLLATE "C",
    id          text        COLLATE "C",
    status      smallint    NOT NULL,
    answer      text,
    stream_id   text        COLLATE "C",
    version     bigint,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (scope, key)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys USING brin (recorded_at);

-- Reservations that hold points, by the time at which they lapse (4.3).
CREATE TABLE open_reservations (
    member_id      text        COLLATE "C" NOT NULL,
    redemption_id  text        COLLATE "C" NOT NULL,
    reserved_until timestamptz NOT NULL,
    PRIMARY KEY (member_id, redemption_id)
);
CREATE INDEX open_reservations_due ON open_reservations (reserved_until, member_id);

-- Personal data, apart from the ledger, so that it can be erased (PROGRAMME 13).
CREATE TABLE profiles (
    member_id   text  COLLATE "C" PRIMARY KEY,
    name        text,
    phone       text  COLLATE "C",
    email       text  COLLATE "C",
    external_id text  COLLATE "C",
    birthday    date,
    tags        jsonb NOT NULL DEFAULT '[]',
    consents    jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX profiles_phone ON profiles (phone, member_id) WHERE phone IS NOT NULL;
CREATE INDEX profiles_email ON profiles (lower(email), member_id) WHERE email IS NOT NULL;
CREATE INDEX profiles_external_id ON profiles (external_id, member_id) WHERE external_id IS NOT NULL;

-- The versions of the programme (PROGRAMME 1).
CREATE TABLE programme_versions (
    number       int         PRIMARY KEY,
    effective_at timestamptz NOT NULL,
    recorded_at  timestamptz NOT NULL,
    rules        text        NOT NULL
);
