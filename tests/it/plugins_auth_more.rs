//! Who may pass: signatures, several authenticators at once, encrypted tokens, directories, policies, and services that decide.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{aead, digest, hmac};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    Answer, Gateway, Identity, PATIENCE, Port, Reply, Response, Upstream, wait_until,
};

const JWE_SECRET: &str = "key-length-should-be-32-chars123";
const BASE: &str = "ou=users,dc=example,dc=org";

/// A gateway with consumers jack and foo, and a route `/a` with these plugins.
async fn world(plugins: Value) -> (Gateway, Upstream) {
    world_in(Gateway::start().await, plugins).await
}

async fn world_in(gateway: Gateway, plugins: Value) -> (Gateway, Upstream) {
    let upstream = Upstream::start().await;
    let jack = json!({
        "username": "jack",
        "plugins": {
            "key-auth": { "key": "jack-key" },
            "basic-auth": { "username": "jack", "password": "jack-pass" },
            "hmac-auth": { "key_id": "jack-id", "secret_key": "jack-secret" },
            "jwe-decrypt": { "key": "jack-jwe", "secret": JWE_SECRET },
        },
    });
    let foo = json!({
        "username": "foo",
        "plugins": { "ldap-auth": { "user_dn": format!("cn=foo,{BASE}") } },
    });
    gateway
        .put_all([
            ("/consumers/jack", jack),
            ("/consumers/foo", foo),
            ("/routes/1", route(&upstream, plugins)),
        ])
        .await;
    (gateway, upstream)
}

fn route(upstream: &Upstream, plugins: Value) -> Value {
    json!({ "uris": ["/a", "/a/*"], "plugins": plugins, "upstream": upstream.document() })
}

#[track_caller]
fn says(answer: &Response, status: u16, message: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.json(), json!({ "message": message }));
}

/// `Date` and `Authorization` of a request that jack signs.
fn signed(method: &str, target: &str) -> (String, String) {
    let date = jiff::Timestamp::now()
        .strftime("%a, %d %b %Y %H:%M:%S GMT")
        .to_string();
    let text = format!("jack-id\n{method} {target}\ndate: {date}\n");
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"jack-secret");
    let signature = STANDARD.encode(hmac::sign(&key, text.as_bytes()));
    let authorization = format!(
        "Signature keyId=\"jack-id\",algorithm=\"hmac-sha256\",headers=\"@request-target date\",signature=\"{signature}\""
    );
    (date, authorization)
}

#[tokio::test(flavor = "multi_thread")]
async fn hmac_auth_lets_in_what_is_signed_and_nothing_else() {
    let (gateway, upstream) = world(json!({ "hmac-auth": { "hide_credentials": true } })).await;
    let answer = gateway.get("/a").await;
    says(
        &answer,
        401,
        "client request can't be validated: missing Authorization header",
    );
    assert_eq!(
        answer.header("www-authenticate"),
        Some("hmac realm=\"hmac\"")
    );

    let (date, authorization) = signed("GET", "/a?x=%41");
    let send = |target: &str| {
        let request = gateway.get(target).header("Date", &date);
        request.header("Authorization", &authorization)
    };
    let answer = send("/a?x=%41").await.expect_status(200);
    assert_eq!(answer.echoed_headers("x-consumer-username"), ["jack"]);
    assert!(answer.echoed_headers("authorization").is_empty());
    let hits = upstream.hits();
    for target in ["/a", "/a?x=A", "/a?x=%41&y", "/a/?x=%41"] {
        says(
            &send(target).await,
            401,
            "client request can't be validated",
        );
    }
    let posted = gateway.request("POST", "/a?x=%41").header("Date", &date);
    let posted = posted.header("Authorization", &authorization).await;
    says(&posted, 401, "client request can't be validated");
    assert_eq!(upstream.hits(), hits);
}

