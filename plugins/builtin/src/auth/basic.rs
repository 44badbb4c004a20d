//! Basic credentials (RFC 7617): the user name ends at the first colon, the password is all that follows.

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

/// Clients are as lenient about padding as nginx is.
pub(crate) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// `user:password` of an `Authorization` header.
pub(crate) fn decode(written: &str) -> Option<String> {
    let (scheme, token) = written.split_once([' ', '\t'])?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let mut pair = String::from_utf8(BASE64.decode(token.trim()).ok()?).ok()?;
    // `echo user:password | base64` encodes a line feed, which neither part may contain.
    pair.truncate(pair.trim_end_matches(['\r', '\n']).len());
    Some(pair)
}
