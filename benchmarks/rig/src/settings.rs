//! How the peers are configured. The one place that knows the names of the gateway's settings.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::failure::{During, Failure};
use crate::peer::free_port;

/// The key of the Admin API in measurements.
pub(crate) const ADMIN_KEY: &str = "the-admin-key-of-the-benchmark";

/// Where one gateway listens.
pub(crate) struct Addresses {
    pub(crate) http: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) control: SocketAddr,
    pub(crate) metrics: SocketAddr,
}

impl Addresses {
    /// The data plane here, the others wherever there is room.
    pub(crate) fn choose(http: SocketAddr) -> Result<Self, Failure> {
        Ok(Self {
            http,
            admin: free_port()?,
            control: free_port()?,
            metrics: free_port()?,
        })
    }
}

/// Completes the command that runs the gateway: with these resources as its file store, or with
/// its embedded store.
pub(crate) fn gateway(
    command: &mut Command,
    folder: &Path,
    resources: Option<&Path>,
    addresses: &Addresses,
) -> Result<(), Failure> {
    let store = match resources {
        Some(file) => format!("store:\n  kind: file\n  file: {}\n", file.display()),
        None => "store:\n  kind: embedded\n".to_owned(),
    };
    std::fs::create_dir_all(folder).during("make a folder for the gateway")?;
    let settings = folder.join("crossway.yaml");
    // As the peers: one worker, no access log.
    let text = format!("{store}threads: 1\naccess_log:\n  enabled: false\n");
    std::fs::write(&settings, text).during("write the gateway's settings")?;
    command
        .arg("run")
        .arg("-c")
        .arg(settings)
        .env("CROSSWAY_LISTEN_HTTP", addresses.http.to_string())
        .env("CROSSWAY_ADMIN_LISTEN", addresses.admin.to_string())
        .env("CROSSWAY_CONTROL_LISTEN", addresses.control.to_string())
        .env("CROSSWAY_METRICS_LISTEN", addresses.metrics.to_string())
        .env("CROSSWAY_DATA_DIR", folder.join("data"))
        .env("CROSSWAY_ADMIN_KEY", ADMIN_KEY);
    Ok(())
}

/// One nginx process that forwards everything, as plain as `bare`.
pub(crate) fn nginx(folder: &Path, listen: SocketAddr, origin: SocketAddr) -> String {
    let folder = folder.display();
    format!(
        "daemon off;
master_process off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  keepalive_timeout 600s;
  keepalive_requests 100000000;
  client_body_temp_path {folder}/nginx-body;
  proxy_temp_path {folder}/nginx-proxy;
  fastcgi_temp_path {folder}/nginx-fastcgi;
  uwsgi_temp_path {folder}/nginx-uwsgi;
  scgi_temp_path {folder}/nginx-scgi;
  upstream origin {{
    server {origin};
    keepalive 320;
    keepalive_requests 100000000;
  }}
  server {{
    listen {listen};
    location / {{
      proxy_pass http://origin;
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
      proxy_set_header Host $host;
    }}
  }}
}}
"
    )
}
