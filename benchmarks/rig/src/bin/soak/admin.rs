//! The Admin API, as the soak uses it.

use std::io;
use std::net::SocketAddr;

use crate::client::{Connection, Over};
use crate::gateway::Addresses;
use crate::payload::Payload;

pub(crate) const ADMIN_KEY: &str = "the-admin-key-of-the-soak";

/// The Admin API.
pub(crate) struct Admin(SocketAddr);

impl Admin {
    pub(crate) fn of(gateway: &Addresses) -> Self {
        Self(gateway.admin)
    }

    /// Sends a change; anything but success is an error that says what came back.
    pub(crate) async fn change(&self, method: &str, path: &str, body: String) -> io::Result<()> {
        let (status, answer) = self.send(method, path, body).await?;
        match status {
            200 | 201 => Ok(()),
            _ => Err(io::Error::other(format!(
                "{method} {path} answered {status}: {answer}"
            ))),
        }
    }

    /// Sends a change; the status and the text of the answer.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        body: String,
    ) -> io::Result<(u16, String)> {
        let headers = [
            ("x-api-key", ADMIN_KEY),
            ("content-type", "application/json"),
        ];
        let target = format!("/apisix/admin{path}");
        let mut connection = Connection::open(self.0, &Over::Plain).await?;
        let body = Payload::sized(body.into(), 1);
        let answer = connection.ask(method, &target, &headers, body).await?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        Ok((answer.status, text))
    }
}
