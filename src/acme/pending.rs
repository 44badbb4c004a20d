//! Proofs that authorities are about to ask for: of this gateway's orders and of those of others that share the store, as the
//! authority may ask any of them. Between orders there are none, and looking is one load.

use super::{
    Challenge, Trouble,
    ledger::{LEASES, Ledger, PROOFS, Proof},
};
use crate::{
    listener::ACME_TLS,
    proxy::Challenges,
    store::{Change, Event, Revision},
};
use arc_swap::ArcSwap;
use bytes::Bytes;
use futures::StreamExt;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::{
    ServerConfig,
    crypto::ring::sign::any_supported_type,
    server::{ClientHello, NoServerSessionStorage},
    sign::{CertifiedKey, SingleCertAndKey},
};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::sync::Notify;

/// Between two attempts to read a store that does not answer.
const RETRY: Duration = Duration::from_secs(2);

/// Proofs that authorities are about to ask for.
#[derive(Default)]
pub struct Pending(ArcSwap<Table>);

#[derive(Default)]
struct Table {
    /// What the store held in this revision.
    revision: Revision,
    /// Key authorizations by token.
    http: HashMap<String, Bytes>,
    /// Configurations for handshakes by name, and the proofs that they were made for.
    tls: HashMap<String, (Proof, Arc<ServerConfig>)>,
}

impl Challenges for Pending {
    fn answer(&self, token: &str) -> Option<Bytes> {
        self.0.load().http.get(token).cloned()
    }
}

impl Pending {
    /// The configuration for the handshake of an authority that asks for a proof. `None` for all other handshakes: a client
    /// that wants `acme-tls/1` offers nothing else (RFC 8737 §3).
    pub fn config(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        let table = self.0.load();
        if table.tls.is_empty() {
            return None;
        }
        let mut offered = hello.alpn()?;
        if offered.next() != Some(ACME_TLS) || offered.next().is_some() {
            return None;
        }
        let name = crate::tls::normal(hello.server_name()?);
        table.tls.get(&*name).map(|(_, config)| config.clone())
    }

