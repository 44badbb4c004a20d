//! Takes a token apart (RFC 7516 §3.1) and decrypts it. Nothing in it is trusted before its tag was verified.

use base64::{
    Engine,
    alphabet::URL_SAFE,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use ring::aead::{Aad, LessSafeKey, NONCE_LEN, Nonce};
use serde_json::{Map, Value};

const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Bytes of a tag of AES-GCM as RFC 7518 §5.3 wants it; a shorter one would verify less.
const TAG: usize = 16;

/// A token in its parts.
pub(super) struct Token<'t> {
    /// The header as it is written, which the tag covers.
    protected: &'t str,
    header: Map<String, Value>,
    iv: Vec<u8>,
    /// Ciphertext and tag.
    sealed: Vec<u8>,
    tag: usize,
}

impl<'t> Token<'t> {
    /// Reads a token in compact form; `None` when it is not one that can be decrypted here.
    pub(super) fn read(text: &'t str) -> Option<Self> {
        let mut parts = text.split('.');
        let (protected, key) = (parts.next()?, parts.next()?);
        let (iv, ciphertext, tag) = (parts.next()?, parts.next()?, parts.next()?);
        // With `dir` there is no encrypted key (RFC 7516 §5.2).
        if parts.next().is_some() || !key.is_empty() {
            return None;
        }
        let header: Map<String, Value> =
            serde_json::from_slice(&BASE64URL.decode(protected).ok()?).ok()?;
        let is = |name: &str, only: &str| header.get(name).is_none_or(|value| value == only);
        let asks_for_more = header.contains_key("zip") || header.contains_key("crit");
        if !is("alg", "dir") || !is("enc", "A256GCM") || asks_for_more {
            return None;
        }
        let mut sealed = BASE64URL.decode(ciphertext).ok()?;
        let tag = BASE64URL.decode(tag).ok()?;
        sealed.extend_from_slice(&tag);
        Some(Self {
            protected,
            header,
            iv: BASE64URL.decode(iv).ok()?,
            sealed,
            tag: tag.len(),
        })
    }

    /// The name of the key.
    pub(super) fn kid(&self) -> Option<&Value> {
        self.header.get("kid").filter(|kid| !kid.is_null())
    }

    /// What was encrypted. The tag covers the header, or, in tokens as older versions of APISIX made them, the ciphertext alone.
    pub(super) fn decrypt(&self, key: &LessSafeKey) -> Option<Vec<u8>> {
        let iv: [u8; NONCE_LEN] = self.iv.as_slice().try_into().ok()?;
        if self.tag != TAG {
            return None;
        }
        let open = |aad: &[u8]| {
            let mut text = self.sealed.clone();
            let nonce = Nonce::assume_unique_for_key(iv);
            let opened = key.open_in_place(nonce, Aad::from(aad), &mut text);
            let length = opened.ok()?.len();
            text.truncate(length);
            Some(text)
        };
        open(self.protected.as_bytes()).or_else(|| open(b""))
    }
}
