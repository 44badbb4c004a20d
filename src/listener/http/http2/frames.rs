//! Watches the frames of an HTTP/2 connection as they pass. It reads their heads, of nine bytes, and keeps no payload. What it
//! counts is what costs the gateway work and asks for nothing: streams that are reset, frames that control, heads without end.
//! Everything else about HTTP/2 is the `h2` crate's. Pure but for the time, which comes in; never panics.

use super::budget::Budget;
use std::time::{Duration, Instant};

/// What a client sends before its first frame (RFC 9113 §3.4), in bytes.
const PREFACE: u8 = 24;
/// Length, type, flags and stream of a frame (RFC 9113 §4.1), and the error code that follows in RST_STREAM.
const HEAD: usize = 9;
const CODE: usize = 4;
/// The error code of a stream that was not looked at (RFC 9113 §7).
const REFUSED_STREAM: u32 = 7;

/// Types of frames (RFC 9113 §6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;

const ACK: u8 = 0x1;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

/// Resets are counted over this time.
pub const RESET_WINDOW: Duration = Duration::from_secs(10);
const CONTROL_WINDOW: Duration = Duration::from_secs(1);
/// What a request earns of control frames: its priority, windows for its answer.
const CONTROL_PER_REQUEST: u32 = 8;
/// What each piece of an answer earns: clients give windows for the stream and for the connection, some of them twice.
const CONTROL_PER_DATA: u32 = 4;
/// No more is kept of what was earned.
const MOST_EARNED: u32 = 65_536;
/// A reset costs two. A request earns one, and its answer another.
const RESET: u32 = 2;

/// What a client may send.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Streams that are reset in [`RESET_WINDOW`], besides half as many as there are requests, and half as many as were answered.
    pub resets: u32,
    /// Frames each second that neither open a stream, carry a body nor end one, besides those that go with requests and answers.
    pub control: u32,
    /// CONTINUATION frames of one head.
    pub continuations: u32,
}

/// Why a connection is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// More streams were reset than is allowed: by the client, or because it broke the rules on them.
    #[error("too many streams of the connection were reset")]
    Resets,
    /// More control frames than are allowed.
    #[error("the client sends too many control frames")]
    Control,
    /// A head has more CONTINUATION frames than are allowed.
    #[error("a request head has too many CONTINUATION frames")]
    Continuations,
    /// SETTINGS come first (RFC 9113 §3.4).
    #[error("the first frame is no SETTINGS")]
    NoSettings,
}

/// The frames of one connection, in both directions.
#[derive(Debug)]
pub struct Frames {
    limits: Limits,
    preface: u8,
    theirs: Scan,
    ours: Scan,
    greeted: bool,
    /// The highest stream that the client has opened.
    newest: u32,
    /// Whether a head has begun that has not ended.
    in_head: bool,
    continuations: u32,
    resets: Budget,
    control: Budget,
    /// Requests that were not looked at, and whose successors earn nothing for that.
    refused: u32,
    fault: Option<Fault>,
}

impl Frames {
    /// A connection whose preface is still to come.
    pub fn new(limits: Limits, now: Instant) -> Self {
        let resets = limits.resets.saturating_mul(RESET);
        Self {
            limits,
            preface: PREFACE,
            theirs: Scan::default(),
            ours: Scan::default(),
            greeted: false,
            newest: 0,
            in_head: false,
            continuations: 0,
            resets: Budget::new(resets, resets, RESET_WINDOW, now),
            control: Budget::new(limits.control, MOST_EARNED, CONTROL_WINDOW, now),
            refused: 0,
            fault: None,
        }
    }

    /// The client sent these bytes.
    ///
    /// # Errors
    /// The connection is to be ended. It stays so.
    pub fn received(&mut self, mut bytes: &[u8], now: Instant) -> Result<(), Fault> {
        if self.preface > 0 {
            let skipped = bytes.len().min(usize::from(self.preface));
            self.preface -= u8::try_from(skipped).unwrap_or(self.preface);
            bytes = bytes.get(skipped..).unwrap_or_default();
        }
        while self.fault.is_none()
            && let Some(frame) = self.theirs.next(&mut bytes)
        {
            self.fault = self.judge(&frame, now).err();
        }
        self.fault.map_or(Ok(()), Err)
    }

