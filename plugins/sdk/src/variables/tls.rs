//! What the TLS handshake settled, and what stands in the client's certificate, in the forms of nginx.

use super::{Value, Variable, owned};
use crate::handshake::TlsFacts;
use base64::{Engine, engine::general_purpose::STANDARD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use pingora_core::protocols::Digest;
use sha1::{Digest as _, Sha1};
use x509_parser::{
    objects::{oid_registry, oid2abbrev},
    prelude::{FromDer, X509Certificate, X509Name},
};

/// What nginx escapes in a URI component.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A plain connection has no value for any of these.
pub(super) fn answer<'a>(digest: &'a Digest, variable: &Variable) -> Option<Value<'a>> {
    let Some(facts) = TlsFacts::of(digest) else {
        let settled = digest.ssl_digest.as_ref()?;
        return match variable {
            Variable::SslProtocol => Some(Value::text(&*settled.version)),
            Variable::SslCipher => Some(Value::text(&*settled.cipher)),
            _ => None,
        };
    };
    match variable {
        Variable::SslProtocol => Some(Value::text(facts.version)),
        Variable::SslCipher => Some(Value::text(by_openssl(facts.cipher))),
        Variable::SslServerName => facts.server_name.as_deref().map(Value::text),
        Variable::SslSessionReused => Some(Value::text(if facts.resumed { "r" } else { "." })),
        Variable::SslClientVerify => Some(owned(facts.verification().to_string().into_bytes())),
        _ => of_certificate(facts.client_certificates.first()?, variable),
    }
}

fn of_certificate<'a>(der: &[u8], variable: &Variable) -> Option<Value<'a>> {
    let text = match variable {
        Variable::SslClientFingerprint => hex(&Sha1::digest(der), b"0123456789abcdef"),
        Variable::SslClientCert => pem(der),
        Variable::SslClientEscapedCert => {
            percent_encode(pem(der).as_bytes(), COMPONENT).to_string()
        }
        _ => {
            let (_, certificate) = X509Certificate::from_der(der).ok()?;
            match variable {
                Variable::SslClientSubject => name(certificate.subject()),
                Variable::SslClientIssuer => name(certificate.issuer()),
                Variable::SslClientSerial => serial(certificate.raw_serial()),
                _ => return None,
            }
        }
    };
    Some(owned(text.into_bytes()))
}

/// A name as RFC 2253 writes it: the last part first.
fn name(name: &X509Name<'_>) -> String {
    let registry = oid_registry();
    let mut parts = Vec::new();
    for set in name.iter_rdn() {
        let attributes = set.iter().map(|attribute| {
            let id = attribute.attr_type();
            let kind = oid2abbrev(id, registry).map_or_else(|_| id.to_string(), str::to_owned);
            format!("{kind}={}", escaped(attribute.as_str().unwrap_or_default()))
        });
        parts.push(attributes.collect::<Vec<_>>().join("+"));
    }
    parts.reverse();
    parts.join(",")
}

/// RFC 2253 §2.4. Control characters are escaped too: the text may end up in a header or a log.
fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (at, char) in value.chars().enumerate() {
        let at_an_end = (at == 0 && matches!(char, ' ' | '#')) || (at == last && char == ' ');
        if char.is_control() {
            for byte in char.to_string().bytes() {
                out.push('\\');
                out.push_str(&hex(&[byte], b"0123456789ABCDEF"));
            }
            continue;
        }
        if at_an_end || matches!(char, ',' | '+' | '"' | '\\' | '<' | '>' | ';') {
            out.push('\\');
        }
        out.push(char);
    }
    out
}

/// Upper case, without the byte that only says that the number is positive.
fn serial(bytes: &[u8]) -> String {
    let number = match bytes {
        [0, rest @ ..] if !rest.is_empty() => rest,
        all => all,
    };
    hex(number, b"0123456789ABCDEF")
}

fn hex(bytes: &[u8], digits: &[u8; 16]) -> String {
    let digit = |n: u8| char::from(digits.get(usize::from(n & 15)).copied().unwrap_or(b'0'));
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(*byte)])
        .collect()
}

fn pem(der: &[u8]) -> String {
    let mut out = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for (at, char) in STANDARD.encode(der).chars().enumerate() {
        if at > 0 && at % 64 == 0 {
            out.push('\n');
        }
        out.push(char);
    }
    out.push_str("\n-----END CERTIFICATE-----\n");
    out
}

/// A cipher suite by OpenSSL's name, which nginx shows; those of TLS 1.3 have the same name in both.
fn by_openssl(cipher: &str) -> &str {
    match cipher {
        "TLS13_AES_256_GCM_SHA384" => "TLS_AES_256_GCM_SHA384",
        "TLS13_AES_128_GCM_SHA256" => "TLS_AES_128_GCM_SHA256",
        "TLS13_CHACHA20_POLY1305_SHA256" => "TLS_CHACHA20_POLY1305_SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384" => "ECDHE-ECDSA-AES256-GCM-SHA384",
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256" => "ECDHE-ECDSA-AES128-GCM-SHA256",
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256" => "ECDHE-ECDSA-CHACHA20-POLY1305",
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384" => "ECDHE-RSA-AES256-GCM-SHA384",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" => "ECDHE-RSA-AES128-GCM-SHA256",
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256" => "ECDHE-RSA-CHACHA20-POLY1305",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_written_as_nginx_writes_it() {
        assert_eq!(escaped("Smith, Inc. \"x\""), "Smith\\, Inc. \\\"x\\\"");
        assert_eq!(escaped(" #a "), "\\ #a\\ ");
        assert_eq!(escaped("a\r\nb"), "a\\0D\\0Ab");
    }

    #[test]
    fn a_serial_number_is_hexadecimal_without_a_sign() {
        assert_eq!(serial(&[0, 0xab, 0x01]), "AB01");
        assert_eq!(serial(&[0x7f]), "7F");
        assert_eq!(serial(&[0]), "00");
    }

    #[test]
    fn pem_has_lines_of_64() {
        let text = pem(&[0; 49]);
        let lengths: Vec<usize> = text.lines().map(str::len).collect();
        assert_eq!(lengths, [27, 64, 4, 25]);
    }
}
