-- The identity whose job succeeded last: known even when that job is forgotten.
ALTER TABLE ledger ADD COLUMN done TEXT;

-- Of jobs that are forgotten already nobody knows how they ended; they count as done, as they did before.
UPDATE ledger SET done = identity WHERE baseline = 0 AND (
    EXISTS (SELECT 1 FROM jobs WHERE jobs.key = ledger.key AND jobs.bucket = ledger.bucket AND jobs.rule = ledger.rule
        AND jobs.identity = ledger.identity AND jobs.state = 'succeeded')
    OR NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.key = ledger.key AND jobs.bucket = ledger.bucket
        AND jobs.rule = ledger.rule AND jobs.identity = ledger.identity));

CREATE TRIGGER jobs_done AFTER UPDATE OF state ON jobs WHEN new.state = 'succeeded' AND old.state <> 'succeeded' BEGIN
    UPDATE ledger SET done = new.identity WHERE rule = new.rule AND bucket = new.bucket AND key = new.key;
END;
