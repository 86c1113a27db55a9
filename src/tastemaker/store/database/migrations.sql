-- The tables of the database, version by version: each part brings it from version i - 1 to i. Parts are
-- only ever appended. Times are microseconds since 1970, UTC. A semicolon at the end of a line ends a
-- statement.

-- version 1
CREATE TABLE events (
    event_id TEXT PRIMARY KEY CHECK (event_id <> ''), user_id TEXT NOT NULL CHECK (user_id <> ''),
    kind TEXT NOT NULL, timestamp INTEGER NOT NULL, item_id TEXT, value REAL, request_id TEXT, refers_to TEXT,
    CHECK ((kind = 'undo') = (refers_to IS NOT NULL)),
    CHECK (kind = 'undo' OR item_id IS NOT NULL)) WITHOUT ROWID;
CREATE INDEX events_by_user ON events (user_id, timestamp, event_id);
CREATE TABLE slates (
    request_id TEXT NOT NULL, user_id TEXT NOT NULL, timestamp INTEGER NOT NULL, position INTEGER NOT NULL,
    item_id TEXT NOT NULL, propensity REAL NOT NULL CHECK (propensity > 0 AND propensity <= 1),
    prefix_propensity REAL CHECK (prefix_propensity > 0 AND prefix_propensity <= 1), policy_id TEXT NOT NULL,
    PRIMARY KEY (request_id, position)) WITHOUT ROWID;
CREATE INDEX slates_by_user ON slates (user_id, timestamp);
CREATE TABLE deployments (
    deployment_id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, fingerprint TEXT NOT NULL,
    timestamp INTEGER NOT NULL, note TEXT NOT NULL DEFAULT '');

-- version 2
-- A question that was shown: open until closed_at; closed without an answer means skipped.
CREATE TABLE surveys (
    question_id TEXT PRIMARY KEY CHECK (question_id <> ''), user_id TEXT NOT NULL, item_id TEXT NOT NULL,
    request_id TEXT NOT NULL, question TEXT NOT NULL,
    asked_probability REAL NOT NULL CHECK (asked_probability > 0 AND asked_probability <= 1),
    timestamp INTEGER NOT NULL, answer INTEGER CHECK (answer BETWEEN 1 AND 5), closed_at INTEGER,
    CHECK (answer IS NULL OR closed_at IS NOT NULL)) WITHOUT ROWID;
CREATE INDEX surveys_by_user ON surveys (user_id, timestamp);
-- What the ranker knew of each shown row when the slate was served: a proxy learns from this and nothing
-- later.
CREATE TABLE impressions (
    request_id TEXT PRIMARY KEY, user_id TEXT NOT NULL, timestamp INTEGER NOT NULL,
    features TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE exposures (
    experiment TEXT NOT NULL, unit TEXT NOT NULL, arm TEXT NOT NULL, timestamp INTEGER NOT NULL,
    PRIMARY KEY (experiment, unit, arm)) WITHOUT ROWID;

-- version 3
-- What a certified policy, and pi0 beside it, gave the shown item: a mixture of both was served.
ALTER TABLE slates ADD COLUMN policy_propensity REAL CHECK (policy_propensity BETWEEN 0 AND 1);
ALTER TABLE slates ADD COLUMN reference_propensity REAL CHECK (reference_propensity BETWEEN 0 AND 1);

-- version 4
-- The order in which events came: a clock may jump back. Old rows came in the order of their times.
ALTER TABLE events ADD COLUMN sequence INTEGER;
UPDATE events SET sequence = came.place FROM
    (SELECT event_id AS name, row_number() OVER (ORDER BY timestamp, event_id) AS place FROM events) AS came
    WHERE event_id = came.name;
CREATE INDEX events_by_sequence ON events (sequence);
-- A slate as it was made, offered to its caller; shown once it was delivered. pool: JSON list of the items
-- it was drawn from. A caller's own id for the request stands for one query and its answer.
CREATE TABLE offers (
    request_id TEXT PRIMARY KEY CHECK (request_id <> ''), user_id TEXT NOT NULL, timestamp INTEGER NOT NULL,
    shown_at INTEGER, deployment TEXT NOT NULL DEFAULT '', pool TEXT, caller TEXT NOT NULL,
    request_key TEXT, query TEXT, answer TEXT, UNIQUE (caller, request_key)) WITHOUT ROWID;
CREATE INDEX offers_by_user ON offers (user_id, shown_at);
CREATE INDEX offers_answered ON offers (timestamp) WHERE answer IS NOT NULL;
INSERT INTO offers (request_id, user_id, timestamp, shown_at, caller)
    SELECT request_id, min(user_id), min(timestamp), min(timestamp), min(user_id)
    FROM slates GROUP BY request_id;
-- What draws are keyed by; made at first use, never shown.
CREATE TABLE secrets (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- version 5
-- Who may call the server; of a key only its hash. A revoked key stays, so that the server stays closed.
CREATE TABLE keys (
    key_id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, role TEXT NOT NULL, hash TEXT NOT NULL,
    created_at INTEGER NOT NULL, revoked_at INTEGER) WITHOUT ROWID;
-- What operators did: names nobody that was erased.
CREATE TABLE audit (
    entry_id INTEGER PRIMARY KEY AUTOINCREMENT, timestamp INTEGER NOT NULL, actor TEXT NOT NULL,
    action TEXT NOT NULL, detail TEXT NOT NULL);
-- A slate whose client says what was shown: when it was sent; shown_at is when the client said so.
ALTER TABLE offers ADD COLUMN delivered_at INTEGER;

-- version 6
-- Keyed hashes of people who were erased: no row about them is written again. From here on every table has a
-- column `checksum` besides its own, which `integrity` adds and every connection fills.
CREATE TABLE erased (person TEXT PRIMARY KEY CHECK (person <> '')) WITHOUT ROWID;

-- version 7
-- What people with a name said to the assistant. shown: JSON list of item ids; state: JSON of what stands in
-- the conversation after the turn.
CREATE TABLE talks (
    conversation_id TEXT NOT NULL CHECK (conversation_id <> ''), turn INTEGER NOT NULL,
    user_id TEXT NOT NULL CHECK (user_id <> ''), timestamp INTEGER NOT NULL, message TEXT NOT NULL,
    shown TEXT NOT NULL, state TEXT NOT NULL, PRIMARY KEY (conversation_id, turn)) WITHOUT ROWID;
CREATE INDEX talks_by_user ON talks (user_id, timestamp);
