-- One row per points lot, by events alone. What it ever got, less what ever left it, is what it
-- holds, free (`remaining`) or set aside (`reserved`). `adjusted` is what staff took: 0 or less.

CREATE TABLE lots (
    member_id     text        COLLATE "C" NOT NULL,
    lot_id        text        COLLATE "C" NOT NULL,
    source        text        COLLATE "C",
    order_id      text        COLLATE "C",
    funded_by     text        COLLATE "C",
    parent_lot_id text        COLLATE "C",
    earned_at     timestamptz,
    expires_on    date,
    pending_until date,
    granted       bigint      NOT NULL,
    restored      bigint      NOT NULL,
    redeemed      bigint      NOT NULL,
    expired       bigint      NOT NULL,
    clawed_back   bigint      NOT NULL,
    adjusted      bigint      NOT NULL,
    paid_debt     bigint      NOT NULL,
    reserved      bigint      NOT NULL,
    activated     bigint      NOT NULL,
    remaining     bigint      NOT NULL GENERATED ALWAYS AS (
        granted + restored + adjusted - redeemed - expired - clawed_back - paid_debt - reserved
    ) STORED,
    status        text        COLLATE "C" NOT NULL GENERATED ALWAYS AS (
        CASE WHEN granted + restored + adjusted - redeemed - expired - clawed_back - paid_debt = 0
             THEN CASE WHEN expired > 0 THEN 'expired' ELSE 'used' END
             WHEN pending_until IS NOT NULL AND activated = 0 THEN 'pending'
             ELSE 'active' END
    ) STORED,
    PRIMARY KEY (member_id, lot_id)
) WITH (fillfactor = 80);

-- What an open reservation drew: a capture names only what goes back.
CREATE TABLE drawn (
    member_id     text   COLLATE "C" NOT NULL,
    redemption_id text   COLLATE "C" NOT NULL,
    lot_id        text   COLLATE "C" NOT NULL,
    points        bigint NOT NULL,
    PRIMARY KEY (member_id, redemption_id, lot_id)
);
