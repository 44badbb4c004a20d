//! Where listening sockets come from. This is the one place that opens them.

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use std::{
    fmt, io,
    net::SocketAddr,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::{FileTypeExt, PermissionsExt},
    },
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::net::{TcpListener, UnixListener};

/// Where a listener listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// An IP address and a port.
    Tcp(SocketAddr),
    /// A path in the file system.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Options of a listener's sockets.
#[derive(Clone, Debug)]
pub struct SocketOptions {
    /// Connections that the kernel keeps until they are accepted; it has a bound of its own (`net.core.somaxconn`).
    pub backlog: u32,
    /// Whether other processes of the same user may listen on the address, too (`SO_REUSEPORT`).
    pub reuse_port: bool,
    /// Idle time after which the kernel asks whether the client is still there; `None` leaves it unasked.
    pub keepalive: Option<Duration>,
    /// Permissions of a Unix socket.
    pub mode: u32,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            backlog: 4096,
            reuse_port: false,
            keepalive: None,
            mode: 0o660,
        }
    }
}

/// A listener could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("settings: {setting}: cannot listen on {address}: {error}")]
pub struct BindError {
    setting: &'static str,
    address: Address,
    error: io::Error,
}

/// A socket that listens.
#[derive(Debug)]
pub struct Bound(pub(super) Kind);

#[derive(Debug)]
pub(super) enum Kind {
    Tcp(TcpListener),
    Unix(UnixListener, Unlink),
}

impl Bound {
    /// Opens a listening socket, or takes over `inherited`, one that listens on the address already. To be called inside the
    /// runtime that accepts.
    ///
    /// # Errors
    /// The address is taken, is not one of this host, or needs rights that the process does not have.
    pub fn open(
        setting: &'static str,
        address: &Address,
        options: &SocketOptions,
        inherited: Option<OwnedFd>,
    ) -> Result<Self, BindError> {
        let opened = match address {
            Address::Tcp(tcp) => tcp_listener(*tcp, options, inherited),
            Address::Unix(path) => unix_listener(path, options, inherited),
        };
        opened.map(Self).map_err(|error| BindError {
            setting,
            address: address.clone(),
            error,
        })
    }

    /// The port that was bound, also where the setting left the choice to the kernel.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match &self.0 {
            Kind::Tcp(listener) => listener.local_addr().ok(),
            Kind::Unix(..) => None,
        }
    }

    /// Whether the path of a Unix socket goes when this is dropped. At first it does when it was made here.
    pub(super) fn unlink(&mut self, yes: bool) {
        if let Kind::Unix(_, unlink) = &mut self.0 {
            unlink.armed = yes;
        }
    }
}

impl AsFd for Bound {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.0 {
            Kind::Tcp(listener) => listener.as_fd(),
            Kind::Unix(listener, _) => listener.as_fd(),
        }
    }
}

fn tcp_listener(
    address: SocketAddr,
    options: &SocketOptions,
    inherited: Option<OwnedFd>,
) -> io::Result<Kind> {
    let socket = match inherited {
        Some(fd) => Socket::from(fd),
        None => {
            let domain = Domain::for_address(address);
            let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
            // A gateway that starts again must not wait for connections of the last one to time out.
            socket.set_reuse_address(true)?;
            socket.set_reuse_port(options.reuse_port)?;
            socket.bind(&address.into())?;
            socket.listen(options.backlog.try_into().unwrap_or(i32::MAX))?;
            socket
        }
    };
    // What is set here, accepted sockets inherit: a system call less for each.
    socket.set_tcp_nodelay(true)?;
    if let Some(time) = options.keepalive {
        SockRef::from(&socket).set_tcp_keepalive(&TcpKeepalive::new().with_time(time))?;
    }
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into()).map(Kind::Tcp)
}

fn unix_listener(
    path: &Path,
    options: &SocketOptions,
    inherited: Option<OwnedFd>,
) -> io::Result<Kind> {
    if let Some(fd) = inherited {
        let listener = std::os::unix::net::UnixListener::from(fd);
        listener.set_nonblocking(true)?;
        // Whoever bound it may go on with it.
        let unlink = Unlink {
            path: path.to_owned(),
            armed: false,
        };
        return UnixListener::from_std(listener).map(|l| Kind::Unix(l, unlink));
    }
    remove_stale(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&socket2::SockAddr::unix(path)?)?;
    let unlink = Unlink {
        path: path.to_owned(),
        armed: true,
    };
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(options.mode))?;
    socket.listen(options.backlog.try_into().unwrap_or(i32::MAX))?;
    socket.set_nonblocking(true)?;
    UnixListener::from_std(socket.into()).map(|l| Kind::Unix(l, unlink))
}

/// Removes a socket that a process which is gone left behind. One that is answered, and what is no socket, stays.
fn remove_stale(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(found) if !found.file_type().is_socket() => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "there is a file of another kind",
        )),
        Ok(_) => match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
            Err(_) => std::fs::remove_file(path),
        },
    }
}

/// The path of a Unix socket; it goes when nobody listens there any more.
#[derive(Debug)]
pub(super) struct Unlink {
    path: PathBuf,
    armed: bool,
}

impl Drop for Unlink {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "a socket was not removed");
        }
    }
}
