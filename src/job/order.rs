//! The order of the queue: one number for each job, fixed when it is made.
//!
//! Because the number never changes, an index finds the first job, and no job starves: a level of
//! priority is worth a fixed head start.

use std::time::Duration;

use jiff::Timestamp;

use super::Priority;

/// How much a level of priority is worth in waiting time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ageing {
    /// A job counts as created this much earlier for each level.
    Each(Duration),
    /// Priority first, then oldest.
    Strict,
}

impl Ageing {
    /// What a level of priority is worth, in milliseconds; at most [`STRICT`].
    #[must_use]
    pub fn weight(self) -> i64 {
        match self {
            Self::Each(each) => i64::try_from(each.as_millis()).map_or(STRICT, |ms| ms.min(STRICT)),
            Self::Strict => STRICT,
        }
    }
}

/// More milliseconds than lie between any two times, so that no age makes up for a level of priority; ten of
/// them still fit an `i64`.
pub const STRICT: i64 = 1 << 50;

/// The job's place: lower first. Jobs with the same number go in the order in which they were made.
#[must_use]
pub fn order_key(created: Timestamp, priority: Priority, ageing: Ageing) -> i64 {
    created.as_millisecond() - priority.get() * ageing.weight()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOURLY: Ageing = Ageing::Each(Duration::from_hours(1));

    fn key(seconds: i64, priority: i64, ageing: Ageing) -> i64 {
        let created = Timestamp::from_second(seconds).unwrap();
        order_key(created, Priority::new(priority).unwrap(), ageing)
    }

    #[test]
    fn a_level_is_worth_its_ageing() {
        assert!(key(3_599, 1, HOURLY) < key(0, 0, HOURLY));
        assert!(key(3_601, 1, HOURLY) > key(0, 0, HOURLY));
    }

    proptest! {
        #[test]
        fn strict_means_priority_first_and_then_age(
            left in (Timestamp::MIN.as_second()..Timestamp::MAX.as_second(), -10..=10i64),
            right in (Timestamp::MIN.as_second()..Timestamp::MAX.as_second(), -10..=10i64),
        ) {
            let wanted = (-left.1, left.0).cmp(&(-right.1, right.0));
            let found = key(left.0, left.1, Ageing::Strict).cmp(&key(right.0, right.1, Ageing::Strict));
            prop_assert_eq!(found, wanted);
        }

        #[test]
        fn nothing_overflows(seconds in Timestamp::MIN.as_second()..Timestamp::MAX.as_second(), priority in -10..=10i64) {
            key(seconds, priority, Ageing::Each(Duration::MAX));
        }
    }
}
