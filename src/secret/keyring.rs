//! Encryption of single texts at rest: AES in Galois/Counter Mode, a fresh nonce for each text.

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use ring::{
    aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hmac,
    rand::{SecureRandom, SystemRandom},
};

/// What a sealed text begins with. No reference, PEM or key does.
const PREFIX: &str = "$crossway$sealed$1$";

/// Keys for texts at rest. The first one seals, all of them open.
pub struct Keyring {
    first: LessSafeKey,
    others: Vec<LessSafeKey>,
    random: SystemRandom,
    /// Makes nonces of what they are for.
    nonces: hmac::Key,
}

/// Why there is no keyring, or no sealed text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// There is no key at all.
    #[error("at least one key is needed")]
    Empty,
    /// AES knows no key of this length.
    #[error("a key has 16 or 32 bytes")]
    Length,
    /// The system gives no random bytes.
    #[error("the text cannot be encrypted")]
    Seal,
}

impl Keyring {
    /// Of keys with 16 or 32 bytes each.
    ///
    /// # Errors
    /// There is none, or one has another length.
    pub fn new<'k>(keys: impl IntoIterator<Item = &'k str>) -> Result<Self, KeyringError> {
        let keys: Vec<&[u8]> = keys.into_iter().map(str::as_bytes).collect();
        Self::of(&keys)
    }

    /// With a key that nobody has and that ends with the process.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn passing() -> Result<Self, KeyringError> {
        let mut key = [0; 32];
        let filled = SystemRandom::new().fill(&mut key);
        filled.map_err(|_| KeyringError::Seal)?;
        Self::of(&[&key])
    }

    fn of(keys: &[&[u8]]) -> Result<Self, KeyringError> {
        let first = keys.first().ok_or(KeyringError::Empty)?;
        let salt = hmac::Key::new(hmac::HMAC_SHA256, b"crossway nonces");
        let nonces = hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&salt, first).as_ref());
        let mut keys = keys.iter().map(|key| {
            let algorithm = match key.len() {
                16 => &AES_128_GCM,
                32 => &AES_256_GCM,
                _ => return Err(KeyringError::Length),
            };
            let key = UnboundKey::new(algorithm, key);
            key.map(LessSafeKey::new).map_err(|_| KeyringError::Length)
        });
        Ok(Self {
            first: keys.next().ok_or(KeyringError::Empty)??,
            others: keys.collect::<Result<_, _>>()?,
            random: SystemRandom::new(),
            nonces,
        })
    }

    pub(super) fn seal(&self, text: &str) -> Result<String, KeyringError> {
        let mut nonce = [0; NONCE_LEN];
        self.random
            .fill(&mut nonce)
            .map_err(|_| KeyringError::Seal)?;
        self.seal_with(nonce, text)
    }

    /// The same form for the same text at the same place, so that who compares lists sees what has changed and nothing else. The
    /// nonce is a digest of both under a key of its own: another text has another one.
    pub(super) fn seal_steadily(&self, place: &str, text: &str) -> Result<String, KeyringError> {
        let mut digest = hmac::Context::with_key(&self.nonces);
        digest.update(&(place.len() as u64).to_be_bytes());
        digest.update(place.as_bytes());
        digest.update(text.as_bytes());
        let digest = digest.sign();
        let nonce = digest.as_ref().first_chunk().ok_or(KeyringError::Seal)?;
        self.seal_with(*nonce, text)
    }

    fn seal_with(&self, nonce: [u8; NONCE_LEN], text: &str) -> Result<String, KeyringError> {
        let mut content = text.as_bytes().to_vec();
        let unique = Nonce::assume_unique_for_key(nonce);
        self.first
            .seal_in_place_append_tag(unique, Aad::empty(), &mut content)
            .map_err(|_| KeyringError::Seal)?;
        let whole = [nonce.as_slice(), &content].concat();
        Ok(format!("{PREFIX}{}", STANDARD_NO_PAD.encode(whole)))
    }

    pub(super) fn open(&self, sealed: &str) -> Option<String> {
        let whole = STANDARD_NO_PAD.decode(sealed.strip_prefix(PREFIX)?).ok()?;
        let (nonce, content) = whole.split_first_chunk::<NONCE_LEN>()?;
        let opened = std::iter::once(&self.first)
            .chain(&self.others)
            .find_map(|key| {
                let mut content = content.to_vec();
                let nonce = Nonce::assume_unique_for_key(*nonce);
                let opened = key.open_in_place(nonce, Aad::empty(), &mut content).ok()?;
                Some(opened.to_vec())
            });
        String::from_utf8(opened?).ok()
    }
}

/// Whether a text is sealed.
pub(super) fn is_sealed(text: &str) -> bool {
    text.starts_with(PREFIX)
}

/// Whether a document may hold a sealed text.
pub(super) fn may_be_sealed(content: &[u8]) -> bool {
    memchr::memmem::find(content, PREFIX.as_bytes()).is_some()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const ONE: &str = "edd1c9f0985e76a2";
    const TWO: &str = "qeddd145sfvddff3";

    fn keyring<const N: usize>(keys: [&str; N]) -> Keyring {
        Keyring::new(keys).unwrap()
    }

    #[test]
    fn what_is_sealed_is_opened_with_any_key_of_the_ring() {
        let sealed = keyring([ONE]).seal("hunter2").unwrap();
        assert!(is_sealed(&sealed) && !sealed.contains("hunter2"));
        assert_ne!(keyring([ONE]).seal("hunter2").unwrap(), sealed);
        assert_eq!(keyring([ONE]).open(&sealed).as_deref(), Some("hunter2"));
        assert_eq!(
            keyring([TWO, ONE]).open(&sealed).as_deref(),
            Some("hunter2")
        );
        assert_eq!(keyring([TWO]).open(&sealed), None);
        assert_eq!(keyring([ONE]).open("hunter2"), None);
        assert_eq!(keyring([ONE]).open(&format!("{PREFIX}AAAA")), None);
        let mut changed = sealed.clone();
        changed.pop();
        assert_eq!(keyring([ONE]).open(&changed), None);
    }

    #[test]
    fn keys_have_16_or_32_bytes() {
        assert_eq!(Keyring::new([]).err(), Some(KeyringError::Empty));
        assert_eq!(Keyring::new(["short"]).err(), Some(KeyringError::Length));
        assert_eq!(
            Keyring::new([ONE, "short"]).err(),
            Some(KeyringError::Length)
        );
        assert!(Keyring::new([&*ONE.repeat(2)]).is_ok());
    }

    #[test]
    fn a_steady_form_changes_with_text_place_and_key_alone() {
        let ring = keyring([ONE]);
        let form = ring.seal_steadily("routes/1#0", "hunter2").unwrap();
        assert_eq!(ring.seal_steadily("routes/1#0", "hunter2").unwrap(), form);
        assert_eq!(ring.open(&form).as_deref(), Some("hunter2"));
        for (ring, place, text) in [
            (&ring, "routes/1#0", "hunter3"),
            (&ring, "routes/1#1", "hunter2"),
            (&keyring([TWO]), "routes/1#0", "hunter2"),
        ] {
            assert_ne!(ring.seal_steadily(place, text).unwrap(), form);
        }
        let (one, other) = (Keyring::passing().unwrap(), Keyring::passing().unwrap());
        assert_eq!(other.open(&one.seal("hunter2").unwrap()), None);
    }
}
