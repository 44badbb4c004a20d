#![allow(clippy::unwrap_used)]
use super::*;
use crate::settings::{AccessLog as Settings, LogFormat};
use std::{
    collections::HashMap,
    fs,
    path::Path,
    time::{Instant, UNIX_EPOCH},
};

type Request = HashMap<String, String>;

fn request(values: &[(&str, &str)]) -> Request {
    values
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn counter() -> IntCounter {
    IntCounter::new("dropped", "h").unwrap()
}

fn written(settings: &Settings, request: &dyn Lookup) -> String {
    let mut out = Vec::new();
    let at = UNIX_EPOCH + Duration::from_millis(1_795_230_245_012);
    Line::compile(settings)
        .unwrap()
        .write(request, at, &mut out);
    String::from_utf8(out).unwrap()
}

fn to_file(path: &Path) -> Settings {
    Settings {
        path: LogTarget::File(path.to_owned()),
        template: "$uri".to_owned(),
        ..Settings::default()
    }
}

/// Polls until the file holds `text`.
fn expect(path: &Path, text: &str) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let now = fs::read_to_string(path).unwrap_or_default();
        if now == text {
            return;
        }
        assert!(Instant::now() < deadline, "{now:?} is not {text:?}");
        std::thread::yield_now();
    }
}

#[test]
fn the_default_line_is_that_of_apisix() {
    let request = request(&[
        ("remote_addr", "127.0.0.1"),
        ("http_host", "a.test:9080"),
        ("request", "GET /a?b=\"c\" HTTP/1.1"),
        ("status", "200"),
        ("body_bytes_sent", "12"),
        ("request_time", "0.003"),
        ("http_user_agent", "curl/8"),
        ("upstream_addr", "10.0.0.1:80"),
        ("upstream_status", "200"),
        ("upstream_response_time", "0.002"),
        ("upstream_scheme", "http"),
        ("upstream_host", "a.test"),
        ("request_id", "7f"),
    ]);
    let line = written(&Settings::default(), &request);
    let (before, time, after) = split_time(&line);
    assert_eq!(before, "127.0.0.1 - - ");
    assert_eq!(time.len(), "21/Nov/2026:04:04:05 +0100".len());
    assert_eq!(
        after,
        " a.test:9080 \"GET /a?b=\\x22c\\x22 HTTP/1.1\" 200 12 0.003 \"-\" \"curl/8\" 10.0.0.1:80 200 0.002 \
         \"http://a.test\" \"7f\"\n"
    );
}

fn split_time(line: &str) -> (&str, &str, &str) {
    let (before, rest) = line.split_once('[').unwrap();
    let (time, after) = rest.split_once(']').unwrap();
    (before, time, after)
}

#[test]
fn a_request_without_upstream_has_a_line_too() {
    let line = written(
        &Settings::default(),
        &request(&[("http_host", "a.test"), ("status", "404")]),
    );
    assert!(
        line.ends_with(" 404 - - \"-\" \"-\" - - - \"http://a.test\" \"-\"\n"),
        "{line}"
    );
}

#[test]
fn nobody_injects_a_line() {
    let settings = Settings {
        template: "\"$http_user_agent\"".to_owned(),
        ..Settings::default()
    };
    let line = written(
        &settings,
        &request(&[("http_user_agent", "x\"\n127.0.0.1 - admin")]),
    );
    assert_eq!(line, "\"x\\x22\\x0A127.0.0.1 - admin\"\n");
}

#[test]
fn json_lines_are_json() {
    let fields = [
        ("a\"b", "$http_user_agent"),
        ("lacking", "$http_referer"),
        ("lacking too", "<$http_referer>"),
        ("fixed", "gateway"),
        ("mixed", "$remote_addr:${uri}"),
        ("took", "$request_time"),
        ("at", "$msec"),
        ("pid", "$pid"),
        ("agent", "$uri"),
    ];
    let settings = Settings {
        format: LogFormat::Json,
        fields: fields
            .map(|(name, template)| (name.to_owned(), template.to_owned()))
            .into(),
        ..Settings::default()
    };
    let line = written(
        &settings,
        &request(&[
            ("http_user_agent", "x\"\n\u{2028}"),
            ("remote_addr", "::1"),
            ("uri", "/ü"),
            ("request_time", "0.012"),
        ]),
    );
    assert_eq!(line.lines().count(), 1);
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        value,
        serde_json::json!({
            "a\"b": "x\"\n\u{2028}", "fixed": "gateway", "mixed": "::1:/ü", "took": 0.012, "at": 1_795_230_245.012,
            "pid": std::process::id(), "agent": "/ü",
        })
    );
    let odd = written(&settings, &request(&[("request_time", "0.1, 0.2")]));
    let odd: serde_json::Value = serde_json::from_str(&odd).unwrap();
    assert_eq!(odd["took"], "0.1, 0.2");
    let empty = Settings {
        fields: [].into(),
        ..settings
    };
    assert_eq!(written(&empty, &Request::new()), "{}\n");
}

