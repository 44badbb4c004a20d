//! Certificates for clients: from the model to what the tls room takes. One of them is prepared anew only when its own
//! document changes.

use super::{Refusal, State, plugins::UNFIT, secrets::Resolved};
use crate::{
    model::{
        self, Kind, ResourceKey, SECRET_SSL, Status,
        ssl::{SslType, TlsVersion},
    },
    tls::{ClientSpec, Pair, PairError, Site, SiteError, Spec, Unfit, Version},
};
use serde_json::Value;
use std::sync::Arc;

impl State {
    pub(super) fn compile_ssl(&mut self, key: &ResourceKey) -> Result<(), Refusal> {
        let id: Arc<str> = key.id.to_shared();
        let Some((ssl, document)) = self.decode::<model::Ssl>(key)? else {
            return self.withdraw(&id);
        };
        let (ssl, managed) = match self.with_secrets(key, ssl, document)? {
            With::Secrets { ssl, managed } => (ssl, managed),
            // What it should show and prove is not known: no handshake gets it.
            With::None => return self.withdraw(&id),
        };
        match self.compile_resolved(key, &id, *ssl) {
            Err(refusal) if managed => {
                tracing::error!(%key, path = refusal.path, "a fetched secret is not taken: {UNFIT}");
                self.withdraw(&id)
            }
            compiled => compiled,
        }
    }

    /// The certificate with the values of its references.
    fn with_secrets(
        &self,
        key: &ResourceKey,
        ssl: model::Ssl,
        mut document: Value,
    ) -> Result<With, Refusal> {
        let Resolved {
            used,
            managed,
            missing,
        } = self.resolve_at(&mut document, &SECRET_SSL);
        if missing.is_some() {
            return Ok(With::None);
        }
        if used.is_empty() {
            let ssl = Box::new(ssl);
            return Ok(With::Secrets { ssl, managed });
        }
        match model::checked::<model::Ssl>(Kind::Ssl, &document) {
            Ok(ssl) => Ok(With::Secrets {
                ssl: Box::new(ssl),
                managed,
            }),
            Err(problem) if managed => {
                tracing::error!(%key, path = problem.path, "a fetched secret is not taken: {UNFIT}");
                Ok(With::None)
            }
            Err(problem) => Err(Refusal::new(
                key,
                &problem.path,
                format!("invalid configuration: {UNFIT} (at {})", problem.path),
            )),
        }
    }

    fn compile_resolved(
        &mut self,
        key: &ResourceKey,
        id: &Arc<str>,
        ssl: model::Ssl,
    ) -> Result<(), Refusal> {
        let refuse = |(path, message): (String, String)| {
            Refusal::new(
                key,
                &path,
                format!("invalid configuration: {message} (at {path})"),
            )
        };
        let spec = lower(&ssl).map_err(refuse)?;
        let now = jiff::Timestamp::now().as_second();
        if ssl.status == Status::Enabled && spec.pairs.iter().any(|pair| pair.has_run_out(now)) {
            tracing::warn!(%key, "a certificate has run out; it is served, and clients will refuse it");
        }
        if ssl.r#type == SslType::Client {
            // Upstreams name it; what refers to it is compiled after it.
            return self.withdraw(id);
        }
        let previous = self.certificates.get(id).cloned();
        let site = Site::new(spec, previous.as_deref(), &self.workshop.tls)
            .map_err(|error| refuse(place(error)))?;
        if ssl.status == Status::Disabled {
            return self.withdraw(id);
        }
        Arc::make_mut(&mut self.certificates).insert(id, ssl.snis(), Arc::new(site));
        Ok(())
    }

    fn withdraw(&mut self, id: &str) -> Result<(), Refusal> {
        if self.certificates.get(id).is_some() {
            Arc::make_mut(&mut self.certificates).remove(id);
        }
        Ok(())
    }
}

/// What became of a certificate's references.
enum With {
    /// They are resolved; `managed`: by a manager, so that what is wrong is wrong there.
    Secrets { ssl: Box<model::Ssl>, managed: bool },
    /// One of them is not.
    None,
}

/// What is wrong, and at which JSON pointer.
type Wrong = (String, String);

fn lower(ssl: &model::Ssl) -> Result<Spec, Wrong> {
    let mut pairs = Vec::new();
    for (index, (cert, key)) in ssl.pairs().enumerate() {
        // The first pair has fields of its own.
        let (cert_at, key_at) = match index.checked_sub(1) {
            None => ("/cert".to_owned(), "/key".to_owned()),
            Some(index) => (format!("/certs/{index}"), format!("/keys/{index}")),
        };
        let pair = Pair::from_pem(cert, key).map_err(|error| match error {
            PairError::Certificate(_) => (cert_at, error.to_string()),
            PairError::Key(_) | PairError::Mismatch => (key_at, error.to_string()),
        })?;
        pairs.push(pair);
    }
    let versions = ssl.ssl_protocols.iter().enumerate();
    let protocols = versions.map(|(index, version)| match version {
        TlsVersion::V1_2 => Ok(Version::Tls12),
        TlsVersion::V1_3 => Ok(Version::Tls13),
        TlsVersion::V1_1 => Err((
            format!("/ssl_protocols/{index}"),
            "TLSv1.1 is not served (RFC 8996): leave TLSv1.2, TLSv1.3 or both".to_owned(),
        )),
    });
    let client = ssl.client.as_ref().map(|client| -> Result<_, Wrong> {
        Ok(ClientSpec {
            ca: client.ca.clone(),
            depth: client.depth,
            skip: client.skip_mtls_uri_regex.clone(),
        })
    });
    Ok(Spec {
        pairs,
        protocols: protocols.collect::<Result<_, _>>()?,
        client: client.transpose()?,
    })
}

fn place(error: SiteError) -> Wrong {
    let at = match &error {
        SiteError::Client(Unfit::Authorities(_)) => "/client/ca".to_owned(),
        SiteError::Client(Unfit::Pattern(index, _)) => {
            format!("/client/skip_mtls_uri_regex/{index}")
        }
        SiteError::Tls(_) => String::new(),
    };
    (at, error.to_string())
}
