//! Fields of a body in `multipart/form-data` (RFC 7578, RFC 2046 §5.1.1). A body that breaks the rules has none: better
//! than to see other fields than the upstream does.

use bytes::Bytes;
use memchr::memmem;
use std::borrow::Cow;

/// Names and contents of the parts of a body in `multipart/form-data`, in order; parts without a name are left out. `None` when it
/// is no such body.
pub fn fields(content_type: &[u8], body: &Bytes) -> Option<Vec<(Bytes, Bytes)>> {
    let boundary = parameter(content_type, b"boundary")?;
    if !(1..=70).contains(&boundary.len()) {
        return None;
    }
    let delimiter = [b"\r\n--", &*boundary].concat();
    let finder = memmem::Finder::new(&delimiter);
    // What stands before the first delimiter is nobody's.
    let mut rest = match body.strip_prefix(delimiter.strip_prefix(b"\r\n")?) {
        Some(rest) => rest,
        None => after(body, finder.find(body)?, delimiter.len())?,
    };
    let mut fields = Vec::new();
    loop {
        if rest.starts_with(b"--") {
            return Some(fields);
        }
        let part = unpadded(rest).strip_prefix(b"\r\n")?;
        let end = finder.find(rest)?;
        rest = after(rest, end, delimiter.len())?;
        // A part without content may end where its first line does.
        let length = part.len().checked_sub(rest.len() + delimiter.len());
        let part = part.get(..length.unwrap_or(0))?;
        let (head, content) = match part.strip_prefix(b"\r\n") {
            Some(content) => (&[][..], content),
            None => {
                let at = memmem::find(part, b"\r\n\r\n")?;
                (part.get(..at)?, part.get(at + 4..)?)
            }
        };
        if let Some(name) = name(head) {
            let name = match name {
                Cow::Borrowed(name) => body.slice_ref(name),
                Cow::Owned(name) => name.into(),
            };
            fields.push((name, body.slice_ref(content)));
        }
    }
}

fn after(text: &[u8], at: usize, length: usize) -> Option<&[u8]> {
    text.get(at.checked_add(length)?..)
}

/// Without the spaces and tabs that may pad a delimiter.
fn unpadded(text: &[u8]) -> &[u8] {
    let padding = text.iter().take_while(|b| matches!(b, b' ' | b'\t'));
    text.get(padding.count()..).unwrap_or_default()
}

/// `name` of the Content-Disposition among a part's header lines.
fn name(head: &[u8]) -> Option<Cow<'_, [u8]>> {
    head.split(|b| *b == b'\n').find_map(|line| {
        let (field, value) = line.split_at_checked(memchr::memchr(b':', line)?)?;
        field
            .eq_ignore_ascii_case(b"content-disposition")
            .then(|| parameter(value, b"name"))?
    })
}

/// A parameter of a header's value: `form-data; name="a b"`. Quoted or not, with `\` before a quoted character.
fn parameter<'a>(value: &'a [u8], name: &[u8]) -> Option<Cow<'a, [u8]>> {
    let mut rest = after(value, memchr::memchr(b';', value)?, 1)?;
    loop {
        let equals = memchr::memchr2(b'=', b';', rest)?;
        let (key, tail) = rest.split_at_checked(equals)?;
        let (separator, tail) = tail.split_first()?;
        if *separator == b';' {
            rest = tail;
            continue;
        }
        let tail = tail.trim_ascii_start();
        let (found, tail) = match tail.strip_prefix(b"\"") {
            Some(quoted) => unquoted(quoted)?,
            None => {
                let end = memchr::memchr(b';', tail).unwrap_or(tail.len());
                let (token, tail) = tail.split_at_checked(end)?;
                (Cow::Borrowed(token.trim_ascii_end()), tail)
            }
        };
        if key.trim_ascii().eq_ignore_ascii_case(name) {
            return Some(found);
        }
        rest = after(tail, memchr::memchr(b';', tail)?, 1)?;
    }
}

