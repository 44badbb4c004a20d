//! Settings of automatic certificates: who issues them, for which names, and how a name is proven.

use super::{Settings, StoreKind, value::Secret};
use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::HashSet, net::IpAddr, path::PathBuf};

/// A key and what is wrong with it.
type Fault = (String, String);

/// Automatic certificates by ACME (RFC 8555).
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Acme {
    /// The URL of the authority's directory, such as <https://acme-v02.api.letsencrypt.org/directory>. Without it nothing is
    /// ordered, and what was ordered before serves on.
    #[schemars(length(min = 1, max = 256))]
    #[schemars(extend("x-applies" = "restart"))]
    pub directory: Option<String>,
    /// A file with further authorities, in PEM, that may have issued the TLS certificate of the directory itself.
    #[schemars(extend("x-applies" = "restart"))]
    pub ca_file: Option<PathBuf>,
    /// Whom the authority may write to: mail addresses. They are sent when the account is made, which happens once for each
    /// directory.
    #[schemars(extend("x-applies" = "restart"))]
    pub contact: Vec<String>,
    /// Whether you agree to the terms of service of the authority. It issues nothing otherwise.
    #[schemars(extend("x-applies" = "restart"))]
    pub terms_of_service_agreed: bool,
    /// What binds the account to one that you have with the authority, where it asks for that.
    pub external_account: ExternalAccount,
    /// How the authority is shown that the names are served here, for certificates that do not say it themselves.
    #[schemars(extend("x-applies" = "restart"))]
    pub challenge: AcmeChallenge,
    /// Seconds before its end at which a certificate is renewed, e.g. 2592000 for 30 days. Default: a third of its life. More
    /// than two thirds of its life are taken for two thirds.
    #[schemars(range(min = 1, max = 157_680_000))]
    #[schemars(extend("x-applies" = "restart"))]
    pub renew_before: Option<u64>,
    /// The certificates to have.
    #[schemars(extend("x-applies" = "restart"))]
    pub certificates: Vec<AcmeCertificate>,
}

/// What binds the account to one that you have with the authority, where it asks for that.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ExternalAccount {
    /// The identifier of the key, as the authority gave it.
    #[schemars(length(min = 1))]
    #[schemars(extend("x-applies" = "restart"))]
    pub key_id: Option<String>,
    /// The key itself, in base64url, as the authority gave it.
    #[schemars(extend("x-applies" = "restart"))]
    pub hmac_key: Option<Secret>,
}

/// One certificate.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AcmeCertificate {
    /// The names that it is for, up to 100. No wildcards: those need a proof by DNS. Each name stands in one certificate.
    #[schemars(length(min = 1, max = 100))]
    pub domains: Vec<String>,
    /// How these names are proven. Default: `acme.challenge`.
    #[serde(default)]
    #[schemars(with = "AcmeChallenge")]
    pub challenge: Option<AcmeChallenge>,
}

/// How a name is proven.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum AcmeChallenge {
    /// The authority asks for a file on port 80 of the name, which has to lead to a listener of `listen.http`.
    #[default]
    #[serde(rename = "http-01")]
    Http01,
    /// The authority makes a TLS handshake on port 443 of the name, which has to lead to a listener of `listen.https` with
    /// nothing between that ends TLS.
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
}

impl AcmeCertificate {
    /// The names in lower case, without a final dot, in the order as written.
    pub fn names(&self) -> Vec<String> {
        let normal = |name: &String| {
            let name = name.strip_suffix('.').unwrap_or(name);
            name.to_ascii_lowercase()
        };
        self.domains.iter().map(normal).collect()
    }
}

impl Acme {
    /// How a certificate's names are proven.
    pub fn challenge_of(&self, certificate: &AcmeCertificate) -> AcmeChallenge {
        certificate.challenge.unwrap_or(self.challenge)
    }

    /// The contacts as URIs.
    pub fn contacts(&self) -> Vec<String> {
        let uri = |contact: &String| match contact.starts_with("mailto:") {
            true => contact.clone(),
            false => format!("mailto:{contact}"),
        };
        self.contact.iter().map(uri).collect()
    }
}

