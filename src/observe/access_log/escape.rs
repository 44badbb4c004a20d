//! Keeps what clients send from looking like something else in a line of the log.

use std::borrow::Cow;

const HEX: [char; 16] = [
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F',
];

/// As nginx does by default: `"`, `\`, and everything that is not visible ASCII becomes `\xHH`.
pub(super) fn nginx(text: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    let needs = |byte: u8| !(0x20..0x7f).contains(&byte) || byte == b'"' || byte == b'\\';
    // Without an early end, so that it runs on many bytes at once.
    if !text.iter().fold(false, |any, &byte| any | needs(byte)) {
        return text;
    }
    let mut out = Vec::with_capacity(text.len() + 32);
    for &byte in text.iter() {
        if needs(byte) {
            out.extend_from_slice(b"\\x");
            push_hex(byte, &mut out);
        } else {
            out.push(byte);
        }
    }
    Cow::Owned(out)
}

fn push_hex(byte: u8, out: &mut Vec<u8>) {
    for digit in [byte >> 4, byte & 15] {
        out.push(HEX.get(usize::from(digit)).map_or(b'?', |c| *c as u8));
    }
}

/// The inside of a JSON string. Bytes that are not UTF-8 become U+FFFD.
pub(super) fn json(text: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    let needs = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\' || byte >= 0x7f;
    if !text.iter().fold(false, |any, &byte| any | needs(byte)) {
        return text;
    }
    let mut out = Vec::with_capacity(text.len() + 32);
    for c in String::from_utf8_lossy(&text).chars() {
        match c {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            // Valid in JSON, yet some tools end lines at U+2028 and U+2029, and terminals obey C1 controls.
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
                out.extend_from_slice(b"\\u");
                for byte in (c as u32 as u16).to_be_bytes() {
                    push_hex(byte, &mut out);
                }
            }
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nginx_escapes() {
        let of = |text: &'static [u8]| nginx(Cow::Borrowed(text)).into_owned();
        assert_eq!(of(b"curl/8.1 (x; y)"), b"curl/8.1 (x; y)");
        assert_eq!(
            of(b"a\"b\\c\n\x00\x7f\xe2 ~"),
            br"a\x22b\x5Cc\x0A\x00\x7F\xE2 ~"
        );
        assert!(matches!(nginx(Cow::Borrowed(b"plain")), Cow::Borrowed(_)));
    }

    #[test]
    fn json_escapes() {
        let of = |text: &'static [u8]| json(Cow::Borrowed(text)).into_owned();
        assert_eq!(of("grün \u{2028}".as_bytes()), "grün \\u2028".as_bytes());
        assert_eq!(of(b"\"\\\n\r\t\x01\x7f"), br#"\"\\\n\r\t\u0001\u007F"#);
        assert_eq!(of(b"\xff"), "\u{fffd}".as_bytes());
    }

    proptest! {
        #[test]
        fn no_text_ends_its_line_or_its_quotes(text: Vec<u8>) {
            let escaped = nginx(Cow::Borrowed(&text)).into_owned();
            prop_assert!(escaped.iter().all(|b| (0x20..0x7f).contains(b) && *b != b'"'));
            let escaped = json(Cow::Borrowed(&text)).into_owned();
            let quoted = [b"\"", escaped.as_slice(), b"\""].concat();
            let back: String = serde_json::from_slice(&quoted)
                .map_err(|e| TestCaseError::fail(e.to_string()))?;
            prop_assert_eq!(back, String::from_utf8_lossy(&text));
            prop_assert!(!escaped.contains(&b'\n'));
        }
    }
}
