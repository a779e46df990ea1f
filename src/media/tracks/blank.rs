//! What takes a picture of Blu-ray subtitles off the screen.

/// The part that says what is on the screen, and the one that ends a set.
const SCREEN: u8 = 0x16;
const END: u8 = 0x80;

/// So many bytes say it where nothing is to be seen.
const LENGTH: u8 = 11;

/// The set that clears the screen, as packets of Matroska have it, after one that shows something; none after one that shows
/// nothing, or that is not understood.
pub fn after(packet: &[u8]) -> Option<Vec<u8>> {
    let screen = packet.get(..3 + usize::from(LENGTH))?;
    let shown = screen[13];
    if screen[0] != SCREEN || shown == 0 {
        return None;
    }
    // The size of the screen and its rate stay; it is the next picture, of no objects.
    let number = u16::from_be_bytes([screen[8], screen[9]]).wrapping_add(1);
    let head = [SCREEN, 0, LENGTH];
    Some([&head, &screen[3..8], &number.to_be_bytes(), &[0; 4], &[END, 0, 0]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_screen_is_cleared_once_something_is_on_it() {
        let shows = [
            0x16, 0, 19, 7, 128, 4, 56, 0x10, 1, 255, 0x80, 0, 3, 1, 0, 0, 0, 0, 0, 60, 0, 140,
        ];
        let clear = after(&shows).unwrap();
        let expected = [0x16, 0, 11, 7, 128, 4, 56, 0x10, 2, 0, 0, 0, 0, 0, 0x80, 0, 0];
        assert_eq!(clear, expected);
        assert_eq!(after(&clear), None);
        for length in 0..14 {
            assert_eq!(after(&shows[..length]), None);
        }
        assert_eq!(after(&[[0x17].as_slice(), &shows[1..]].concat()), None);
    }
}