impl ExternalAccount {
    /// The bytes of the key, if there is one; `None` for what is no base64url. Padding may be left out.
    pub fn key_bytes(&self) -> Option<Vec<u8>> {
        let lenient = GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_encode_padding(false);
        let engine = GeneralPurpose::new(&alphabet::URL_SAFE, lenient);
        engine.decode(self.hmac_key.as_ref()?.expose()).ok()
    }
}

/// Rules over several keys.
pub(super) fn rules(settings: &Settings) -> Result<(), Fault> {
    let acme = &settings.acme;
    names(acme)?;
    for (index, contact) in acme.contact.iter().enumerate() {
        let address = contact.strip_prefix("mailto:").unwrap_or(contact);
        let parts = address.split_once('@');
        let good = parts.is_some_and(|(name, host)| !name.is_empty() && !host.is_empty());
        if !good || !address.bytes().all(|b| b.is_ascii_graphic()) {
            let message = "expected a mail address such as ops@example.com";
            return fault(&format!("acme.contact[{index}]"), message);
        }
    }
    let Some(directory) = &acme.directory else {
        return Ok(());
    };
    let uri = directory.parse::<http::Uri>().ok();
    let named = uri.is_some_and(|u| {
        u.scheme_str() == Some("https") && u.host().is_some_and(|h| !h.is_empty())
    });
    if !named {
        return fault("acme.directory", "expected a URL that begins with https://");
    }
    if settings.store.kind() == StoreKind::File {
        let message = "certificates are kept in the store, and a store of the kind file is not written by the gateway: \
                       use another store.kind, or write `ssls` by hand";
        return fault("acme.directory", message);
    }
    if !acme.terms_of_service_agreed {
        let message = "must be true: the authority issues nothing to those who do not agree to its terms of service";
        return fault("acme.terms_of_service_agreed", message);
    }
    if acme.certificates.is_empty() {
        return fault(
            "acme.certificates",
            "at least one is needed with acme.directory",
        );
    }
    if settings.listen.https.is_none() {
        for (index, certificate) in acme.certificates.iter().enumerate() {
            if acme.challenge_of(certificate) == AcmeChallenge::TlsAlpn01 {
                let key = match certificate.challenge {
                    Some(_) => format!("acme.certificates[{index}].challenge"),
                    None => "acme.challenge".to_owned(),
                };
                return fault(
                    &key,
                    "tls-alpn-01 is answered on listen.https, which is not set",
                );
            }
        }
    }
    external_account(&acme.external_account)
}

fn names(acme: &Acme) -> Result<(), Fault> {
    let mut seen = HashSet::new();
    for (index, certificate) in acme.certificates.iter().enumerate() {
        for (at, name) in certificate.names().into_iter().enumerate() {
            let key = format!("acme.certificates[{index}].domains[{at}]");
            if let Err(message) = judge(&name) {
                return fault(&key, message);
            }
            if !seen.insert(name) {
                return fault(&key, "this name is listed twice");
            }
        }
    }
    Ok(())
}

fn external_account(account: &ExternalAccount) -> Result<(), Fault> {
    match (&account.key_id, &account.hmac_key) {
        (None, None) => Ok(()),
        (Some(_), None) => fault(
            "acme.external_account.hmac_key",
            "is needed with acme.external_account.key_id",
        ),
        (None, Some(_)) => fault(
            "acme.external_account.key_id",
            "is needed with acme.external_account.hmac_key",
        ),
        (Some(_), Some(_)) if account.key_bytes().is_none_or(|key| key.is_empty()) => fault(
            "acme.external_account.hmac_key",
            "expected a key in base64url, as the authority gave it",
        ),
        (Some(_), Some(_)) => Ok(()),
    }
}

/// Whether certificates for this name can be had.
fn judge(name: &str) -> Result<(), &'static str> {
    if name.contains('*') {
        return Err(
            "a wildcard needs the challenge dns-01, which the gateway does not answer: list the names one by one, or write \
             an `ssl` by hand",
        );
    }
    if name.parse::<IpAddr>().is_ok() {
        return Err("an IP address: certificates are ordered for names alone");
    }
    if !name.is_ascii() {
        return Err("expected the name in its ASCII form (xn--…)");
    }
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    match name.len() <= 253 && name.split('.').all(is_label) {
        true => Ok(()),
        false => Err("expected the name of a host"),
    }
}

