//! How the peers are configured. The one place that knows the names of the gateway's settings.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::failure::{During, Failure};
use crate::identity::{Identity, NAME};
use crate::peer::free_port;
use crate::scenario::Over;

/// The key of the Admin API in measurements.
pub(crate) const ADMIN_KEY: &str = "the-admin-key-of-the-benchmark";

/// Where one gateway listens.
pub(crate) struct Addresses {
    pub(crate) http: SocketAddr,
    /// With TLS only.
    pub(crate) https: Option<SocketAddr>,
    pub(crate) admin: SocketAddr,
    pub(crate) control: SocketAddr,
    pub(crate) metrics: SocketAddr,
}

impl Addresses {
    /// The data plane here, the others wherever there is room.
    pub(crate) fn choose(http: SocketAddr) -> Result<Self, Failure> {
        Ok(Self {
            http,
            https: None,
            admin: free_port()?,
            control: free_port()?,
            metrics: free_port()?,
        })
    }

    /// The data plane here over TLS, the others wherever there is room.
    pub(crate) fn choose_with_tls(https: SocketAddr) -> Result<Self, Failure> {
        Ok(Self {
            https: Some(https),
            ..Self::choose(free_port()?)?
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
    let mut text = format!("{store}threads: 1\naccess_log:\n  enabled: false\n");
    if let Some(https) = addresses.https {
        // wrk connects to an address, so it has no server name to send.
        let tls = format!("tls:\n  fallback_sni: {NAME}\n  protocols: [TLSv1.3]\n");
        text.push_str(&tls);
        command.env("CROSSWAY_LISTEN_HTTPS", https.to_string());
    }
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
pub(crate) fn nginx(
    folder: &Path,
    listen: SocketAddr,
    origin: SocketAddr,
    over: Over,
    identity: &Identity,
) -> String {
    let listening = match over {
        Over::Plain => "",
        Over::Tls => " ssl",
        Over::Http2 => " ssl http2",
    };
    let tls = match over {
        Over::Plain => String::new(),
        Over::Tls | Over::Http2 => format!(
            "
    ssl_certificate {};
    ssl_certificate_key {};
    ssl_protocols TLSv1.3;",
            identity.certificate_file.display(),
            identity.key_file.display()
        ),
    };
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
    listen {listen}{listening};{tls}
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