/// A quoted text up to its closing quote, and what follows that.
fn unquoted(quoted: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let end = memchr::memchr2(b'"', b'\\', quoted)?;
    let (plain, tail) = quoted.split_at_checked(end)?;
    if let Some(tail) = tail.strip_prefix(b"\"") {
        return Some((Cow::Borrowed(plain), tail));
    }
    let mut text = plain.to_vec();
    let mut bytes = tail.iter().enumerate();
    while let Some((index, &byte)) = bytes.next() {
        match byte {
            b'"' => return Some((Cow::Owned(text), tail.get(index + 1..)?)),
            b'\\' => text.push(*bytes.next()?.1),
            _ => text.push(byte),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn read(content_type: &str, body: &str) -> Option<Vec<(String, String)>> {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let text = |b: Bytes| String::from_utf8(b.to_vec()).unwrap();
        let fields = fields(content_type.as_bytes(), &body)?;
        Some(
            fields
                .into_iter()
                .map(|(n, v)| (text(n), text(v)))
                .collect(),
        )
    }

    fn pairs(list: &[(&str, &str)]) -> Option<Vec<(String, String)>> {
        Some(
            list.iter()
                .map(|(n, v)| ((*n).into(), (*v).into()))
                .collect(),
        )
    }

    #[test]
    fn parts_have_names_and_contents() {
        let body = "preamble\r\n--X \t\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--X\r\n\
            content-type: text/plain\r\ncontent-disposition:form-data; filename=\"x;name=y\"; name=b\r\n\r\n\
            no --X end\r\nline\r\n--X\r\nContent-Disposition: form-data; name=\"c\\\"d\"\r\n\r\n\r\n--X\r\n\r\nnameless\r\n--X--\r\n";
        assert_eq!(
            read("multipart/form-data; charset=x; boundary=X", body),
            pairs(&[("a", "1"), ("b", "no --X end\r\nline"), ("c\"d", "")])
        );
        let body = "--a b\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--a b--";
        assert_eq!(
            read("multipart/form-data; boundary=\"a b\"", body),
            pairs(&[("a", "1")])
        );
        assert_eq!(read("x; boundary=X", "--X--"), pairs(&[]));
    }

    #[test]
    fn what_breaks_the_rules_has_no_fields() {
        let one = "--X\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n";
        for (content_type, body) in [
            ("multipart/form-data", format!("{one}--X--")),
            ("x; boundary=", format!("{one}--X--")),
            ("x; boundary=\"X", format!("{one}--X--")),
            ("x; boundary=X", one.to_owned()),
            ("x; boundary=X", format!("{one}--Xtra\r\n\r\n2\r\n--X--")),
            ("x; boundary=X", "--X\r\n--X--".to_owned()),
            ("x; boundary=X", "--X\r\nno end of head\r\n--X--".to_owned()),
            ("x; boundary=X", String::new()),
        ] {
            assert_eq!(read(content_type, &body), None, "{content_type} {body:?}");
        }
    }

    proptest! {
        #[test]
        fn no_body_panics(content_type in "[;=\"\\\\ a-cbX]{0,12}|x; boundary=X", body in "(--X|\r\n|[-a:;=\"\\\\ X]){0,30}") {
            let _read = read(&content_type, &body);
        }

        #[test]
        fn what_was_written_comes_back(list in prop::collection::vec(("[a-z \"\\\\;=]{1,8}", "[a-z\r\n-]{0,20}"), 0..5)) {
            let parts: String = list.iter().map(|(name, value)| {
                let name = name.replace('\\', "\\\\").replace('"', "\\\"");
                format!("--Bound0\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
            }).collect();
            prop_assert_eq!(read("multipart/form-data; boundary=Bound0", &format!("{parts}--Bound0--\r\n")), Some(list));
        }
    }
}
