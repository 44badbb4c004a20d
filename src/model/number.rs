//! Whole numbers as JSON writes them: `1`, but also `1.0`, which the schemas take for an integer.

use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::Number;

/// The largest whole number that every JSON reader carries exactly, 2^53 - 1. Integers that the
/// schemas do not bound more tightly end here.
pub(super) const MAX_EXACT: i64 = 9_007_199_254_740_991;

/// The number as an integer, if it has no fraction and is exact.
pub(super) fn whole(number: &Number) -> Option<i64> {
    number.as_i64().or_else(|| {
        let float = number
            .as_f64()
            .filter(|f| f.fract() == 0.0 && f.abs() <= MAX_EXACT as f64)?;
        Some(float as i64)
    })
}

/// A whole number of the type `T`; a value out of `T`'s range is refused.
struct Whole<T>(T);

impl<'de, T: TryFrom<i64>> Deserialize<'de> for Whole<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = Number::deserialize(deserializer)?;
        whole(&number)
            .and_then(|n| T::try_from(n).ok())
            .map(Whole)
            .ok_or_else(|| {
                D::Error::custom(format_args!(
                    "expected a whole number in range, got {number}"
                ))
            })
    }
}

/// For `#[serde(deserialize_with)]`: a whole number.
pub(super) fn required<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<i64>,
{
    Whole::deserialize(deserializer).map(|Whole(n)| n)
}

/// For `#[serde(deserialize_with, default)]`: a whole number or nothing.
pub(super) fn optional<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<i64>,
{
    Ok(Option::<Whole<T>>::deserialize(deserializer)?.map(|Whole(n)| n))
}

/// For `#[serde(deserialize_with)]`: a list of whole numbers.
pub(super) fn list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<i64>,
{
    Ok(Vec::<Whole<T>>::deserialize(deserializer)?
        .into_iter()
        .map(|Whole(n)| n)
        .collect())
}
