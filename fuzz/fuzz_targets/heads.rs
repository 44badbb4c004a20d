//! Arbitrary bytes of a client: the edge's judgement must not panic, must not depend on how the bytes were cut into pieces, and
//! what it lets through Pingora must be able to parse. The same for the chunks of a body and for PROXY headers.
#![no_main]

use crossway::listener::{
    http::{
        chunks::{BadChunk, Chunks},
        head::{Limits, Verdict, judge},
    },
    proxy_protocol,
};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits {
    target: 512,
    fields: 2048,
    count: 32,
};

fuzz_target!(|bytes: &[u8]| {
    if let Verdict::Head(head) = judge(bytes, &LIMITS) {
        assert!(head.length <= bytes.len());
        // A part of a head that is served is never refused, nor taken for a whole one.
        for end in 0..head.length {
            assert!(matches!(judge(&bytes[..end], &LIMITS), Verdict::Incomplete));
        }
        let mut fields = [httparse::EMPTY_HEADER; 256];
        let mut request = httparse::Request::new(&mut fields);
        assert!(matches!(request.parse(bytes), Ok(httparse::Status::Complete(length)) if length == head.length));
        let target = request.path.unwrap().as_bytes();
        pingora_http::RequestHeader::build(request.method.unwrap(), target, None).unwrap();
    }

    let (mut whole, mut pieces) = (Chunks::default(), Chunks::default());
    let at_once = whole.take(bytes);
    let mut taken = 0;
    let one_by_one: Result<(), BadChunk> = bytes.iter().try_for_each(|byte| {
        taken += pieces.take(std::slice::from_ref(byte))?;
        Ok(())
    });
    assert_eq!(at_once, one_by_one.map(|()| taken));
    assert_eq!(whole.is_done(), pieces.is_done());

    if let Ok(Some((_, length))) = proxy_protocol::parse(bytes) {
        for end in 1..length {
            assert!(matches!(proxy_protocol::parse(&bytes[..end]), Ok(None)));
        }
    }
});
