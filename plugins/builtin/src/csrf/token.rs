//! The token: base64 of `{"random":…,"expires":…,"sign":"…"}`, as Apache APISIX writes it and with the same signature, so that
//! either gateway takes the other's. `expires` is the time at which the token was made.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Takes a token whose padding was lost on the way, as nginx does.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Signs tokens and knows its own.
pub(super) struct Signer {
    key: Box<str>,
}

#[derive(Deserialize)]
struct Token {
    random: f64,
    expires: f64,
    sign: String,
}

impl Signer {
    pub(super) fn new(key: &str) -> Self {
        Self { key: key.into() }
    }

    /// A new token, made at `now`.
    pub(super) fn token(&self, now: i64) -> String {
        // Fourteen digits, which is as much as Lua writes of a number; the first is not zero, so that it needs no exponent.
        let digits = rand::random_range(10_000_000_000_000_u64..100_000_000_000_000).to_string();
        let random = format!("0.{}", digits.trim_end_matches('0'));
        let sign = self.sign(&random, &now.to_string());
        BASE64.encode(format!(
            r#"{{"random":{random},"expires":{now},"sign":"{sign}"}}"#
        ))
    }

    /// Whether this is a token of ours and not older than `lifetime` seconds, if that is above 0.
    pub(super) fn verifies(&self, token: &[u8], lifetime: i64, now: i64) -> bool {
        let Ok(text) = BASE64.decode(token) else {
            return false;
        };
        let Ok(token) = serde_json::from_slice::<Token>(&text) else {
            return false;
        };
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970")]
        let too_old = lifetime > 0 && now as f64 - token.expires > lifetime as f64;
        let sign = self.sign(&number(token.random), &number(token.expires));
        let signed = bool::from(sign.as_bytes().ct_eq(token.sign.as_bytes()));
        signed && !too_old
    }

    fn sign(&self, random: &str, expires: &str) -> String {
        let key = &self.key;
        let digest = Sha256::digest(format!("{{expires:{expires},random:{random},key:{key}}}"));
        let digits = digest.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        digits
            .filter_map(|digit| char::from_digit(u32::from(digit), 16))
            .collect()
    }
}

/// A number as Lua writes it: `%.14g`.
fn number(n: f64) -> String {
    const DIGITS: i32 = 14;
    if n == 0.0 || !n.is_finite() {
        return "0".to_owned();
    }
    let scientific = format!("{n:.13e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trimmed = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if (-4..DIGITS).contains(&exponent) {
        let places = usize::try_from(DIGITS - 1 - exponent).unwrap_or(0);
        return trimmed(&format!("{n:.places$}"));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trimmed(mantissa), exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_lua_writes_them() {
        for (n, text) in [
            (0.0, "0"),
            (1_700_000_000.0, "1700000000"),
            (0.5, "0.5"),
            (0.123_456_789_012_34, "0.12345678901234"),
            (0.123_456_789_012_345_67, "0.12345678901235"),
            (0.000_1, "0.0001"),
            (0.000_012_5, "1.25e-05"),
            (99_999_999_999_999.0, "99999999999999"),
            (100_000_000_000_000.0, "1e+14"),
            (-2.5, "-2.5"),
        ] {
            assert_eq!(number(n), text);
        }
    }

    #[test]
    fn own_tokens_verify_until_they_are_too_old() {
        let signer = Signer::new("secret");
        for _ in 0..200 {
            let token = signer.token(1_000);
            assert!(signer.verifies(token.as_bytes(), 10, 1_010), "{token}");
            assert!(!signer.verifies(token.as_bytes(), 10, 1_011));
            assert!(signer.verifies(token.as_bytes(), 0, 1_000_000));
            assert!(!Signer::new("other").verifies(token.as_bytes(), 10, 1_000));
        }
    }

    /// Signed by the rule of Apache APISIX with the key `userkey`.
    #[test]
    fn a_token_of_apisix_verifies() {
        let signed = "{expires:1639555000,random:0.42986548,key:userkey}";
        let sign: String = Sha256::digest(signed)
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        let text = format!(r#"{{"sign":"{sign}","random":0.42986548,"expires":1639555000}}"#);
        let signer = Signer::new("userkey");
        let token = BASE64.encode(&text);
        assert!(signer.verifies(token.as_bytes(), 1, 1_639_555_001));
        assert!(signer.verifies(token.trim_end_matches('=').as_bytes(), 1, 1_639_555_001));
    }

    #[test]
    fn what_is_no_token_does_not_verify() {
        let signer = Signer::new("k");
        for text in [
            "",
            "{}",
            "[]",
            "null",
            r#"{"random":1,"expires":1}"#,
            r#"{"random":"1","expires":1,"sign":""}"#,
            r#"{"random":1,"expires":1e999,"sign":"x"}"#,
        ] {
            assert!(
                !signer.verifies(BASE64.encode(text).as_bytes(), 0, 1),
                "{text}"
            );
        }
        assert!(!signer.verifies(b"!!", 0, 1));
        assert!(!signer.verifies(b"\xff", 0, 1));
    }
}
