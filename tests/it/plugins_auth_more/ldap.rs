//! `ldap-auth`, with a real directory.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;
use tempfile::TempDir;

use super::{BASE, says, world, world_in};
use crate::support::{Gateway, Identity, PATIENCE, Port, wait_until};

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
            eprintln!("skipped: slapd is not installed (Debian packages slapd and ldap-utils)");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name).display().to_string();
        std::fs::create_dir(place("db")).unwrap();
        let mut conf =
            "include /etc/ldap/schema/core.schema\nmodulepath /usr/lib/ldap\nmoduleload back_mdb\n"
                .to_owned();
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
