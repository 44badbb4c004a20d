//! Arbitrary bytes on a connection of HTTP/2, in both directions: counting their frames must not panic, must not depend on how the
//! bytes were cut into pieces, and what was refused once stays refused.
#![no_main]

use crossway::listener::http::http2::frames::{Frames, Limits};
use libfuzzer_sys::fuzz_target;
use std::time::Instant;

const LIMITS: Limits = Limits {
    resets: 4,
    control: 8,
    continuations: 2,
};

fuzz_target!(|input: (Vec<u8>, Vec<u8>, u8)| {
    let (received, sent, piece) = input;
    let now = Instant::now();
    let piece = usize::from(piece).max(1);

    let mut whole = Frames::new(LIMITS, now);
    let broken = whole.sent(&sent, now);
    let verdict = whole.received(&received, now);

    let mut cut = Frames::new(LIMITS, now);
    let in_pieces: u32 = sent.chunks(piece).map(|part| cut.sent(part, now)).sum();
    assert_eq!(broken, in_pieces);
    let mut last = cut.received(&[], now);
    for part in received.chunks(piece) {
        let next = cut.received(part, now);
        assert!(last.is_ok() || next == last);
        last = next;
    }
    assert_eq!(verdict, last);
    if verdict.is_ok() {
        assert_eq!(whole.is_amid_head(), cut.is_amid_head());
    }
});
