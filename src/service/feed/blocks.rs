//! The blocks of an object that are here or on their way, and which of them give way. Pure: who fetches is told what.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use bytes::Bytes;

use super::readahead::Readers;

/// Bytes of a block; the last of an object is shorter.
pub const BLOCK: u64 = 1 << 20;

/// The most blocks that are here or on their way.
pub const MOST: usize = 48;

/// Blocks that are fetched by one request.
const RUN: u64 = 4;

/// Blocks one after another, fetched by one request.
pub type Run = Range<u64>;

/// What is kept of one object.
#[derive(Debug)]
pub struct Blocks {
    size: u64,
    readers: Readers,
    here: BTreeMap<u64, Block>,
    coming: BTreeSet<u64>,
    clock: u64,
}

#[derive(Debug)]
struct Block {
    bytes: Bytes,
    read: bool,
    /// When it came or was read last.
    touched: u64,
}

impl Blocks {
    /// Of an object of this size nothing is here.
    #[must_use]
    pub fn of(size: u64) -> Self {
        Self {
            size,
            readers: Readers::new(size.div_ceil(BLOCK)),
            here: BTreeMap::new(),
            coming: BTreeSet::new(),
            clock: 0,
        }
    }

    /// The object's length.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Somebody reads `offset .. offset + length`, which is not empty and within the object. Answers what must be fetched
    /// now, the most urgent first; it counts as coming from here on.
    pub fn want(&mut self, offset: u64, length: u64) -> Vec<Run> {
        let asked = blocks_of(offset, length);
        let ahead = self.readers.read(asked.start, asked.end - 1);
        // Both before anything gives way: what goes to make room for the one is not fetched anew for the other.
        let [urgent, ahead] = [asked.clone(), ahead].map(|blocks| self.unknown(blocks));
        self.make_room(urgent.len(), &asked, true);
        let mut runs = self.depart(urgent);
        let room = self.make_room(ahead.len(), &asked, false);
        runs.extend(self.depart(ahead.into_iter().take(room).collect()));
        runs
    }

    /// Those that are neither here nor on their way.
    fn unknown(&self, blocks: Run) -> Vec<u64> {
        let is_known = |block: &u64| self.here.contains_key(block) || self.coming.contains(block);
        blocks.filter(|block| !is_known(block)).collect()
    }

    fn depart(&mut self, blocks: Vec<u64>) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for block in blocks {
            self.coming.insert(block);
            match runs.last_mut() {
                Some(run) if run.end == block && block - run.start < RUN => run.end += 1,
                _ => runs.push(block..block + 1),
            }
        }
        runs
    }

    /// Drops blocks until so many more fit, as far as that is possible; answers how many do. Of what was fetched ahead and
    /// is still waited for nothing goes, unless the need is urgent.
    fn make_room(&mut self, blocks: usize, keep: &Run, urgent: bool) -> usize {
        let room = |all: &Self| MOST.saturating_sub(all.here.len() + all.coming.len());
        while room(self) < blocks {
            let worth = |number: u64, block: &Block| {
                if keep.contains(&number) {
                    return None;
                }
                let held = self.readers.is_at(number) || !block.read && self.readers.awaits(number);
                (urgent || !held).then_some((held, block.touched))
            };
            let least = self
                .here
                .iter()
                .filter_map(|(number, block)| Some((worth(*number, block)?, *number)))
                .min();
            let Some((_, number)) = least else { break };
            self.here.remove(&number);
        }
        room(self)
    }

    /// Where a run lies in the object: offset and length.
    #[must_use]
    pub fn place(&self, run: &Run) -> (u64, u64) {
        let offset = run.start * BLOCK;
        (offset, (run.end * BLOCK).min(self.size) - offset)
    }

    /// The bytes of a run have come.
    pub fn came(&mut self, run: Run, bytes: &Bytes) {
        let alone = run.end - run.start == 1;
        for (block, part) in run.zip(bytes.chunks(usize::try_from(BLOCK).unwrap_or(usize::MAX))) {
            self.coming.remove(&block);
            self.clock += 1;
            // A slice would keep the whole run in memory for as long as one block of it is kept.
            let bytes = if alone {
                bytes.clone()
            } else {
                Bytes::copy_from_slice(part)
            };
            let block_here = Block {
                bytes,
                read: false,
                touched: self.clock,
            };
            self.here.insert(block, block_here);
        }
    }

    /// A run will not come.
    pub fn failed(&mut self, run: Run) {
        for block in run {
            self.coming.remove(&block);
        }
    }

    /// Adds `offset .. offset + length` to `into`, where all of it is here.
    pub fn read(&mut self, offset: u64, length: u64, into: &mut Vec<u8>) -> bool {
        let blocks = blocks_of(offset, length);
        if !blocks.clone().all(|block| self.here.contains_key(&block)) {
            return false;
        }
        self.clock += 1;
        for number in blocks {
            let Some(block) = self.here.get_mut(&number) else {
                return false;
            };
            block.read = true;
            block.touched = self.clock;
            let start = number * BLOCK;
            let within = |at: u64| usize::try_from(at.saturating_sub(start)).unwrap_or(usize::MAX);
            let end = within(offset + length).min(block.bytes.len());
            into.extend_from_slice(&block.bytes[within(offset)..end]);
        }
        true
    }

    /// Whether this run brings something of `offset .. offset + length`.
    #[must_use]
    pub fn serves(run: &Run, offset: u64, length: u64) -> bool {
        let blocks = blocks_of(offset, length);
        run.start < blocks.end && blocks.start < run.end
    }
}

