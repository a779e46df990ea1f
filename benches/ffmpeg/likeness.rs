//! How like its source a film is.

use std::path::Path;
use std::process::Command;

/// SSIM of all planes against the source, which is scaled by the most exact way that ffmpeg has.
#[allow(clippy::disallowed_methods, reason = "a benchmark runs programs")]
/// Where the film has fewer pictures, it is compared with every so many of the source.
pub fn ssim(source: &Path, film: &Path, (wide, high): (u32, u32), pictures: Option<u32>) -> f64 {
    let scale = format!("scale={wide}:{high}:flags=lanczos+accurate_rnd+full_chroma_int");
    let graph = match pictures {
        None => format!("[1:v]{scale}[source];[0:v][source]ssim"),
        Some(rate) => format!(
            "[1:v]fps={rate}:round=up,{scale},format=gbrp,setpts=N[source];\
             [0:v]settb=1/{rate},setpts=N,format=gbrp[film];[film][source]ssim=shortest=1"
        ),
    };
    let ran = Command::new("ffmpeg")
        .args(["-nostdin", "-hide_banner", "-i"])
        .arg(film)
        .arg("-i")
        .arg(source)
        .args(["-lavfi", &graph, "-f", "null", "-"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    let told = said
        .rsplit_once("All:")
        .and_then(|(_, rest)| rest.split_whitespace().next());
    told.and_then(|number| number.parse().ok())
        .unwrap_or_else(|| panic!("no likeness of {}: {said}", film.display()))
}
