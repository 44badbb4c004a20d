//! How an authenticator ends: the consumer is named, the anonymous one steps in, or the client is challenged.

use crossway_sdk::{
    build::BuildError,
    consumer::Identity,
    exchange::Exchange,
    flow::{Error, Flow, Reply, Step},
};
use http::{HeaderValue, header::WWW_AUTHENTICATE};

/// The challenge and the fallback of one place of use.
pub(crate) struct Admission {
    challenge: HeaderValue,
    anonymous: Option<Box<str>>,
    /// The anonymous consumer is configured but does not exist.
    nobody: Reply,
}

impl Admission {
    /// `scheme` as in `WWW-Authenticate: <scheme> realm="<realm>"`.
    ///
    /// # Errors
    /// The realm cannot stand in a header.
    pub(crate) fn new(
        scheme: &str,
        realm: &str,
        anonymous: Option<String>,
    ) -> Result<Self, BuildError> {
        // A quoted-string, RFC 9110 §5.6.4.
        let quoted = realm.replace('\\', "\\\\").replace('"', "\\\"");
        let challenge = HeaderValue::try_from(format!("{scheme} realm=\"{quoted}\""))
            .map_err(|_| BuildError::new("/realm", "expected printable characters"))?;
        let mut admission = Self {
            challenge,
            anonymous: anonymous.map(String::into_boxed_str),
            nobody: Reply::status(401),
        };
        admission.nobody = admission.refusal("Invalid user authorization");
        Ok(admission)
    }

    /// A 401 with the challenge; made once, cloned when it is needed.
    pub(crate) fn refusal(&self, message: &str) -> Reply {
        Reply::message(401, message).header(WWW_AUTHENTICATE, self.challenge.clone())
    }

    /// Ends the phase. A refusal is answered only where no anonymous consumer is configured.
    pub(crate) fn conclude<'a>(
        &self,
        ex: &mut Exchange<'_>,
        found: Result<Identity, &Reply>,
    ) -> Step<'a> {
        Step::Done(self.admit(ex, found))
    }

    /// As [`Admission::conclude`], for phases that waited.
    pub(crate) fn admit(
        &self,
        ex: &mut Exchange<'_>,
        found: Result<Identity, &Reply>,
    ) -> Result<Flow, Error> {
        let identity = match (found, &self.anonymous) {
            (Ok(identity), _) => identity,
            (Err(refusal), None) => return Ok(Flow::Respond(refusal.clone())),
            (Err(_), Some(name)) => match ex.request.configuration.consumer(name) {
                Some(consumer) => Identity {
                    consumer,
                    credential: None,
                },
                None => {
                    tracing::warn!(consumer = &**name, "the anonymous consumer does not exist");
                    return Ok(Flow::Respond(self.nobody.clone()));
                }
            },
        };
        ex.authenticate(identity);
        Ok(Flow::Next)
    }
}
