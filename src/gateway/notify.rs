//! Tells systemd how the service stands, over the socket that it names (sd_notify(3)). Without one nobody is told.

use rustix::time::{ClockId, clock_gettime};
use std::{
    ffi::OsStr,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
};

/// Where systemd listens for this service, when it does.
const VARIABLE: &str = "NOTIFY_SOCKET";

/// Who is told.
pub(super) struct Notify(Option<(UnixDatagram, SocketAddr)>);

impl Notify {
    /// Whoever the environment names.
    pub(super) fn from_environment() -> Self {
        let Some(name) = std::env::var_os(VARIABLE).filter(|name| !name.is_empty()) else {
            return Self(None);
        };
        match open(&name) {
            Ok(to) => Self(Some(to)),
            Err(error) => {
                tracing::warn!(%error, "{VARIABLE} names no socket");
                Self(None)
            }
        }
    }

    /// The gateway serves.
    pub(super) fn ready(&self) {
        self.say(&format!("READY=1\nMAINPID={}", std::process::id()));
    }

    /// The gateway is about to leave.
    pub(super) fn stopping(&self) {
        self.say("STOPPING=1");
    }

    /// The gateway reads its settings again; [`reloaded`](Self::reloaded) follows.
    pub(super) fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let (seconds, nanoseconds) = (now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs());
        let microseconds = seconds * 1_000_000 + nanoseconds / 1000;
        self.say(&format!("RELOADING=1\nMONOTONIC_USEC={microseconds}"));
    }

    /// What came of it, in one line. The gateway serves in any case.
    pub(super) fn reloaded(&self, status: &str) {
        self.say(&format!("READY=1\nSTATUS={status}"));
    }

    fn say(&self, state: &str) {
        let Some((socket, to)) = &self.0 else { return };
        if let Err(error) = socket.send_to_addr(state.as_bytes(), to) {
            tracing::warn!(%error, "systemd was not told: {state}");
        }
    }
}

/// A path, or with a leading `@` a name in the abstract namespace.
fn open(name: &OsStr) -> std::io::Result<(UnixDatagram, SocketAddr)> {
    let to = match name.as_bytes() {
        [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest)?,
        _ => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    // A reader that is stuck must not hold the gateway up.
    socket.set_nonblocking(true)?;
    Ok((socket, to))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 256];
        let count = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..count].to_vec()).unwrap()
    }

    #[test]
    fn a_path_and_an_abstract_name_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let at_path = UnixDatagram::bind(&path).unwrap();
        let name = format!("crossway-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let abstract_one = UnixDatagram::bind_addr(&address).unwrap();
        for (socket, name) in [
            (at_path, path.into_os_string()),
            (abstract_one, format!("@{name}").into()),
        ] {
            let notify = Notify(Some(open(&name).unwrap()));
            notify.ready();
            let ready = format!("READY=1\nMAINPID={}", std::process::id());
            assert_eq!(read(&socket), ready);
            notify.stopping();
            assert_eq!(read(&socket), "STOPPING=1");
        }
    }

    #[test]
    fn nobody_and_somebody_who_is_gone_are_no_trouble() {
        Notify(None).ready();
        let folder = tempfile::tempdir().unwrap();
        let gone = folder.path().join("gone");
        Notify(Some(open(gone.as_os_str()).unwrap())).ready();
    }
}
