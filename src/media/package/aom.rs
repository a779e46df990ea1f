//! AV1 in fragments of MP4, as "AV1 Codec ISO Media File Format Binding" has it: a packet is a temporal unit, which shows one
//! picture; its key frames bring the sequence header, so nothing before them is needed.

use crate::media::av1::{SEQUENCE_HEADER, unit};
use crate::media::colour::Numbers;

/// The numbers before the units of a description.
const NUMBERS: usize = 4;

/// Kinds of units that do not belong into a file: where a temporal unit begins, headers again, lists of tiles, and padding.
const APART: [u8; 4] = [2, 7, 8, 15];

/// What its container says of a stream, in these bytes or with more behind them: numbers, and the sequence header.
pub fn description(told: &[u8]) -> Option<Vec<u8>> {
    let (kind, _, end) = unit(told, NUMBERS)?;
    (told.first() == Some(&0x81) && kind == SEQUENCE_HEADER).then(|| told[..end].to_vec())
}

/// The packet without what does not belong into a file; none where it is damaged.
pub fn bare(packet: &[u8]) -> Option<Vec<u8>> {
    let mut bare = Vec::with_capacity(packet.len());
    let mut at = 0;
    while at < packet.len() {
        let (kind, _, end) = unit(packet, at)?;
        if !APART.contains(&kind) {
            bare.extend(packet.get(at..end)?);
        }
        at = end;
    }
    Some(bare)
}

/// The codec as manifests name it, with this description: `av01.P.LLT.DD`, and colours only where players would take others for
/// granted.
pub fn name(config: &[u8], colours: Option<Numbers>) -> String {
    let [first, second] = [1, 2].map(|at| config.get(at).copied().unwrap_or(0));
    let bit = |at: u8| second >> at & 1;
    let tier = if bit(7) == 1 { 'H' } else { 'M' };
    let depth = match (bit(6), bit(5)) {
        (0, _) => 8,
        (_, 0) => 10,
        _ => 12,
    };
    let mut name = format!("av01.{}.{:02}{tier}.{depth:02}", first >> 5, first & 0x1f);
    let place = if bit(3) & bit(2) == 1 { second & 3 } else { 0 };
    let form = (bit(4), bit(3), bit(2), place);
    // BT.709 is what players take for granted, and where nothing is told there is nothing else to take.
    let told = colours.map_or((1, 1, 1, false), |told| {
        (told.primaries, told.transfer, told.matrix, told.full_range)
    });
    if (form, told) != ((0, 1, 1, 0), (1, 1, 1, false)) {
        let (mono, across, down, place) = form;
        let (primaries, transfer, matrix, full) = told;
        let more = format!(
            ".{mono}.{across}{down}{place}.{primaries:02}.{transfer:02}.{matrix:02}.{}",
            u8::from(full)
        );
        name.push_str(&more);
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sequence header of three bytes.
    const HEADER: [u8; 5] = [0x0a, 3, 0, 0, 0];

    #[test]
    fn av1_is_named_as_its_binding_has_it() {
        let colours = |primaries, transfer, matrix| {
            Some(Numbers {
                primaries,
                transfer,
                matrix,
                full_range: false,
            })
        };
        assert_eq!(name(&[0x81, 0x04, 0x0c, 0], None), "av01.0.04M.08");
        assert_eq!(name(&[0x81, 0x08, 0x0c, 0], colours(1, 1, 1)), "av01.0.08M.08");
        // The example of the binding, but for the place of its colours.
        assert_eq!(
            name(&[0x81, 0x04, 0x4e, 0], colours(9, 16, 9)),
            "av01.0.04M.10.0.112.09.16.09.0"
        );
        assert_eq!(name(&[0x81, 0x2d, 0xc0, 0], None), "av01.1.13H.10.0.000.01.01.01.0");
    }

    #[test]
    fn a_description_ends_with_its_header() {
        let whole = [&[0x81, 4, 12, 0][..], &HEADER].concat();
        assert_eq!(description(&[&whole[..], &[0, 0, 0]].concat()), Some(whole.clone()));
        assert_eq!(description(&whole[..8]), None);
        assert_eq!(description(&[]), None);
        assert_eq!(description(&[&[0; 9][..], &HEADER].concat()), None);
    }

    #[test]
    fn packets_keep_what_is_shown_and_nothing_else() {
        let frame = [0x32, 2, 7, 7];
        let packet = [&[0x12, 0][..], &HEADER, &frame, &[0x7a, 1, 0]].concat();
        assert_eq!(bare(&packet).unwrap(), [&HEADER[..], &frame].concat());
        assert_eq!(bare(&[0x32, 9, 1]), None);
    }
}
