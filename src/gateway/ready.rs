//! `crossway ready`: for health checks where there is nothing but the binary, as in an image without a shell.

use super::{Failure, say};
use crate::{
    cli,
    settings::{Settings, environment},
    status::explain::print,
};

/// `Ok` when the gateway that runs takes requests.
pub(super) fn ready(arguments: &cli::Ready) -> Result<(), Failure> {
    let control = match &arguments.control {
        Some(control) => control.clone(),
        None => {
            let settings = Settings::load(arguments.settings.config.as_deref(), environment())
                .map_err(Failure::new)?;
            format!("http://{}", reachable(settings.control.listen.0))
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::new)?;
    let asked = runtime.block_on(print::ask_ready(&control));
    asked.map_err(Failure::new)?;
    say(&mut std::io::stdout(), "ready");
    Ok(())
}

/// A gateway that listens on all addresses is asked on the loopback interface.
fn reachable(mut address: std::net::SocketAddr) -> std::net::SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            std::net::SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            std::net::SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}
