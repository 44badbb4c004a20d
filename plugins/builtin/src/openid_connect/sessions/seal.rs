//! Seals what browsers and Redis keep for us: nobody else can read it, make it, or use it in another place.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, KeyType, Prk, Salt},
};

const SALT: usize = 16;
/// Characters of a sealed text that come from its salt alone: they tell it from all others.
pub(crate) const MARK: usize = 21;

/// Seals and opens under one secret, for one client of one provider.
pub(crate) struct Seal {
    secret: Prk,
    place: Box<str>,
}

/// A key and a nonce.
struct Material;

impl KeyType for Material {
    fn len(&self) -> usize {
        32 + NONCE_LEN
    }
}

impl Seal {
    pub(crate) fn new(secret: &str, client_id: &str, discovery: &str) -> Self {
        let salt = Salt::new(HKDF_SHA256, b"crossway openid-connect 1");
        Self {
            secret: salt.extract(secret.as_bytes()),
            place: format!("{client_id}\0{discovery}").into(),
        }
    }

    /// Encrypts a text for one purpose; `None` when the cipher fails, which it does for gigabytes only.
    pub(crate) fn seal(&self, purpose: &str, text: Vec<u8>) -> Option<String> {
        let salt: [u8; SALT] = rand::random();
        let (key, nonce) = self.key(&salt)?;
        let mut sealed = text;
        key.seal_in_place_append_tag(nonce, Aad::from(self.context(purpose)), &mut sealed)
            .ok()?;
        Some(URL_SAFE_NO_PAD.encode([&salt[..], &sealed].concat()))
    }

    /// What was sealed for this purpose; `None` for anything else.
    pub(crate) fn open(&self, purpose: &str, text: &[u8]) -> Option<Vec<u8>> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (salt, sealed) = bytes.split_first_chunk::<SALT>()?;
        let (key, nonce) = self.key(salt)?;
        let mut sealed = sealed.to_vec();
        let opened = key.open_in_place(nonce, Aad::from(self.context(purpose)), &mut sealed);
        let length = opened.ok()?.len();
        sealed.truncate(length);
        Some(sealed)
    }

    fn context(&self, purpose: &str) -> String {
        format!("{purpose}\0{}", self.place)
    }

    /// Each text has a key of its own, so that no number of sessions wears one out (NIST SP 800-38D §8.3).
    fn key(&self, salt: &[u8; SALT]) -> Option<(LessSafeKey, Nonce)> {
        let mut material = [0; 32 + NONCE_LEN];
        let info = [&salt[..]];
        let expanded = self.secret.expand(&info, Material).ok()?;
        expanded.fill(&mut material).ok()?;
        let (key, nonce) = material.split_first_chunk::<32>()?;
        let key = UnboundKey::new(&AES_256_GCM, key).ok()?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        Some((LessSafeKey::new(key), nonce))
    }
}
