//! Which blocks of an object will be read next, by how it was read so far. Pure.
//!
//! Somebody who reads is followed by a cursor. One that goes from block to block gets more and more read ahead; one that
//! has just come, by a jump, gets nothing. Several are followed at once: sound and pictures may lie far apart, with an
//! index at the end.

use std::ops::Range;

/// Readers that are followed at once.
pub const CURSORS: usize = 4;

/// The most blocks that are read ahead of one reader.
pub const WINDOW: u64 = 8;

/// The readers of one object.
#[derive(Debug)]
pub struct Readers {
    /// Blocks that the object has.
    blocks: u64,
    /// The one that read last at the end.
    cursors: Vec<Cursor>,
}

#[derive(Debug)]
struct Cursor {
    /// The block that was read last.
    at: u64,
    /// How many blocks are read ahead.
    window: u64,
    /// Blocks before this one were asked for.
    asked: u64,
}

impl Readers {
    /// Nobody reads an object of so many blocks yet.
    #[must_use]
    pub fn new(blocks: u64) -> Self {
        Self {
            blocks,
            cursors: Vec::with_capacity(CURSORS),
        }
    }

    /// These blocks were read (not none of them), in one stretch. Answers what should be fetched besides; some of it may be
    /// there.
    pub fn read(&mut self, first: u64, last: u64) -> Range<u64> {
        let mut cursor = self.follow(first, last);
        let near = last + 1;
        let end = (near + cursor.window).min(self.blocks);
        cursor.asked = cursor.asked.max(near);
        // Not block by block: a few at a time are fewer requests.
        let left = cursor.asked - near;
        let ahead = if left <= cursor.window / 2 && cursor.asked < end {
            let ahead = cursor.asked..end;
            cursor.asked = end;
            ahead
        } else {
            0..0
        };
        self.cursors.push(cursor);
        ahead
    }

    /// The cursor that this is a step of, moved there; else a new one.
    fn follow(&mut self, first: u64, last: u64) -> Cursor {
        let position = |fits: &dyn Fn(&Cursor) -> bool| self.cursors.iter().rposition(fits);
        let stays = position(&|cursor| cursor.at == first);
        let steps = position(&|cursor| cursor.at + 1 == first);
        let skips = position(&|cursor| (cursor.at..cursor.asked).contains(&first));
        let Some(found) = stays.or(steps).or(skips) else {
            if self.cursors.len() == CURSORS {
                self.cursors.remove(0);
            }
            return Cursor {
                at: last,
                window: 0,
                asked: last + 1,
            };
        };
        let mut cursor = self.cursors.remove(found);
        let step = stays.is_none() && steps.is_some() || stays.is_some() && last > cursor.at;
        if step {
            cursor.window = (cursor.window * 2).clamp(1, WINDOW);
        } else if stays.is_none() {
            // Much of what lies between is not wanted.
            cursor.window = (cursor.window / 2).max(1);
        }
        cursor.at = last;
        cursor
    }

    /// Whether somebody reads this block just now.
    #[must_use]
    pub fn is_at(&self, block: u64) -> bool {
        self.cursors.iter().any(|cursor| cursor.at == block)
    }

    /// Whether somebody will probably come to this block, for whom it was asked.
    #[must_use]
    pub fn awaits(&self, block: u64) -> bool {
        self.cursors
            .iter()
            .any(|cursor| cursor.at < block && block < cursor.asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(readers: &mut Readers, blocks: Range<u64>) -> Vec<Range<u64>> {
        let asked = blocks.map(|block| readers.read(block, block));
        asked.filter(|ahead| !ahead.is_empty()).collect()
    }

    #[test]
    fn who_reads_on_gets_more_and_more_ahead_and_each_block_once() {
        let mut readers = Readers::new(40);
        let asked = pass(&mut readers, 0..40);
        assert_eq!(asked[..4], [2..3, 3..5, 5..8, 8..13]);
        let mut all: Vec<u64> = asked.into_iter().flatten().collect();
        assert_eq!(all, (2..40).collect::<Vec<_>>());
        all.dedup();
        assert_eq!(all.len(), 38);
    }

    #[test]
    fn a_jump_gets_nothing_ahead_and_reading_one_block_bit_by_bit_neither() {
        let mut readers = Readers::new(1000);
        for block in [0, 999, 500, 100, 700, 300] {
            assert!(readers.read(block, block).is_empty(), "{block}");
            assert!(readers.read(block, block).is_empty(), "{block}");
        }
    }

    #[test]
    fn two_who_read_far_apart_are_followed_by_themselves_and_an_index_does_not_disturb_them() {
        let mut readers = Readers::new(1000);
        pass(&mut readers, 995..1000);
        let (mut sound, mut pictures) = (Vec::new(), Vec::new());
        for step in 0..30 {
            pictures.extend(readers.read(step, step));
            sound.extend(readers.read(500 + step, 500 + step));
        }
        assert!((2..30).all(|block| pictures.contains(&block)));
        assert!((502..530).all(|block| sound.contains(&block)));
        assert!(readers.is_at(999), "still followed");
    }

    #[test]
    fn who_skips_keeps_his_cursor_with_less_ahead() {
        let mut readers = Readers::new(1000);
        pass(&mut readers, 0..10);
        assert!(readers.awaits(13));
        readers.read(13, 13);
        assert_eq!(readers.cursors.len(), 1);
        assert_eq!(readers.cursors[0].window, 4);
    }

    #[test]
    fn a_read_over_several_blocks_is_one_step() {
        let mut readers = Readers::new(1000);
        assert!(readers.read(0, 3).is_empty());
        assert_eq!(readers.read(4, 7), 8..9);
    }
}
