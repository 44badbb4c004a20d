use super::{Config, LdapAuth, directory::AT_ONCE};
use crate::testing::*;
use base64::{Engine, engine::general_purpose::STANDARD};
use crossway_sdk::{
    build::BuildCx,
    consumer::AuthSlot,
    definition::Definition,
    testing::{Bench, Consumers},
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const BASE: &str = "ou=users,dc=example,dc=org";

fn definition() -> Definition {
    Definition::auth::<LdapAuth>()
}

/// What a scripted directory does with a bind.
#[derive(Clone, Copy)]
enum Script {
    /// Accepts the password `right`; the connection stays open for so many binds.
    Accept { binds: usize },
    /// Answers with this result code.
    Code(u8),
    /// Answers with bytes that are no LDAP.
    Nonsense,
    /// Never answers.
    Silence,
}

/// Speaks as much LDAP as a bind needs. Real directories are asked in the black-box tests.
struct Directory {
    address: String,
    binds: Arc<Mutex<Vec<String>>>,
    connections: Arc<Mutex<usize>>,
}

impl Directory {
    async fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let directory = Self {
            address: listener.local_addr().unwrap().to_string(),
            binds: Arc::default(),
            connections: Arc::default(),
        };
        let (binds, connections) = (directory.binds.clone(), directory.connections.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                *connections.lock() += 1;
                tokio::spawn(serve(stream, script, binds.clone()));
            }
        });
        directory
    }
}

async fn serve(mut stream: TcpStream, script: Script, seen: Arc<Mutex<Vec<String>>>) {
    let mut left = match script {
        Script::Accept { binds } => binds,
        _ => usize::MAX,
    };
    let mut buffer = [0; 4096];
    while left > 0 {
        let Ok(length @ 7..) = stream.read(&mut buffer).await else {
            return;
        };
        let request = &buffer[..length];
        // 30 len 02 01 <id> 60 …: a bind.
        let (id, operation) = (request[4], request[5]);
        if operation != 0x60 {
            return;
        }
        let text = String::from_utf8_lossy(request).into_owned();
        let right = text.ends_with("right");
        seen.lock().push(text);
        left -= 1;
        let code = match script {
            Script::Accept { .. } if right => 0,
            Script::Accept { .. } => 49,
            Script::Code(code) => code,
            Script::Nonsense => {
                stream
                    .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                    .await
                    .unwrap();
                continue;
            }
            Script::Silence => std::future::pending().await,
        };
        let answer = [0x30, 12, 2, 1, id, 0x61, 7, 10, 1, code, 4, 0, 4, 0];
        stream.write_all(&answer).await.unwrap();
    }
}

fn plugin(ldap_uri: &str, changes: Value) -> LdapAuth {
    plugin_within(ldap_uri, changes, Duration::from_millis(500))
}

fn plugin_within(ldap_uri: &str, changes: Value, limit: Duration) -> LdapAuth {
    let mut config = json!({"base_dn": BASE, "ldap_uri": ldap_uri});
    for (name, value) in changes.as_object().unwrap() {
        config[name] = value.clone();
    }
    let bench = Bench::default();
    let cx = BuildCx::new("routes/1", "ldap-auth", None, Some(AuthSlot(0)), &bench);
    let config: Config = serde_json::from_value(config).unwrap();
    LdapAuth::with_limit(config, &cx, limit).unwrap()
}

fn foo() -> Consumers {
    let user = |name: &str| json!({"user_dn": format!("cn={name},{BASE}")});
    Consumers::default()
        .with("foo", &definition(), user("foo"))
        .unwrap()
}

fn basic(pair: &str) -> String {
    format!("Authorization: Basic {}\r\n", STANDARD.encode(pair))
}

