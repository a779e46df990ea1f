-- What the job's rule wants done with the source after success, as JSON; NULL: nothing.
ALTER TABLE jobs ADD COLUMN after_success TEXT;

-- One line for each job that succeeded and wanted its source deleted or moved, written with the job's end. `aside` is
-- the name beside the source under which it is hidden before it goes, written down before it is used; so is `target`.
-- A step is held while a job of another rule on the same identity has failed.
CREATE TABLE source_steps (
    seq      INTEGER PRIMARY KEY,
    job      TEXT NOT NULL UNIQUE,
    rule     TEXT NOT NULL,
    bucket   TEXT NOT NULL,
    key      BLOB NOT NULL,
    identity TEXT NOT NULL,
    wish     TEXT NOT NULL,
    state    TEXT NOT NULL CHECK (state IN ('due', 'held', 'done', 'given_up')),
    reason   TEXT,
    aside    BLOB,
    target   BLOB,
    created  INTEGER NOT NULL,
    ended    INTEGER,
    CHECK ((state IN ('done', 'given_up')) = (ended IS NOT NULL))
) STRICT;

CREATE INDEX source_steps_due ON source_steps (seq) WHERE state = 'due';
CREATE INDEX source_steps_by_key ON source_steps (key, bucket) WHERE state IN ('due', 'held');

-- Old jobs are forgotten in the order in which they ended, and versions that no job has any more with them.
CREATE INDEX jobs_ended ON jobs (ended, seq) WHERE ended IS NOT NULL;
CREATE INDEX jobs_by_version ON jobs (rule_version);
