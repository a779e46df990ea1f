//! The branch of an extract: streams that become files as they are, each of its own.

pub mod text;

use std::sync::Arc;

use gst::prelude::*;

use self::text::TextFile;
use super::branch::{Branch, Ending, Opened, connect, guard, hang, queue};
use super::copied::copy;
use super::demux::Stream;
use super::failure::{element, internal, writing};
use super::flac;
use super::meter::Meter;
use super::muxer;
use super::readback::{self, Fed};
use crate::job::{ErrorKind, Failure, Finding, FindingKind};
use crate::plan::{ExtractPlan, ExtractedStream, OutputReport, TakenAs};
use crate::rule::Container;

/// What writes the files of one task.
pub struct ExtractBranch {
    bin: gst::Bin,
    taken: Vec<Taken>,
}

/// One file.
struct Taken {
    file: String,
    index: u32,
    /// What came in.
    packets: Arc<Meter>,
    how: How,
}

enum How {
    /// By a muxer.
    Medium,
    /// Packet by packet.
    Packets,
    Text(TextFile),
}

impl ExtractBranch {
    /// A branch for this plan.
    ///
    /// # Errors
    /// Where elements are missing, or no file can hold a stream.
    pub fn new(name: &str, plan: &ExtractPlan, opened: Opened<'_>) -> Result<Self, Failure> {
        let bin = gst::Bin::builder().name(name).build();
        let mut taken = Vec::new();
        for one in &plan.streams {
            let stream = opened.medium.streams.get(one.index as usize).ok_or_else(|| {
                Failure::new(
                    ErrorKind::NoSuchStream,
                    "the medium has fewer streams than its probe said",
                )
            })?;
            taken.push(take(&bin, one, stream)?);
        }
        Ok(Self { bin, taken })
    }
}

/// Hangs what writes one file into the bin.
fn take(bin: &gst::Bin, one: &ExtractedStream, stream: &Stream) -> Result<Taken, Failure> {
    let pad = format!("packets-{}", one.index);
    let (packets, how) = match one.taken {
        TakenAs::Sound(container) => (mux(bin, &pad, container, &one.file, stream)?, How::Medium),
        TakenAs::Matroska => {
            let container = Container::Mkv;
            (mux(bin, &pad, container, &one.file, stream)?, How::Medium)
        }
        TakenAs::Packets => {
            let mut chain = vec![guard()?, waiting()?];
            // Files are made of whole frames.
            match stream.media_type() {
                "audio/x-ac3" | "audio/x-eac3" => chain.push(element("ac3parse")?),
                "audio/x-dts" => chain.push(element("dcaparse")?),
                "audio/mpeg" => chain.push(element("mpegaudioparse")?),
                _ => {}
            }
            let sink = element("filesink")?;
            sink.set_property("location", &one.file);
            sink.set_property("sync", false);
            sink.set_property("async", false);
            chain.push(sink);
            let packets = meter(&chain)?;
            hang(bin, &pad, &chain)?;
            (packets, How::Packets)
        }
        TakenAs::Text(_) | TakenAs::Styled => {
            let (text, sink) = TextFile::new(&one.file, one.taken, &stream.caps)?;
            let chain = [guard()?, waiting()?, sink.upcast()];
            let packets = meter(&chain)?;
            hang(bin, &pad, &chain)?;
            (packets, How::Text(text))
        }
    };
    Ok(Taken {
        file: one.file.clone(),
        index: one.index,
        packets,
        how,
    })
}

/// Packets as they are in a container.
fn mux(bin: &gst::Bin, pad: &str, container: Container, file: &str, stream: &Stream) -> Result<Arc<Meter>, Failure> {
    let writer = muxer::writer(container, file)?;
    bin.add_many(&writer).map_err(internal)?;
    gst::Element::link_many(&writer).map_err(internal)?;
    let head = writer.first().ok_or_else(|| internal("nothing writes the file"))?;
    let chain = copy(container, head, stream, false)?;
    let packets = meter(&chain)?;
    let last = connect(bin, pad, &chain)?;
    last.link(&muxer::entry(container, head, false)?).map_err(internal)?;
    Ok(packets)
}

/// Packets come as fast as the medium is read; what a slow disk does not take at once must not fill the memory.
fn waiting() -> Result<gst::Element, Failure> {
    let waiting = queue(0)?;
    waiting.set_property("max-size-bytes", 128_u32 << 20);
    Ok(waiting)
}

fn meter(chain: &[gst::Element]) -> Result<Arc<Meter>, Failure> {
    let guard = chain.first().and_then(|guard| guard.static_pad("src"));
    guard
        .map(|pad| Meter::on(&pad))
        .ok_or_else(|| internal("a chain without a guard"))
}

impl Branch for ExtractBranch {
    fn bin(&self) -> &gst::Bin {
        &self.bin
    }

    fn stopped(&mut self) {
        for one in &self.taken {
            let _ = std::fs::remove_file(muxer::spool(&one.file));
        }
    }

    fn finish(self: Box<Self>, ending: &mut Ending<'_, '_>) -> Result<(), Failure> {
        let mut done = Ok(());
        for one in &self.taken {
            done = one.finish(ending);
            if done.is_err() {
                break;
            }
        }
        if done.is_err() {
            self.abandon();
        }
        done
    }

    fn abandon(self: Box<Self>) {
        for one in &self.taken {
            let _ = std::fs::remove_file(&one.file);
        }
    }
}

impl Taken {
    fn finish(&self, ending: &mut Ending<'_, '_>) -> Result<(), Failure> {
        let (task, pulse) = (ending.task, &mut *ending.pulse);
        if let How::Text(text) = &self.how {
            text.finish()?;
        }
        if self.packets.buffers() == 0 {
            let _ = std::fs::remove_file(&self.file);
            let finding = Finding {
                kind: FindingKind::StreamLeftOut,
                message: format!("stream {} has nothing in it, so there is no file of it", self.index),
            };
            pulse.listener().finding(Some(task), finding);
            return Ok(());
        }
        let (size, report) = match self.how {
            How::Medium => {
                flac::mend(&self.file).map_err(|error| writing(&self.file, &error))?;
                let fed = Fed {
                    sounds: vec![self.packets.span()],
                    ..Fed::default()
                };
                readback::media(&self.file, &fed, &mut |buffers| pulse.beat(None, buffers))?
            }
            How::Packets | How::Text(_) => (readback::size(&self.file)?, OutputReport::Bytes),
        };
        pulse.next_part();
        pulse.listener().output(task, &self.file, size, report);
        Ok(())
    }
}