async fn outcome(
    plugin: &LdapAuth,
    lines: impl AsRef<[u8]>,
    consumers: Consumers,
) -> (u16, String) {
    let mut scene = scene_with(get("/", lines), consumers).await;
    match scene.rewrite(plugin).await {
        Ok(crossway_sdk::flow::Flow::Next) => {
            (200, scene.request.consumer_name().unwrap().to_owned())
        }
        other => {
            let reply = reply(other);
            assert_eq!(
                header(&reply, "www-authenticate"),
                Some("Basic realm=\"ldap\"")
            );
            let text = body(&reply);
            let said: Value = serde_json::from_str(&text).unwrap();
            (
                reply.status.as_u16(),
                said["message"].as_str().unwrap().to_owned(),
            )
        }
    }
}

fn refused(message: &str) -> (u16, String) {
    (401, message.to_owned())
}

#[tokio::test]
async fn a_password_that_the_directory_accepts_names_the_consumer() {
    let directory = Directory::start(Script::Accept { binds: 100 }).await;
    let plugin = plugin(&directory.address, json!({}));
    assert_eq!(
        outcome(&plugin, basic("foo:right"), foo()).await,
        (200, "foo".to_owned())
    );
    let wrong = refused("Invalid user authorization");
    assert_eq!(outcome(&plugin, basic("foo:wrong"), foo()).await, wrong);
    // The directory knows him, the gateway does not.
    assert_eq!(outcome(&plugin, basic("bar:right"), foo()).await, wrong);
    let nobody = Consumers::default();
    assert_eq!(
        outcome(&plugin, basic("foo:right"), nobody).await,
        refused("Missing related consumer")
    );
    assert!(directory.binds.lock()[0].contains("cn=foo,ou=users,dc=example,dc=org"));
    assert_eq!(*directory.connections.lock(), 1, "connections are kept");
}

#[tokio::test]
async fn a_connection_that_was_closed_is_replaced() {
    let directory = Directory::start(Script::Accept { binds: 1 }).await;
    let plugin = plugin(&directory.address, json!({}));
    for _ in 0..5 {
        assert_eq!(outcome(&plugin, basic("foo:right"), foo()).await.0, 200);
    }
}

#[tokio::test]
async fn what_is_no_credential_is_not_asked_about() {
    let directory = Directory::start(Script::Accept { binds: 100 }).await;
    let plugin = plugin(&directory.address, json!({}));
    let (missing, malformed) = (
        "Missing authorization in request",
        "Invalid authorization in request",
    );
    let (none, wrong) = (String::new(), "Invalid user authorization");
    let twice = basic("foo:right").repeat(2);
    for (lines, message) in [
        (none, missing),
        ("Authorization: Bearer x\r\n".to_owned(), malformed),
        ("Authorization: Basic !!!\r\n".to_owned(), malformed),
        ("Authorization: Basic\r\n".to_owned(), malformed),
        (basic("foo"), malformed),
        (twice, malformed),
        (
            format!("Authorization: Basic {}\r\n", "A".repeat(20_000)),
            malformed,
        ),
        // Without a password a directory binds nobody, and says yes.
        (basic("foo:"), wrong),
        (basic(":right"), wrong),
        (basic(":"), wrong),
    ] {
        assert_eq!(
            outcome(&plugin, &lines, foo()).await,
            refused(message),
            "{lines}"
        );
    }
    assert_eq!(
        outcome(&plugin, b"Authorization: Basic \xff\r\n", foo()).await,
        refused(malformed)
    );
    assert!(directory.binds.lock().is_empty());
}

#[tokio::test]
async fn a_name_cannot_reach_another_branch_of_the_directory() {
    let directory = Directory::start(Script::Accept { binds: 100 }).await;
    let plugin = plugin(&directory.address, json!({}));
    let admin = json!({"user_dn": format!("cn=admin,ou=root,{BASE}")});
    let consumers = || {
        Consumers::default()
            .with("admin", &definition(), admin.clone())
            .unwrap()
    };
    for name in [
        "admin,ou=root",
        "admin+ou=root",
        "a\0b",
        "a\\,ou=root",
        "\"a\"",
        " a ",
    ] {
        let answer = outcome(&plugin, basic(&format!("{name}:right")), consumers()).await;
        assert_eq!(answer.0, 401, "{name:?}");
    }
    assert!(
        directory.binds.lock()[0].contains("cn=admin\\2cou\\3droot,ou=users"),
        "{:?}",
        directory.binds.lock()[0]
    );
}

