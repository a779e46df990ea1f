-- What is held by a person: one rule's queue, or, under the empty name, the whole mill.
CREATE TABLE pauses (
    rule   TEXT PRIMARY KEY,
    since  INTEGER NOT NULL,
    reason TEXT
) STRICT, WITHOUT ROWID;

-- What whoever asked for a job gave along with it.
ALTER TABLE jobs ADD COLUMN context TEXT;

-- Wishes that must not be carried out twice, with the job that the first one made.
CREATE TABLE dedupes (
    id   TEXT PRIMARY KEY,
    job  TEXT NOT NULL,
    seen INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX dedupes_by_age ON dedupes (seen);

-- The queue, each rule by itself: the first line of a rule that is not held is its next job, however many jobs of held
-- rules there are.
DROP INDEX jobs_ready;
CREATE INDEX jobs_ready ON jobs (rule, rank, seq) WHERE state = 'queued' AND not_before IS NULL;
