//! The parameters of an `Authorization` header with the scheme `Signature`.

/// What a client says about its signature. Nothing in it is trusted before the signature was verified.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parameters<'h> {
    pub(super) key_id: Option<&'h str>,
    pub(super) algorithm: Option<&'h str>,
    pub(super) headers: Option<&'h str>,
    pub(super) signature: Option<&'h str>,
}

/// Why a header has no parameters.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// It has another scheme.
    Scheme,
    /// A parameter stands twice; a reader behind us may take the other one.
    Doubled,
}

impl<'h> Parameters<'h> {
    /// Reads a header. What is no parameter, or none that counts, is passed over.
    pub(super) fn read(written: &'h str) -> Result<Self, Unreadable> {
        let fields = written
            .strip_prefix("Signature")
            .ok_or(Unreadable::Scheme)?;
        let mut read = Self::default();
        for (name, value) in fields.split(',').filter_map(pair) {
            let place = match name {
                "keyId" => &mut read.key_id,
                "algorithm" => &mut read.algorithm,
                "headers" => &mut read.headers,
                "signature" => &mut read.signature,
                _ => continue,
            };
            if place.replace(value).is_some() {
                return Err(Unreadable::Doubled);
            }
        }
        Ok(read)
    }

    /// The names of what was signed, in order.
    pub(super) fn signed(&self) -> impl Iterator<Item = &'h str> + use<'h> {
        let names = self.headers.unwrap_or_default().split(' ');
        names.filter(|name| !name.is_empty())
    }
}

/// `name="value"`.
fn pair(field: &str) -> Option<(&str, &str)> {
    let (name, rest) = field.trim_start().split_once("=\"")?;
    Some((name, rest.split_once('"')?.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_in_any_order() {
        let read = Parameters::read(
            r#"Signature keyId="a b",algorithm="hmac-sha256", headers="@request-target  date",other="x",signature="YQ==""#,
        )
        .unwrap();
        assert_eq!(read.key_id, Some("a b"));
        assert_eq!(read.algorithm, Some("hmac-sha256"));
        assert_eq!(read.signature, Some("YQ=="));
        assert_eq!(
            read.signed().collect::<Vec<_>>(),
            ["@request-target", "date"]
        );
    }

    #[test]
    fn what_is_no_parameter_is_passed_over() {
        for header in [
            "Signature",
            "Signature ",
            "Signature keyId=a",
            "Signature keyId=\"a",
            "Signature ,,=,\"\"",
            "Signature KeyId=\"a\"",
        ] {
            assert_eq!(
                Parameters::read(header),
                Ok(Parameters::default()),
                "{header}"
            );
        }
    }

    #[test]
    fn another_scheme_and_doubled_parameters_are_refused() {
        assert_eq!(Parameters::read("Basic a"), Err(Unreadable::Scheme));
        assert_eq!(
            Parameters::read("signature keyId=\"a\""),
            Err(Unreadable::Scheme)
        );
        let doubled = "Signature keyId=\"a\",keyId=\"a\"";
        assert_eq!(Parameters::read(doubled), Err(Unreadable::Doubled));
    }
}
