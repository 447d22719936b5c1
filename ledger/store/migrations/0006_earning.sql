-- Lots whose points can't be spent yet, by their last pending day (PROGRAMME 2.9).
CREATE TABLE pending_lots (
    member_id     text COLLATE "C" NOT NULL,
    lot_id        text COLLATE "C" NOT NULL,
    pending_until date NOT NULL,
    PRIMARY KEY (member_id, lot_id)
);
CREATE INDEX pending_lots_due ON pending_lots (pending_until, member_id);

-- Who was brought by whom (2.7): to find loops, and many referees whose phone numbers begin alike
-- (10). It follows from the events, as all state beside the log.
CREATE TABLE referrals (
    referee_id  text COLLATE "C" PRIMARY KEY,
    referrer_id text COLLATE "C" NOT NULL
);
CREATE INDEX referrals_by_referrer ON referrals (referrer_id);

-- What members answered in surveys and quizzes: theirs, apart from the log, so that it can be
-- erased (13).
CREATE TABLE activity_answers (
    activity_id text  COLLATE "C" PRIMARY KEY,
    member_id   text  COLLATE "C" NOT NULL,
    answers     jsonb NOT NULL
);
CREATE INDEX activity_answers_by_member ON activity_answers (member_id);
