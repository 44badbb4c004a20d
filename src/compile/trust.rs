//! What an upstream shows to its nodes and whom it believes them: certificates that are written in it, or in an ssl of type client,
//! or that secret managers have.

use super::{State, plugins::UNFIT, secrets::Resolved};
use crate::{
    model::{self, Kind, ResourceKey, SECRET_TLS, ssl::SslType, upstream::UpstreamTls},
    tls::Pair,
};
use pingora_core::{
    protocols::tls::CaType,
    utils::tls::{CertKey, WrappedX509, parse_x509},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde_json::{Value, json};
use std::sync::Arc;

/// What is wrong, and at which JSON pointer inside the upstream.
type Wrong = (String, String);

/// The texts, with the values of their references to secrets.
#[derive(Default, Hash)]
pub(super) struct Trust {
    /// A certificate and its key, and where they stand in the upstream.
    shown: Option<(String, String, &'static str)>,
    believed: Option<Vec<String>>,
    /// Whether there are references.
    refers: bool,
    /// Whether a manager has a say in it.
    managed: bool,
    /// Whether one has no value.
    lacks: bool,
}

/// What became of the texts.
pub(super) enum Trusting {
    /// They can be used.
    Ready {
        client_cert: Option<Arc<CertKey>>,
        ca: Option<Arc<CaType>>,
    },
    /// A secret is not to be had, or is no such thing; the text says at which JSON pointer. No node may be asked.
    Shut(Option<String>),
}

impl State {
    /// The texts that an upstream refers to or has.
    ///
    /// # Errors
    /// The ssl that it names does not exist, or is none of this type.
    pub(super) fn trust(
        &self,
        model: &model::Upstream,
        document: &Value,
    ) -> Result<Trust, (&'static str, String)> {
        let Some(tls) = document.get("tls").filter(|_| model.tls.is_some()) else {
            return Ok(Trust::default());
        };
        let mut trust = Trust::default();
        let mut tls = tls.clone();
        trust.add(self.resolve_at(&mut tls, &SECRET_TLS));
        let tls: UpstreamTls = serde_json::from_value(tls).map_err(|e| ("/tls", e.to_string()))?;
        trust.believed = tls.ca_certs;
        trust.shown = match (tls.client_cert_id, tls.client_cert, tls.client_key) {
            (Some(id), _, _) => {
                let key = ResourceKey {
                    kind: Kind::Ssl,
                    id,
                };
                let (cert, key) = self.client_certificate(&key, &mut trust)?;
                Some((cert, key, "/tls/client_cert_id"))
            }
            (None, Some(cert), Some(key)) => Some((cert, key, "/tls/client_cert")),
            _ => None,
        };
        Ok(trust)
    }

    fn client_certificate(
        &self,
        key: &ResourceKey,
        trust: &mut Trust,
    ) -> Result<(String, String), (&'static str, String)> {
        let at = "/tls/client_cert_id";
        let missing = || {
            let id = &key.id;
            format!("failed to fetch ssl info by ssl id [{id}], response code: 404")
        };
        let content = self.documents.get(key).ok_or_else(|| (at, missing()))?;
        let ssl: model::Ssl = serde_json::from_slice(content).map_err(|e| (at, e.to_string()))?;
        if ssl.r#type != SslType::Client {
            return Err((at, "wrong ssl type".to_owned()));
        }
        let mut pair = json!({"cert": ssl.cert, "key": ssl.key});
        trust.add(self.resolve_at(&mut pair, &["/cert", "/key"]));
        let mut take = |name: &str| match pair.get_mut(name).map(Value::take) {
            Some(Value::String(text)) => text,
            _ => String::new(),
        };
        Ok((take("cert"), take("key")))
    }
}

impl Trust {
    fn add(&mut self, resolved: Resolved) {
        self.refers |= !resolved.used.is_empty();
        self.managed |= resolved.managed;
        self.lacks |= resolved.missing.is_some();
    }

    /// Reads the texts. Pingora takes them on trust, and finds out when it connects.
    ///
    /// # Errors
    /// One of them is no such thing, and no manager is to blame.
    pub(super) fn ready(&self) -> Result<Trusting, Wrong> {
        if self.lacks {
            return Ok(Trusting::Shut(None));
        }
        let read = || -> Result<Trusting, Wrong> {
            let client_cert = match &self.shown {
                Some((cert, key, at)) => Some(pair(cert, key).map_err(|e| ((*at).to_owned(), e))?),
                None => None,
            };
            let ca = self.believed.as_deref().map(authorities).transpose()?;
            Ok(Trusting::Ready { client_cert, ca })
        };
        match read() {
            Err((at, _)) if self.managed => Ok(Trusting::Shut(Some(at))),
            // The message may say the value.
            Err((at, _)) if self.refers => Err((at, UNFIT.to_owned())),
            read => read,
        }
    }
}

fn authorities(named: &[String]) -> Result<Arc<CaType>, Wrong> {
    let mut store = rustls::RootCertStore::empty();
    let mut all = Vec::new();
    for (index, text) in named.iter().enumerate() {
        let at = |error: &dyn std::fmt::Display| {
            let message = format!("failed to parse cert: {error}");
            (format!("/tls/ca_certs/{index}"), message)
        };
        for der in CertificateDer::pem_slice_iter(text.as_bytes()) {
            let der = der.map_err(|e| at(&e))?;
            x509_parser::parse_x509_certificate(&der).map_err(|e| at(&e))?;
            store.add(der.clone()).map_err(|e| at(&e))?;
            all.push(WrappedX509::new(der.to_vec(), parse_x509));
        }
    }
    Ok(all.into())
}

fn pair(cert: &str, key: &str) -> Result<Arc<CertKey>, String> {
    let known = Pair::from_pem(cert, key).map_err(|e| e.to_string())?;
    let chain = known.chain().iter().map(|der| der.to_vec()).collect();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
        .map_err(|e| format!("failed to parse key: {e}"))?;
    Ok(Arc::new(CertKey::new(chain, key.secret_der().to_vec())))
}
