//! Spellings of paths: what they become, and which are refused.
#![allow(clippy::unwrap_used)]
use std::borrow::Cow;

use proptest::prelude::*;

use super::{BadTarget, DotSegments, DoubleSlash, Normal, Options, encode, normalise, readings};

fn path(target: &str) -> Result<String, BadTarget> {
    normalise(target.as_bytes(), Options::default()).map(|normal| normal.path.into_owned())
}

#[test]
fn a_normal_path_is_borrowed() {
    for target in [
        "/",
        "/a",
        "/a/b/",
        "/.well-known/x",
        "/a..b/...",
        "/caf\u{e9}",
        "/a:b@c,d=e!",
    ] {
        let normal = normalise(target.as_bytes(), Options::default()).unwrap();
        assert!(
            matches!(normal.path, Cow::Borrowed(path) if path == target),
            "{target}"
        );
    }
}

#[test]
fn spellings_of_one_path_become_one_path() {
    for (target, expected) in [
        ("/%61", "/a"),
        ("/a%20b", "/a b"),
        ("/a%2Fb", "/a/b"),
        ("//a///b//", "/a/b/"),
        ("/a/%2F/b", "/a/b"),
        ("/a/./b", "/a/b"),
        ("/a/.", "/a/"),
        ("/a/..", "/"),
        ("/a/b/..", "/a/"),
        ("/a/b/../c", "/a/c"),
        ("/a/b/../../c/", "/c/"),
        ("/a/%2e%2E/b", "/b"),
        ("/a%2f..%2fb", "/b"),
        ("/a/%2e/b", "/a/b"),
        ("/x//y/../z", "/x/z"),
        ("/a/b/..//c", "/a/c"),
        ("/a;x=1/b;y", "/a;x=1/b;y"),
        ("/;x", "/;x"),
        ("/%252e%252e/a", "/%2e%2e/a"),
        ("/a%5Cb", "/a\\b"),
        ("/%C3%A9", "/\u{e9}"),
        ("/a%3Fb%23", "/a?b#"),
        ("/...", "/..."),
    ] {
        assert_eq!(path(target).as_deref(), Ok(expected), "{target}");
    }
}

#[test]
fn what_servers_read_differently_is_refused() {
    for (target, error) in [
        ("", BadTarget::NotAPath),
        ("*", BadTarget::NotAPath),
        ("a/b", BadTarget::NotAPath),
        ("?a", BadTarget::NotAPath),
        ("http://a/b", BadTarget::NotAPath),
        ("/%", BadTarget::Percent),
        ("/%4", BadTarget::Percent),
        ("/%zz", BadTarget::Percent),
        ("/%+1", BadTarget::Percent),
        ("/%00", BadTarget::EncodedControl),
        ("/a%0ab", BadTarget::EncodedControl),
        ("/a%7F", BadTarget::EncodedControl),
        ("/a b", BadTarget::Byte),
        ("/a\tb", BadTarget::Byte),
        ("/a\\b", BadTarget::Byte),
        ("/a#b", BadTarget::Byte),
        ("/a?b c", BadTarget::Byte),
        ("/a?b#c", BadTarget::Byte),
        ("/..", BadTarget::AboveRoot),
        ("/a/../..", BadTarget::AboveRoot),
        ("/%2e%2e/a", BadTarget::AboveRoot),
        ("/./../a", BadTarget::AboveRoot),
        ("/a//../b", BadTarget::AmbiguousDots),
        ("/a//b/../../c", BadTarget::AmbiguousDots),
        ("/a/%2f../b", BadTarget::AmbiguousDots),
        ("/a/..;/b", BadTarget::AmbiguousDots),
        ("/a/..;x=y", BadTarget::AmbiguousDots),
        ("/a/.;/b", BadTarget::AmbiguousDots),
        ("/a/%2e%2e%3b/b", BadTarget::AmbiguousDots),
        ("/a/..%5Cb", BadTarget::AmbiguousDots),
        ("/a%5c..", BadTarget::AmbiguousDots),
        ("/a%5c..;x%5cb", BadTarget::AmbiguousDots),
        ("/%c0%ae", BadTarget::NotUtf8),
        ("/%ff", BadTarget::NotUtf8),
    ] {
        assert_eq!(path(target), Err(error), "{target}");
    }
    assert_eq!(
        normalise(b"/\xff", Options::default()),
        Err(BadTarget::NotUtf8)
    );
}

#[test]
fn the_query_is_left_alone() {
    let normal = normalise(b"/a?b=%zz/../c?d\\e\xff", Options::default()).unwrap();
    assert_eq!(
        normal,
        Normal {
            path: "/a".into(),
            query: Some(b"b=%zz/../c?d\\e\xff"),
            doubts: Default::default(),
        }
    );
    assert_eq!(
        normalise(b"/a?", Options::default()).unwrap().query,
        Some(&b""[..])
    );
    assert_eq!(normalise(b"/a", Options::default()).unwrap().query, None);
}

