//! A certificate authority that speaks ACME: `pebble`, with a name server that knows every name as 127.0.0.1. Both are started by
//! a test on free ports of the loopback interface and ended by their ids.

use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use super::{Authority, PATIENCE, Port, wait_until};

/// How an authority is to be.
pub struct PebbleSettings {
    /// Where it asks for proofs by HTTP, whatever the name.
    pub http: SocketAddr,
    /// Where it asks for proofs by handshakes.
    pub tls: SocketAddr,
    /// How long its certificates are valid.
    pub validity: Duration,
    /// Whether an account must be bound by [`Pebble::KEY_ID`].
    pub bound: bool,
}

impl Default for PebbleSettings {
    fn default() -> Self {
        let nowhere = ([127, 0, 0, 1], 1).into();
        Self {
            http: nowhere,
            tls: nowhere,
            validity: Duration::from_secs(90 * 86_400),
            bound: false,
        }
    }
}

/// An authority and its name server. Dropping it ends both.
pub struct Pebble {
    authority: Child,
    names: Child,
    port: Port,
    folder: TempDir,
    _others: [Port; 2],
}

impl Pebble {
    /// A key that binds accounts, as an authority gives it.
    pub const KEY_ID: &str = "kid-1";
    pub const HMAC_KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";

    /// Whether there is one to test with; a test without one says so and passes.
    pub fn installed() -> bool {
        let here = |program: &str| {
            let found = Command::new(program)
                .arg("-help")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            found.is_ok()
        };
        let found = here("pebble") && here("pebble-challtestsrv");
        if !found {
            eprintln!("skipped: pebble is not installed (Debian: apt-get install pebble)");
        }
        found
    }

    pub async fn start(settings: PebbleSettings) -> Self {
        let own = Authority::new("of the directory");
        Self::with_own(Port::reserve(), &own, settings).await
    }

    /// An authority at a port that was reserved before, whose own certificate is from `own`.
    pub async fn with_own(port: Port, own: &Authority, settings: PebbleSettings) -> Self {
        let folder = tempfile::tempdir().expect("make a folder for pebble");
        let leaf = own.issue(&["127.0.0.1"]);
        let (names_port, management) = (Port::reserve(), Port::reserve());
        let keys = json!({ Self::KEY_ID: Self::HMAC_KEY });
        let configuration = json!({"pebble": {
            "listenAddress": port.addr().to_string(),
            "managementListenAddress": "",
            "certificate": folder.path().join("own.crt"),
            "privateKey": folder.path().join("own.key"),
            "httpPort": settings.http.port(),
            "tlsPort": settings.tls.port(),
            "ocspResponderURL": "",
            "externalAccountBindingRequired": settings.bound,
            "externalAccountMACKeys": if settings.bound { keys } else { json!({}) },
            "certificateValidityPeriod": settings.validity.as_secs(),
        }});
        for (name, text) in [
            ("own.crt", leaf.certificate_pem),
            ("own.key", leaf.key_pem),
            ("ca.crt", own.pem()),
            ("pebble.json", configuration.to_string()),
        ] {
            std::fs::write(folder.path().join(name), text).expect("write pebble's files");
        }
        let log = |name: &str| File::create(folder.path().join(name)).expect("make a log file");
        let none = ["-http01", "", "-https01", "", "-tlsalpn01", ""];
        let names = Command::new("pebble-challtestsrv")
            .args(["-dns01", &names_port.addr().to_string()])
            .args(["-management", &management.addr().to_string()])
            .args(none)
            .args(["-defaultIPv6", ""])
            .stdin(Stdio::null())
            .stdout(log("names.log"))
            .stderr(Stdio::null())
            .spawn()
            .expect("start pebble-challtestsrv");
        let authority = Command::new("pebble")
            .arg("-strict")
            .args(["-dnsserver", &names_port.addr().to_string()])
            .arg("-config")
            .arg(folder.path().join("pebble.json"))
            // Proofs are looked at without artificial waits, and in each order anew.
            .env("PEBBLE_VA_NOSLEEP", "1")
            .env("PEBBLE_AUTHZREUSE", "0")
            .stdin(Stdio::null())
            .stdout(log("pebble.log"))
            .stderr(log("pebble.err"))
            .spawn()
            .expect("start pebble");
        let pebble = Self {
            authority,
            names,
            port,
            folder,
            _others: [names_port, management],
        };
        for address in [pebble.port.addr(), pebble._others[0].addr()] {
            wait_until("pebble listens", PATIENCE, || {
                TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok()
            })
            .await;
        }
        pebble
    }

    /// The URL of a directory at this port.
    pub fn directory_at(port: &Port) -> String {
        format!("https://{}/dir", port.addr())
    }

    pub fn directory(&self) -> String {
        Self::directory_at(&self.port)
    }

    /// The file with the authority of the directory's own certificate.
    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.crt")
    }

    /// What it has printed.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("pebble.log")).unwrap_or_default()
    }

    /// How many orders were placed. Requests do not count: it refuses a few for their nonce, and they are made again.
    pub fn orders(&self) -> usize {
        self.log().matches("Added order ").count()
    }

    /// How many accounts were made.
    pub fn accounts(&self) -> usize {
        self.log().matches(" accounts in memory").count()
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        for child in [&mut self.authority, &mut self.names] {
            child.kill().ok();
            child.wait().ok();
        }
        if std::thread::panicking() {
            eprintln!("---- pebble printed:\n{}", self.log());
        }
    }
}
