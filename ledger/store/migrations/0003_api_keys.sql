-- Who may ask what (API.md, "Auth"). The secret itself is never stored, only its SHA-256.
-- `programme` NULL: the programme of this database.

CREATE TABLE api_keys (
    id         text        COLLATE "C" PRIMARY KEY,
    name       text        NOT NULL,
    roles      text[]      NOT NULL CHECK (cardinality(roles) > 0),
    programme  text,
    hash       bytea       NOT NULL CHECK (length(hash) = 32),
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);

-- Events name the key that asked, and four eyes are two names: no two live keys share one.
CREATE UNIQUE INDEX api_keys_by_name ON api_keys (name) WHERE revoked_at IS NULL;
