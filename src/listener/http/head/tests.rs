use super::*;

const LIMITS: Limits = Limits {
    target: 100,
    fields: 1000,
    count: 10,
};

fn judged(head: &str) -> Verdict {
    judge(head.as_bytes(), &LIMITS)
}

fn refusal(head: &str) -> Option<Refused> {
    match judged(head) {
        Verdict::Refused(refused) => Some(refused),
        _ => None,
    }
}

/// The judgement over a request with these lines of fields.
fn with(fields: &str) -> Option<Refused> {
    refusal(&format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n"))
}

#[test]
fn a_head_ends_where_its_empty_line_ends_and_says_what_follows() {
    for (fields, body) in [
        ("X: y", "Done"),
        ("Content-Length: 0", "Done"),
        ("Content-Length: 3", "Length(3)"),
        ("content-length:  12 ", "Length(12)"),
        ("Transfer-Encoding: Chunked", "Chunked"),
    ] {
        let head = format!("POST /a?b HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n");
        match judged(&format!("{head}more")) {
            Verdict::Head(found) => {
                assert_eq!(found.length, head.len());
                assert!(format!("{:?}", found.body).starts_with(body), "{found:?}");
            }
            other => panic!("{fields}: {other:?}"),
        }
    }
}

#[test]
fn every_beginning_of_a_head_is_incomplete() {
    let head = "GET /a HTTP/1.1\r\nHost: a\r\nX-Y: z\r\n\r\n";
    for end in 0..head.len() {
        let part = head.get(..end).unwrap();
        assert!(matches!(judged(part), Verdict::Incomplete), "{part}");
    }
}

#[test]
fn framing_that_two_readers_could_read_in_two_ways_is_refused() {
    for fields in [
        "Content-Length: 3\r\nContent-Length: 3",
        "Content-Length: 3\r\nContent-Length: 4",
        "Content-Length: 3, 3",
        "Content-Length: +3",
        "Content-Length: -3",
        "Content-Length: 0x3",
        "Content-Length: 3 3",
        "Content-Length:",
        "Content-Length: 18446744073709551619",
        "Content-Length: 9223372036854775808",
        "Content-Length: 3\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 3",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding: chunked\x0b",
        "Transfer-Encoding:",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding\t: chunked",
        "Transfer-Encoding: x\r\n chunked",
        "X: a\r\n b",
        " X: a",
        "X: a\rTransfer-Encoding: chunked",
        "X: a\0b",
        "X: a\x01b",
        "X(a): b",
        ": b",
        "X",
        "Host: a",
        "Host: b",
    ] {
        assert_eq!(with(fields), Some(Refused::Malformed), "{fields:?}");
    }
}

#[test]
fn a_request_line_has_three_parts_and_a_version_that_is_known() {
    for line in [
        "GET /",
        "GET  / HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET /a b HTTP/1.1",
        "GET /\0 HTTP/1.1",
        "GET /a#b HTTP/1.1",
        "GET /<a> HTTP/1.1",
        "GET / HTTP/1.2",
        "GET / HTTP/2.0",
        "GET / HTTP/0.9",
        "GET / http/1.1",
        "GET / HTTP/1.10",
        "G@T / HTTP/1.1",
        " GET / HTTP/1.1",
        "\x16\x03\x01\x02",
        "PRI * HTTP/2.0",
        "GET http://u@a/ HTTP/1.1",
        "GET http://b/ HTTP/1.1",
        "GET http:/a HTTP/1.1",
    ] {
        let head = format!("{line}\r\nHost: a\r\n\r\n");
        assert_eq!(refusal(&head), Some(Refused::Malformed), "{line:?}");
    }
    for line in [
        "GET /%00 HTTP/1.1",
        "GET http://a/x HTTP/1.1",
        "OPTIONS * HTTP/1.0",
        "get /a?{b}|c HTTP/1.1",
    ] {
        assert_eq!(
            refusal(&format!("{line}\r\nHost: a\r\n\r\n")),
            None,
            "{line}"
        );
    }
}

#[test]
fn chunks_do_not_exist_in_http_1_0() {
    let head = "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(refusal(head), Some(Refused::Malformed));
}

#[test]
fn other_refusals_have_statuses_of_their_own() {
    for (head, status) in [
        ("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 405),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n".to_owned(),
            417,
        ),
        (
            format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(100)),
            414,
        ),
        (format!("GET /{}", "x".repeat(200)), 414),
        (
            format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(11)),
            431,
        ),
        (format!("GET / HTTP/1.1\r\nX: {}", "y".repeat(1200)), 431),
    ] {
        assert_eq!(refusal(&head).map(Refused::status), Some(status), "{head}");
    }
    let expects = "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\n\r\n";
    assert_eq!(refusal(expects), None);
}
