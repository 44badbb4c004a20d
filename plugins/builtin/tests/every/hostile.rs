//! Requests that no browser sends. Every plugin answers them with a 4xx or lets them pass, and none of them names a consumer.

use crate::{
    example::{Example, REGISTRY},
    run,
};
use crossway_sdk::definition::Definition;
use proptest::{collection::vec, prelude::*, sample::select};

/// Headers that plugins look at.
const HEADERS: [&str; 32] = [
    "accept",
    "accept-encoding",
    "access-control-request-headers",
    "access-control-request-method",
    "apisix-csrf-token",
    "authorization",
    "b3",
    "cache-control",
    "content-encoding",
    "content-type",
    "cookie",
    "date",
    "digest",
    "expect",
    "grpc-timeout",
    "if-none-match",
    "origin",
    "range",
    "referer",
    "traceparent",
    "tracestate",
    "user",
    "user-agent",
    "x-api-key",
    "x-b3-traceid",
    "x-chaos",
    "x-consumer-username",
    "x-date",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-request-id",
    "x-version",
];

const VALUES: [&[u8]; 14] = [
    b"",
    b"\xff\xfe\x80",
    b"Bearer ",
    b"Bearer e30.e30.",
    b"Bearer eyJhbGciOiJub25lIn0.eyJrZXkiOiJqYWNrLWtleSJ9.",
    b"Basic amFjazo=",
    b"Basic \xff",
    b"Signature keyId=\"jack-key\",algorithm=\"none\",headers=\"\",signature=\"\"",
    b"jwt=; session=; apisix-csrf-token=%00; =",
    b"gzip;q=nan, br;q=-1, *;q=1e999",
    b"00-00000000000000000000000000000000-0000000000000000-00",
    b"application/json; charset=\xff; boundary=",
    b"999.999.999.999, ::::, [, 192.0.2.1:99999",
    b"Mon, 31 Feb 9999999999 25:61:61 GMT",
];

fn with_all(value: &[u8], times: usize) -> Vec<u8> {
    let mut raw = b"GET /orders?page=2 HTTP/1.1\r\nHost: api.example\r\n".to_vec();
    for name in HEADERS {
        for _ in 0..times {
            raw.extend_from_slice(name.as_bytes());
            raw.extend_from_slice(b": ");
            raw.extend_from_slice(value);
            raw.extend_from_slice(b"\r\n");
        }
    }
    raw.extend_from_slice(b"\r\n");
    raw
}

fn with_body(content_type: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /orders HTTP/1.1\r\nHost: api.example\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn requests() -> Vec<(String, Vec<u8>)> {
    let mut requests = Vec::new();
    for value in VALUES {
        for times in [1, 2] {
            let told = format!(
                "all headers {times} times {:?}",
                String::from_utf8_lossy(value)
            );
            requests.push((told, with_all(value, times)));
        }
    }
    for name in HEADERS {
        let line = format!("{name}: {}\r\n", "a".repeat(100_000));
        let raw = format!("GET / HTTP/1.1\r\nHost: api.example\r\n{line}\r\n");
        requests.push((format!("a long {name}"), raw.into_bytes()));
    }
    let many = "a=1&".repeat(10_000);
    for target in [
        "/%00/%ff/..%2f..;/?%zz&=&a=%ff&&api_key=%ff&jwt=",
        "//..//./%2e%2e/%2e/.git?q=union%20select",
        "http://other.example/orders",
        "/?api_key=a&api_key=a&jwt=a&jwt=a&password=1&password=2",
        "/helloworld.Greeter/SayHello",
        "/graphql?name=%22%7D%0a&name=2",
        &format!("/?{many}"),
    ] {
        for method in ["GET", "BREW", "OPTIONS", "PURGE", "HEAD"] {
            let raw = format!("{method} {target} HTTP/1.1\r\nHost: api.example\r\n\r\n");
            requests.push((format!("{method} {target:.60}"), raw.into_bytes()));
        }
    }
    requests.push(("no Host".to_owned(), b"GET / HTTP/1.0\r\n\r\n".to_vec()));
    let deep = "[".repeat(20_000);
    let bodies: [&[u8]; 9] = [
        b"",
        b"{",
        b"\xff\xfe",
        b"{\"amount\":1,\"amount\":2}",
        b"{\"amount\":1e999}",
        b"a=%ff&=&&a=%zz",
        b"--x\r\n\r\n",
        b"<!DOCTYPE a [<!ENTITY b \"c\"><!ENTITY d \"&b;&b;\">]><a>&d;</a>",
        deep.as_bytes(),
    ];
    for body in bodies {
        for kind in [
            "application/json",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "text/xml",
            "application/grpc-web-text",
            "application/grpc-web+proto",
        ] {
            let told = format!("{kind} {:.40}", String::from_utf8_lossy(body));
            requests.push((told, with_body(kind, body)));
        }
    }
    requests
}

/// Judges what became of a request; false when it met no plugin.
async fn harmless(definition: &Definition, example: &Example, told: &str, raw: &[u8]) -> bool {
    // Each request meets an instance of its own: what one uses up, another is not refused for.
    let plugin = run::built(definition, example);
    let told = format!("{}: {told}", definition.name);
    let outcome = match run::run(definition, example, &*plugin, raw).await {
        None => return false,
        Some(Ok(outcome)) => outcome,
        Some(Err(error)) => panic!("{told}: {error}"),
    };
    if let Some(answer) = &outcome.answer {
        let status = answer.status.as_u16();
        let chosen = example.config.to_string().contains(&status.to_string());
        assert!(status < 500 || chosen, "{told}: {status}");
    }
    if let Some(sent) = &outcome.sent {
        assert_eq!(sent.consumer, None, "{told}: somebody was let in");
        let clean =
            sent.line.chars().all(|c| !c.is_control()) && sent.line.matches(' ').count() == 1;
        assert!(clean, "{told}: {:?}", sent.line);
    }
    true
}

#[tokio::test]
async fn no_request_brings_a_plugin_down_or_opens_it() {
    let requests = requests();
    for definition in REGISTRY.iter() {
        let example = Example::of(definition.name);
        let mut met = 0;
        for (told, raw) in &requests {
            met += usize::from(harmless(definition, &example, told, raw).await);
        }
        assert!(
            met * 10 > requests.len() * 9,
            "only {met} met {}",
            definition.name
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn no_made_up_request_does(
        target in "/[a-zA-Z0-9/._~%;=&?$!*'(),:@+-]{0,24}",
        lines in vec((select(&HEADERS[..]), vec(prop_oneof![Just(b' '), 0x21u8..0x7f, 0x80u8..=0xff], 0..24)), 0..6),
    ) {
        let mut raw = format!("GET {target} HTTP/1.1\r\nHost: api.example\r\n").into_bytes();
        for (name, value) in lines {
            raw.extend_from_slice(name.as_bytes());
            raw.extend_from_slice(b": ");
            raw.extend_from_slice(&value);
            raw.extend_from_slice(b"\r\n");
        }
        raw.extend_from_slice(b"\r\n");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            for definition in REGISTRY.iter() {
                harmless(definition, &Example::of(definition.name), &String::from_utf8_lossy(&raw), &raw).await;
            }
        });
    }
}
