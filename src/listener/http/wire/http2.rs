//! A connection that speaks HTTP/2: its frames are watched as they pass.

use super::{
    super::{
        framing::Framing,
        http2::frames::{Frames, Limits},
        pace::Rule,
    },
    Wire,
};
use crate::listener::Reason;
use std::time::{Duration, Instant};

impl Wire {
    /// Everything from here on is HTTP/2, of which a head may take `head_within`.
    pub(in super::super) fn open_http2(&mut self, limits: Limits, head_within: Duration) {
        self.framing = Framing::Http2(Box::new(Frames::new(limits, Instant::now())));
        // Bodies are for the streams to bound. What is left is a time that no byte prolongs.
        self.body = Rule {
            rate: u64::MAX,
            grace: head_within,
            stall: head_within,
        };
    }

    /// Notes what was sent.
    pub(super) fn sent_http2(&mut self, bytes: &[u8]) {
        if let Framing::Http2(frames) = &mut self.framing {
            let broken = frames.sent(bytes, Instant::now());
            for _ in 0..broken {
                self.counters.count(Reason::Http2Stream);
            }
        }
    }
}
