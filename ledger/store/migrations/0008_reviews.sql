-- When a member's tier ends, and when the member was reviewed last: for the jobs that find who is
-- due (PROGRAMME 6.3, 7). They follow from the events, as all state beside the log; older rows get
-- theirs when the state is made anew.
ALTER TABLE member_states ADD COLUMN tier_until date, ADD COLUMN reviewed_on date;

CREATE INDEX member_states_tier_until ON member_states (tier_until, member_id)
    WHERE tier_until IS NOT NULL;
CREATE INDEX member_states_reviewed_on ON member_states (reviewed_on, member_id);