fn blocks_of(offset: u64, length: u64) -> Run {
    offset / BLOCK..(offset + length - 1) / BLOCK + 1
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;

    const LARGEST: u64 = 401 * BLOCK;

    /// The object. No two of its blocks are equal: what it repeats is a little longer than a block.
    static CONTENT: LazyLock<Bytes> = LazyLock::new(|| {
        let pattern: Vec<u8> = (0..BLOCK + 13)
            .map(|at| u8::try_from((at ^ at >> 12) % 251).unwrap())
            .collect();
        let mut content = Vec::new();
        while (content.len() as u64) < LARGEST {
            content.extend_from_slice(&pattern);
        }
        content.into()
    });

    fn content(offset: u64, length: u64) -> Bytes {
        CONTENT.slice(usize::try_from(offset).unwrap()..usize::try_from(offset + length).unwrap())
    }

    /// Reads as the feed does; what is on its way comes in any order.
    struct Reading {
        blocks: Blocks,
        way: Vec<Run>,
        fetched: HashMap<u64, u32>,
        bytes: u64,
    }

    impl Reading {
        fn of(size: u64) -> Self {
            Self {
                blocks: Blocks::of(size),
                way: Vec::new(),
                fetched: HashMap::new(),
                bytes: 0,
            }
        }

        fn come(&mut self, which: usize) {
            let run = self.way.swap_remove(which % self.way.len());
            let (offset, length) = self.blocks.place(&run);
            let bytes = content(offset, length);
            self.bytes += length;
            self.blocks.came(run, &bytes);
        }

        fn read(&mut self, offset: u64, length: u64, order: usize) {
            let before: Vec<u64> = self.blocks.here.keys().chain(&self.blocks.coming).copied().collect();
            let runs = self.blocks.want(offset, length);
            for block in runs.iter().cloned().flatten() {
                assert!(!before.contains(&block), "{block} is here or on its way");
                *self.fetched.entry(block).or_default() += 1;
            }
            assert!(runs.iter().all(|run| run.end - run.start <= RUN));
            self.way.extend(runs);
            let mut into = Vec::new();
            while !self.blocks.read(offset, length, &mut into) {
                assert!(!self.way.is_empty(), "nothing that is missing is on its way");
                self.come(order);
            }
            assert!(into == content(offset, length), "{offset} {length}");
            assert!(self.blocks.here.len() + self.blocks.coming.len() <= MOST + 5);
        }
    }

    #[test]
    fn one_pass_with_an_index_at_the_end_fetches_nearly_every_block_once() {
        let size = 300 * BLOCK + 12_345;
        let index = 296 * BLOCK + 777;
        let mut reading = Reading::of(size);
        reading.read(0, 4096, 0);
        // Its end is looked at first, then where the index begins.
        reading.read(size - 128, 128, 0);
        let mut at = index;
        while at < size {
            reading.read(at, (64 << 10).min(size - at), 0);
            at += 64 << 10;
        }
        let fetched = reading.bytes;
        assert!(fetched <= 7 * BLOCK, "{fetched}");
        let mut at = 0;
        while at < index {
            reading.read(at, (256 << 10).min(index - at), 3);
            at += 256 << 10;
        }
        while !reading.way.is_empty() {
            reading.come(0);
        }
        let share = reading.bytes as f64 / size as f64;
        assert!(share <= 1.03, "{share}");
    }

    #[test]
    fn sound_and_pictures_far_apart_are_each_fetched_once() {
        let size = 400 * BLOCK;
        let mut reading = Reading::of(size);
        let (mut sound, mut pictures) = (380 * BLOCK, 0);
        while pictures < 380 * BLOCK {
            reading.read(pictures, 200_000, 1);
            pictures += 200_000;
            if pictures % 1_000_000 == 0 {
                reading.read(sound, 40_000, 1);
                sound += 40_000;
            }
        }
        let share = reading.bytes as f64 / size as f64;
        assert!(share <= 1.03, "{share}");
    }

    #[test]
    fn a_look_here_and_there_fetches_little() {
        let size = 400 * BLOCK;
        let mut reading = Reading::of(size);
        for step in 0..20 {
            reading.read(step * 19 * BLOCK + 1000, 100_000, 0);
        }
        assert_eq!(reading.bytes, 20 * BLOCK);
    }

    fn steps() -> impl Strategy<Value = Vec<(bool, u64, u64, usize)>> {
        let length = prop_oneof![1..300_u64, 1..200_000_u64, 1..4 * BLOCK];
        prop::collection::vec((any::<bool>(), 0..100 * BLOCK, length, any::<usize>()), 1..60)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        #[test]
        fn whatever_is_read_is_right_and_nothing_that_is_here_is_fetched(size in 1..100 * BLOCK, steps in steps()) {
            let mut reading = Reading::of(size);
            let mut at = 0;
            for (jumps, to, length, order) in steps {
                if jumps {
                    at = to;
                }
                at %= size;
                let length = length.min(size - at);
                reading.read(at, length, order);
                at += length;
            }
        }
    }
}
