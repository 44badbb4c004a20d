//! Secrets: where a secret manager is and how to ask it. Which manager, the id says.

use std::sync::OnceLock;

use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::{Map, Value, json};

use super::{
    Id, number,
    schema::{self, Compiled},
};

/// The settings of one secret manager. All of its texts may refer to the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // each is the manager of that name
pub enum Secret {
    Vault(Vault),
    Aws(Aws),
    Gcp(Gcp),
}

/// HashiCorp Vault, or what speaks its protocol.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vault {
    /// Its id, as the document says it.
    pub id: Option<Id>,
    /// Unix seconds.
    #[serde(default, deserialize_with = "number::optional")]
    pub create_time: Option<i64>,
    /// Unix seconds.
    #[serde(default, deserialize_with = "number::optional")]
    pub update_time: Option<i64>,
    /// Where it is: `http://vault:8200`.
    pub uri: String,
    /// The mount and path before every secret: `kv/apisix`.
    pub prefix: String,
    /// The token.
    pub token: String,
    /// The namespace.
    pub namespace: Option<String>,
}

/// AWS Secrets Manager.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Aws {
    /// Its id, as the document says it.
    pub id: Option<Id>,
    /// Unix seconds.
    #[serde(default, deserialize_with = "number::optional")]
    pub create_time: Option<i64>,
    /// Unix seconds.
    #[serde(default, deserialize_with = "number::optional")]
    pub update_time: Option<i64>,
    /// The access key.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: String,
    /// The token of a session.
    pub session_token: Option<String>,
    /// The region. Default us-east-1.
    #[serde(default = "region")]
    pub region: String,
    /// Where it is, if not at Amazon.
    pub endpoint_url: Option<String>,
}

fn region() -> String {
    "us-east-1".to_owned()
}

/// Google Cloud Secret Manager. It has either `auth_config` or `auth_file`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gcp {
    /// Its id, as the document says it.
    pub id: Option<Id>,
    /// Unix seconds.
    #[serde(default, deserialize_with = "number::optional")]
    pub create_time: Option<i64>,
    /// Unix seconds.
    #[serde(default, deserialize_with = "number::optional")]
    pub update_time: Option<i64>,
    /// The service account.
    pub auth_config: Option<GcpAuth>,
    /// The file that holds the service account, as Google writes it. It is read for each question.
    pub auth_file: Option<String>,
    /// Whether Google's certificates must be valid. Default yes.
    #[serde(default = "yes")]
    pub ssl_verify: bool,
}

fn yes() -> bool {
    true
}

/// A service account of Google Cloud.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GcpAuth {
    /// Its address.
    pub client_email: String,
    /// Its private key as PEM.
    pub private_key: String,
    /// The project.
    pub project_id: String,
    /// Where to get tokens. Default `https://oauth2.googleapis.com/token`.
    #[serde(default = "token_uri")]
    pub token_uri: String,
    /// The scopes to ask for. Default `https://www.googleapis.com/auth/cloud-platform`.
    #[serde(default = "scope")]
    pub scope: Vec<String>,
    /// Where the secrets are. Default `https://secretmanager.googleapis.com/v1`.
    #[serde(default = "entries_uri")]
    pub entries_uri: String,
}

pub(crate) fn token_uri() -> String {
    "https://oauth2.googleapis.com/token".to_owned()
}

pub(crate) fn scope() -> Vec<String> {
    vec!["https://www.googleapis.com/auth/cloud-platform".to_owned()]
}

pub(crate) fn entries_uri() -> String {
    "https://secretmanager.googleapis.com/v1".to_owned()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manager {
    Vault,
    Aws,
    Gcp,
}

/// The manager that the id names, or else the one that the fields speak of.
fn manager(document: &Value) -> Option<Manager> {
    let id = document.get("id").and_then(Value::as_str);
    match id.and_then(|id| id.split_once('/')).map(|(scope, _)| scope) {
        Some("vault") => return Some(Manager::Vault),
        Some("aws") => return Some(Manager::Aws),
        Some("gcp") => return Some(Manager::Gcp),
        _ => {}
    }
    let any = |names: &[&str]| names.iter().any(|name| document.get(name).is_some());
    if any(&["access_key_id", "secret_access_key"]) {
        Some(Manager::Aws)
    } else if any(&["auth_config", "auth_file"]) {
        Some(Manager::Gcp)
    } else if any(&["uri", "prefix", "token"]) {
        Some(Manager::Vault)
    } else {
        None
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The fields are read by the model of one manager, so that none of another's is overlooked.
        let document = Value::Object(Map::deserialize(deserializer)?);
        let secret = match manager(&document) {
            Some(Manager::Vault) => Vault::deserialize(&document).map(Secret::Vault),
            Some(Manager::Aws) => Aws::deserialize(&document).map(Secret::Aws),
            Some(Manager::Gcp) => Gcp::deserialize(&document).map(Secret::Gcp),
            None => {
                return Err(D::Error::custom(
                    "neither the id nor a field names a secret manager",
                ));
            }
        };
        secret.map_err(D::Error::custom)
    }
}

/// The schema of the manager that the document is about.
pub(super) fn narrow(document: &Value) -> Option<&'static Compiled> {
    static VAULT: OnceLock<Compiled> = OnceLock::new();
    static AWS: OnceLock<Compiled> = OnceLock::new();
    static GCP: OnceLock<Compiled> = OnceLock::new();
    manager(document).map(|manager| match manager {
        Manager::Vault => VAULT.get_or_init(|| Compiled::new(vault())),
        Manager::Aws => AWS.get_or_init(|| Compiled::new(aws())),
        Manager::Gcp => GCP.get_or_init(|| Compiled::new(gcp())),
    })
}