#[test]
fn an_encoded_slash_can_be_kept_apart() {
    let options = Options {
        keep_encoded_slash: true,
        ..Options::default()
    };
    let path = |target: &str| normalise(target.as_bytes(), options).map(|n| n.path.into_owned());
    assert_eq!(path("/a%2fb").as_deref(), Ok("/a%2Fb"));
    assert_eq!(path("/a%252fb").as_deref(), Ok("/a%252fb"));
    assert_eq!(path("/a/..%2fb"), Err(BadTarget::AmbiguousDots));
    assert_eq!(path("/a%2F.%2Fb"), Err(BadTarget::AmbiguousDots));
    assert_eq!(path("/a%2Fb/../c").as_deref(), Ok("/c"));
}

#[test]
fn a_tail_slash_can_be_deleted() {
    let options = Options {
        delete_tail_slash: true,
        ..Options::default()
    };
    for (target, expected) in [
        ("/a/", "/a"),
        ("/a", "/a"),
        ("/", ""),
        ("/%61/", "/a"),
        ("//", ""),
    ] {
        assert_eq!(
            normalise(target.as_bytes(), options).unwrap().path,
            expected,
            "{target}"
        );
    }
}

#[test]
fn parameters_can_be_cut_off_as_servlets_do() {
    let options = Options {
        like_servlet: true,
        ..Options::default()
    };
    let path = |target: &str| normalise(target.as_bytes(), options).map(|n| n.path.into_owned());
    assert_eq!(path("/a;x=1/b;y").as_deref(), Ok("/a/b"));
    assert_eq!(path("/a;x/").as_deref(), Ok("/a/"));
    assert_eq!(path("/a;x%2Fy/b").as_deref(), Ok("/a/b"));
    assert_eq!(path("/a%3Bx/b").as_deref(), Ok("/a;x/b"));
    for target in ["/a/;x/b", "/;", "/a/;"] {
        assert_eq!(path(target), Err(BadTarget::NamelessSegment), "{target}");
    }
    for target in ["/a/..%3b/b", "/a;x%5c..%5cb"] {
        assert_eq!(path(target), Err(BadTarget::AmbiguousDots), "{target}");
    }
    for target in ["/a/.;/b", "/a/..;x", "/%2e;/a"] {
        assert_eq!(path(target), Err(BadTarget::NamelessSegment), "{target}");
    }
    assert_eq!(path("/a;%zz"), Err(BadTarget::Percent));
}

#[test]
fn empty_segments_and_dot_segments_can_be_kept_or_refused() {
    let of = |double_slash, dot_segments| {
        move |target: &'static str| {
            let options = Options {
                double_slash,
                dot_segments,
                ..Options::default()
            };
            normalise(target.as_bytes(), options).map(|n| n.path.into_owned())
        }
    };
    let pass = of(DoubleSlash::Pass, DotSegments::Resolve);
    assert_eq!(pass("//a///%62/").as_deref(), Ok("//a///b/"));
    assert_eq!(pass("/a//../b"), Err(BadTarget::AmbiguousDots));
    let refuse = of(DoubleSlash::Refuse, DotSegments::Refuse);
    assert_eq!(refuse("/a/b/").as_deref(), Ok("/a/b/"));
    assert_eq!(
        refuse("/.well-known/..."),
        Ok("/.well-known/...".to_owned())
    );
    for target in ["//a", "/a//b", "/a/%2Fb", "/a//"] {
        assert_eq!(refuse(target), Err(BadTarget::EmptySegment), "{target}");
    }
    for target in ["/./a", "/a/..", "/a/%2e%2e/b", "/a/%2E"] {
        assert_eq!(refuse(target), Err(BadTarget::DotSegment), "{target}");
    }
}

fn target() -> impl Strategy<Value = Vec<u8>> {
    let token = prop::sample::select(vec![
        "/", "//", ".", "..", "a", "%2e", "%2F", "%5c", "%25", "%", "2e", ";", ";x", "%3b",
        "\u{e9}", "%ff", "?", "%c3%a9", "\\", "#", " ", "%00",
    ]);
    let tokens = prop::collection::vec(token, 0..12)
        .prop_map(|all| format!("/{}", all.concat()).into_bytes());
    prop_oneof![4 => tokens, 1 => prop::collection::vec(any::<u8>(), 0..40)]
}

proptest! {
    #[test]
    fn never_panics_and_a_normal_path_stays_as_it_is(
        target in target(), keep_encoded_slash: bool, like_servlet: bool,
    ) {
        let options = Options { keep_encoded_slash, like_servlet, ..Options::default() };
        if let Ok(normal) = normalise(&target, options) {
            let path = normal.path;
            prop_assert!(path.starts_with('/'));
            prop_assert!(!path.contains("//"), "{path:?}");
            prop_assert!(!path.split('/').any(|segment| matches!(segment, "." | "..")), "{path:?}");
            prop_assert!(!path.contains(|c: char| c.is_ascii_control()));
            let encoded = encode(&path, options).into_owned();
            let again = normalise(encoded.as_bytes(), options);
            prop_assert_eq!(again.map(|normal| normal.path.into_owned()), Ok(path.into_owned()));
            for other in readings(&target, options, normal.doubts).unwrap_or_default() {
                prop_assert!(other.starts_with('/'));
                prop_assert!(!other.split('/').any(|segment| matches!(segment, "." | "..")));
            }
        }
    }
}
