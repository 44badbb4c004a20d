//! Sets of request methods.

use http::Method;

const NAMES: [&str; 17] = [
    "GET",
    "POST",
    "PUT",
    "DELETE",
    "PATCH",
    "HEAD",
    "OPTIONS",
    "CONNECT",
    "TRACE",
    "PURGE",
    // WebDAV: APISIX's schema has none of these, Kong takes any method.
    "PROPFIND",
    "PROPPATCH",
    "MKCOL",
    "COPY",
    "MOVE",
    "LOCK",
    "UNLOCK",
];

/// The methods that a route takes; the empty set takes every method, known or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct MethodSet(u32);

/// A method that a route cannot list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a method that a route can list")]
pub struct UnknownMethod(pub String);

impl MethodSet {
    /// Every method.
    pub const ANY: Self = Self(0);

    /// A set of methods by name; names are upper case.
    pub fn new<N: AsRef<str>>(names: impl IntoIterator<Item = N>) -> Result<Self, UnknownMethod> {
        let mut set = 0;
        for name in names {
            let name = name.as_ref();
            set |= bit(name).ok_or_else(|| UnknownMethod(name.to_owned()))?;
        }
        Ok(Self(set))
    }

    /// Whether the route takes the method. A method that no route can list is taken only by [`MethodSet::ANY`].
    pub fn allows(self, method: &Method) -> bool {
        self == Self::ANY || bit(method.as_str()).is_some_and(|bit| self.0 & bit != 0)
    }
}

fn bit(name: &str) -> Option<u32> {
    NAMES
        .iter()
        .position(|known| *known == name)
        .map(|index| 1 << index)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use http::Method;

    use super::{MethodSet, NAMES};

    #[test]
    fn a_set_takes_what_it_lists_and_the_empty_set_takes_all() {
        let set = MethodSet::new(["GET", "PURGE"]).unwrap();
        assert!(set.allows(&Method::GET));
        assert!(set.allows(&Method::from_bytes(b"PURGE").unwrap()));
        assert!(!set.allows(&Method::POST));
        assert!(!set.allows(&Method::from_bytes(b"get").unwrap()));
        assert!(!set.allows(&Method::from_bytes(b"BREW").unwrap()));
        assert!(MethodSet::ANY.allows(&Method::from_bytes(b"BREW").unwrap()));
        assert_eq!(MethodSet::new([""; 0]).unwrap(), MethodSet::ANY);
    }

    #[test]
    fn every_known_method_is_one_of_its_own() {
        for one in NAMES {
            for other in NAMES {
                let set = MethodSet::new([one]).unwrap();
                assert_eq!(
                    set.allows(&Method::from_bytes(other.as_bytes()).unwrap()),
                    one == other
                );
            }
        }
        assert!(MethodSet::new(["GET", "get"]).is_err());
    }
}
