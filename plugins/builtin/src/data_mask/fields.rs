//! Hiding fields of a query or a form without touching the others.

use super::mask::Mask;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode, percent_encode};
use std::borrow::Cow;

/// What cannot stand in a field.
const ESCAPED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'&')
    .add(b'+')
    .add(b'<')
    .add(b'>');

/// The fields with what the rules hide in them, `most` of them at most; `None` when nothing was hidden.
pub(super) fn masked(fields: &[u8], rules: &[(Box<[u8]>, Mask)], most: usize) -> Option<Vec<u8>> {
    if rules.is_empty() {
        return None;
    }
    let mut out = Vec::with_capacity(fields.len());
    let mut changed = false;
    for (index, field) in fields.split(|b| *b == b'&').enumerate() {
        if index >= most {
            changed = true;
            break;
        }
        let kept = match hidden(field, rules) {
            Some(kept) => {
                changed = true;
                kept
            }
            None => Some(Cow::Borrowed(field)),
        };
        if let Some(kept) = kept {
            if !out.is_empty() {
                out.push(b'&');
            }
            out.extend_from_slice(&kept);
        }
    }
    changed.then_some(out)
}

/// What is left of a field that a rule is for: something, or nothing. `None` when no rule is for it.
fn hidden<'f>(field: &'f [u8], rules: &[(Box<[u8]>, Mask)]) -> Option<Option<Cow<'f, [u8]>>> {
    let at = memchr::memchr(b'=', field).unwrap_or(field.len());
    let (written, rest) = field.split_at_checked(at)?;
    let name = decoded(written);
    let mut value: Option<Vec<u8>> = None;
    for (_, mask) in rules
        .iter()
        .filter(|(of, _)| !written.is_empty() && **of == *name)
    {
        let before = value
            .unwrap_or_else(|| decoded(rest.strip_prefix(b"=").unwrap_or_default()).into_owned());
        match mask.apply(&before) {
            Some(after) => value = Some(after),
            None => return Some(None),
        }
    }
    let value = value?;
    let mut kept = written.to_vec();
    kept.push(b'=');
    percent_encode(&value, ESCAPED).for_each(|piece| kept.extend_from_slice(piece.as_bytes()));
    Some(Some(Cow::Owned(kept)))
}

fn decoded(text: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr2(b'%', b'+', text).is_none() {
        return Cow::Borrowed(text);
    }
    let spaced: Vec<u8> = text
        .iter()
        .map(|&b| if b == b'+' { b' ' } else { b })
        .collect();
    Cow::Owned(percent_decode(&spaced).collect())
}
