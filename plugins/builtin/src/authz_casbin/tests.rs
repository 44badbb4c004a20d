use super::AuthzCasbin;
use crate::testing::*;
use crossway_sdk::{
    definition::{Definition, Instance},
    testing::Bench,
};
use serde_json::{Value, json};
use std::sync::Arc;

const MODEL: &str = "[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act
[role_definition]
g = _, _
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = (g(r.sub, p.sub) || keyMatch(r.sub, p.sub)) && keyMatch(r.obj, p.obj) && keyMatch(r.act, p.act)";

const POLICY: &str = "# who may do what
p, *, /, GET
p, admin, *, *
g, alice, admin
";

fn definition() -> Definition {
    Definition::of::<AuthzCasbin>()
}

fn inline() -> Value {
    json!({"username": "user", "model": MODEL, "policy": POLICY})
}

async fn judged(plugin: &dyn Instance, raw: impl AsRef<[u8]>) -> u16 {
    let mut scene = scene(raw).await;
    match scene.rewrite(plugin).await {
        Ok(crossway_sdk::flow::Flow::Next) => 200,
        Err(_) => 500,
        other => {
            let (status, body) = said(other);
            assert_eq!(body, "{\"message\":\"Access Denied\"}\n");
            status
        }
    }
}

#[tokio::test]
async fn the_policy_decides_by_user_path_and_method() {
    let plugin = built(&definition(), inline());
    for (target, lines, status) in [
        ("/", "", 200),
        ("/?a=1", "", 200),
        ("/res", "", 403),
        ("/res", "user: alice\r\n", 200),
        ("/res", "User: bob\r\n", 403),
        ("/res", "user: admin\r\n", 200),
        ("/", "user: bob\r\n", 200),
    ] {
        assert_eq!(
            judged(&*plugin, get(target, lines)).await,
            status,
            "{target} {lines}"
        );
    }
    let post = |user: &str| {
        format!("POST / HTTP/1.1\r\nHost: a\r\nuser: {user}\r\nContent-Length: 0\r\n\r\n")
    };
    assert_eq!(judged(&*plugin, post("bob")).await, 403);
    assert_eq!(judged(&*plugin, post("alice")).await, 200);
}

#[tokio::test]
async fn the_path_is_the_normalised_one() {
    let policy = "p, *, /public/*, GET\n";
    let plugin = built(
        &definition(),
        json!({"username": "u", "model": MODEL, "policy": policy}),
    );
    let mut scene = scene(get("/public/../secret", "")).await;
    scene.request.normal_path = Some("/secret".into());
    assert_eq!(said(scene.rewrite(&*plugin).await).0, 403);
}

#[tokio::test]
async fn hostile_names_are_denied() {
    let policy = "p, *, *, *\n";
    let plugin = built(
        &definition(),
        json!({"username": "user", "model": MODEL, "policy": policy}),
    );
    assert_eq!(judged(&*plugin, get("/", "user: \"; true\r\n")).await, 200);
    for lines in [
        &b"user: alice\r\nuser: bob\r\n"[..],
        b"user: \xff\xfe\r\n",
        b"user: \r\n",
        format!("user: {}\r\n", "x".repeat(20_000)).as_bytes(),
    ] {
        assert_eq!(judged(&*plugin, get("/", lines)).await, 403);
    }
}

#[tokio::test]
async fn a_long_policy_is_judged_by_another_thread() {
    let mut policy: String = (0..500)
        .map(|i| format!("p, user{i}, /r{i}, GET\n"))
        .collect();
    policy.push_str("g, alice, user499\n");
    let plugin = built(
        &definition(),
        json!({"username": "user", "model": MODEL, "policy": policy}),
    );
    assert_eq!(judged(&*plugin, get("/r499", "user: alice\r\n")).await, 200);
    assert_eq!(judged(&*plugin, get("/r498", "user: alice\r\n")).await, 403);
    assert_eq!(judged(&*plugin, get("/r498", "")).await, 403);
}

