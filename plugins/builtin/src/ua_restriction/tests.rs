use super::UaRestriction;
use crate::testing::*;
use crossway_sdk::definition::Definition;
use serde_json::{Value, json};

fn definition() -> Definition {
    Definition::of::<UaRestriction>()
}

async fn admitted(config: Value, lines: impl AsRef<[u8]>) -> bool {
    let plugin = built(&definition(), config);
    goes_on(scene(get("/", lines)).await.access(&*plugin).await)
}

#[tokio::test]
async fn lists_admit_and_refuse_by_what_is_found_in_the_agent() {
    let patterns = json!(["^my-bot1", "(Baiduspider)/(\\d+)\\.(\\d+)"]);
    for (agent, listed) in [
        ("my-bot1", true),
        ("  my-bot1 ", true),
        ("not my-bot1", false),
        ("Mozilla/5.0 Baiduspider/2.0", true),
        ("baiduspider/2.0", false),
        ("", false),
    ] {
        let line = format!("User-Agent: {agent}\r\n");
        assert_eq!(
            admitted(json!({"allowlist": patterns}), &line).await,
            listed,
            "{agent}"
        );
        assert_eq!(
            admitted(json!({"denylist": patterns}), &line).await,
            !listed,
            "{agent}"
        );
    }
}

#[tokio::test]
async fn a_missing_agent_is_refused_unless_it_may_be_missing() {
    assert!(!admitted(json!({"denylist": ["x"]}), "").await);
    assert!(!admitted(json!({"allowlist": ["x"]}), "").await);
    assert!(admitted(json!({"denylist": ["x"], "bypass_missing": true}), "").await);
    assert!(admitted(json!({"allowlist": ["x"], "bypass_missing": true}), "").await);
}

#[tokio::test]
async fn every_one_of_several_agents_has_to_pass() {
    let both = "User-Agent: good\r\nUser-Agent: bad\r\n";
    assert!(!admitted(json!({"allowlist": ["good"]}), both).await);
    assert!(!admitted(json!({"denylist": ["bad"]}), both).await);
    assert!(admitted(json!({"allowlist": ["o", "a"]}), both).await);
    assert!(
        !admitted(
            json!({"denylist": ["bad"]}),
            &b"User-Agent: \xffbad\r\n"[..]
        )
        .await
    );
}

#[tokio::test]
async fn a_search_that_gives_up_admits_nobody() {
    let hard = json!(["^(?:(?=a)a|a)+$"]);
    let line = format!("User-Agent: {}!\r\n", "a".repeat(60));
    assert!(!admitted(json!({"allowlist": hard}), &line).await);
    assert!(!admitted(json!({"denylist": hard}), &line).await);
}

#[tokio::test]
async fn a_refusal_has_a_message() {
    let refusal = async |config: Value| {
        said(
            scene(get("/", ""))
                .await
                .access(&*built(&definition(), config))
                .await,
        )
    };
    assert_eq!(
        refusal(json!({"denylist": ["x"]})).await,
        (403, "{\"message\":\"Not allowed\"}\n".to_owned())
    );
    assert_eq!(
        refusal(json!({"denylist": ["x"], "message": "no"})).await,
        (403, "{\"message\":\"no\"}\n".to_owned())
    );
}

#[test]
fn refused_configurations_say_where() {
    let refused = |config| refused(&definition(), config);
    assert_eq!(
        refused(json!({})).1,
        "expected either allowlist or denylist, got neither"
    );
    assert_eq!(
        refused(json!({"allowlist": ["a"], "denylist": ["a"]})).1,
        "expected either allowlist or denylist, got both"
    );
    assert_eq!(refused(json!({"denylist": ["a", "b("]})).0, "/denylist/1");
    assert_eq!(refused(json!({"denylist": []})).0, "/denylist");
    assert_eq!(refused(json!({"denylist": [""]})).0, "/denylist/0");
    assert_eq!(
        refused(json!({"denylist": ["a"], "message": ""})).0,
        "/message"
    );
}
