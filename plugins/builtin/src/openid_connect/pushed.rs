//! Pushed authorization requests (RFC 9126): the provider is told itself what it is asked, and the user carries a reference.

use super::{client_auth::Credentials, single_flight::Failed, tokens::Tokens};
use http::Uri;
use serde::Deserialize;

/// Where requests are pushed, and how the client shows itself there.
pub(super) struct Pushed {
    /// `None` for the endpoint of the discovery document.
    pub(super) endpoint: Option<Uri>,
    pub(super) credentials: Credentials,
}

#[derive(Deserialize)]
struct Answer {
    request_uri: String,
}

impl Pushed {
    /// Pushes the arguments of an authorization request; the reference to them.
    ///
    /// # Errors
    /// The provider did not take them.
    pub(super) async fn push(
        &self,
        tokens: &Tokens,
        fields: &[(&str, &str)],
        now: u64,
    ) -> Result<String, Failed> {
        let endpoint = match &self.endpoint {
            Some(endpoint) => endpoint.clone(),
            None => {
                let discovery = tokens.provider.discovery().await?;
                let endpoint = discovery.pushed_authorization_request_endpoint.clone();
                let missing =
                    "the discovery document names no pushed_authorization_request_endpoint";
                endpoint.ok_or_else(|| Failed::new(missing))?.0
            }
        };
        let (headers, body) = self.credentials.sign(&endpoint.to_string(), fields, now)?;
        let answer: Answer = tokens
            .caller
            .post("pushed request", &endpoint, headers, body)
            .await?;
        match answer.request_uri.is_empty() {
            true => Err(Failed::new("the provider gave no request_uri")),
            false => Ok(answer.request_uri),
        }
    }
}
