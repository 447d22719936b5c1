-- One row per member, by events alone, for lists and searches.

CREATE TABLE members (
    member_id   text          COLLATE "C" PRIMARY KEY,
    status      text          COLLATE "C" NOT NULL,
    joined_at   timestamptz,
    tier        text          COLLATE "C",
    level       text          COLLATE "C",
    segment     text          COLLATE "C",
    available   bigint        NOT NULL,
    pending     bigint        NOT NULL,
    reserved    bigint        NOT NULL,
    debt        bigint        NOT NULL,
    spend       numeric(20, 2) NOT NULL,
    orders      bigint        NOT NULL,
    granted     bigint        NOT NULL,
    restored    bigint        NOT NULL,
    redeemed    bigint        NOT NULL,
    expired     bigint        NOT NULL,
    clawed_back bigint        NOT NULL,
    adjusted    bigint        NOT NULL,
    version     bigint        NOT NULL,
    position    bigint        NOT NULL
) WITH (fillfactor = 70);

CREATE INDEX members_by_status ON members (status, member_id);
