//! Text to number, the way Lua's `tonumber` does it.

/// Decimal or `0x` hexadecimal, with surrounding white space; `None` for anything else, so also for `inf` and `nan`.
pub(super) fn parse(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text.trim_ascii()).ok()?;
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if let Some(hexadecimal) = digits
        .strip_prefix("0x")
        .or_else(|| digits.strip_prefix("0X"))
    {
        // `from_str_radix` takes a sign of its own, which would let `0x-1` through.
        if !hexadecimal.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "Lua has doubles only")]
        return u64::from_str_radix(hexadecimal, 16)
            .ok()
            .map(|number| sign * number as f64);
    }
    // Rust also reads words (`inf`, `nan`) and a second sign.
    if !digits.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return None;
    }
    digits.parse::<f64>().ok().map(|number| sign * number)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn reads_what_tonumber_reads() {
        for (text, number) in [
            ("10", Some(10.0)),
            (" -1.5 ", Some(-1.5)),
            ("+3", Some(3.0)),
            (".5", Some(0.5)),
            ("1e3", Some(1000.0)),
            ("0x10", Some(16.0)),
            ("-0XfF", Some(-255.0)),
            ("", None),
            ("0x", None),
            ("0x-1", None),
            ("--1", None),
            ("inf", None),
            ("nan", None),
            ("1a", None),
            ("1 2", None),
        ] {
            assert_eq!(parse(text.as_bytes()), number, "{text:?}");
        }
        assert_eq!(parse(b"\xff"), None);
    }
}
