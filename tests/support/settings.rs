//! How the harness configures a gateway: the one place that knows the names of its settings.

use std::path::{Path, PathBuf};

use super::Port;

/// The key that the harness gives to the Admin API.
pub const ADMIN_KEY: &str = "the-key-of-this-test";

/// Where the documents live.
#[derive(Clone)]
pub enum Store {
    Embedded,
    /// A declarative file with this first content.
    File(String),
}

/// The ports of one gateway, kept over restarts.
pub struct Ports {
    pub http: Port,
    pub admin: Port,
    pub control: Port,
    pub metrics: Port,
    /// Used by gateways that are to listen over TLS.
    pub https: Port,
}

impl Ports {
    pub fn reserve() -> Self {
        Self {
            http: Port::reserve(),
            admin: Port::reserve(),
            control: Port::reserve(),
            metrics: Port::reserve(),
            https: Port::reserve(),
        }
    }

    /// The environment that overrides the addresses in the settings file.
    pub fn environment(&self) -> Vec<(String, String)> {
        [
            ("CROSSWAY_LISTEN_HTTP", &self.http),
            ("CROSSWAY_ADMIN_LISTEN", &self.admin),
            ("CROSSWAY_CONTROL_LISTEN", &self.control),
            ("CROSSWAY_METRICS_LISTEN", &self.metrics),
        ]
        .map(|(name, port)| (name.to_owned(), port.addr().to_string()))
        .into()
    }
}

/// The part of the environment that does not name ports.
pub fn environment(folder: &Path) -> Vec<(String, String)> {
    let data = folder.join("data").display().to_string();
    vec![
        ("CROSSWAY_DATA_DIR".to_owned(), data),
        ("CROSSWAY_ADMIN_KEY".to_owned(), ADMIN_KEY.to_owned()),
    ]
}

/// Writes the settings file (and the first declarative file) and returns its path.
pub fn write(folder: &Path, store: &Store, extra: &str) -> PathBuf {
    let store = match store {
        Store::Embedded => "store:\n  kind: embedded\n".to_owned(),
        Store::File(resources) => {
            let path = resources_path(folder);
            std::fs::write(&path, resources).expect("write the resources file");
            format!("store:\n  kind: file\n  file: {}\n", path.display())
        }
    };
    let path = folder.join("crossway.yaml");
    std::fs::write(&path, format!("{store}{extra}\n")).expect("write the settings file");
    path
}

/// Where the declarative file of a gateway with a file store lies.
pub fn resources_path(folder: &Path) -> PathBuf {
    folder.join("resources.yaml")
}