pub(super) fn schema() -> Value {
    json!({
        "type": "object",
        "oneOf": [vault(), aws(), gcp()],
        "description": "A secret manager: Vault, AWS or Google Cloud."
    })
}

fn stored() -> impl Iterator<Item = (&'static str, Value)> {
    schema::stored()
        .into_iter()
        .map(|(name, schema)| match name {
            "id" => (name, id()),
            _ => (name, schema),
        })
}

/// Plain, or with the manager as it is stored.
fn id() -> Value {
    let mut id = schema::id();
    if let Some(forms) = id.get_mut("anyOf").and_then(Value::as_array_mut) {
        forms.push(json!({
            "type": "string", "pattern": "^(vault|aws|gcp)/[a-zA-Z0-9_.-]{1,64}$"
        }));
    }
    id
}

/// An HTTP address, or a reference to where it is written.
fn uri(description: &str) -> Value {
    json!({
        "type": "string",
        "description": description,
        "pattern": r"^([^/]+://([0-9a-zA-Z.-]+|\[[0-9a-fA-F:]+\])(:[0-9]+)?|\$[eE][nN][vV]://)"
    })
}

fn vault() -> Value {
    let own = [
        ("uri", uri("Where Vault is.")),
        (
            "prefix",
            schema::described(schema::string(), "Mount and path before every secret."),
        ),
        (
            "token",
            schema::described(schema::string(), "Token; may be `$env://NAME`."),
        ),
        (
            "namespace",
            schema::described(schema::string(), "Namespace."),
        ),
    ];
    schema::with(
        schema::object(own.into_iter().chain(stored())),
        json!({"title": "vault", "required": ["uri", "prefix", "token"]}),
    )
}

fn aws() -> Value {
    let own = [
        (
            "access_key_id",
            schema::described(schema::string(), "Access key."),
        ),
        (
            "secret_access_key",
            schema::described(schema::string(), "Its secret."),
        ),
        (
            "session_token",
            schema::described(schema::string(), "Token of a session."),
        ),
        (
            "region",
            json!({"type": "string", "default": region(), "description": "Region."}),
        ),
        ("endpoint_url", uri("Where it is, if not at Amazon.")),
    ];
    schema::with(
        schema::object(own.into_iter().chain(stored())),
        json!({"title": "aws", "required": ["access_key_id", "secret_access_key"]}),
    )
}

fn gcp() -> Value {
    let auth = schema::object([
        (
            "client_email",
            schema::described(schema::string(), "Address of the service account."),
        ),
        (
            "private_key",
            schema::described(schema::string(), "Its private key as PEM."),
        ),
        (
            "project_id",
            schema::described(schema::string(), "Project."),
        ),
        (
            "token_uri",
            json!({"type": "string", "default": token_uri()}),
        ),
        (
            "scope",
            json!({"type": "array", "items": {"type": "string"}, "default": scope()}),
        ),
        (
            "entries_uri",
            json!({"type": "string", "default": entries_uri()}),
        ),
    ]);
    let auth = schema::with(
        auth,
        json!({"required": ["client_email", "private_key", "project_id"]}),
    );
    let own = [
        ("auth_config", schema::described(auth, "Service account.")),
        (
            "auth_file",
            schema::described(schema::string(), "File with the service account."),
        ),
        (
            "ssl_verify",
            schema::described(schema::boolean(true), "Whether certificates must be valid."),
        ),
    ];
    schema::with(
        schema::object(own.into_iter().chain(stored())),
        json!({
            "title": "gcp",
            "oneOf": [{"required": ["auth_config"]}, {"required": ["auth_file"]}]
        }),
    )
}
