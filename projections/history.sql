-- The whole life of every account: one row per event of a member, with the balance before and
-- after by events alone. `points` is the change of available + pending − debt.

CREATE TABLE entries (
    member_id        text        COLLATE "C" NOT NULL,
    version          bigint      NOT NULL,
    position         bigint      NOT NULL,
    kind             text        COLLATE "C" NOT NULL,
    occurred_at      timestamptz NOT NULL,
    recorded_at      timestamptz NOT NULL,
    points           bigint      NOT NULL,
    available_before bigint      NOT NULL,
    pending_before   bigint      NOT NULL,
    reserved_before  bigint      NOT NULL,
    debt_before      bigint      NOT NULL,
    available_after  bigint      NOT NULL,
    pending_after    bigint      NOT NULL,
    reserved_after   bigint      NOT NULL,
    debt_after       bigint      NOT NULL,
    order_id         text        COLLATE "C",
    redemption_id    text        COLLATE "C",
    refund_id        text        COLLATE "C",
    adjustment_id    text        COLLATE "C",
    lot_id           text        COLLATE "C",
    summary          text        NOT NULL,
    summary_zh       text        NOT NULL,
    breakdown        text,
    actor_key        text        NOT NULL,
    actor_role       text        NOT NULL,
    channel          text,
    request_id       text,
    corrects         bigint,
    PRIMARY KEY (member_id, version)
);