    /// The gateway sent these bytes. How many streams it reset because what came on them broke the rules of HTTP/2: they count as
    /// if the client had reset them (CVE-2025-8671).
    pub fn sent(&mut self, mut bytes: &[u8], now: Instant) -> u32 {
        let mut broken = 0;
        while let Some(frame) = self.ours.next(&mut bytes) {
            if matches!(frame.kind, DATA | HEADERS) && frame.flags & END_STREAM != 0 {
                self.resets.earn(1);
            }
            match frame.kind {
                DATA => self.control.earn(CONTROL_PER_DATA),
                RST_STREAM if frame.code == REFUSED_STREAM => {
                    self.refused = self.refused.saturating_add(1);
                }
                RST_STREAM if frame.blames_the_client() => {
                    broken += 1;
                    if !self.resets.spend(RESET, now) {
                        self.fault = self.fault.or(Some(Fault::Resets));
                    }
                }
                _ => {}
            }
        }
        broken
    }

    /// Whether a request's head has begun and not ended.
    pub fn is_amid_head(&self) -> bool {
        self.in_head || self.theirs.is_amid(HEADERS) || self.theirs.is_amid(CONTINUATION)
    }

    fn judge(&mut self, frame: &Frame, now: Instant) -> Result<(), Fault> {
        if !std::mem::replace(&mut self.greeted, true)
            && (frame.kind != SETTINGS || frame.flags & ACK != 0)
        {
            return Err(Fault::NoSettings);
        }
        let spent = match frame.kind {
            HEADERS => {
                self.in_head = frame.flags & END_HEADERS == 0;
                self.continuations = 0;
                if frame.stream > self.newest {
                    self.newest = frame.stream;
                    match self.refused.checked_sub(1) {
                        Some(left) => self.refused = left,
                        None => {
                            self.resets.earn(1);
                            self.control.earn(CONTROL_PER_REQUEST);
                        }
                    }
                }
                true
            }
            CONTINUATION => {
                self.in_head &= frame.flags & END_HEADERS == 0;
                self.continuations += 1;
                if self.continuations > self.limits.continuations {
                    return Err(Fault::Continuations);
                }
                true
            }
            DATA if frame.length > 0 || frame.flags & END_STREAM != 0 => true,
            RST_STREAM if !self.resets.spend(RESET, now) => return Err(Fault::Resets),
            RST_STREAM => true,
            _ => self.control.spend(1, now),
        };
        if spent { Ok(()) } else { Err(Fault::Control) }
    }
}

/// The head of a frame.
#[derive(Clone, Copy, Debug)]
struct Frame {
    length: u32,
    kind: u8,
    flags: u8,
    stream: u32,
    /// The error code of RST_STREAM.
    code: u32,
}

impl Frame {
    /// PROTOCOL_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED, FRAME_SIZE_ERROR, COMPRESSION_ERROR (RFC 9113 §7).
    fn blames_the_client(&self) -> bool {
        matches!(self.code, 1 | 3 | 5 | 6 | 9)
    }
}

/// Finds the heads of frames in bytes that come in pieces.
#[derive(Debug, Default)]
struct Scan {
    head: [u8; HEAD + CODE],
    have: usize,
    /// Of the frame whose head was given last.
    kind: u8,
    /// Bytes of it that are still to come.
    payload: u32,
}

impl Scan {
    /// The next head, and `bytes` behind it; `None` when they are used up.
    fn next(&mut self, bytes: &mut &[u8]) -> Option<Frame> {
        loop {
            let most = usize::try_from(self.payload).unwrap_or(usize::MAX);
            let skipped = bytes.len().min(most);
            self.payload -= u32::try_from(skipped).unwrap_or(self.payload);
            *bytes = bytes.get(skipped..).unwrap_or_default();
            let (byte, rest) = bytes.split_first()?;
            *bytes = rest;
            if let Some(place) = self.head.get_mut(self.have) {
                *place = *byte;
            }
            self.have += 1;
            if let Some(frame) = self.complete() {
                return Some(frame);
            }
        }
    }

    fn complete(&mut self) -> Option<Frame> {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3, c0, c1, c2, c3] = self.head;
        let length = u32::from_be_bytes([0, l0, l1, l2]);
        let code = if kind == RST_STREAM && length == 4 {
            CODE
        } else {
            0
        };
        if self.have < HEAD || self.have < HEAD + code {
            return None;
        }
        self.have = 0;
        self.kind = kind;
        self.payload = if code > 0 { 0 } else { length };
        Some(Frame {
            length,
            kind,
            flags,
            stream: u32::from_be_bytes([s0, s1, s2, s3]) & 0x7fff_ffff,
            code: if code > 0 {
                u32::from_be_bytes([c0, c1, c2, c3])
            } else {
                0
            },
        })
    }

    /// Whether the payload of a frame of this kind is still to come.
    fn is_amid(&self, kind: u8) -> bool {
        self.payload > 0 && self.kind == kind
    }
}

#[cfg(test)]
mod tests;
