//! How many bits a second a track takes, from what was written.

/// How long a piece is, in seconds, and how many bytes it has.
pub type Piece = (f64, u64);

/// Bits a second at most: of any pieces in a row that are together half to one and a half times as long as `target` seconds,
/// as RFC 8216 counts; where there are none, of the largest piece.
#[must_use]
pub fn peak(pieces: &[Piece], target: f64) -> u64 {
    let mut most = 0.0_f64;
    for from in 0..pieces.len() {
        let (mut seconds, mut bytes) = (0.0, 0);
        for (length, size) in &pieces[from..] {
            seconds += length;
            bytes += size;
            if seconds > target * 1.5 {
                break;
            }
            if seconds >= target * 0.5 {
                most = most.max(rate(seconds, bytes));
            }
        }
    }
    if most == 0.0 {
        most = average_rate(pieces);
    }
    whole(most)
}

/// Bits a second of all of it.
#[must_use]
pub fn average(pieces: &[Piece]) -> u64 {
    whole(average_rate(pieces))
}

fn average_rate(pieces: &[Piece]) -> f64 {
    rate(
        pieces.iter().map(|(length, _)| length).sum(),
        pieces.iter().map(|(_, bytes)| bytes).sum(),
    )
}

fn rate(seconds: f64, bytes: u64) -> f64 {
    bytes as f64 * 8.0 / seconds.max(0.001)
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rates are far below the range"
)]
fn whole(rate: f64) -> u64 {
    rate.max(1.0).ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_that_of_the_worst_segments_and_short_ones_count_with_their_neighbours() {
        let even = [(4.0, 500_000), (4.0, 1_000_000), (4.0, 250_000)];
        assert_eq!(peak(&even, 4.0), 2_000_000);
        assert_eq!(average(&even), 1_166_667);
        // A stub of a second is not a segment by itself.
        let stub = [(4.0, 500_000), (1.0, 500_000)];
        assert_eq!(peak(&stub, 4.0), 1_600_000);
        assert_eq!(peak(&[(0.5, 100_000)], 4.0), 1_600_000, "there is nothing else");
        assert_eq!(peak(&[], 4.0), 1);
    }
}
