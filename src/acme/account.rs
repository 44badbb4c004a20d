//! The account with the authority: made once, kept in the store, shared by all gateways of it.

use super::{Ledger, Trouble, client::Wire, now};
use crate::store::Revision;
use crossway_sdk::{
    client::{Client, ClientOptions},
    tls::TlsOptions,
};
use instant_acme::{Account, AccountCredentials, Error, ExternalAccountKey, NewAccount, Problem};
use std::{fmt, sync::Arc, time::Instant};
use tokio::sync::Mutex;

/// The type of the problem of an authority that does not know the account (RFC 8555 §6.7).
const UNKNOWN_ACCOUNT: &str = "urn:ietf:params:acme:error:accountDoesNotExist";
/// So much of what an authority says is shown.
const SHOWN: usize = 500;

/// Who issues the certificates, and what an account there takes.
#[derive(Clone, Debug)]
pub struct Directory {
    /// The URL of the directory.
    pub url: String,
    /// Whom the authority may write to, as URIs.
    pub contacts: Vec<String>,
    /// Whether the operator agrees to its terms of service.
    pub terms_of_service_agreed: bool,
    /// What binds the account to another one.
    pub binding: Option<Binding>,
    /// Authorities in PEM that may have issued the certificate of the directory itself, beside those of the system.
    pub ca: Option<Arc<str>>,
}

/// What binds the account to another one (RFC 8555 §7.3.4).
#[derive(Clone)]
pub struct Binding {
    /// The identifier of the key.
    pub key_id: String,
    /// The key.
    pub key: Vec<u8>,
}

impl fmt::Debug for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Binding")
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

/// Gives the account.
pub(super) struct Accounts {
    directory: Directory,
    ledger: Arc<Ledger>,
    wire: Wire,
    open: Mutex<Option<Open>>,
}

/// An account that is in use, and the revision of its document.
#[derive(Clone)]
struct Open {
    account: Account,
    seen: Revision,
}

impl Accounts {
    pub(super) fn new(directory: Directory, ledger: Arc<Ledger>) -> Self {
        let client = Client::new(ClientOptions {
            tls: TlsOptions {
                ca: directory.ca.clone(),
                ..TlsOptions::default()
            },
            ..ClientOptions::default()
        });
        Self {
            directory,
            ledger,
            wire: Wire::new(Arc::new(client)),
            open: Mutex::default(),
        }
    }

    /// The account; made when there is none.
    pub(super) async fn get(&self) -> Result<Account, Trouble> {
        let mut open = self.open.lock().await;
        if let Some(open) = &*open {
            return Ok(open.account.clone());
        }
        let url = &self.directory.url;
        if self.ledger.account(url).await?.is_none() {
            self.make().await?;
        }
        let kept = self.ledger.account(url).await?;
        let (credentials, seen) = kept.ok_or_else(|| Trouble::own("the account is gone again"))?;
        let credentials = serde_json::from_str::<AccountCredentials>(&credentials)
            .map_err(|_| Trouble::own("the account in the store cannot be read"))?;
        let account = Account::builder_with_http(Box::new(self.wire.clone()))
            .from_credentials(credentials)
            .await
            .map_err(|e| self.trouble(e))?;
        *open = Some(Open {
            account: account.clone(),
            seen,
        });
        Ok(account)
    }

    /// Another gateway may be faster; then its account is the one that counts.
    async fn make(&self) -> Result<(), Trouble> {
        let contacts: Vec<&str> = self.directory.contacts.iter().map(String::as_str).collect();
        let new = NewAccount {
            contact: &contacts,
            terms_of_service_agreed: self.directory.terms_of_service_agreed,
            only_return_existing: false,
        };
        let binding = self.directory.binding.as_ref();
        let binding = binding.map(|b| ExternalAccountKey::new(b.key_id.clone(), &b.key));
        let url = self.directory.url.clone();
        let (account, credentials) = Account::builder_with_http(Box::new(self.wire.clone()))
            .create(&new, url, binding.as_ref())
            .await
            .map_err(|e| self.trouble(e))?;
        let credentials = serde_json::to_string(&credentials).map_err(Trouble::own)?;
        let directory = &self.directory.url;
        if self
            .ledger
            .keep_account(directory, &credentials, now())
            .await?
        {
            tracing::info!(
                directory,
                account = account.id(),
                "an ACME account was made"
            );
        }
        Ok(())
    }

    /// Looks at everything anew the next time: the directory, and the account when the authority does not know it any more.
    pub(super) async fn doubt(&self, error: Option<&Error>) {
        let open = self.open.lock().await.take();
        let unknown = matches!(error, Some(Error::Api(problem)) if is_unknown_account(problem));
        let Some(open) = open.filter(|_| unknown) else {
            return;
        };
        let directory = &self.directory.url;
        tracing::warn!(
            directory,
            "the authority does not know the ACME account; another one will be made"
        );
        let forgotten = self.ledger.forget_account(directory, open.seen).await;
        if let Err(trouble) = forgotten {
            tracing::error!(%trouble, "the ACME account could not be forgotten");
        }
    }

