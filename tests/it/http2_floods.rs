//! Floods of HTTP/2: each is bounded, counted, and leaves the others alone.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::h2_frames::{
    ACK, CANCEL, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, Frames, GOAWAY,
    HEADERS, PING, PREFACE, PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE, fields, frame, get,
    request, reset, text,
};
use crate::support::{Answer, Gateway, Interface, PATIENCE, Reply, Upstream, eventually};

/// How long a flood may last before the connection ends.
const FLOOD: Duration = Duration::from_secs(10);
/// KiB by which the process may grow meanwhile.
const GROWTH: u64 = 96 * 1024;

async fn world(limits: &str) -> (Gateway, Upstream) {
    let settings = format!("listen:\n  h2c: true\n{limits}");
    let gateway = Gateway::builder().with_settings(&settings).start().await;
    let upstream = Upstream::start().await;
    let route = json!({ "uri": "/*", "upstream": upstream.document() });
    gateway.put("/routes/1", route).await;
    upstream.clear();
    (gateway, upstream)
}

async fn connect(gateway: &Gateway) -> Frames {
    Frames::open(gateway.addr(Interface::Http)).await
}

async fn count(gateway: &Gateway, reason: &str) -> u64 {
    let of = format!("apisix_edge_stopped_total{{reason=\"{reason}\"}} ");
    let metrics = gateway.metrics().await;
    let line = metrics.lines().find_map(|line| line.strip_prefix(&of));
    line.expect(reason).parse().expect("a number")
}

async fn until_stopped(gateway: &Gateway, reason: &str, least: u64) {
    eventually(reason, PATIENCE, async || {
        count(gateway, reason).await >= least
    })
    .await;
}

async fn others_are_served(gateway: &Gateway) {
    let begun = Instant::now();
    gateway.get("/").await.expect_status(200);
    let mut other = connect(gateway).await;
    other.send(&get(1, "/")).await.unwrap();
    let head = other.find(HEADERS, PATIENCE).await.expect("an answer");
    assert_eq!(head.status(), 200);
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
}

/// KiB of memory that the process holds.
fn resident(gateway: &Gateway) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.process_id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.unwrap().parse().unwrap()
}