    /// Keeps up with the store until it is closed. `changed` is told when somebody may have stopped ordering.
    pub async fn follow(self: Arc<Self>, ledger: Arc<Ledger>, changed: Arc<Notify>) {
        loop {
            match self.catch_up(&ledger, &changed).await {
                Ok(()) => return,
                Err(trouble) => {
                    tracing::debug!(%trouble, "proofs for authorities cannot be followed for the moment");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    /// `Ok` when the store is closed.
    async fn catch_up(&self, ledger: &Ledger, changed: &Notify) -> Result<(), Trouble> {
        let from = self.reload(ledger).await?;
        changed.notify_one();
        let mut events = ledger.watch(from);
        while let Some(event) = events.next().await {
            let event = event.map_err(Trouble::own)?;
            if touches(&event, PROOFS) {
                self.reload(ledger).await?;
            }
            if event.changes.iter().any(is_over) {
                changed.notify_one();
            }
        }
        Ok(())
    }

    /// Takes what the store holds; the revision of it.
    pub(super) async fn reload(&self, ledger: &Ledger) -> Result<Revision, Trouble> {
        let (proofs, revision) = ledger.proofs().await?;
        self.install(proofs, revision)?;
        Ok(revision)
    }

    fn install(&self, proofs: Vec<Proof>, revision: Revision) -> Result<(), Trouble> {
        let before = self.0.load_full();
        let mut table = Table {
            revision,
            ..Table::default()
        };
        for proof in proofs {
            match proof.challenge {
                Challenge::Http01 => {
                    table
                        .http
                        .insert(proof.token, proof.key_authorization.into());
                }
                Challenge::TlsAlpn01 => {
                    let known = before.tls.get(&proof.name).filter(|(p, _)| *p == proof);
                    let config = match known {
                        Some((_, config)) => config.clone(),
                        None => Arc::new(handshake(&proof)?),
                    };
                    table.tls.insert(proof.name.clone(), (proof, config));
                }
            }
        }
        let table = Arc::new(table);
        // Of two that read the store at a time, the one that read it last counts.
        self.0
            .rcu(|current| match current.revision > table.revision {
                true => current.clone(),
                false => table.clone(),
            });
        Ok(())
    }
}

fn touches(event: &Event, prefix: &str) -> bool {
    let mut keys = event.changes.iter().map(Change::key);
    keys.any(|key| key.as_str().starts_with(prefix))
}

fn is_over(change: &Change) -> bool {
    matches!(change, Change::Delete { key } if key.as_str().starts_with(LEASES))
}

/// What proves a name in a handshake, and serves for nothing else.
fn handshake(proof: &Proof) -> Result<ServerConfig, Trouble> {
    let (certificate, key) = certificate(proof)?;
    let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    let key = any_supported_type(&key).map_err(Trouble::own)?;
    // Not by way of what reads the certificate: its extension is critical, and unknown to rustls.
    let pair = SingleCertAndKey::from(CertifiedKey::new(vec![certificate], key));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(Trouble::own)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(pair));
    config.alpn_protocols = vec![ACME_TLS.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// A certificate that nobody vouches for, with the digest of the key authorization in an extension (RFC 8737 §3).
fn certificate(proof: &Proof) -> Result<(CertificateDer<'static>, KeyPair), Trouble> {
    let key = KeyPair::generate().map_err(Trouble::own)?;
    let mut params = CertificateParams::new([proof.name.clone()]).map_err(Trouble::own)?;
    params.distinguished_name = DistinguishedName::new();
    let digest = Sha256::digest(proof.key_authorization.as_bytes());
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(&digest)];
    let made = params.self_signed(&key).map_err(Trouble::own)?;
    Ok((made.der().clone(), key))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use rustls::{ClientConfig, ClientConnection, RootCertStore, server::Acceptor};
    use x509_parser::parse_x509_certificate;

    fn proof(challenge: Challenge, token: &str) -> Proof {
        Proof {
            challenge,
            name: "a.test".to_owned(),
            token: token.to_owned(),
            key_authorization: format!("{token}.thumb"),
        }
    }

    /// What a client with this offer gets when it asks for `name`.
    fn asked(pending: &Pending, name: &'static str, offer: &[&[u8]]) -> Option<Arc<ServerConfig>> {
        let mut client =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(RootCertStore::empty())
                .with_no_client_auth();
        client.alpn_protocols = offer.iter().map(|p| p.to_vec()).collect();
        let mut client = ClientConnection::new(Arc::new(client), name.try_into().unwrap()).unwrap();
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        let mut acceptor = Acceptor::default();
        acceptor.read_tls(&mut wire.as_slice()).unwrap();
        let accepted = acceptor.accept().unwrap().unwrap();
        pending.config(&accepted.client_hello())
    }

    #[test]
    fn a_token_is_answered_only_while_it_is_awaited() {
        let pending = Pending::default();
        assert_eq!(pending.answer("t"), None);
        pending
            .install(vec![proof(Challenge::Http01, "t")], Revision(2))
            .unwrap();
        assert_eq!(pending.answer("t").as_deref(), Some(&b"t.thumb"[..]));
        assert_eq!(pending.answer("other"), None);
        pending.install(Vec::new(), Revision(3)).unwrap();
        assert_eq!(pending.answer("t"), None);
    }

    #[test]
    fn an_older_look_into_the_store_does_not_undo_a_newer_one() {
        let pending = Pending::default();
        pending
            .install(vec![proof(Challenge::Http01, "t")], Revision(2))
            .unwrap();
        pending.install(Vec::new(), Revision(1)).unwrap();
        assert!(pending.answer("t").is_some());
    }

    #[test]
    fn the_proof_is_for_handshakes_that_want_nothing_else() {
        let pending = Pending::default();
        assert!(asked(&pending, "a.test", &[ACME_TLS]).is_none());
        pending
            .install(vec![proof(Challenge::TlsAlpn01, "t")], Revision(1))
            .unwrap();
        assert!(asked(&pending, "a.test", &[ACME_TLS]).is_some());
        assert!(asked(&pending, "A.test", &[ACME_TLS]).is_some());
        assert!(asked(&pending, "b.test", &[ACME_TLS]).is_none());
        let others: [&[&[u8]]; 4] = [&[], &[b"h2"], &[ACME_TLS, b"h2"], &[b"h2", ACME_TLS]];
        for other in others {
            assert!(asked(&pending, "a.test", other).is_none(), "{other:?}");
        }
    }

    #[test]
    fn the_certificate_of_a_proof_is_that_of_rfc_8737() {
        // An OCTET STRING of 32 bytes.
        let mut expected = vec![4, 32];
        expected.extend(Sha256::digest(b"t.thumb"));
        let (shown, _) = certificate(&proof(Challenge::TlsAlpn01, "t")).unwrap();
        let (_, shown) = parse_x509_certificate(&shown).unwrap();
        let extension = shown
            .extensions()
            .iter()
            .find(|e| e.oid.to_id_string() == "1.3.6.1.5.5.7.1.31")
            .unwrap();
        assert!(extension.critical);
        assert_eq!(extension.value, expected);
        let names = shown.subject_alternative_name().unwrap().unwrap();
        assert_eq!(
            format!("{:?}", names.value.general_names)
                .matches("a.test")
                .count(),
            1
        );
    }
}
