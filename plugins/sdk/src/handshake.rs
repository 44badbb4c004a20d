//! What the TLS handshake of a client's connection settled.

use arc_swap::ArcSwapOption;
use pingora_core::protocols::{Digest, tls::SslDigest};
use rustls_pki_types::CertificateDer;
use std::{any::Any, fmt, sync::Arc};

/// What a handshake settled. There is one for each connection; all of its requests share it.
#[derive(Clone, Debug, Default)]
pub struct TlsFacts {
    /// The name that the client asked for (SNI), in lower case.
    pub server_name: Option<Box<str>>,
    /// `TLSv1.2` or `TLSv1.3`, as OpenSSL writes them.
    pub version: &'static str,
    /// The cipher suite, by its name in the registry of IANA.
    pub cipher: &'static str,
    /// The protocol agreed on (ALPN), e.g. `h2`.
    pub alpn: Option<Box<[u8]>>,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
    /// The client's certificate and what it sent along. That they are here does not mean that they were verified:
    /// see [`TlsFacts::verification`].
    pub client_certificates: Vec<CertificateDer<'static>>,
    /// The last judgement over them.
    pub judgement: Judgement,
}

impl TlsFacts {
    /// What the handshake of a request's connection settled; `None` for a plain connection.
    pub fn of(digest: &Digest) -> Option<&Arc<Self>> {
        // Pingora lets nobody but itself fill the place that it has for such things beside the TLS version.
        digest
            .proxy_digest
            .as_ref()?
            .user_data
            .as_ref()?
            .downcast_ref()
    }

    /// The same in Pingora's terms, as far as it has them.
    pub fn digest(&self) -> SslDigest {
        SslDigest::new(self.cipher, self.version, None, None, Vec::new())
    }

    /// What became of the client's certificate.
    pub fn verification(&self) -> Verification {
        if self.client_certificates.is_empty() {
            return Verification::None;
        }
        match &*self.judgement.0.load() {
            Some(judged) => judged.verdict.clone(),
            None => Verification::None,
        }
    }

    /// Has the client's certificate judged by `judge`, which `by` stands for. It is asked once for each connection, and
    /// again only when another one is to judge because the configuration has changed.
    pub fn judged_by<T: Send + Sync + 'static>(
        &self,
        by: &Arc<T>,
        judge: impl FnOnce(&[CertificateDer<'static>]) -> Result<(), String>,
    ) -> Verification {
        if self.client_certificates.is_empty() {
            return Verification::None;
        }
        if let Some(judged) = &*self.judgement.0.load()
            && judged
                .by
                .downcast_ref::<Arc<T>>()
                .is_some_and(|b| Arc::ptr_eq(b, by))
        {
            return judged.verdict.clone();
        }
        let verdict = match judge(&self.client_certificates) {
            Ok(()) => Verification::Success,
            Err(reason) => Verification::Failed(reason.into()),
        };
        self.judgement.0.store(Some(Arc::new(Judged {
            by: Box::new(by.clone()),
            verdict: verdict.clone(),
        })));
        verdict
    }
}

/// What became of a client's certificate, as `$ssl_client_verify` says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verification {
    /// There is none, or nobody asked for one.
    None,
    /// It is good.
    Success,
    /// It is not, and why.
    Failed(Arc<str>),
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("NONE"),
            Self::Success => f.write_str("SUCCESS"),
            Self::Failed(reason) => write!(f, "FAILED:{reason}"),
        }
    }
}

/// The last judgement over the certificates of a connection, kept so that not every request has to ask for one.
#[derive(Clone, Default)]
pub struct Judgement(Arc<ArcSwapOption<Judged>>);

impl fmt::Debug for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Judgement")
            .field(&self.0.load().as_ref().map(|j| j.verdict.clone()))
            .finish()
    }
}

struct Judged {
    /// The `Arc` of whoever judged.
    by: Box<dyn Any + Send + Sync>,
    verdict: Verification,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn a_judge_is_asked_once_and_another_judge_anew() {
        let facts = TlsFacts {
            client_certificates: vec![vec![1].into()],
            ..TlsFacts::default()
        };
        let (one, other) = (Arc::new(1_u8), Arc::new(2_u8));
        let asked = Cell::new(0);
        let ask = |by: &Arc<u8>, answer: Result<(), &str>| {
            facts.judged_by(by, |_| {
                asked.set(asked.get() + 1);
                answer.map_err(str::to_owned)
            })
        };
        assert_eq!(facts.verification(), Verification::None);
        assert_eq!(ask(&one, Ok(())), Verification::Success);
        assert_eq!(ask(&one, Err("no")), Verification::Success);
        assert_eq!(asked.get(), 1);
        assert_eq!(ask(&other, Err("no")).to_string(), "FAILED:no");
        assert_eq!(facts.verification().to_string(), "FAILED:no");
        assert_eq!(asked.get(), 2);
    }

    #[test]
    fn without_a_certificate_there_is_nothing_to_judge() {
        let facts = TlsFacts::default();
        let verdict = facts.judged_by(&Arc::new(()), |_| Ok(()));
        assert_eq!(verdict.to_string(), "NONE");
    }
}
