//! Tests of what is read of an index, and a source in memory for others.

use super::*;
use crate::media::source::Reader;

/// A source in memory.
pub struct Bytes(pub Vec<u8>);

impl Reader for Bytes {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> std::io::Result<usize> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(self.0.len());
        let count = into.len().min(self.0.len() - from);
        into[..count].copy_from_slice(&self.0[from..from + count]);
        Ok(count)
    }
}

/// A box by this name.
pub fn part(name: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(payload.len() + 8).expect("small").to_be_bytes().to_vec();
    bytes.extend(name);
    bytes.extend(payload);
    bytes
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// A film on a clock of 1000 ticks with one track on one of 48000.
fn film(length: u32, track: u32, edits: &[[u32; 2]]) -> Vec<u8> {
    let media = [
        part(b"mdhd", &words(&[0, 0, 0, 48_000, track, 0])),
        part(b"hdlr", &[words(&[0, 0]), b"soun".to_vec()].concat()),
    ]
    .concat();
    let list: Vec<u32> = [0, u32::try_from(edits.len()).expect("few")]
        .into_iter()
        .chain(edits.iter().flat_map(|[lasts, start]| [*lasts, *start, 0x0001_0000]))
        .collect();
    let edited = part(b"edts", &part(b"elst", &words(&list)));
    let track = [
        if edits.is_empty() { Vec::new() } else { edited },
        part(b"mdia", &media),
    ]
    .concat();
    let parts = [
        part(b"mvhd", &words(&[0, 0, 0, 1000, length, 0])),
        part(b"trak", &track),
    ]
    .concat();
    [part(b"ftyp", b"isom"), part(b"mdat", b"xyz"), part(b"moov", &parts)].concat()
}

fn told(file: Vec<u8>) -> String {
    let Some(index) = Index::read(&Input::new(Bytes(file))) else {
        return "none".to_owned();
    };
    let tracks: Vec<_> = index.tracks.iter().map(|track| track.end).collect();
    let corrected = index.corrections.into_iter().next().map(|correction| correction.bytes);
    format!("{:?} {tracks:?} {corrected:?}", index.duration)
}

#[test]
fn tracks_end_where_their_edit_lists_say_and_the_film_has_room_for_all_of_them() {
    let empty = u32::MAX;
    let table = [
        ("no list", told(film(5000, 240_000, &[]))),
        ("all of it", told(film(5000, 240_000, &[[5000, 0]]))),
        ("without the first second", told(film(4000, 240_000, &[[4000, 48_000]]))),
        ("a second later", told(film(6000, 240_000, &[[1000, empty], [5000, 0]]))),
        ("to its end", told(film(4000, 240_000, &[[0, 48_000]]))),
        ("no length", told(film(0, 240_000, &[]))),
    ]
    .map(|(what, told)| format!("{what}: {told}"))
    .join("\n");
    insta::assert_snapshot!(table, @r"
    no list: 5s [5s] None
    all of it: 5s [5s] None
    without the first second: 4s [4s] Some([0, 0, 19, 137])
    a second later: 6s [6s] None
    to its end: 4s [4s] Some([0, 0, 19, 137])
    no length: none
    ");
}

#[test]
fn a_sound_that_is_far_shorter_than_the_film_is_not_taken_for_a_preview() {
    let corrected = |length, track| {
        let index = Index::read(&Input::new(Bytes(film(length, track, &[])))).expect("an index");
        (
            index.tracks[0].end,
            index
                .corrections
                .iter()
                .map(|one| one.bytes.clone())
                .collect::<Vec<_>>(),
        )
    };
    // One second of twenty: a quarter of them, in ticks of the track.
    let quarter = (5 * 48_000_u32 + 1).to_be_bytes().to_vec();
    assert_eq!(corrected(20_000, 48_000), (Duration::from_secs(1), vec![quarter]));
    assert_eq!(corrected(20_000, 48_000 * 6), (Duration::from_secs(6), vec![]));
}

#[test]
fn a_short_film_beside_a_long_sound_is_a_film_and_beside_a_long_film_a_preview() {
    let corrected = |tracks: &[(&[u8; 4], u32)]| {
        let tracks: Vec<_> = tracks
            .iter()
            .map(|(kind, seconds)| {
                let media = [
                    part(b"mdhd", &words(&[0, 0, 0, 1000, seconds * 1000, 0])),
                    part(b"hdlr", &[&words(&[0, 0])[..], *kind].concat()),
                ];
                part(b"trak", &part(b"mdia", &media.concat()))
            })
            .collect();
        let head = part(b"mvhd", &words(&[0, 0, 0, 1000, 20_000, 0]));
        let file = part(b"moov", &[head, tracks.concat()].concat());
        let index = Index::read(&Input::new(Bytes(file))).expect("an index");
        let bytes = index.corrections.into_iter().map(|one| one.bytes);
        bytes
            .map(|bytes| u32::from_be_bytes(bytes.try_into().expect("four")))
            .collect::<Vec<_>>()
    };
    assert_eq!(corrected(&[(b"vide", 2), (b"soun", 20)]), [5001]);
    assert!(corrected(&[(b"vide", 2), (b"vide", 20), (b"soun", 20)]).is_empty());
    assert_eq!(corrected(&[(b"vide", 1), (b"vide", 2), (b"soun", 20)]), [5001]);
}

#[test]
fn damage_anywhere_in_an_index_is_no_index_or_another_but_never_a_panic() {
    let whole = film(4000, 240_000, &[[1000, u32::MAX], [4000, 48_000]]);
    for at in 0..whole.len() {
        for value in [0, 1, 7, 0x80, 0xff] {
            let mut damaged = whole.clone();
            damaged[at] = value;
            told(damaged);
        }
        told(whole[..at].to_vec());
    }
    // As long as can be written.
    assert_eq!(told([&[0, 0, 0, 1][..], b"free", &[0xff; 8]].concat()), "none");
}

#[test]
fn dolby_vision_of_its_own_colours_is_known() {
    let film = |told: &[u8]| {
        let entry = part(b"dvh1", &[&[0; 78][..], told].concat());
        let table = part(b"stbl", &part(b"stsd", &[words(&[0, 1]), entry].concat()));
        let media = [
            part(b"mdhd", &words(&[0, 0, 0, 48_000, 48_000, 0])),
            part(b"hdlr", &[words(&[0, 0]), b"vide".to_vec()].concat()),
            part(b"minf", &table),
        ]
        .concat();
        let parts = [
            part(b"mvhd", &words(&[0, 0, 0, 1000, 1000, 0])),
            part(b"trak", &part(b"mdia", &media)),
        ]
        .concat();
        let file = part(b"moov", &parts);
        Index::read(&Input::new(Bytes(file))).expect("an index").is_dolby
    };
    assert!(film(&part(b"dvcC", &[1, 0, 5 << 1, 0x35, 0])));
    assert!(!film(&part(b"dvcC", &[1, 0, 8 << 1, 0x35, 0x10])));
    assert!(!film(&[]));
}
