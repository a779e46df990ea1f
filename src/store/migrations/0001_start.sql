-- Times are milliseconds since 1970. Keys are the bytes of the key. Identities are their one text form.

CREATE TABLE counters (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- `lease`: the last lease number given. `level`: what a level of priority was worth, in milliseconds, when the
-- ranks of queued jobs were computed.
INSERT INTO counters (name, value) VALUES ('lease', 0), ('level', 0);

CREATE TABLE rules (
    name    TEXT PRIMARY KEY,
    version TEXT NOT NULL,
    text    TEXT NOT NULL,
    file    TEXT NOT NULL,
    enabled INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    since   INTEGER NOT NULL,
    created INTEGER NOT NULL,
    arming  TEXT NOT NULL CHECK (arming IN ('done', 'enabled', 'widened')),
    cursor  BLOB,
    before  TEXT,
    CHECK ((arming = 'widened') = (before IS NOT NULL)),
    CHECK (arming <> 'done' OR cursor IS NULL)
) STRICT, WITHOUT ROWID;

-- The text of every version that a job was created with.
CREATE TABLE rule_versions (
    version TEXT PRIMARY KEY,
    text    TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE ledger (
    rule       TEXT NOT NULL,
    bucket     TEXT NOT NULL,
    key        BLOB NOT NULL,
    identity   TEXT NOT NULL,
    generation INTEGER NOT NULL CHECK (generation > 0),
    baseline   INTEGER NOT NULL CHECK (baseline IN (0, 1)),
    gone_at    INTEGER,
    PRIMARY KEY (rule, bucket, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE jobs (
    seq          INTEGER PRIMARY KEY,
    id           TEXT NOT NULL UNIQUE,
    rule         TEXT NOT NULL,
    rule_version TEXT NOT NULL REFERENCES rule_versions (version),
    bucket       TEXT NOT NULL,
    key          BLOB NOT NULL,
    identity     TEXT NOT NULL,
    generation   INTEGER NOT NULL CHECK (generation > 0),
    state        TEXT NOT NULL CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    reason       TEXT,
    priority     INTEGER NOT NULL CHECK (priority BETWEEN -10 AND 10),
    rank         INTEGER NOT NULL,
    attempt      INTEGER NOT NULL CHECK (attempt >= 0),
    created      INTEGER NOT NULL,
    started      INTEGER,
    ended        INTEGER,
    not_before   INTEGER CHECK (not_before IS NULL OR state = 'queued'),
    lease        INTEGER UNIQUE,
    holder       TEXT,
    expires      INTEGER,
    superseded   INTEGER NOT NULL CHECK (superseded IN (0, 1)),
    retry_of     TEXT,
    media        TEXT,
    note         TEXT NOT NULL DEFAULT 'none' CHECK (note IN ('none', 'due', 'settled')),
    CHECK ((state = 'running') = (lease IS NOT NULL)),
    CHECK ((lease IS NULL) = (holder IS NULL) AND (lease IS NULL) = (expires IS NULL)),
    CHECK ((state IN ('succeeded', 'failed', 'cancelled')) = (ended IS NOT NULL)),
    UNIQUE (rule, bucket, key, generation)
) STRICT;

-- The queue: the first line of `jobs_ready` is the next job, but for those whose key is being worked on. Jobs that
-- wait for their time are in `jobs_later` and move over when it has come.
CREATE INDEX jobs_ready ON jobs (rank, seq) WHERE state = 'queued' AND not_before IS NULL;
CREATE INDEX jobs_later ON jobs (not_before) WHERE state = 'queued' AND not_before IS NOT NULL;
-- Only one job of a (rule, bucket, key) runs at a time.
CREATE UNIQUE INDEX jobs_running ON jobs (rule, bucket, key) WHERE state = 'running';
-- Pages of jobs, newest first, by what they are filtered by.
CREATE INDEX jobs_by_age ON jobs (created, id);
CREATE INDEX jobs_by_state ON jobs (state, created, id);
CREATE INDEX jobs_by_rule ON jobs (rule, state, created, id);
CREATE INDEX jobs_by_key ON jobs (key, bucket, created, id);
CREATE INDEX jobs_note_due ON jobs (seq) WHERE note = 'due';

-- How many jobs there are, kept so that nobody has to count.
CREATE TABLE job_counts (
    rule  TEXT NOT NULL,
    state TEXT NOT NULL,
    count INTEGER NOT NULL CHECK (count >= 0),
    PRIMARY KEY (rule, state)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER jobs_count_new AFTER INSERT ON jobs BEGIN
    INSERT INTO job_counts (rule, state, count) VALUES (new.rule, new.state, 1)
        ON CONFLICT (rule, state) DO UPDATE SET count = count + 1;
END;

CREATE TRIGGER jobs_count_change AFTER UPDATE OF state ON jobs WHEN old.state <> new.state BEGIN
    UPDATE job_counts SET count = count - 1 WHERE rule = old.rule AND state = old.state;
    INSERT INTO job_counts (rule, state, count) VALUES (new.rule, new.state, 1)
        ON CONFLICT (rule, state) DO UPDATE SET count = count + 1;
END;

CREATE TRIGGER jobs_count_gone AFTER DELETE ON jobs BEGIN
    UPDATE job_counts SET count = count - 1 WHERE rule = old.rule AND state = old.state;
END;

CREATE TABLE tasks (
    job           INTEGER NOT NULL REFERENCES jobs (seq) ON DELETE CASCADE,
    place         INTEGER NOT NULL,
    id            TEXT NOT NULL,
    kind          TEXT NOT NULL,
    after         TEXT NOT NULL,
    condition     TEXT NOT NULL CHECK (condition IN ('succeeded', 'failed', 'any')),
    state         TEXT NOT NULL CHECK (state IN
        ('waiting', 'queued', 'running', 'succeeded', 'failed', 'blocked', 'skipped', 'cancelled')),
    attempts      INTEGER NOT NULL CHECK (attempts >= 0),
    alone         INTEGER NOT NULL CHECK (alone IN (0, 1)),
    error_kind    TEXT,
    error_message TEXT,
    findings      TEXT NOT NULL,
    started       INTEGER,
    ended         INTEGER,
    PRIMARY KEY (job, place),
    UNIQUE (job, id),
    CHECK ((error_kind IS NULL) = (error_message IS NULL)),
    CHECK ((state IN ('waiting', 'queued', 'running')) = (ended IS NULL))
) STRICT, WITHOUT ROWID;

-- Every name that the program ever gave, with its owner (rule, source_bucket, source_key). `before` is what the
-- line said before the publish list that it is on, as JSON, in case that list is abandoned.
CREATE TABLE outputs (
    bucket        TEXT NOT NULL,
    key           BLOB NOT NULL,
    identity      TEXT NOT NULL,
    checksum      TEXT NOT NULL,
    rule          TEXT NOT NULL,
    source_bucket TEXT NOT NULL,
    source_key    BLOB NOT NULL,
    job           TEXT NOT NULL,
    task          TEXT,
    generation    INTEGER NOT NULL,
    state         TEXT NOT NULL CHECK (state IN ('publishing', 'published', 'superseded', 'removed')),
    remove_after  INTEGER,
    before        TEXT,
    PRIMARY KEY (bucket, key),
    CHECK ((state = 'superseded') = (remove_after IS NOT NULL)),
    CHECK (before IS NULL OR state = 'publishing')
) STRICT, WITHOUT ROWID;

CREATE INDEX outputs_by_source ON outputs (rule, source_bucket, source_key);
CREATE INDEX outputs_by_job ON outputs (job);
CREATE INDEX outputs_to_remove ON outputs (remove_after) WHERE state = 'superseded';

-- Publish lists begun and not finished. The task is empty for the note about a failure.
CREATE TABLE publishes (
    seq  INTEGER PRIMARY KEY,
    job  TEXT NOT NULL,
    task TEXT NOT NULL,
    findings TEXT NOT NULL,
    begun INTEGER NOT NULL,
    UNIQUE (job, task)
) STRICT;

CREATE TABLE publish_items (
    publish   INTEGER NOT NULL REFERENCES publishes (seq) ON DELETE CASCADE,
    place     INTEGER NOT NULL,
    scratch   BLOB NOT NULL,
    bucket    TEXT NOT NULL,
    key       BLOB NOT NULL,
    identity  TEXT NOT NULL,
    checksum  TEXT NOT NULL,
    replaces  TEXT,
    overwrite INTEGER NOT NULL CHECK (overwrite IN (0, 1)),
    PRIMARY KEY (publish, place)
) STRICT, WITHOUT ROWID;

CREATE INDEX publish_items_by_name ON publish_items (bucket, key);
