//! What in a path is read differently by different servers.

use super::{BadTarget, Options, Policy, readings};
use std::ops::BitOrAssign;

/// A set of spellings that servers read in more than one way. Most paths have none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Doubts(u8);

impl Doubts {
    /// See [`Options::encoded_slash`].
    pub const ENCODED_SLASH: Self = Self(1);
    /// See [`Options::parameters`].
    pub const PARAMETERS: Self = Self(2);
    /// See [`Options::double_encoding`].
    pub const DOUBLE_ENCODING: Self = Self(4);
    /// See [`Options::backslash`].
    pub const BACKSLASH: Self = Self(8);

    /// Whether nothing is in doubt.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether all of `some` is in this.
    pub fn has(self, some: Self) -> bool {
        self.0 & some.0 == some.0
    }

    /// What a byte that was encoded makes doubtful.
    pub(super) fn of_encoded(byte: u8) -> Self {
        match byte {
            b'/' => Self::ENCODED_SLASH,
            b';' => Self::PARAMETERS,
            b'%' => Self::DOUBLE_ENCODING,
            b'\\' => Self::BACKSLASH,
            _ => Self(0),
        }
    }

    /// All parts of this that are not empty.
    pub(super) fn parts(self) -> impl Iterator<Item = Self> {
        (1..=self.0).map(Self).filter(move |part| self.has(*part))
    }

    /// What is left of it by the policies.
    pub(super) fn judged(self, written: &[u8], options: Options) -> Result<Self, BadTarget> {
        let mut left = self;
        // A percent sign alone stands for itself.
        if self.has(Self::DOUBLE_ENCODING) && !readings::is_encoded_twice(written) {
            left.0 &= !Self::DOUBLE_ENCODING.0;
        }
        if options.like_servlet && options.parameters == Policy::SameRoute {
            left.0 &= !Self::PARAMETERS.0;
        }
        for (doubt, policy, what) in [
            (
                Self::ENCODED_SLASH,
                options.encoded_slash,
                "an encoded slash",
            ),
            (Self::PARAMETERS, options.parameters, "a semicolon"),
            (
                Self::DOUBLE_ENCODING,
                options.double_encoding,
                "a character that is encoded twice",
            ),
            (Self::BACKSLASH, options.backslash, "an encoded backslash"),
        ] {
            match policy {
                Policy::Refuse if left.has(doubt) => return Err(BadTarget::Refused(what)),
                Policy::Pass => left.0 &= !doubt.0,
                Policy::Refuse | Policy::SameRoute => {}
            }
        }
        Ok(left)
    }
}

impl BitOrAssign for Doubts {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}