#[tokio::test(flavor = "multi_thread")]
async fn hmac_auth_holds_a_body_to_its_digest_and_sends_it_on() {
    let (gateway, upstream) =
        world(json!({ "hmac-auth": { "validate_request_body": true } })).await;
    let send = |body: &'static str, digested: &str| {
        let (date, authorization) = signed("POST", "/a");
        let hash = digest::digest(&digest::SHA256, digested.as_bytes());
        let request = gateway.request("POST", "/a").header("Date", date);
        let request = request.header("Authorization", authorization);
        request
            .header("Digest", format!("SHA-256={}", STANDARD.encode(hash)))
            .body(body)
    };
    let answer = send("{\"a\":1}", "{\"a\":1}").await.expect_status(200);
    assert_eq!(answer.json()["body"], "{\"a\":1}");
    says(
        &send("{\"a\":2}", "{\"a\":1}").await,
        401,
        "client request can't be validated",
    );
    assert_eq!(upstream.hits(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn multi_auth_takes_the_first_that_lets_in() {
    let plugins = json!({ "multi-auth": { "auth_plugins": [
        { "basic-auth": { "hide_credentials": true } },
        { "key-auth": { "hide_credentials": true } },
        { "hmac-auth": {} },
    ] } });
    let (gateway, upstream) = world(plugins).await;
    let answer = gateway.get("/a?apikey=wrong").await;
    says(&answer, 401, "Authorization Failed");
    let challenges = answer
        .headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("www-authenticate"));
    assert_eq!(challenges.count(), 3);
    assert_eq!(upstream.hits(), 0);

    let basic = STANDARD.encode("jack:jack-pass");
    let (date, signature) = signed("GET", "/a");
    let requests = [
        gateway
            .get("/a")
            .header("Authorization", format!("Basic {basic}")),
        gateway.get("/a").header("apikey", "jack-key"),
        gateway
            .get("/a")
            .header("Date", date)
            .header("Authorization", signature),
    ];
    for request in requests {
        let answer = request
            .header("X-Consumer-Username", "root")
            .await
            .expect_status(200);
        assert_eq!(answer.echoed_headers("x-consumer-username"), ["jack"]);
        assert!(answer.echoed_headers("apikey").is_empty());
        assert_eq!(answer.header("www-authenticate"), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn multi_auth_takes_authenticators_only() {
    let (gateway, upstream) = world(json!({ "key-auth": {} })).await;
    for (inner, message) in [
        ("cors", "cors plugin is not supported"),
        ("nothing", "nothing plugin did not found"),
    ] {
        let plugins =
            json!({ "multi-auth": { "auth_plugins": [{ "key-auth": {} }, { inner: {} }] } });
        let answer = gateway
            .admin()
            .put("/routes/2", &route(&upstream, plugins))
            .await;
        assert_eq!(answer.status, 400);
        assert!(answer.text().contains(message), "{}", answer.text());
    }
    let on_a_consumer = json!({ "username": "x", "plugins": { "multi-auth": { "auth_plugins": [{ "key-auth": {} }, { "jwt-auth": {} }] } } });
    assert_eq!(
        gateway
            .admin()
            .put("/consumers/x", &on_a_consumer)
            .await
            .status,
        400
    );
}

/// A token whose tag covers its header (RFC 7516).
fn jwe(kid: &str, text: &[u8]) -> String {
    let header =
        URL_SAFE_NO_PAD.encode(json!({ "alg": "dir", "enc": "A256GCM", "kid": kid }).to_string());
    let key = aead::UnboundKey::new(&aead::AES_256_GCM, JWE_SECRET.as_bytes()).unwrap();
    let key = aead::LessSafeKey::new(key);
    let mut sealed = text.to_vec();
    let nonce = aead::Nonce::assume_unique_for_key(*b"123456789012");
    let aad = aead::Aad::from(header.as_bytes());
    let tag = key
        .seal_in_place_separate_tag(nonce, aad, &mut sealed)
        .unwrap();
    let [iv, text, tag] =
        [&b"123456789012"[..], &sealed, tag.as_ref()].map(|part| URL_SAFE_NO_PAD.encode(part));
    format!("{header}..{iv}.{text}.{tag}")
}

#[tokio::test(flavor = "multi_thread")]
async fn jwe_decrypt_hands_on_what_was_encrypted() {
    let (gateway, upstream) =
        world(json!({ "jwe-decrypt": { "forward_header": "X-Payload" } })).await;
    says(
        &gateway.get("/a").await,
        403,
        "missing JWE token in request",
    );
    let token = jwe("jack-jwe", b"{\"id\":7}");
    let send = |token: &str| {
        let request = gateway.get("/a").header("X-Payload", "forged");
        request.header("Authorization", format!("Bearer {token}"))
    };
    let answer = send(&token).await.expect_status(200);
    assert_eq!(answer.echoed_headers("x-payload"), ["{\"id\":7}"]);
    let (untagged, _) = token.rsplit_once('.').unwrap();
    for tampered in [
        format!("{untagged}."),
        format!("{untagged}.AA"),
        token.replace("..", "..A"),
    ] {
        let answer = send(&tampered).await;
        assert_eq!(answer.status, 400, "{}", answer.text());
    }
    says(
        &send(&jwe("jill", b"x")).await,
        400,
        "invalid kid in JWE token",
    );
    assert_eq!(upstream.hits(), 1);
}

const MODEL: &str = "[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = keyMatch(r.sub, p.sub) && keyMatch(r.obj, p.obj) && keyMatch(r.act, p.act)";

#[tokio::test(flavor = "multi_thread")]
async fn authz_casbin_admits_as_the_policy_says_and_follows_its_metadata() {
    let plugins = json!({ "authz-casbin": { "username": "user", "model": MODEL, "policy": "p, alice, /a/*, GET" } });
    let (gateway, upstream) = world(plugins).await;
    let alice = |target: &str| gateway.get(target).header("user", "alice");
    alice("/a/b").await.expect_status(200);
    says(&alice("/a").await, 403, "Access Denied");
    says(&gateway.get("/a/b").await, 403, "Access Denied");
    // A path is judged as the upstream would take it.
    says(&alice("/a/../a").await, 403, "Access Denied");

    let metadata = |policy: &str| json!({ "model": MODEL, "policy": policy });
    let by_metadata = json!({ "authz-casbin": { "username": "user" } });
    let refused = gateway
        .admin()
        .put("/routes/1", &route(&upstream, by_metadata.clone()))
        .await;
    assert_eq!(refused.status, 400, "there is no metadata yet");
    gateway
        .put_all([
            ("/plugin_metadata/authz-casbin", metadata("p, alice, *, *")),
            ("/routes/1", route(&upstream, by_metadata)),
        ])
        .await;
    alice("/a").await.expect_status(200);
    gateway
        .put("/plugin_metadata/authz-casbin", metadata("p, bob, *, *"))
        .await;
    says(&alice("/a").await, 403, "Access Denied");
    gateway
        .get("/a")
        .header("user", "bob")
        .await
        .expect_status(200);
}

/// A directory that ends with the test.
struct Directory {
    process: Child,
    port: Port,
    _folder: TempDir,
}

impl Directory {
    /// `None` where slapd is not installed.
    async fn start(tls: Option<&Identity>) -> Option<Self> {
        let Some(slapd) = ["/usr/sbin/slapd", "/usr/local/sbin/slapd"]
            .into_iter()
            .find(|p| Path::new(p).exists())
        else {
            println!("skipped: slapd is not installed (Debian packages slapd and ldap-utils)");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name).display().to_string();
        std::fs::create_dir(place("db")).unwrap();
        let mut conf = format!(
            "include /etc/ldap/schema/core.schema\nmodulepath /usr/lib/ldap\nmoduleload back_mdb\n"
        );
        if let Some(identity) = tls {
            std::fs::write(place("cert.pem"), &identity.certificate_pem).unwrap();
            std::fs::write(place("key.pem"), &identity.key_pem).unwrap();
            conf += &format!(
                "TLSCertificateFile {}\nTLSCertificateKeyFile {}\n",
                place("cert.pem"),
                place("key.pem")
            );
        }
        conf += &format!(
            "database mdb\nsuffix \"dc=example,dc=org\"\ndirectory {}\nrootdn \"cn=admin,dc=example,dc=org\"\nrootpw admin-pw\n",
            place("db")
        );
        std::fs::write(place("slapd.conf"), conf).unwrap();
        let people = ["foo", "bar"].map(|name| {
            format!("dn: cn={name},{BASE}\nobjectClass: person\ncn: {name}\nsn: {name}\nuserPassword: {name}-pass\n\n")
        });
        let entries = format!(
            "dn: dc=example,dc=org\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: example\n\n\
             dn: {BASE}\nobjectClass: organizationalUnit\nou: users\n\n{}",
            people.concat()
        );
        std::fs::write(place("entries.ldif"), entries).unwrap();
        let added = Command::new(slapd)
            .args([
                "-T",
                "add",
                "-f",
                &place("slapd.conf"),
                "-l",
                &place("entries.ldif"),
            ])
            .output()
            .unwrap();
        assert!(
            added.status.success(),
            "{}",
            String::from_utf8_lossy(&added.stderr)
        );
        let port = Port::reserve();
        let scheme = if tls.is_some() { "ldaps" } else { "ldap" };
        let process = Command::new(slapd)
            .args([
                "-f",
                &place("slapd.conf"),
                "-h",
                &format!("{scheme}://{}/", port.addr()),
                "-d",
                "0",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let directory = Self {
            process,
            port,
            _folder: folder,
        };
        let addr = directory.port.addr();
        wait_until("slapd listens", PATIENCE, || {
            std::net::TcpStream::connect_timeout(&addr, Duration::from_secs(1)).is_ok()
        })
        .await;
        Some(directory)
    }

    fn address(&self) -> String {
        self.port.addr().to_string()
    }

    fn stop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        self.stop();
    }
}

fn basic(pair: &str) -> String {
    format!("Basic {}", STANDARD.encode(pair))
}

#[tokio::test(flavor = "multi_thread")]
async fn ldap_auth_asks_a_directory() {
    let Some(mut directory) = Directory::start(None).await else {
        return;
    };
    let config = json!({ "base_dn": BASE, "ldap_uri": directory.address() });
    let (gateway, upstream) = world(json!({ "ldap-auth": config })).await;
    let answer = gateway.get("/a").await;
    says(&answer, 401, "Missing authorization in request");
    assert_eq!(
        answer.header("www-authenticate"),
        Some("Basic realm=\"ldap\"")
    );

    let send = |pair: &str| gateway.get("/a").header("Authorization", basic(pair));
    for _ in 0..3 {
        let answer = send("foo:foo-pass").await.expect_status(200);
        assert_eq!(answer.echoed_headers("x-consumer-username"), ["foo"]);
    }
    for pair in [
        "foo:wrong",
        "foo:",
        "bar:bar-pass",
        "nobody:x",
        "foo,ou=users:foo-pass",
        "*:foo-pass",
    ] {
        says(&send(pair).await, 401, "Invalid user authorization");
    }
    send("foo:foo-pass").await.expect_status(200);
    assert_eq!(upstream.hits(), 4);
    directory.stop();
    says(
        &send("foo:foo-pass").await,
        401,
        "Invalid user authorization",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ldap_auth_verifies_the_certificate_when_asked() {
    let identity = Identity::for_names(&["127.0.0.1"]);
    let Some(directory) = Directory::start(Some(&identity)).await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let known = folder.path().join("known.pem");
    std::fs::write(&known, &identity.certificate_pem).unwrap();
    let config = |verify: bool| json!({ "ldap-auth": { "base_dn": BASE, "ldap_uri": directory.address(), "use_tls": true, "tls_verify": verify } });
    for (trusts, verify, status) in [(false, false, 200), (false, true, 401), (true, true, 200)] {
        let mut gateway = Gateway::builder();
        if trusts {
            gateway = gateway.with_env("SSL_CERT_FILE", &known.display().to_string());
        }
        let (gateway, _upstream) = world_in(gateway.start().await, config(verify)).await;
        let request = gateway
            .get("/a")
            .header("Authorization", basic("foo:foo-pass"));
        request.await.expect_status(status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn forward_auth_asks_before_it_lets_pass() {
    let service = Upstream::start().await;
    service.script(|asked| match asked.header("authorization") {
        Some("good") => Answer::Reply(Reply::new(200, "ignored").header("X-User", "ann")),
        _ => Answer::Reply(
            Reply::new(401, "log in first")
                .header("Location", "http://login")
                .header("X-Inner", "i"),
        ),
    });
    let plugins = json!({ "forward-auth": {
        "uri": format!("http://{}/check", service.node()),
        "request_headers": ["Authorization"], "upstream_headers": ["X-User", "X-Group"], "client_headers": ["Location"],
    } });
    let (gateway, upstream) = world(plugins).await;
    let answer = gateway.get("/a").await;
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (401, "log in first")
    );
    assert_eq!(answer.header("location"), Some("http://login"));
    assert_eq!(answer.header("x-inner"), None);
    assert_eq!(upstream.hits(), 0);

    let request = gateway
        .request("POST", "/a/b?c=d")
        .header("Authorization", "good")
        .header("X-User", "root");
    let answer = request
        .header("X-Group", "wheel")
        .body("hello")
        .await
        .expect_status(200);
    assert_eq!(answer.echoed_headers("x-user"), ["ann"]);
    assert!(answer.echoed_headers("x-group").is_empty());
    assert_eq!(answer.json()["body"], "hello");
    let asked = service.last_request();
    assert_eq!(
        (asked.method.as_str(), asked.target.as_str()),
        ("GET", "/check")
    );
    assert_eq!(asked.header("x-forwarded-method"), Some("POST"));
    assert_eq!(asked.header("x-forwarded-uri"), Some("/a/b?c=d"));
    assert_eq!(asked.header("x-forwarded-for"), Some("127.0.0.1"));
    assert!(asked.header("content-length").is_none() && asked.body.is_empty());
    assert_eq!(service.faults(), [""; 0]);
}

/// CVE-2024-32638: the service must not see the client's framing, and the upstream must get the body whole.
#[tokio::test(flavor = "multi_thread")]
async fn forward_auth_sends_a_body_framed_anew() {
    let service = Upstream::answering("ok").await;
    let plugins = json!({ "forward-auth": {
        "uri": format!("http://{}/check", service.node()), "request_method": "POST", "max_req_body_size": 1000,
    } });
    let (gateway, _upstream) = world(plugins).await;
    let mut connection = gateway.connect().await;
    let chunked = "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nX: y\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    for _ in 0..2 {
        connection.write(chunked.as_bytes()).await.unwrap();
        let answer = connection
            .read_response("POST")
            .await
            .unwrap()
            .expect_status(200);
        assert_eq!(answer.json()["body"], "hello");
        let asked = service.last_request();
        assert_eq!(
            (asked.method.as_str(), asked.body.as_slice()),
            ("POST", &b"hello"[..])
        );
        assert!(asked.header("transfer-encoding").is_none());
    }
    let hits = service.hits();
    gateway
        .request("POST", "/a")
        .body("x".repeat(1001))
        .await
        .expect_status(413);
    assert_eq!((service.hits(), service.faults()), (hits, Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn forward_auth_ends_in_time_when_the_service_fails() {
    let service = Upstream::start().await;
    let plugins = json!({ "forward-auth": {
        "uri": format!("http://{}/", service.node()), "timeout": 300, "status_on_error": 503,
    } });
    let (gateway, upstream) = world(plugins).await;
    let smuggling =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nzz\r\n";
    for answer in [
        Answer::Hang,
        Answer::Close,
        Answer::Reset,
        Answer::Raw(b"nonsense".to_vec()),
        Answer::Raw(smuggling.into()),
    ] {
        service.answer(answer.clone());
        let began = Instant::now();
        let status = gateway.get("/a").await.status;
        assert_eq!(status, 503, "{answer:?}");
        assert!(began.elapsed() < Duration::from_secs(10));
    }
    assert_eq!(upstream.hits(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn opa_lets_the_policy_decide() {
    let opa = Upstream::start().await;
    opa.script(|asked| {
        let input: Value = serde_json::from_slice(&asked.body).unwrap();
        let request = &input["input"]["request"];
        let decision = match request["query"]["user"].as_str() {
            Some("ann") => json!({ "allow": true, "headers": { "X-User": "ann" } }),
            Some("echo") => json!({ "allow": false, "reason": input }),
            _ => json!({ "allow": false, "reason": "no", "status_code": 401, "headers": { "X-Why": "w" } }),
        };
        Answer::text(json!({ "result": decision }).to_string())
    });
    let plugins = json!({ "key-auth": {}, "opa": {
        "host": format!("http://{}", opa.node()), "policy": "example/authz", "with_route": true, "with_consumer": true,
        "send_headers_upstream": ["X-User"],
    } });
    let (gateway, upstream) = world(plugins).await;
    let send = |target: &str| {
        gateway
            .get(target)
            .header("apikey", "jack-key")
            .header("X-User", "root")
    };
    let answer = send("/a").await;
    assert_eq!(
        (
            answer.status,
            answer.text().as_str(),
            answer.header("x-why")
        ),
        (401, "no", Some("w"))
    );
    let answer = send("/a?user=ann").await.expect_status(200);
    assert_eq!(answer.echoed_headers("x-user"), ["ann"]);
    assert_eq!(opa.last_request().target, "/v1/data/example/authz");

    let seen = send("/a?user=echo").await;
    assert_eq!(seen.status, 403);
    let input = seen.json();
    assert_eq!(input["input"]["route"]["uris"], json!(["/a", "/a/*"]));
    assert!(input["input"]["route"].get("upstream").is_none());
    assert_eq!(input["input"]["consumer"]["username"], "jack");
    assert!(
        !seen.text().contains("jack-secret"),
        "a secret was sent to the policy"
    );
    let hits = upstream.hits();
    opa.answer(Answer::text("nonsense"));
    send("/a?user=ann").await.expect_status(503);
    opa.answer(Answer::Close);
    send("/a?user=ann").await.expect_status(403);
    assert_eq!(upstream.hits(), hits);
}
