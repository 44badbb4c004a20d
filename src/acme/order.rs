//! One order: the dialogue with the authority from the names to the certificate.

use super::{
    Challenge, Directory, Ledger, Pending, Trouble, Wanted,
    account::{Accounts, words},
    ledger::Proof,
};
use async_trait::async_trait;
use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Error, Identifier, NewOrder, Order, OrderStatus,
    RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use std::{sync::Arc, time::Duration};

/// The authority has so long to look at the proofs, and then to issue. `Retry-After` is heeded within it.
const DECISION: Duration = Duration::from_secs(120);

/// A certificate chain and its key, in PEM.
pub(super) struct Issued {
    pub(super) chain: String,
    pub(super) key: String,
}

/// Who issues certificates.
#[async_trait]
pub(super) trait Issue: Send + Sync {
    /// Whether an order can be placed: the authority answers, and there is an account.
    async fn ready(&self) -> Result<(), Trouble>;

    /// Orders a certificate.
    async fn order(&self, wanted: &Wanted) -> Result<Issued, Trouble>;
}

/// Orders certificates from an authority.
pub struct Orders {
    accounts: Accounts,
    ledger: Arc<Ledger>,
    pending: Arc<Pending>,
}

impl Orders {
    /// Proofs are shown by way of `ledger`, and here by `pending`.
    pub fn new(directory: Directory, ledger: Arc<Ledger>, pending: Arc<Pending>) -> Self {
        Self {
            accounts: Accounts::new(directory, ledger.clone()),
            ledger,
            pending,
        }
    }
}

/// Why a dialogue ended.
enum Ended {
    Protocol(Error),
    Trouble(Trouble),
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Self::Protocol(error)
    }
}

impl From<Trouble> for Ended {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

#[async_trait]
impl Issue for Orders {
    async fn ready(&self) -> Result<(), Trouble> {
        self.accounts.get().await.map(drop)
    }

    async fn order(&self, wanted: &Wanted) -> Result<Issued, Trouble> {
        let account = self.accounts.get().await?;
        let mut proofs = Vec::new();
        let done = self.dialogue(&account, wanted, &mut proofs).await;
        if !proofs.is_empty() {
            self.take_back(&proofs).await;
        }
        match done {
            Ok(issued) => Ok(issued),
            Err(Ended::Protocol(error)) => {
                self.accounts.doubt(Some(&error)).await;
                Err(self.accounts.trouble(error))
            }
            Err(Ended::Trouble(trouble)) => {
                self.accounts.doubt(None).await;
                Err(trouble)
            }
        }
    }
}

impl Orders {
    async fn dialogue(
        &self,
        account: &Account,
        wanted: &Wanted,
        proofs: &mut Vec<Proof>,
    ) -> Result<Issued, Ended> {
        let names = wanted.names.iter().cloned();
        let identifiers: Vec<Identifier> = names.map(Identifier::Dns).collect();
        let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
        *proofs = awaited(&mut order, wanted.challenge).await?;
        if !proofs.is_empty() {
            // Before the authority is told that it may look.
            self.ledger.show(proofs).await?;
            self.pending.reload(&self.ledger).await?;
            begin(&mut order, wanted.challenge).await?;
        }
        let patience = RetryPolicy::new().timeout(DECISION);
        match order.poll_ready(&patience).await {
            Ok(OrderStatus::Ready) => {}
            Ok(_) => return Err(refused(&mut order, None).await.into()),
            // Without an error of the order it is the question that was refused.
            Err(Error::Api(problem)) if order.state().error.is_some() => {
                return Err(refused(&mut order, Some(words(&problem))).await.into());
            }
            Err(error) => return Err(error.into()),
        }
        let (request, key) = request(&wanted.names)?;
        order.finalize_csr(&request).await?;
        let chain = order.poll_certificate(&patience).await?;
        Ok(Issued { chain, key })
    }

    async fn take_back(&self, proofs: &[Proof]) {
        let hidden = self.ledger.hide(proofs).await;
        let reloaded = self.pending.reload(&self.ledger).await;
        if let Err(trouble) = hidden.and(reloaded.map(drop)) {
            tracing::debug!(%trouble, "proofs could not be taken back; they end by themselves");
        }
    }
}

/// The proofs that the authority asks for. It may know that a name is ours from an order before.
async fn awaited(order: &mut Order, challenge: Challenge) -> Result<Vec<Proof>, Ended> {
    let mut proofs = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        let name = authorization.identifier().to_string();
        let no = |what: String| Trouble::Refused {
            what: format!("{name}: {what}"),
            again: None,
        };
        match authorization.status {
            AuthorizationStatus::Valid => continue,
            AuthorizationStatus::Pending => {}
            other => return Err(no(format!("the authorization is {other:?}")).into()),
        }
        let asked = authorization.challenge(kind(challenge));
        let asked = asked.ok_or_else(|| no(format!("it does not offer {}", challenge.as_str())))?;
        if !is_token(&asked.token) {
            return Err(no("its token is none".to_owned()).into());
        }
        proofs.push(Proof {
            challenge,
            token: asked.token.clone(),
            key_authorization: asked.key_authorization().as_str().to_owned(),
            name: name.clone(),
        });
    }
    Ok(proofs)
}

/// Tells the authority that it may look.
async fn begin(order: &mut Order, challenge: Challenge) -> Result<(), Ended> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status != AuthorizationStatus::Pending {
            continue;
        }
        if let Some(mut asked) = authorization.challenge(kind(challenge)) {
            asked.set_ready().await?;
        }
    }
    Ok(())
}

/// Why the authority did not take the proofs, in its own words: for each name that it says something of.
async fn refused(order: &mut Order, said: Option<String>) -> Trouble {
    let mut reasons = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let name = authorization.identifier().to_string();
        let Ok(state) = authorization.refresh().await else {
            continue;
        };
        let errors = state.challenges.iter().filter_map(|c| c.error.as_ref());
        reasons.extend(errors.map(|error| format!("{name}: {}", words(error))));
    }
    if reasons.is_empty() {
        reasons.extend(said);
    }
    if reasons.is_empty() {
        reasons.push("the order is not valid".to_owned());
    }
    Trouble::Refused {
        what: reasons.join("; "),
        again: None,
    }
}

fn kind(challenge: Challenge) -> ChallengeType {
    match challenge {
        Challenge::Http01 => ChallengeType::Http01,
        Challenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
    }
}

/// Base64url (RFC 8555 §8.1). It becomes a part of a key in the store.
fn is_token(token: &str) -> bool {
    (1..=256).contains(&token.len())
        && token
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// The request for a certificate, in DER, and the key that it is for, in PEM: ECDSA on P-256, a new one each time.
fn request(names: &[String]) -> Result<(Vec<u8>, String), Trouble> {
    let key = KeyPair::generate().map_err(Trouble::own)?;
    let mut params = CertificateParams::new(names).map_err(Trouble::own)?;
    params.distinguished_name = DistinguishedName::new();
    let request = params.serialize_request(&key).map_err(Trouble::own)?;
    Ok((request.der().to_vec(), key.serialize_pem()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_base64url_and_nothing_else() {
        assert!(is_token("DGyRejmCefe7v4NfDGDKfA-_"));
        let long = "a".repeat(257);
        for bad in ["", "../x", "a/b", "a b", "é", &long] {
            assert!(!is_token(bad), "{bad}");
        }
    }
}
