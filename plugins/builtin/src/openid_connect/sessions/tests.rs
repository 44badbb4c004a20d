#![allow(clippy::unwrap_used, clippy::string_slice)]

use super::{super::config::Session, Held, Jar, Seal, Stored, Timeouts};
use http::{HeaderMap, header::COOKIE};
use serde_json::{Value, json};

#[test]
fn a_seal_is_for_one_purpose_one_client_and_one_secret() {
    let seal = Seal::new("0123456789abcdef", "c", "d");
    let text = seal.seal("session", b"text".to_vec()).unwrap();
    assert_ne!(seal.seal("session", b"text".to_vec()).unwrap(), text);
    assert_eq!(seal.open("session", text.as_bytes()).unwrap(), b"text");
    assert_eq!(seal.open("flow", text.as_bytes()), None);
    for other in [
        Seal::new("0123456789abcdeg", "c", "d"),
        Seal::new("0123456789abcdef", "x", "d"),
        Seal::new("0123456789abcdef", "c", "x"),
    ] {
        assert_eq!(other.open("session", text.as_bytes()), None);
    }
    for bad in ["", "AAAA", &text[1..], &format!("{text}A"), "ü"] {
        assert_eq!(seal.open("session", bad.as_bytes()), None);
    }
}

fn session(changes: Value) -> Session {
    let mut config = json!({"secret": "0123456789abcdef"});
    for (name, value) in changes.as_object().unwrap() {
        config[name] = value.clone();
    }
    serde_json::from_value(config).unwrap()
}

#[test]
fn a_session_that_shrinks_leaves_no_cookies_behind() {
    let jar = Jar::new(&session(json!({"cookie_domain": "a.example"}))).unwrap();
    let mut headers = HeaderMap::new();
    headers.append(
        COOKIE,
        "session=3.a; session2=b; session3=c".parse().unwrap(),
    );
    assert_eq!(jar.session(&headers).as_deref(), Some("abc"));
    let cookies = jar.set_session(&"x".repeat(4000), &headers, true).unwrap();
    let cookies: Vec<_> = cookies.iter().map(|c| c.to_str().unwrap()).collect();
    assert_eq!(cookies.len(), 3);
    assert!(cookies[0].starts_with("session=2.xxx"));
    assert!(cookies[1].starts_with("session2=x"));
    assert_eq!(
        cookies[2],
        "session3=; Max-Age=0; Path=/; Domain=a.example; Secure; HttpOnly; SameSite=Lax"
    );
    assert!(
        jar.set_session(&"x".repeat(20_000), &headers, true)
            .is_none()
    );
    headers.append(COOKIE, "session2=b".parse().unwrap());
    assert_eq!(jar.session(&headers), None, "doubled");
}

#[test]
fn sessions_end_by_each_of_their_times() {
    let stored = |created, rolled, touched| Stored {
        created,
        rolled,
        touched,
        authenticated: created,
        tokens: Held {
            access_token: String::new(),
            access_until: 0,
            refresh_token: None,
            id_token: String::new(),
        },
        user: None,
    };
    let times = Timeouts::new(&session(
        json!({"idling_timeout": 100, "rolling_timeout": 400, "cookie": {"lifetime": 1000}}),
    ));
    assert!(times.holds(&stored(1000, 1000, 1000), 1099));
    assert!(!times.holds(&stored(1000, 1000, 1000), 1100));
    assert!(!times.holds(&stored(1000, 1000, 1399), 1400));
    assert!(!times.holds(&stored(1000, 1999, 1999), 2000));
    assert!(!times.holds(&stored(9000, 9000, 9000), 1000));
    assert_eq!(times.left(&stored(1000, 1000, 1050), 1100), Some(50));
    assert_eq!(times.left(&stored(1000, 1000, 1300), 1390), Some(10));
    assert_eq!(times.left(&stored(1000, 1990, 1990), 1995), Some(5));
    let endless = Timeouts::new(&session(
        json!({"idling_timeout": 0, "rolling_timeout": 0, "absolute_timeout": 0}),
    ));
    assert_eq!(endless.left(&stored(0, 0, 0), u64::MAX), None);
    let mut used = stored(1000, 1000, 1000);
    assert!(!times.touch(&mut used, 1024));
    assert!(times.touch(&mut used, 1025));
    assert_eq!((used.touched, used.rolled), (1025, 1000));
    assert!(times.touch(&mut used, 1300));
    assert_eq!(used.rolled, 1300);
}
