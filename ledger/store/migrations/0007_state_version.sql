-- Which version of the code made the state beside the log: where it is an older one, the state is
-- made anew from the events (ledger.state_rebuilding).
CREATE TABLE state_version (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version  int     NOT NULL
);

INSERT INTO state_version (version) VALUES (1);
