//! Paths that servers read in more than one way: none of them leads past the plugins of the route that another reading has.

use serde_json::json;

use crate::support::{Gateway, Upstream};

/// A gateway with an open route for all paths, and one below `/admin/` that asks for a key.
async fn world(settings: &str) -> (Gateway, Upstream) {
    let gateway = Gateway::builder().with_settings(settings).start().await;
    let upstream = Upstream::start().await;
    let document = upstream.document();
    let guarded = json!({ "key-auth": {} });
    gateway
        .put_all([
            ("/routes/open", json!({ "uri": "/*", "upstream": document })),
            (
                "/routes/admin",
                json!({ "uri": "/admin/*", "plugins": guarded, "upstream": document }),
            ),
        ])
        .await;
    upstream.clear();
    (gateway, upstream)
}

async fn statuses(gateway: &Gateway, expected: &[(&str, u16)]) {
    for (target, status) in expected {
        let answer = gateway
            .raw(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"))
            .await;
        let text = String::from_utf8_lossy(&answer);
        assert!(
            text.starts_with(&format!("HTTP/1.1 {status} ")),
            "{target}: {text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_other_reading_of_a_path_leads_past_a_guard() {
    let (gateway, upstream) = world("").await;
    let refused = [
        "/admin;a=b/x",
        "/admin%3Ba=b/x",
        "/%2561dmin/x",
        "/%25%36%31dmin/x",
        "/%252561dmin/x",
        "/x/%252e%252e/admin/y",
        "/admin%252Fx",
        "/%5Cadmin/x",
        "/admin%5Cx",
        "/admin%2Fx",
        "/admin/..%2Fpublic/x",
        "/admin//../public/x",
        "/admin%255cx",
        "/%2561dmin;x/y",
        "/x%2500",
    ];
    statuses(&gateway, &refused.map(|target| (target, 400))).await;
    // The guarded route has all readings of these.
    statuses(
        &gateway,
        &[
            ("/admin/x;v=1", 401),
            ("/admin/x%2520y", 401),
            ("/./admin/x%5Cy", 401),
        ],
    )
    .await;
    assert_eq!(upstream.hits(), 0, "{:?}", upstream.requests());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_leads_past_nothing_passes_as_it_was_written() {
    let (gateway, upstream) = world("").await;
    for target in [
        "/route/v1/driving/13.38,52.51;13.39,52.52",
        "/page.do;jsessionid=1F?x=;",
        "/a%2Fb",
        "/x%2520y",
        "/100%25",
        "/a%5Cb",
        "/a//b",
        "/a/./b?x=%2561;%5C",
        "/administer;x",
    ] {
        statuses(&gateway, &[(target, 200)]).await;
        assert_eq!(upstream.last_request().target, target);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_them_can_be_refused_or_let_pass() {
    let refuse = "paths: {encoded_slash: refuse, parameters: refuse, double_encoding: refuse, backslash: refuse, \
                  double_slash: refuse, dot_segments: refuse}\n";
    let (gateway, upstream) = world(refuse).await;
    let targets = [
        "/a%2Fb",
        "/a;b",
        "/a%3Bb",
        "/%2541",
        "/a%5Cb",
        "/a//b",
        "/a/./b",
        "/a/%2e%2e/b",
    ];
    statuses(&gateway, &targets.map(|target| (target, 400))).await;
    assert_eq!(upstream.hits(), 0);
    statuses(
        &gateway,
        &[
            ("/100%25", 200),
            ("/%41?a=%2F;%5C//..", 200),
            ("/.well-known/a", 200),
        ],
    )
    .await;

    let pass = "paths: {encoded_slash: pass, parameters: pass, double_encoding: pass, backslash: pass, double_slash: pass}\n";
    let (gateway, _upstream) = world(pass).await;
    statuses(
        &gateway,
        &[
            ("/admin;a=b/x", 200),
            ("/%2561dmin/x", 200),
            ("/%5Cadmin/x", 200),
            ("//admin/x", 200),
            ("/admin%2Fx", 401),
            ("/admin//x", 401),
            // These have no use that could be allowed.
            ("/x/..;/admin", 400),
            ("/x/..%5Cadmin", 400),
            ("/a%00", 400),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn upstreams_can_get_the_path_that_routes_and_plugins_saw() {
    let (gateway, upstream) = world("paths: {forward: normalised}\n").await;
    for (target, forwarded) in [
        ("/plain?x=%41//..", "/plain?x=%41//.."),
        ("/%61/../b//c/./%7Euser?q", "/b/c/~user?q"),
        ("/a%20b%C3%A9", "/a%20b%C3%A9"),
        ("/a%2Fb", "/a/b"),
        ("/x%2520y;z%5C", "/x%2520y;z%5C"),
        ("http://a/%61", "/a"),
    ] {
        statuses(&gateway, &[(target, 200)]).await;
        assert_eq!(upstream.last_request().target, forwarded, "{target}");
    }
    assert!(upstream.faults().is_empty(), "{:?}", upstream.faults());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_explanation_says_which_reading_a_path_is_refused_for() {
    let (gateway, _upstream) = world("").await;
    let why = gateway
        .control("/v1/explain?host=a&uri=%2Fadmin%3Ba%3Db%2Fx")
        .await;
    let text = why.text();
    assert!(text.contains("400") && text.contains("/admin/x"), "{text}");
}
