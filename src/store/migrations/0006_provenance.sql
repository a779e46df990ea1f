-- How the outputs of a task came to be, as JSON; it goes with its job.
CREATE TABLE provenance (
    job  INTEGER NOT NULL REFERENCES jobs (seq) ON DELETE CASCADE,
    task TEXT NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (job, task)
) STRICT, WITHOUT ROWID;
