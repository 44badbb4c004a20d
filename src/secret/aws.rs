//! AWS Secrets Manager: `GetSecretValue`, signed with Signature Version 4.

use super::fetch::{Line, Trouble, Unfit, address, own, part_of};
use crate::model::secret::Aws;
use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, Uri};
use serde_json::{Value, json};
use std::{iter, time::SystemTime};

/// The service's name in signatures.
const SERVICE: &str = "secretsmanager";
/// What is asked of it, and in which dialect.
const HEADERS: [(&str, &str); 2] = [
    ("content-type", "application/x-amz-json-1.1"),
    ("x-amz-target", "secretsmanager.GetSecretValue"),
];

/// Names of secrets may have slashes, so that `a/b/c` can be read in several ways. As in APISIX the longest name that there is
/// counts.
pub(super) async fn fetch(line: &Line<'_>, aws: &Aws, key: &str) -> Result<String, Trouble> {
    let mut denied = None;
    for (name, field) in readings(key) {
        match ask(line, aws, name).await? {
            Said::Secret(secret) => return part_of(secret, field),
            Said::Nothing => {}
            Said::Denied(trouble) => denied = denied.or(Some(trouble)),
        }
    }
    Err(denied.unwrap_or_else(|| line.gone()))
}

/// Names and fields that a key may mean.
fn readings(key: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    let shorter = key.rmatch_indices('/');
    let shorter = shorter.filter_map(|(at, _)| Some((key.get(..at)?, key.get(at + 1..))));
    iter::once((key, None)).chain(shorter)
}

/// What is said of one name.
enum Said {
    Secret(String),
    Nothing,
    /// Who may read single secrets alone is not told whether there are others. It is no answer if no other name has one.
    Denied(Trouble),
}

async fn ask(line: &Line<'_>, aws: &Aws, name: &str) -> Result<Said, Trouble> {
    let answer = line.ask(request(aws, name, SystemTime::now())?).await?;
    let body: Option<Value> = serde_json::from_slice(answer.body()).ok();
    let status = answer.status();
    if status == StatusCode::OK {
        let body = body.ok_or_else(|| line.nonsense())?;
        return match (body.get("SecretString"), body.get("SecretBinary")) {
            (Some(Value::String(secret)), _) => Ok(Said::Secret(secret.clone())),
            (_, Some(_)) => Err(Trouble::Gone("the secret is binary".to_owned())),
            _ => Err(line.nonsense()),
        };
    }
    let code = body.as_ref().and_then(code);
    match code {
        Some("ResourceNotFoundException") => Ok(Said::Nothing),
        // Nobody may have it any more: it is to be deleted.
        Some("InvalidRequestException") => Err(line.gone()),
        Some("AccessDeniedException") => Ok(Said::Denied(line.refused(status, code))),
        code => Err(line.refused(status, code)),
    }
}

/// The name of an error, which may stand behind the name of its model.
fn code(body: &Value) -> Option<&str> {
    let named = body.get("__type")?.as_str()?;
    Some(named.rsplit_once('#').map_or(named, |(_, code)| code))
}

pub(super) fn judge(aws: &Aws) -> Result<(), Unfit> {
    request(aws, "name", SystemTime::UNIX_EPOCH).map(drop)
}

fn request(aws: &Aws, name: &str, now: SystemTime) -> Result<Request<Bytes>, Unfit> {
    let access_key = printable("/access_key_id", &aws.access_key_id)?;
    let secret_key = own("/secret_access_key", &aws.secret_access_key)?.into_owned();
    let session = aws
        .session_token
        .as_deref()
        .filter(|token| !token.is_empty());
    let session = session.map(|token| printable("/session_token", token));
    let region = own("/region", &aws.region)?;
    let target = endpoint(aws, &region)?;
    let body = json!({"SecretId": name, "VersionStage": "AWSCURRENT"}).to_string();

    let unfit = || ("", "a request cannot be signed with it".to_owned());
    let identity = Credentials::new(
        access_key,
        secret_key,
        session.transpose()?,
        None,
        "crossway",
    )
    .into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(&region)
        .name(SERVICE)
        .time(now)
        .settings(SigningSettings::default())
        .build()
        .map_err(|_| unfit())?;
    let body_of_it = SignableBody::Bytes(body.as_bytes());
    let signable = SignableRequest::new("POST", &target, HEADERS.into_iter(), body_of_it);
    let parameters = parameters.into();
    let signed = sign(signable.map_err(|_| unfit())?, &parameters).map_err(|_| unfit())?;

    let mut request = Request::post(target);
    for (name, value) in HEADERS {
        request = request.header(name, value);
    }
    for (name, value) in signed.output().headers() {
        let mut value = HeaderValue::from_str(value).map_err(|_| unfit())?;
        value.set_sensitive(true);
        request = request.header(name, value);
    }
    request.body(Bytes::from(body)).map_err(|_| unfit())
}

/// Where the service is. As in APISIX, a path of `endpoint_url` does not count.
fn endpoint(aws: &Aws, region: &str) -> Result<String, Unfit> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if region.is_empty() || !region.chars().all(plain) {
        return Err(("/region", "expected a region such as us-east-1".to_owned()));
    }
    let Some(written) = &aws.endpoint_url else {
        return Ok(format!("https://{SERVICE}.{region}.amazonaws.com/"));
    };
    let written = address("/endpoint_url", written)?;
    let uri: Option<Uri> = written.parse().ok();
    let place = uri
        .as_ref()
        .and_then(|uri| Some((uri.scheme_str()?, uri.authority()?)));
    match place {
        Some((scheme, authority)) => Ok(format!("{scheme}://{authority}/")),
        None => Err(("/endpoint_url", "it cannot be used".to_owned())),
    }
}

/// A text that goes into a header.
fn printable(field: &'static str, text: &str) -> Result<String, Unfit> {
    let text = own(field, text)?;
    match !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic()) {
        true => Ok(text.into_owned()),
        false => Err((field, "expected visible ASCII characters".to_owned())),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
