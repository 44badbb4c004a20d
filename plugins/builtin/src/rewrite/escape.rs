//! Percent-encoding for the place that a text goes to.

/// Whether nginx encodes this byte in a path (`ngx_escape_uri` for URIs since 1.21): controls, space, DEL, beyond
/// ASCII, and `" # % < > ? \ ^ { | }` and the grave accent.
fn in_path(byte: u8) -> bool {
    !(b'!'..=b'~').contains(&byte) || b"\"#%<>?\\^`{|}".contains(&byte)
}

/// Whether this byte cannot stand in a request target: it would end it, or the request line.
fn in_target(byte: u8) -> bool {
    byte <= b' ' || byte == 0x7f || byte == b'#'
}

/// Whether this byte cannot stand in the `Location` header.
fn in_location(byte: u8) -> bool {
    !(b'!'..=b'~').contains(&byte)
}

/// Whether this byte cannot stand in a header's value; OpenResty encodes the same.
fn in_header(byte: u8) -> bool {
    (byte < b' ' && byte != b'\t') || byte == 0x7f
}

fn encode(text: &[u8], out: &mut Vec<u8>, escapes: fn(u8) -> bool) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
    for &byte in text {
        if escapes(byte) {
            out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
        } else {
            out.push(byte);
        }
    }
}

/// Whether [`path`] would change this text.
pub(crate) fn path_changes(text: &[u8]) -> bool {
    text.iter().any(|b| in_path(*b))
}

/// A decoded path, as nginx encodes it for an upstream. A `%` is encoded too.
pub(crate) fn path(text: &[u8], out: &mut Vec<u8>) {
    encode(text, out, in_path);
}

/// The rest of a target: only what would break the request line is encoded.
pub(crate) fn target(text: &[u8], out: &mut Vec<u8>) {
    encode(text, out, in_target);
}

/// A `Location`: only what cannot stand in a URI is encoded, line breaks among it.
pub(crate) fn location(text: &[u8], out: &mut Vec<u8>) {
    encode(text, out, in_location);
}

/// A header's value, so that no text can begin another header.
pub(crate) fn header(text: &[u8], out: &mut Vec<u8>) {
    encode(text, out, in_header);
}

/// Whether [`header`] would change this text.
pub(crate) fn header_changes(text: &[u8]) -> bool {
    text.iter().any(|b| in_header(*b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(encode: fn(&[u8], &mut Vec<u8>), text: &str) -> String {
        let mut out = Vec::new();
        encode(text.as_bytes(), &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn each_place_has_its_own_rule() {
        let text = "/a b%?#\"<>\\^`{|}é\r\n\t;&=+,:@!$'()*~";
        assert_eq!(
            with(path, text),
            "/a%20b%25%3F%23%22%3C%3E%5C%5E%60%7B%7C%7D%C3%A9%0D%0A%09;&=+,:@!$'()*~"
        );
        assert_eq!(
            with(target, text),
            "/a%20b%?%23\"<>\\^`{|}é%0D%0A%09;&=+,:@!$'()*~"
        );
        assert_eq!(
            with(location, text),
            "/a%20b%?#\"<>\\^`{|}%C3%A9%0D%0A%09;&=+,:@!$'()*~"
        );
        assert_eq!(
            with(header, text),
            "/a b%?#\"<>\\^`{|}é%0D%0A\t;&=+,:@!$'()*~"
        );
    }
}
