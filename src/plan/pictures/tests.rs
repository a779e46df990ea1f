use super::*;
use crate::plan::testing::{film, media, video};

#[test]
fn pictures_stand_at_the_beginnings_of_their_stretches_and_are_not_too_many() {
    let seconds = Duration::from_secs;
    let count = |every, end| beginnings(every, end, 7).map(|at| at.len());
    assert_eq!(
        beginnings(seconds(3), Some(seconds(7)), 7).unwrap(),
        [0, 3, 6].map(seconds)
    );
    assert_eq!(
        count(seconds(3), Some(seconds(6))),
        Ok(2),
        "nothing is shown at the very end"
    );
    assert_eq!(count(seconds(30), Some(seconds(6))), Ok(1));
    assert_eq!(count(seconds(3), None), Ok(7));
    let refused = count(Duration::from_millis(100), Some(seconds(3600))).unwrap_err();
    assert!(
        refused.message.contains("would be 36000 pictures"),
        "{}",
        refused.message
    );
}

#[test]
fn a_sheet_is_filled_evenly_and_not_beyond_the_frames_that_there_are() {
    let mut medium = media(vec![video(film(640, 360))]);
    let shown = |medium: &MediaInfo, cells| evenly(cells, medium, medium.video().unwrap());
    let (at, step) = shown(&medium, 4).unwrap();
    assert_eq!(at, [1250, 3750, 6250, 8750].map(Duration::from_millis));
    assert_eq!(step, Duration::from_millis(2500));
    medium.duration = Some(Duration::from_millis(200));
    assert_eq!(shown(&medium, 100).unwrap().0.len(), 5, "25 frames a second");
    medium.duration = None;
    assert!(shown(&medium, 4).unwrap_err().message.contains("say `every`"));
}