#[tokio::test]
async fn a_directory_that_cannot_be_asked_lets_nobody_in() {
    let wrong = refused("Invalid user authorization");
    for script in [
        Script::Code(51),
        Script::Code(34),
        Script::Nonsense,
        Script::Silence,
    ] {
        let directory = Directory::start(script).await;
        let plugin = plugin(&directory.address, json!({}));
        let began = Instant::now();
        assert_eq!(outcome(&plugin, basic("foo:right"), foo()).await, wrong);
        assert!(began.elapsed() < Duration::from_secs(5));
    }
    let gone = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let absent = plugin(&gone.to_string(), json!({}));
    assert_eq!(outcome(&absent, basic("foo:right"), foo()).await, wrong);
    // One that speaks no TLS.
    let directory = Directory::start(Script::Accept { binds: 9 }).await;
    let tls = plugin(&directory.address, json!({"use_tls": true}));
    assert_eq!(outcome(&tls, basic("foo:right"), foo()).await, wrong);
}

#[tokio::test]
async fn a_directory_has_so_many_connections_and_no_more() {
    let directory = Directory::start(Script::Silence).await;
    let patient = Duration::from_secs(60);
    let plugin = Arc::new(plugin_within(&directory.address, json!({}), patient));
    let ask = || {
        let plugin = plugin.clone();
        tokio::spawn(async move { outcome(&plugin, basic("foo:right"), foo()).await })
    };
    let connections = || *directory.connections.lock();
    let reached = async |count: usize| {
        let deadline = Instant::now() + Duration::from_secs(20);
        while connections() < count {
            assert!(Instant::now() < deadline, "{} of {count}", connections());
            tokio::task::yield_now().await;
        }
    };
    let asked: Vec<_> = (0..AT_ONCE * 2).map(|_| ask()).collect();
    reached(AT_ONCE).await;
    // The others have every chance, and none.
    for _ in 0..2_000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(connections(), AT_ONCE);
    // Turns come back when clients leave.
    for task in asked {
        task.abort();
    }
    let last = ask();
    reached(AT_ONCE + 1).await;
    last.abort();
}

#[tokio::test]
async fn the_password_is_hidden_when_asked() {
    let directory = Directory::start(Script::Accept { binds: 9 }).await;
    let plugin = plugin(&directory.address, json!({"hide_credentials": true}));
    let mut scene = scene_with(get("/", basic("foo:right")), foo()).await;
    assert!(goes_on(scene.rewrite(&plugin).await));
    assert_eq!(sent_up(&scene, "authorization"), None);
}

#[test]
fn refused_configurations_say_where() {
    let good = json!({"base_dn": BASE, "ldap_uri": "127.0.0.1:389"});
    let refused = |name: &str, value: Value| {
        let mut config = good.clone();
        config[name] = value;
        crate::testing::refused(&definition(), config).0
    };
    for uri in ["", "ldap://127.0.0.1:389", "a:b", "a b"] {
        assert_eq!(refused("ldap_uri", json!(uri)), "/ldap_uri", "{uri}");
    }
    assert_eq!(refused("base_dn", json!("")), "/base_dn");
    assert_eq!(refused("uid", json!("cn=a,b")), "/uid");
    assert_eq!(refused("realm", json!("\n")), "/realm");
    let credential = |c| definition().credential(&c).err().unwrap().message;
    assert_eq!(credential(json!({})), "property \"user_dn\" is required");
    let twice = foo().with(
        "bar",
        &definition(),
        json!({"user_dn": format!("cn=foo,{BASE}")}),
    );
    assert!(twice.err().unwrap().message.contains("foo"));
}
