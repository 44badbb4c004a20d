//! Where a node is.

use pingora_core::protocols::l4::socket::SocketAddr as PeerAddr;
use std::{
    fmt,
    net::SocketAddr,
    os::unix,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

/// How the host of a node begins that is a Unix socket; its path follows.
const SCHEME: &str = "unix:";

/// Where a node is, for one attempt.
#[derive(Debug, Clone)]
pub enum Place {
    /// At an IP address and a port.
    Inet(SocketAddr),
    /// At a Unix socket, which has a path.
    Unix(Arc<unix::net::SocketAddr>),
}

impl Place {
    /// The IP address and the port, where it has them.
    pub fn inet(&self) -> Option<SocketAddr> {
        match self {
            Self::Inet(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    /// The path, of a Unix socket.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Inet(_) => None,
            Self::Unix(address) => address.as_pathname(),
        }
    }

    /// As Pingora knows it.
    pub(super) fn for_pingora(&self) -> PeerAddr {
        match self {
            Self::Inet(address) => PeerAddr::Inet(*address),
            Self::Unix(address) => PeerAddr::Unix(unix::net::SocketAddr::clone(address)),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(address) => address.fmt(f),
            Self::Unix(_) => match self.path() {
                Some(path) => write!(f, "{SCHEME}{}", path.display()),
                None => f.write_str(SCHEME),
            },
        }
    }
}

/// Why a Unix socket cannot be a node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSocket {
    /// It is in none of the directories that the settings allow.
    #[error("node `{0}`: the settings (`upstream.unix_sockets`) name no directory that it is in")]
    NotAllowed(String),
    /// No socket can have this path.
    #[error("node `{0}`: not an absolute path of a Unix socket, at most 107 bytes, without `..`")]
    Path(String),
}

/// Whether the host of a node names a Unix socket.
pub fn is_unix(host: &str) -> bool {
    host.starts_with(SCHEME)
}

/// The place that a host of the form `unix:/path` names; `None` for other hosts.
pub(super) fn unix_socket(host: &str, allowed: &[PathBuf]) -> Option<Result<Place, BadSocket>> {
    let path = Path::new(host.strip_prefix(SCHEME)?);
    let plain = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
    if !path.is_absolute() || !path.components().all(plain) {
        return Some(Err(BadSocket::Path(host.to_owned())));
    }
    // Whoever may write documents may not reach all that listens on this machine.
    if !allowed.iter().any(|directory| path.starts_with(directory)) {
        return Some(Err(BadSocket::NotAllowed(host.to_owned())));
    }
    let address = unix::net::SocketAddr::from_pathname(path);
    Some(match address {
        Ok(address) => Ok(Place::Unix(Arc::new(address))),
        Err(_) => Err(BadSocket::Path(host.to_owned())),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{BadSocket, unix_socket};
    use std::path::PathBuf;

    #[test]
    fn a_socket_is_in_a_directory_that_is_allowed() {
        let allowed = [PathBuf::from("/run/apps")];
        let of = |host: &str| unix_socket(host, &allowed);
        assert!(of("a.test").is_none());
        let place = of("unix:/run/apps/a.sock").unwrap().unwrap();
        assert_eq!(place.to_string(), "unix:/run/apps/a.sock");
        for host in ["unix:/run/docker.sock", "unix:/run/apps2/a.sock"] {
            assert_eq!(
                of(host).unwrap().unwrap_err(),
                BadSocket::NotAllowed(host.into())
            );
        }
        let long = format!("unix:/run/apps/{}", "x".repeat(100));
        for host in [
            "unix:",
            "unix:a.sock",
            "unix:/run/apps/../docker.sock",
            &long,
        ] {
            assert_eq!(of(host).unwrap().unwrap_err(), BadSocket::Path(host.into()));
        }
    }
}