#[test]
fn the_default_json_members_compile_and_are_found_again() {
    let settings = Settings {
        format: LogFormat::Json,
        ..Settings::default()
    };
    let line = written(&settings, &request(&[("status", "200"), ("route_id", "r")]));
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (&value["status"], &value["route_id"]),
        (&"200".into(), &"r".into())
    );
    assert!(value["time"].as_str().unwrap().starts_with("2026-11-2"));
}

#[test]
fn off_is_off() {
    for settings in [
        Settings {
            enabled: false,
            ..Settings::default()
        },
        Settings {
            path: LogTarget::Off,
            ..Settings::default()
        },
    ] {
        assert!(AccessLog::open(&settings, counter()).unwrap().is_none());
    }
    let bad = Settings {
        path: LogTarget::File("/no/such/place".into()),
        ..Settings::default()
    };
    let error = AccessLog::open(&bad, counter())
        .map(|_| ())
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("access_log.path: cannot write /no/such/place: "),
        "{error}"
    );
}

#[test]
fn lines_reach_the_file_soon_and_all_of_them_when_it_is_closed() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("access.log");
    let log = AccessLog::open(&to_file(&path), counter())
        .unwrap()
        .unwrap();
    log.write(&request(&[("uri", "/1")]));
    expect(&path, "/1\n");
    log.write(&request(&[("uri", "/2")]));
    assert!(log.close(Duration::from_secs(10)));
    assert_eq!(fs::read_to_string(&path).unwrap(), "/1\n/2\n");
    log.write(&request(&[("uri", "/late")]));
    assert!(log.close(Duration::from_secs(10)), "closing twice is fine");
    assert_eq!(fs::read_to_string(&path).unwrap(), "/1\n/2\n");
}

#[test]
fn a_file_that_was_moved_away_is_opened_anew_when_asked() {
    let home = tempfile::tempdir().unwrap();
    let (path, moved) = (
        home.path().join("access.log"),
        home.path().join("access.log.1"),
    );
    let log = AccessLog::open(&to_file(&path), counter())
        .unwrap()
        .unwrap();
    log.write(&request(&[("uri", "/old")]));
    expect(&path, "/old\n");
    fs::rename(&path, &moved).unwrap();
    log.reopen();
    expect(&path, "");
    log.write(&request(&[("uri", "/new")]));
    assert!(log.close(Duration::from_secs(10)));
    assert_eq!(fs::read_to_string(&path).unwrap(), "/new\n");
    assert_eq!(fs::read_to_string(&moved).unwrap(), "/old\n");
}

#[test]
fn a_pipe_that_nobody_reads_costs_lines_and_not_time() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("pipe");
    let made = std::process::Command::new("mkfifo")
        .arg(&path)
        .status()
        .unwrap();
    assert!(made.success());
    // Open for reading too, so that opening for writing does not wait; nobody ever reads.
    let _reader = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .unwrap();
    let dropped = counter();
    let settings = Settings {
        queue: 64,
        ..to_file(&path)
    };
    let log = AccessLog::open(&settings, dropped.clone())
        .unwrap()
        .unwrap();
    let long = request(&[("uri", &"/".repeat(1000))]);
    let (began, mut sent) = (Instant::now(), 0);
    // More than the 64 KiB that fit into a pipe were taken, and then no more.
    while dropped.get() == 0 || sent - dropped.get() <= 80 {
        log.write(&long);
        sent += 1;
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "nothing was dropped"
        );
        std::thread::yield_now();
    }
    assert!(!log.close(Duration::from_millis(50)), "closing gives up");
}

#[test]
fn what_cannot_be_written_is_counted() {
    let dropped = counter();
    let log = AccessLog::open(&to_file(Path::new("/dev/full")), dropped.clone())
        .unwrap()
        .unwrap();
    log.write(&request(&[("uri", "/1")]));
    log.write(&request(&[("uri", "/2")]));
    assert!(log.close(Duration::from_secs(10)));
    assert_eq!(dropped.get(), 2);
}
