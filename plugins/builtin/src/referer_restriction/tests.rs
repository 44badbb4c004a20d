use super::{RefererRestriction, host};
use crate::testing::*;
use crossway_sdk::definition::Definition;
use serde_json::{Value, json};

fn definition() -> Definition {
    Definition::of::<RefererRestriction>()
}

async fn admitted(config: Value, lines: &str) -> bool {
    let plugin = built(&definition(), config);
    goes_on(scene(get("/", lines)).await.access(&*plugin).await)
}

#[tokio::test]
async fn lists_admit_and_refuse_by_host() {
    let hosts = json!(["*.xx.com", "yy.com", "[::1]"]);
    for (referer, listed) in [
        ("http://www.xx.com", true),
        ("https://a.b.xx.com/x?y", true),
        ("http://xx.com/", false),
        ("http://yy.com:8080/a", true),
        ("HTTP://YY.com", true),
        ("http://www.yy.com", false),
        ("http://[::1]:80/", true),
        ("http://evil.com/yy.com", false),
        ("http://evil.com?http://yy.com", false),
    ] {
        let line = format!("Referer: {referer}\r\n");
        assert_eq!(
            admitted(json!({"whitelist": hosts}), &line).await,
            listed,
            "{referer}"
        );
        assert_eq!(
            admitted(json!({"blacklist": hosts}), &line).await,
            !listed,
            "{referer}"
        );
    }
}

#[tokio::test]
async fn a_referer_that_is_missing_or_no_uri_passes_only_where_it_may_be_missing() {
    for line in [
        "",
        "Referer: www.yy.com\r\n",
        "Referer: http://\r\n",
        "Referer: http://yy.com@evil.com/\r\n",
        "Referer: http://yy.com:x@evil.com/\r\n",
        "Referer: ftp://yy.com\r\n",
    ] {
        for list in ["whitelist", "blacklist"] {
            assert!(!admitted(json!({list: ["yy.com"]}), line).await, "{line}");
            let bypass = json!({list: ["yy.com"], "bypass_missing": true});
            assert!(admitted(bypass, line).await, "{line}");
        }
    }
}

#[tokio::test]
async fn every_one_of_several_has_to_pass() {
    let both = "Referer: http://good.com\r\nReferer: http://bad.com\r\n";
    assert!(!admitted(json!({"whitelist": ["good.com"]}), both).await);
    assert!(!admitted(json!({"blacklist": ["bad.com"]}), both).await);
}

#[test]
fn the_host_ends_where_browsers_end_it() {
    assert_eq!(host(b"http://yy.com\\@evil.com"), Some(&b"yy.com"[..]));
    assert_eq!(host(b"http://yy.com#@evil.com"), Some(&b"yy.com"[..]));
    assert_eq!(host(b"http://[::1"), None);
    assert_eq!(host(b"http://a:b"), None);
    assert_eq!(host(b"https"), None);
}

#[tokio::test]
async fn a_refusal_has_a_message() {
    let plugin = built(&definition(), json!({"whitelist": ["a"]}));
    assert_eq!(
        said(scene(get("/", "")).await.access(&*plugin).await),
        (
            403,
            "{\"message\":\"Your referer host is not allowed\"}\n".to_owned()
        )
    );
}

#[test]
fn refused_configurations_say_where() {
    let refused = |config| refused(&definition(), config);
    assert_eq!(
        refused(json!({})).1,
        "expected either whitelist or blacklist, got neither"
    );
    assert_eq!(
        refused(json!({"whitelist": ["a"], "blacklist": ["a"]})).1,
        "expected either whitelist or blacklist, got both"
    );
    assert_eq!(refused(json!({"whitelist": ["a", "b/"]})).0, "/whitelist/1");
    assert_eq!(refused(json!({"blacklist": ["a.*"]})).0, "/blacklist/0");
    assert_eq!(refused(json!({"blacklist": []})).0, "/blacklist");
}
