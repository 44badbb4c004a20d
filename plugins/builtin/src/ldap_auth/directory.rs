//! A directory that is asked whether a password is right, over connections that are kept for a while.

use crossway_sdk::tls::TlsOptions;
use ldap3::{Ldap, LdapConnAsync, LdapConnSettings};
use parking_lot::Mutex;
use rustls::ClientConfig;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::{OnceCell, Semaphore},
    task::spawn_blocking,
    time::timeout,
};

/// Connections that are kept when nobody needs them, and for how long.
const IDLE: usize = 5;
const IDLE_FOR: Duration = Duration::from_secs(60);

/// Connections that there may be to one directory, all places of use together. A bind has one to itself.
pub(super) const AT_ONCE: usize = 64;

/// Result codes of a bind (RFC 4511 Appendix A).
const SUCCESS: u32 = 0;
const INVALID_CREDENTIALS: u32 = 49;

/// Where a directory is, and how it is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    host: Box<str>,
    port: u16,
    /// `Some`: with TLS; whether the certificate must be valid.
    tls: Option<bool>,
}

impl Address {
    /// Reads `host`, `host:port`, `[address]` or `[address]:port`. `tls` as in the field.
    pub(super) fn read(text: &str, tls: Option<bool>) -> Option<Self> {
        let authority: http::uri::Authority = text.parse().ok()?;
        let host = authority.host();
        let port = match authority.as_str().strip_prefix(host)? {
            "" => {
                if tls.is_some() {
                    636
                } else {
                    389
                }
            }
            port => port.strip_prefix(':')?.parse().ok()?,
        };
        let bare = host
            .strip_prefix('[')
            .map_or(host, |h| h.trim_end_matches(']'));
        (port != 0 && !bare.is_empty()).then(|| Self {
            host: host.into(),
            port,
            tls,
        })
    }

    fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "ldaps" } else { "ldap" };
        format!("{scheme}://{}:{}", self.host, self.port)
    }
}

/// A directory.
pub(super) struct Directory {
    address: Address,
    tls: OnceCell<Arc<ClientConfig>>,
    idle: Mutex<Vec<(Ldap, Instant)>>,
    limit: Duration,
    /// One for each bind in progress; idle connections are never more than those that a bind could take.
    turns: Semaphore,
}

impl Directory {
    /// A directory that gets `limit` for each question; nothing is opened yet.
    pub(super) fn new(address: Address, limit: Duration) -> Self {
        Self {
            address,
            tls: OnceCell::new(),
            idle: Mutex::default(),
            limit,
            turns: Semaphore::new(AT_ONCE),
        }
    }

    /// Whether a user may be bound with this password. Of more than [`AT_ONCE`] questions, some wait for their turn; that counts
    /// into their time.
    ///
    /// # Errors
    /// The directory cannot be reached, does not answer in time, or talks nonsense. The text has nothing of what was asked.
    pub(super) async fn accepts(&self, user_dn: &str, password: &str) -> Result<bool, String> {
        let in_turn = async {
            let _turn = self.turns.acquire().await.map_err(|e| e.to_string())?;
            self.ask(user_dn, password).await
        };
        timeout(self.limit, in_turn)
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {} ms", self.limit.as_millis())))
    }

    async fn ask(&self, user_dn: &str, password: &str) -> Result<bool, String> {
        while let Some(mut kept) = self.take() {
            // The directory may have closed it meanwhile; a bind may be asked twice.
            if let Ok(answer) = kept.simple_bind(user_dn, password).await {
                return self.judge(kept, answer.rc);
            }
        }
        let mut fresh = self.connect().await?;
        let answer = fresh.simple_bind(user_dn, password).await;
        let code = answer.map_err(|e| e.to_string())?.rc;
        self.judge(fresh, code)
    }

    /// A connection is kept after a plain yes or no: the next bind replaces whom it is bound as (RFC 4511 §4.2.1).
    fn judge(&self, connection: Ldap, code: u32) -> Result<bool, String> {
        match code {
            SUCCESS | INVALID_CREDENTIALS => {
                let mut idle = self.idle.lock();
                if idle.len() < IDLE {
                    idle.push((connection, Instant::now()));
                }
                Ok(code == SUCCESS)
            }
            code => Err(format!("result code {code}")),
        }
    }

    fn take(&self) -> Option<Ldap> {
        let mut idle = self.idle.lock();
        idle.retain(|(_, since)| since.elapsed() < IDLE_FOR);
        idle.pop().map(|(connection, _)| connection)
    }

    async fn connect(&self) -> Result<Ldap, String> {
        let mut settings = LdapConnSettings::new().set_conn_timeout(self.limit);
        if let Some(verify) = self.address.tls {
            let make = || tls(verify);
            settings = settings.set_config(self.tls.get_or_try_init(make).await?.clone());
        }
        let connected = LdapConnAsync::with_settings(settings, &self.address.url()).await;
        let (connection, ldap) = connected.map_err(|e| e.to_string())?;
        // It ends with the last handle.
        tokio::spawn(async move {
            if let Err(error) = connection.drive().await {
                tracing::debug!(%error, "a connection to a directory broke");
            }
        });
        Ok(ldap)
    }
}

async fn tls(verify: bool) -> Result<Arc<ClientConfig>, String> {
    let options = TlsOptions {
        verify,
        ..TlsOptions::default()
    };
    // Authorities of the system are read from the disk.
    let made = spawn_blocking(move || options.client_config()).await;
    let config = made.map_err(|e| e.to_string())?;
    config.map(Arc::new).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::Address;

    #[test]
    fn addresses_are_host_and_port() {
        let url = |text: &str, tls| Address::read(text, tls).map(|a| a.url());
        assert_eq!(
            url("ldap.example:1389", None).unwrap(),
            "ldap://ldap.example:1389"
        );
        assert_eq!(url("127.0.0.1", None).unwrap(), "ldap://127.0.0.1:389");
        assert_eq!(url("[::1]:1389", None).unwrap(), "ldap://[::1]:1389");
        assert_eq!(url("a", Some(true)).unwrap(), "ldaps://a:636");
        for text in [
            "", "a:", "a:x", "a:0", "a:70000", "ldap://a", "a/b", "u@a", "[]:1", ":1", "a b",
        ] {
            assert_eq!(url(text, None), None, "{text}");
        }
    }
}
