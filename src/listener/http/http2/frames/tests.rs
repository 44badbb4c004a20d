use super::*;

const LIMITS: Limits = Limits {
    resets: 10,
    control: 20,
    continuations: 2,
};
const PRIORITY: u8 = 2;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

fn head(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, b"\x82\x84\x86")
}

fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &code.to_be_bytes())
}

/// A connection that has been greeted.
fn greeted(now: Instant) -> Frames {
    let mut frames = Frames::new(LIMITS, now);
    frames
        .received(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", now)
        .unwrap();
    frames.received(&frame(SETTINGS, 0, 0, b""), now).unwrap();
    frames
}

/// How many of these pass before one does not.
fn passes(frames: &mut Frames, now: Instant, each: impl Fn(u32) -> Vec<u8>) -> (u32, Fault) {
    for i in 0..1000 {
        if let Err(fault) = frames.received(&each(i), now) {
            return (i, fault);
        }
    }
    panic!("all of them pass");
}

#[test]
fn settings_come_first() {
    let now = Instant::now();
    for first in [
        head(1),
        frame(PING, 0, 0, &[0; 8]),
        frame(SETTINGS, ACK, 0, b""),
    ] {
        let mut frames = Frames::new(LIMITS, now);
        frames.received(&[b'x'; 24], now).unwrap();
        assert_eq!(frames.received(&first, now), Err(Fault::NoSettings));
        assert_eq!(frames.received(b"", now), Err(Fault::NoSettings));
    }
}

#[test]
fn it_does_not_matter_how_the_bytes_are_cut() {
    let now = Instant::now();
    let mut bytes = [b'x'; 24].to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[0; 12]));
    for i in 0..100 {
        bytes.extend(head(2 * i + 1));
        bytes.extend(frame(DATA, 0, 2 * i + 1, &[3; 300]));
        bytes.extend(reset(2 * i + 1, 8));
    }
    let ends_at = |piece: usize| {
        let mut frames = Frames::new(LIMITS, now);
        let mut read = 0;
        for piece in bytes.chunks(piece) {
            if frames.received(piece, now).is_err() {
                return read / 400;
            }
            read += piece.len();
        }
        panic!("it passes");
    };
    assert_eq!(ends_at(1), ends_at(7));
    assert_eq!(ends_at(1), ends_at(13));
}

#[test]
fn resets_are_bounded_and_requests_that_are_not_reset_allow_some() {
    let now = Instant::now();
    let mut frames = greeted(now);
    let both = |i: u32| [head(2 * i + 1), reset(2 * i + 1, 8)].concat();
    let (passed, fault) = passes(&mut frames, now, both);
    // Ten, and half as many as there were requests.
    assert_eq!((passed, fault), (20, Fault::Resets));

    let mut frames = greeted(now);
    for i in 0..10_000_u32 {
        frames.received(&head(2 * i + 1), now).unwrap();
        if i % 3 == 0 {
            frames.received(&reset(2 * i + 1, 8), now).unwrap();
        }
    }
    // Who cancels after the answer, as clients of gRPC may, is not near the bound.
    let mut late = greeted(now);
    for i in 0..10_000 {
        late.received(&head(2 * i + 1), now).unwrap();
        late.sent(&frame(DATA, END_STREAM, 2 * i + 1, b"whole"), now);
        late.received(&reset(2 * i + 1, 8), now).unwrap();
    }
    let mut slow = greeted(now);
    for i in 0..1000_u32 {
        let then = now + Duration::from_secs(u64::from(i));
        slow.received(&both(i), then).unwrap();
    }
}

#[test]
fn streams_that_the_gateway_had_to_reset_count_too() {
    let now = Instant::now();
    let mut frames = greeted(now);
    for i in 0..10 {
        assert_eq!(frames.sent(&reset(2 * i + 1, 1), now), 1);
        assert_eq!(frames.received(b"", now), Ok(()));
    }
    // What is not the client's doing does not.
    for code in [0, 2, 7, 8, 11, 13] {
        assert_eq!(frames.sent(&reset(1, code), now), 0);
    }
    assert_eq!(frames.received(b"", now), Ok(()));
    frames.sent(&reset(23, 5), now);
    assert_eq!(frames.received(b"", now), Err(Fault::Resets));
}

#[test]
fn control_frames_are_bounded_whatever_they_are() {
    let now = Instant::now();
    for (kind, stream, payload) in [
        (PING, 0, &[0; 8][..]),
        (SETTINGS, 0, &[]),
        (PRIORITY, 1, &[0, 0, 0, 0, 1]),
        (WINDOW_UPDATE, 0, &[0, 0, 0, 1]),
        (DATA, 1, &[]),
        (0xbe, 0, &[0; 100]),
    ] {
        let mut frames = greeted(now);
        let each = |_| frame(kind, 0, stream, payload);
        // The first SETTINGS was one of the twenty.
        assert_eq!(
            passes(&mut frames, now, each),
            (19, Fault::Control),
            "{kind}"
        );
    }
    let mut frames = greeted(now);
    for i in 0..1000 {
        let data = frame(DATA, 0, 1, &[0; 100]);
        frames.sent(&data, now);
        for stream in [0, 1] {
            let window = frame(WINDOW_UPDATE, 0, stream, &[0, 0, 0, 100]);
            assert_eq!(frames.received(&window, now), Ok(()), "{i}");
        }
    }
    let ending = |_| frame(DATA, END_STREAM, 1, b"");
    for i in 0..1000 {
        assert_eq!(frames.received(&ending(i), now), Ok(()));
    }
}

#[test]
fn a_head_ends_after_so_many_frames_and_it_shows_that_it_has_not_ended() {
    let now = Instant::now();
    let mut frames = greeted(now);
    assert!(!frames.is_amid_head());
    let first = frame(HEADERS, 0, 1, b"abc");
    frames.received(&first[..10], now).unwrap();
    assert!(frames.is_amid_head());
    frames.received(&first[10..], now).unwrap();
    assert!(frames.is_amid_head());
    let more = |flags| frame(CONTINUATION, flags, 1, b"abc");
    frames.received(&more(0), now).unwrap();
    assert!(frames.is_amid_head());
    frames.received(&more(END_HEADERS), now).unwrap();
    assert!(!frames.is_amid_head());

    frames.received(&frame(HEADERS, 0, 3, b""), now).unwrap();
    let (passed, fault) = passes(&mut frames, now, |_| more(0));
    assert_eq!((passed, fault), (2, Fault::Continuations));
}

#[test]
fn requests_that_are_refused_earn_no_resets() {
    let now = Instant::now();
    let mut frames = greeted(now);
    let mut passed = 0;
    for i in 0..1000 {
        let (first, second) = (i * 4 + 1, i * 4 + 3);
        let round = [head(first), head(second), reset(first, 8)].concat();
        if frames.received(&round, now).is_err() {
            break;
        }
        frames.sent(&reset(second, REFUSED_STREAM), now);
        passed += 1;
    }
    assert!(passed < 100, "{passed} rounds pass");
}
