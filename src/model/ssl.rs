//! SSL resources: certificates to show to clients, or to upstreams.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Id, Labels, Problem, Status, number, pem, schema, status};

/// An SSL resource.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ssl {
    /// Its id, as the document says it.
    pub id: Option<Id>,
    /// Name for people.
    pub name: Option<String>,
    /// What it is for.
    pub desc: Option<String>,
    /// Labels.
    #[serde(default)]
    pub labels: Labels,
    /// Unix seconds.
    #[serde(default, deserialize_with = "number::optional")]
    pub create_time: Option<i64>,
    /// Unix seconds.
    #[serde(default, deserialize_with = "number::optional")]
    pub update_time: Option<i64>,
    /// To whom the certificate is shown. Default: to clients.
    #[serde(default)]
    pub r#type: SslType,
    /// The certificate chain, as PEM or a reference to a secret.
    pub cert: String,
    /// Its private key, as PEM or a reference to a secret.
    pub key: String,
    /// The server name, if there is one; see [`Ssl::snis`].
    pub sni: Option<String>,
    /// The server names, if there are several.
    pub snis: Option<Vec<String>>,
    /// Further chains for the same names, such as one for another algorithm.
    #[serde(default)]
    pub certs: Vec<String>,
    /// Their private keys, in the same order.
    #[serde(default)]
    pub keys: Vec<String>,
    /// What is asked of clients' certificates; `None` asks for none.
    pub client: Option<ClientVerification>,
    /// Whether it is served. Default yes.
    #[serde(default)]
    pub status: Status,
    /// The versions of TLS; empty leaves them to the settings.
    #[serde(default)]
    pub ssl_protocols: Vec<TlsVersion>,
}

impl Ssl {
    /// The server names, whichever field holds them. A certificate for upstreams needs none.
    pub fn snis(&self) -> &[String] {
        match (&self.snis, &self.sni) {
            (Some(list), _) => list,
            (None, Some(one)) => std::slice::from_ref(one),
            (None, None) => &[],
        }
    }

    /// All pairs of chain and private key, the first one first.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let first = (self.cert.as_str(), self.key.as_str());
        let further = self
            .certs
            .iter()
            .zip(&self.keys)
            .map(|(c, k)| (c.as_str(), k.as_str()));
        std::iter::once(first).chain(further)
    }
}

/// To whom a certificate is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SslType {
    /// To clients, by server name.
    #[default]
    Server,
    /// To upstreams that name it in `tls.client_cert_id`.
    Client,
}

/// What is asked of clients' certificates.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientVerification {
    /// The authorities that may have issued them, as PEM.
    pub ca: String,
    /// Longest chain of intermediate certificates. Default 1.
    #[serde(default = "one", deserialize_with = "number::required")]
    pub depth: u32,
    /// Paths that need no certificate: regular expressions.
    #[serde(default)]
    pub skip_mtls_uri_regex: Vec<String>,
}

fn one() -> u32 {
    1
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[allow(missing_docs)] // each is the version of that name
pub enum TlsVersion {
    #[serde(rename = "TLSv1.1")]
    V1_1,
    #[serde(rename = "TLSv1.2")]
    V1_2,
    #[serde(rename = "TLSv1.3")]
    V1_3,
}

pub(super) fn schema() -> Value {
    let sni = json!({"type": "string", "pattern": r"^\*$|^\*?[0-9a-zA-Z.-]+$"});
    let list = |items: Value, description: &str| json!({"type": "array", "items": items, "description": description});
    let own = [
        ("name", schema::name()),
        (
            "type",
            schema::described(
                schema::one_of(&["server", "client"], "server"),
                "To whom the certificate is shown: to clients, or to upstreams.",
            ),
        ),
        ("cert", schema::pem(128, "Certificate chain.")),
        ("key", schema::pem(64, "Its private key.")),
        (
            "sni",
            schema::described(sni.clone(), "Server name, or a wildcard."),
        ),
        (
            "snis",
            schema::with(
                list(sni, "Server names, instead of `sni`."),
                json!({"minItems": 1}),
            ),
        ),
        (
            "certs",
            list(schema::pem(128, "Certificate chain."), "Further chains."),
        ),
        (
            "keys",
            list(schema::pem(64, "Private key."), "Their private keys."),
        ),
        ("client", client()),
        ("status", status::schema()),
        (
            "ssl_protocols",
            json!({
                "type": "array", "maxItems": 3, "uniqueItems": true,
                "items": {"type": "string", "enum": ["TLSv1.1", "TLSv1.2", "TLSv1.3"]},
                "description": "Versions of TLS."
            }),
        ),
    ];
    schema::with(
        schema::object(
            own.into_iter()
                .chain(schema::stored())
                .chain(schema::annotations()),
        ),
        json!({
            "required": ["cert", "key"],
            "if": {"properties": {"type": {"enum": ["server"]}}},
            "then": {"oneOf": [{"required": ["sni"]}, {"required": ["snis"]}]}
        }),
    )
}

fn client() -> Value {
    schema::with(
        schema::object([
            (
                "ca",
                schema::pem(
                    128,
                    "Authorities that may have issued the clients' certificates.",
                ),
            ),
            (
                "depth",
                schema::with(
                    schema::integer_from(0, u32::MAX.into()),
                    json!({"default": 1, "description": "Longest chain of intermediates."}),
                ),
            ),
            (
                "skip_mtls_uri_regex",
                schema::described(
                    schema::set(schema::string(), 1),
                    "Paths that need no certificate: regular expressions.",
                ),
            ),
        ]),
        json!({"required": ["ca"], "description": "What is asked of clients' certificates."}),
    )
}

pub(super) fn rules(document: &Value, problems: &mut Vec<Problem>) {
    pem::rule(
        document.get("cert"),
        "/cert",
        pem::certificates,
        "",
        problems,
    );
    pem::rule(document.get("key"), "/key", pem::private_key, "", problems);
    let list = |name: &str| {
        document
            .get(name)
            .and_then(Value::as_array)
            .map(Vec::as_slice)
            .unwrap_or_default()
    };
    let (certs, keys) = (list("certs"), list("keys"));
    if certs.len() != keys.len() {
        problems.push(Problem::verbatim(
            "/certs",
            "mismatched number of certs and keys",
        ));
    }
    for (name, list, judge) in [
        (
            "certs",
            certs,
            pem::certificates as fn(&str) -> Result<(), String>,
        ),
        ("keys", keys, pem::private_key),
    ] {
        for (index, item) in list.iter().enumerate() {
            let prefix = format!(
                "failed to handle cert-key pair[{}]: ",
                index.saturating_add(1)
            );
            pem::rule(
                Some(item),
                &format!("/{name}/{index}"),
                judge,
                &prefix,
                problems,
            );
        }
    }
    if let Some(client) = document.get("client") {
        let prefix = "failed to validate client_cert: ";
        pem::rule(
            client.get("ca"),
            "/client/ca",
            pem::certificates,
            prefix,
            problems,
        );
        let patterns = client.get("skip_mtls_uri_regex").and_then(Value::as_array);
        for (index, pattern) in patterns.into_iter().flatten().enumerate() {
            if let Some(Err(error)) = pattern.as_str().map(fancy_regex::Regex::new) {
                let path = format!("/client/skip_mtls_uri_regex/{index}");
                problems.push(Problem::in_property(
                    &path,
                    &format!("invalid regular expression: {error}"),
                ));
            }
        }
    }
}