    /// What an error of the protocol means.
    pub(super) fn trouble(&self, error: Error) -> Trouble {
        let refusal = self.wire.refusal();
        let mut again = refusal.and_then(|r| r.again);
        let status = refusal.map(|r| r.status.as_u16());
        match error {
            Error::Api(problem) if !is_own_fault(&problem, status) => Trouble::Refused {
                what: words(&problem),
                again,
            },
            Error::Api(problem) => Trouble::Unreachable {
                what: words(&problem),
                again,
            },
            Error::Timeout(next) => {
                if let Some(next) = next {
                    let wait = next.saturating_duration_since(Instant::now()).as_secs();
                    again = Some(now().saturating_add(i64::try_from(wait).unwrap_or(0)));
                }
                Trouble::Unreachable {
                    what: "it did not decide in time".to_owned(),
                    again,
                }
            }
            Error::Crypto | Error::KeyRejected => Trouble::own(error),
            other => Trouble::Unreachable {
                what: match status {
                    Some(status) => format!("it answered {status}"),
                    None => shown(&other.to_string()),
                },
                again,
            },
        }
    }
}

fn is_unknown_account(problem: &Problem) -> bool {
    problem.r#type.as_deref() == Some(UNKNOWN_ACCOUNT)
}

fn is_own_fault(problem: &Problem, status: Option<u16>) -> bool {
    problem
        .status
        .or(status)
        .is_some_and(|status| status >= 500)
}

/// What the authority says, for a log.
pub(super) fn words(problem: &Problem) -> String {
    let text = problem.to_string();
    shown(text.strip_prefix("API error: ").unwrap_or(&text))
}

/// A text of a stranger: without control characters, and not too long.
fn shown(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(SHOWN).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{
        secret::Sealer,
        store::{HistoryLimit, Memory},
    };
    use axum::{Json, Router, http::StatusCode, response::IntoResponse, routing::get};
    use serde_json::json;

    /// An account with an authority that answers so to everything that asks for more than its directory.
    async fn asked(status: u16, again: &'static str, directory: bool) -> Trouble {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let at = |path: &str| format!("{base}/{path}");
        let known =
            json!({"newNonce": at("nonce"), "newAccount": at("new"), "newOrder": at("new")});
        let refuse = move || async move {
            let status = StatusCode::from_u16(status).unwrap();
            let problem = json!({"type": "urn:ietf:params:acme:error:rateLimited", "detail": "no"});
            (status, [("retry-after", again)], problem.to_string())
        };
        let mut router = Router::new()
            .route("/nonce", get(|| async { [("replay-nonce", "n")] }))
            .fallback(refuse);
        if directory {
            router = router.route("/dir", get(|| async { Json(known).into_response() }));
        }
        let server = tokio::spawn(async move { axum::serve(listener, router).await });
        let store = Memory::new(HistoryLimit::default()).group(super::super::GROUP);
        let ledger = Ledger::new(Arc::new(store), Arc::new(Sealer::default()));
        let directory = Directory {
            url: at("dir"),
            contacts: Vec::new(),
            terms_of_service_agreed: true,
            binding: None,
            ca: None,
        };
        let trouble = Accounts::new(directory, Arc::new(ledger)).get().await;
        server.abort();
        trouble.err().unwrap()
    }

    #[tokio::test]
    async fn an_authority_that_asks_for_patience_gets_it() {
        let begun = now();
        for (status, directory) in [(429, true), (503, true), (503, false), (429, false)] {
            let trouble = asked(status, "600", directory).await;
            let again = trouble.again().unwrap() - begun;
            assert!((600..620).contains(&again), "{status}: {trouble:?}");
            // Of a directory that is none, nobody knows whose fault it is.
            let unreachable = status == 503 || !directory;
            assert_eq!(
                matches!(trouble, Trouble::Unreachable { .. }),
                unreachable,
                "{status}: {trouble:?}"
            );
        }
        assert_eq!(asked(403, "", true).await.again(), None);
    }

    #[test]
    fn what_a_stranger_says_is_cut_and_on_one_line() {
        assert_eq!(shown("a\r\nb\u{1b}[31m"), "a  b [31m");
        assert_eq!(shown(&"é".repeat(600)).chars().count(), SHOWN);
    }

    #[test]
    fn a_key_is_not_shown() {
        let binding = Binding {
            key_id: "kid".to_owned(),
            key: b"hush".to_vec(),
        };
        let text = format!("{binding:?}");
        assert!(text.contains("kid") && !text.contains("104"), "{text}");
    }
}