/// Floods on several connections at once, until each is ended, while others are served.
async fn bounded(gateway: &Gateway, reasons: &[&str], each: fn(u32) -> Vec<u8>) {
    let mut before = 0;
    for reason in reasons {
        before += count(gateway, reason).await;
    }
    let memory = resident(gateway);
    let mut floods = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let mut flood = connect(gateway).await;
        floods.spawn(async move { flood.flood(FLOOD, each).await });
    }
    others_are_served(gateway).await;
    while let Some(ended) = floods.join_next().await {
        assert!(ended.unwrap().is_some(), "{reasons:?}: it goes on");
    }
    let grown = resident(gateway).saturating_sub(memory);
    assert!(grown < GROWTH, "{reasons:?}: grown by {grown} KiB");
    eventually("they are counted", PATIENCE, async || {
        let mut now = 0;
        for reason in reasons {
            now += count(gateway, reason).await;
        }
        now >= before + 4
    })
    .await;
    others_are_served(gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_are_opened_and_reset_end_the_connection() {
    let (gateway, upstream) = world("").await;
    upstream.answer(Answer::text("late").after(Duration::from_millis(50)));
    bounded(&gateway, &["http2_resets"], |stream| {
        [get(stream, "/"), reset(stream, CANCEL)].concat()
    })
    .await;
    // Four connections may have two hundred each; what others asked for comes on top.
    assert!(upstream.hits() < 850, "{}", upstream.hits());

    // Who reads most of what it asks for may cancel some.
    let mut client = connect(&gateway).await;
    for i in 0..300 {
        let stream = client.stream();
        client.send(&get(stream, "/")).await.unwrap();
        if i % 4 == 0 {
            client.send(&reset(stream, CANCEL)).await.unwrap();
        } else {
            let head = client.on(stream, PATIENCE).await.expect("an answer");
            assert_eq!((head.kind, head.payload.is_empty()), (HEADERS, false));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_makes_the_gateway_reset_its_streams_is_ended_too() {
    let (gateway, upstream) = world("").await;
    upstream.answer(Answer::text("late").after(Duration::from_millis(50)));
    // More than was said. What comes so fast that no reset is sent in between has a bound in the library.
    bounded(&gateway, &["http2_resets", "http2_abuse"], |stream| {
        let head = request("POST", "/", &[("content-length", b"1")]);
        [
            frame(HEADERS, END_HEADERS, stream, &head),
            frame(DATA, 0, stream, b"more"),
        ]
        .concat()
    })
    .await;
    // A stream that depends on itself.
    bounded(&gateway, &["http2_resets", "http2_abuse"], |stream| {
        let itself = [&stream.to_be_bytes()[..], &[0]].concat();
        [get(stream, "/"), frame(PRIORITY, 0, stream, &itself)].concat()
    })
    .await;
    // One at a time.
    let before = count(&gateway, "http2_resets").await;
    let mut patient = connect(&gateway).await;
    for _ in 0..300 {
        let stream = patient.stream();
        let head = request("POST", "/", &[("content-length", b"1")]);
        let bytes = [
            frame(HEADERS, END_HEADERS, stream, &head),
            frame(DATA, 0, stream, b"more"),
        ];
        if patient.send(&bytes.concat()).await.is_err()
            || patient.on(stream, PATIENCE).await.is_none()
        {
            break;
        }
    }
    until_stopped(&gateway, "http2_resets", before + 1).await;
    assert!(count(&gateway, "http2_stream").await > 100);
    assert!(patient.closes_within(PATIENCE).await);
    others_are_served(&gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_without_end_end_the_connection() {
    let (gateway, upstream) = world("").await;
    bounded(&gateway, &["http2_continuations"], |stream| match stream {
        1 => frame(HEADERS, 0, 1, &request("GET", "/", &[])),
        _ => frame(CONTINUATION, 0, 1, &fields(&[("x-more", &[b'x'; 1000])])),
    })
    .await;
    bounded(&gateway, &["http2_continuations"], |stream| match stream {
        1 => frame(HEADERS, 0, 1, &request("GET", "/", &[])),
        _ => frame(CONTINUATION, 0, 1, b""),
    })
    .await;
    // One string that never ends.
    bounded(
        &gateway,
        &["http2_continuations", "http2_abuse"],
        |stream| match stream {
            1 => frame(HEADERS, 0, 1, b"\x00\x7f\x80\x80\x80\x01"),
            _ => frame(CONTINUATION, 0, 1, &[b'x'; 16_000]),
        },
    )
    .await;
    assert!(
        upstream
            .requests()
            .iter()
            .all(|r| r.header("x-more").is_none())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_carry_no_request_are_bounded() {
    let (gateway, _upstream) = world("").await;
    let floods: [fn(u32) -> Vec<u8>; 7] = [
        |_| frame(PING, 0, 0, &[7; 8]),
        |_| frame(PING, ACK, 0, &[7; 8]),
        |_| frame(SETTINGS, 0, 0, &[]),
        // Each changes the window of all streams.
        |stream| frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0x40, (stream & 0xff) as u8]),
        |stream| frame(PRIORITY, 0, stream, &[0, 0, 0, 0, 1]),
        |stream| match stream {
            1 => frame(HEADERS, END_HEADERS, 1, &request("POST", "/", &[])),
            _ => frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]),
        },
        |_| frame(0xbe, 0xff, 0, b"what this is nobody knows"),
    ];
    for flood in floods {
        bounded(&gateway, &["http2_control_frames"], flood).await;
    }
    // Of these the library has a bound of its own, which is lower.
    bounded(
        &gateway,
        &["http2_control_frames", "http2_abuse"],
        |stream| match stream {
            1 => frame(HEADERS, END_HEADERS, 1, &request("POST", "/", &[])),
            _ => frame(DATA, 0, 1, b""),
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_that_unfold_to_many_times_their_size_are_refused() {
    let (gateway, upstream) = world("").await;
    bounded(&gateway, &["http2_abuse"], |stream| match stream {
        // A field of 3,900 bytes is put into the table, and then named by a byte each time.
        1 => {
            let mut block = request("GET", "/", &[]);
            block.push(0x40);
            text(b"x-b", &mut block);
            text(&[b'x'; 3900], &mut block);
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &block)
        }
        _ => {
            let mut block = request("GET", "/", &[]);
            block.extend([0xbe; 8000]);
            frame(HEADERS, END_HEADERS | END_STREAM, stream, &block)
        }
    })
    .await;
    let bombs = upstream.requests();
    let bombs = bombs
        .iter()
        .filter(|r| r.headers.iter().filter(|(n, _)| *n == "x-b").count() > 1);
    assert_eq!(bombs.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_streams_at_a_time_than_allowed_are_refused() {
    let (gateway, upstream) = world("limits:\n  http2:\n    streams: 4\n").await;
    upstream.answer(Answer::Hang);
    let mut client = connect(&gateway).await;
    for _ in 0..4 {
        let stream = client.stream();
        client.send(&get(stream, "/")).await.unwrap();
    }
    eventually("four are in flight", PATIENCE, async || {
        upstream.hits() == 4
    })
    .await;
    let fifth = client.stream();
    client.send(&get(fifth, "/")).await.unwrap();
    let refused = client.find(RST_STREAM, PATIENCE).await.expect("a refusal");
    // REFUSED_STREAM: nothing was done, it may be tried again.
    assert_eq!((refused.stream, refused.code()), (fifth, 7));
    assert_eq!(upstream.hits(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_told_why_its_connection_ends() {
    let (gateway, _upstream) =
        world("limits:\n  http2:\n    control_frames: 10\n    resets: 3\n").await;
    let mut pings = connect(&gateway).await;
    pings
        .send(&frame(PING, 0, 0, &[0; 8]).repeat(20))
        .await
        .unwrap();
    let away = pings.find(GOAWAY, PATIENCE).await.expect("GOAWAY");
    assert_eq!(away.code(), ENHANCE_YOUR_CALM);
    assert!(pings.closes_within(PATIENCE).await);
    until_stopped(&gateway, "http2_control_frames", 1).await;

    let mut hasty = connect(&gateway).await;
    let mut bytes = Vec::new();
    for _ in 0..10 {
        let stream = hasty.stream();
        bytes.extend(get(stream, "/"));
        bytes.extend(reset(stream, CANCEL));
    }
    hasty.send(&bytes).await.unwrap();
    let away = hasty.find(GOAWAY, PATIENCE).await.expect("GOAWAY");
    assert_eq!(away.code(), ENHANCE_YOUR_CALM);
    until_stopped(&gateway, "http2_resets", 1).await;

    // What is no HTTP/2: no SETTINGS at the beginning, a frame beyond the size that was agreed on.
    for wrong in [
        [PREFACE, &get(1, "/")].concat(),
        [
            PREFACE,
            &frame(SETTINGS, 0, 0, b""),
            &frame(DATA, 0, 1, &[0; 20_000]),
        ]
        .concat(),
    ] {
        let before = count(&gateway, "http2_abuse").await;
        let mut client = Frames::open_silently(gateway.addr(Interface::Http)).await;
        client.send(&wrong).await.unwrap();
        let away = client.find(GOAWAY, PATIENCE).await.expect("GOAWAY");
        assert_ne!(away.code(), 0);
        assert!(client.closes_within(PATIENCE).await);
        until_stopped(&gateway, "http2_abuse", before + 1).await;
    }
    others_are_served(&gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_has_so_many_requests_and_is_told_before() {
    let (gateway, upstream) = world("limits:\n  requests_per_connection: 3\n").await;
    let mut client = connect(&gateway).await;
    for _ in 0..3 {
        let stream = client.stream();
        client.send(&get(stream, "/")).await.unwrap();
    }
    let (mut heads, mut told) = (0, None);
    while heads < 3 || told.is_none() {
        let frame = client.next(PATIENCE).await.expect("more");
        match frame.kind {
            HEADERS => heads += 1,
            GOAWAY => told = Some(frame.code()),
            _ => {}
        }
    }
    assert_eq!(told, Some(0));
    until_stopped(&gateway, "requests_per_connection", 1).await;
    assert_eq!(upstream.hits(), 3);

    // Who does not listen is ended.
    let mut deaf = connect(&gateway).await;
    let flooded = deaf.flood(FLOOD, |stream| get(stream, "/")).await;
    assert!(flooded.is_some());
    others_are_served(&gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_does_not_come_to_its_end_is_not_waited_for() {
    let (gateway, upstream) = world("limits:\n  header_timeout: 1\n").await;
    let mut silent = connect(&gateway).await;
    let begun = Instant::now();
    silent
        .send(&frame(HEADERS, 0, 1, &request("GET", "/", &[])))
        .await
        .unwrap();
    assert!(silent.closes_within(Duration::from_secs(5)).await);
    assert!(begun.elapsed() >= Duration::from_millis(900));
    until_stopped(&gateway, "header_timeout", 1).await;

    // Bytes that trickle in do not prolong it, not even in the middle of a frame.
    let mut slow = connect(&gateway).await;
    let head = frame(HEADERS, END_HEADERS, 1, &request("GET", "/", &[]));
    let begun = Instant::now();
    for byte in head {
        if slow.send(&[byte]).await.is_err() || slow.closes_within(Duration::from_millis(100)).await
        {
            break;
        }
    }
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    until_stopped(&gateway, "header_timeout", 2).await;
    assert_eq!(upstream.hits(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_is_closed_after_its_time() {
    let (gateway, _upstream) = world("limits:\n  keepalive_timeout: 0.5\n").await;
    let mut idle = connect(&gateway).await;
    idle.send(&get(1, "/")).await.unwrap();
    assert!(idle.find(HEADERS, PATIENCE).await.is_some());
    let away = idle.find(GOAWAY, PATIENCE).await.expect("GOAWAY");
    assert_eq!(away.code(), 0);
    assert!(idle.closes_within(PATIENCE).await);
    until_stopped(&gateway, "http2_idle", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_grants_no_window_is_cut_off_and_holds_little() {
    let (gateway, upstream) =
        world("limits:\n  response_rate: 1000000\n  keepalive_timeout: 1\n").await;
    upstream.answer(Answer::Reply(Reply::new(200, vec![b'x'; 1 << 20])));
    let memory = resident(&gateway);
    let mut deaf = Vec::new();
    for _ in 0..4 {
        let to = gateway.addr(Interface::Http);
        let mut client = Frames::open_with(to, &[(4, 0)]).await;
        for _ in 0..15 {
            let stream = client.stream();
            client.send(&get(stream, "/")).await.unwrap();
        }
        deaf.push(client);
    }
    eventually("all have been asked for", PATIENCE, async || {
        upstream.hits() >= 60
    })
    .await;
    let grown = resident(&gateway).saturating_sub(memory);
    assert!(grown < GROWTH, "grown by {grown} KiB");
    let mut first = deaf.remove(0);
    let begun = Instant::now();
    // Each stream ends after its time, and then there is nothing left to wait for.
    assert!(first.closes_within(Duration::from_secs(60)).await);
    assert!(begun.elapsed() > Duration::from_secs(20), "the grace");
    until_stopped(&gateway, "response_rate", 60).await;
    upstream.answer(Answer::text("ok"));
    others_are_served(&gateway).await;
}