#[tokio::test]
async fn metadata_serves_places_without_rules_of_their_own() {
    let bench = Bench {
        metadata: Some(json!({"model": MODEL, "policy": POLICY})),
        ..Bench::default()
    };
    let plugin = bench
        .build(&definition(), json!({"username": "user"}))
        .unwrap();
    assert_eq!(judged(&*plugin, get("/res", "user: alice\r\n")).await, 200);
    assert_eq!(judged(&*plugin, get("/res", "user: bob\r\n")).await, 403);
    // A place's own rules win.
    let open = json!({"username": "user", "model": MODEL, "policy": "p, *, *, *"});
    let plugin = bench.build(&definition(), open).unwrap();
    assert_eq!(judged(&*plugin, get("/res", "user: bob\r\n")).await, 200);
}

/// A folder that is removed afterwards.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("crossway-casbin-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    fn plugin(&self) -> Arc<dyn Instance> {
        let config = json!({"username": "user", "model_path": self.path("m.conf"), "policy_path": self.path("p.csv")});
        built(&definition(), config)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

#[tokio::test]
async fn files_are_read_once_and_a_missing_one_is_tried_again() {
    let folder = Folder::new("files");
    let plugin = folder.plugin();
    std::fs::write(folder.path("m.conf"), MODEL).unwrap();
    assert_eq!(
        judged(&*plugin, get("/", "")).await,
        500,
        "there is no policy yet"
    );
    std::fs::write(folder.path("p.csv"), "nonsense, a, b").unwrap();
    assert_eq!(judged(&*plugin, get("/", "")).await, 500);
    std::fs::write(folder.path("p.csv"), POLICY).unwrap();
    assert_eq!(judged(&*plugin, get("/res", "user: alice\r\n")).await, 200);
    std::fs::remove_file(folder.path("p.csv")).unwrap();
    assert_eq!(judged(&*plugin, get("/res", "user: bob\r\n")).await, 403);
    let directory = json!({"username": "u", "model_path": "/", "policy_path": "/"});
    assert_eq!(
        judged(&*built(&definition(), directory), get("/", "")).await,
        500
    );
}

#[test]
fn refused_configurations_say_where() {
    let refused = |changes: Value| {
        let mut config = inline();
        for (name, value) in changes.as_object().unwrap() {
            config[name] = value.clone();
        }
        refused(&definition(), config)
    };
    assert_eq!(refused(json!({"username": "a b"})).0, "/username");
    assert_eq!(refused(json!({"model": ""})).0, "/model");
    assert_eq!(refused(json!({"model": "nonsense"})).0, "/model");
    let bad_matcher = MODEL.replace("keyMatch(r.obj", "noSuchFunction(r.obj");
    assert_eq!(refused(json!({"model": bad_matcher})).0, "/model");
    let bad_effect = MODEL.replace("some(where (p.eft == allow))", "whatever");
    assert_eq!(refused(json!({"model": bad_effect})).0, "/model");
    let two = MODEL.replace("r = sub, obj, act", "r = sub, obj");
    assert_eq!(refused(json!({"model": two})).0, "/model");
    assert_eq!(
        refused(json!({"policy": "p, *, /, GET\nd, eve, *, *\n"})),
        (
            "/policy".to_owned(),
            "line 2: the model defines no \"d\"".to_owned()
        )
    );
    let short = refused(json!({"policy": "p, *, /\n"}));
    assert_eq!(short.0, "/policy");
    assert!(short.1.contains("wants 3 values"), "{}", short.1);
    let both = refused(json!({"model_path": "/m", "policy_path": "/p"}));
    assert!(both.1.starts_with("expected either"));
    let alone = crate::testing::refused(&definition(), json!({"username": "u"}));
    assert!(alone.1.contains("no metadata"), "{}", alone.1);
    assert_eq!(
        crate::testing::refused(&definition(), json!({"model": MODEL, "policy": POLICY})).1,
        "property \"username\" is required"
    );
}