fn fault<T>(key: &str, message: &str) -> Result<T, Fault> {
    Err((key.to_owned(), message.to_owned()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const GOOD: &str = "acme: {directory: \"https://ca.test/dir\", terms_of_service_agreed: true, \
                        certificates: [{domains: [A.test., b.test]}]}";

    fn read(text: &str) -> Result<Settings, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Settings::load(Some(file.path()), std::iter::empty()).map_err(|e| e.to_string())
    }

    fn with(from: &str, to: &str) -> String {
        assert!(GOOD.contains(from), "{from}");
        read(&GOOD.replace(from, to)).unwrap_err()
    }

    #[test]
    fn names_are_taken_in_one_form_and_http_01_is_the_default() {
        let acme = read(GOOD).unwrap().acme;
        let [certificate] = acme.certificates.as_slice() else {
            panic!("{acme:?}");
        };
        assert_eq!(certificate.names(), ["a.test", "b.test"]);
        assert_eq!(acme.challenge_of(certificate), AcmeChallenge::Http01);
    }

    #[test]
    fn without_a_directory_it_is_off() {
        assert_eq!(
            read("acme: {certificates: [{domains: [a.test]}]}")
                .unwrap()
                .acme
                .directory,
            None
        );
        assert_eq!(read("").unwrap().acme, Acme::default());
    }

    #[test]
    fn a_wildcard_is_refused_with_what_it_would_need() {
        let message = with("b.test", "\"*.b.test\"");
        assert!(
            message.contains("acme.certificates[0].domains[1]"),
            "{message}"
        );
        assert!(message.contains("dns-01"), "{message}");
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for (name, why) in [
            ("127.0.0.1", "IP address"),
            ("\"::1\"", "IP address"),
            ("bücher.test", "xn--"),
            ("a..test", "name of a host"),
            ("-a.test", "name of a host"),
            ("a_b.test", "name of a host"),
            ("\"\"", "name of a host"),
            ("a.TEST", "listed twice"),
        ] {
            let message = with("b.test", name);
            assert!(message.contains(why), "{name}: {message}");
        }
    }

    #[test]
    fn what_nothing_can_come_of_is_refused() {
        for (from, to, why) in [
            (
                "https://ca.test/dir",
                "http://ca.test/dir",
                "expected a URL that begins with https",
            ),
            ("agreed: true", "agreed: false", "terms_of_service_agreed"),
            (
                "[{domains: [A.test., b.test]}]",
                "[]",
                "at least one is needed with acme.directory",
            ),
            ("[A.test., b.test]", "[]", "domains"),
            ("]}]}", "]}], challenge: tls-alpn-01}", "acme.challenge in"),
            (
                "]}]}",
                "], challenge: tls-alpn-01}]}",
                "acme.certificates[0].challenge in",
            ),
            ("]}]}", "]}], contact: [nobody]}", "acme.contact[0]"),
            (
                "]}]}",
                "]}], external_account: {key_id: k}}",
                "external_account.hmac_key",
            ),
            (
                "]}]}",
                "]}], external_account: {key_id: k, hmac_key: \"#\"}}",
                "external_account.hmac_key",
            ),
            ("]}]}", "]}]}\nstore: {file: r.yaml}", "store.kind"),
        ] {
            let message = with(from, to);
            assert!(message.contains(why), "{to}: {message}");
        }
    }

    #[test]
    fn a_key_that_binds_accounts_may_come_without_padding() {
        for key in ["AQID", "AQIDBA", "AQIDBA=="] {
            let text = GOOD.replace(
                "]}]}",
                &format!("]}}], external_account: {{key_id: k, hmac_key: \"{key}\"}}}}"),
            );
            let bytes = read(&text).unwrap().acme.external_account.key_bytes();
            assert!(bytes.unwrap().starts_with(&[1, 2, 3]), "{key}");
        }
    }

    #[test]
    fn mail_addresses_become_uris() {
        let acme = Acme {
            contact: vec!["ops@a.test".to_owned(), "mailto:b@a.test".to_owned()],
            ..Acme::default()
        };
        assert_eq!(acme.contacts(), ["mailto:ops@a.test", "mailto:b@a.test"]);
    }
}
