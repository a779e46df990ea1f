-- What a listing said of a key the last time, where that is not its identity: servers may say one thing in a listing and
-- another when they are asked about a key.
ALTER TABLE ledger ADD COLUMN listed TEXT;

-- Hints that their sender was told of: they are kept until they are decided.
CREATE TABLE hints (
    seq    INTEGER PRIMARY KEY AUTOINCREMENT,
    bucket TEXT NOT NULL,
    key    BLOB NOT NULL,
    event  INTEGER,
    source TEXT NOT NULL
) STRICT;

-- Messages that nobody understood.
CREATE TABLE quarantine (
    seq    INTEGER PRIMARY KEY AUTOINCREMENT,
    bucket TEXT NOT NULL,
    source TEXT NOT NULL,
    reason TEXT NOT NULL,
    body   BLOB NOT NULL,
    came   INTEGER NOT NULL
) STRICT;

-- Uploads in parts that were begun at a server, until they are completed or aborted.
CREATE TABLE uploads (
    bucket TEXT NOT NULL,
    key    BLOB NOT NULL,
    id     TEXT NOT NULL,
    job    TEXT NOT NULL,
    begun  INTEGER NOT NULL,
    PRIMARY KEY (bucket, key, id)
) STRICT, WITHOUT ROWID;
