use super::UriBlocker;
use crate::testing::*;
use crossway_sdk::definition::Definition;
use serde_json::{Value, json};

fn definition() -> Definition {
    Definition::of::<UriBlocker>()
}

/// What the gateway makes of a target before plugins see it is its own matter: here the normal path is given.
async fn blocked(config: Value, target: &str, normal: Option<&str>) -> bool {
    let plugin = built(&definition(), config);
    let mut scene = scene(get(target, "")).await;
    scene.request.normal_path = normal.map(Into::into);
    !goes_on(scene.rewrite(&*plugin).await)
}

#[tokio::test]
async fn rules_are_searched_in_path_and_query() {
    let rules = json!({"block_rules": ["root\\.exe", "^/admin/", "select.+(from|limit)", "\\?$"]});
    for (target, expected) in [
        ("/hello", false),
        ("/a/root.exe?x", true),
        ("/hello?name=;root.exe", true),
        ("/admin/x", true),
        ("/x/admin/", false),
        ("/x?a=/admin/", false),
        ("/x?q=select%20a%20from", true),
        ("/x?", false),
    ] {
        assert_eq!(
            blocked(rules.clone(), target, None).await,
            expected,
            "{target}"
        );
    }
}

#[tokio::test]
async fn no_spelling_gets_past_a_rule() {
    let rules = json!({"block_rules": ["^/admin/secret", "q=drop table"]});
    for target in [
        "/%61dmin/secret",
        "/x/..%2fadmin/secret",
        "//admin//secret",
        "/./admin/%2e/secret",
        "/admin%2Fsecret",
    ] {
        assert!(
            blocked(rules.clone(), target, Some("/admin/secret")).await,
            "{target}"
        );
    }
    for query in [
        "q=drop%20table",
        "q=drop+table",
        "%71=dro%70%20table",
        "a&q=drop+%74able",
    ] {
        let target = format!("/x?{query}");
        assert!(blocked(rules.clone(), &target, None).await, "{query}");
    }
    // Text that merely looks like an encoding is not decoded a second time.
    assert!(!blocked(rules.clone(), "/x?q=drop%2520table", None).await);
    assert!(!blocked(rules, "/Admin/secret", None).await);
    let loose = json!({"block_rules": ["^/admin"], "case_insensitive": true});
    assert!(blocked(loose, "/ADMIN", None).await);
}

#[tokio::test]
async fn a_search_that_gives_up_blocks() {
    let target = format!("/{}!", "a".repeat(60));
    assert!(blocked(json!({"block_rules": ["/(?:(?=a)a|a)+$"]}), &target, None).await);
}

#[tokio::test]
async fn a_refusal_is_a_page_or_a_message() {
    let refusal = async |config: Value| {
        let plugin = built(&definition(), config);
        reply(scene(get("/x", "")).await.rewrite(&*plugin).await)
    };
    let page = refusal(json!({"block_rules": ["x"]})).await;
    assert_eq!(page.status, 403);
    assert!(matches!(page.body, crossway_sdk::flow::ReplyBody::Default));
    let words = json!({"block_rules": ["x"], "rejected_code": 410, "rejected_msg": "gone"});
    let words = refusal(words).await;
    assert_eq!(
        (words.status.as_u16(), body(&words)),
        (410, "{\"error_msg\":\"gone\"}\n".to_owned())
    );
}

#[test]
fn refused_configurations_say_where() {
    let refused = |config| refused(&definition(), config);
    assert_eq!(refused(json!({})).1, "property \"block_rules\" is required");
    assert_eq!(
        refused(json!({"block_rules": ["a", "+"]})).0,
        "/block_rules/1"
    );
    assert_eq!(
        refused(json!({"block_rules": ["a", "a"]})).0,
        "/block_rules"
    );
    assert_eq!(refused(json!({"block_rules": [""]})).0, "/block_rules/0");
    assert_eq!(
        refused(json!({"block_rules": ["a"], "rejected_code": 199})).0,
        "/rejected_code"
    );
    assert_eq!(
        refused(json!({"block_rules": ["a"], "rejected_msg": ""})).0,
        "/rejected_msg"
    );
}
