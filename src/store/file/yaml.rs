//! The outline of a YAML file. Anchors and merge keys work; what they expand to is bounded.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_saphyr::{Error, Location, Options, Spanned, UserMessageFormatter};

use super::outline::{Body, Section};
use super::parse::FileError;
use crate::store::Position;

/// Nodes that aliases and merge keys may add to what is written: an alias bomb stops here.
const EXPANSION_LIMIT: usize = 1_000_000;
const DEPTH_LIMIT: usize = 64;

pub(super) fn outline(text: &str) -> Result<Vec<Section>, FileError> {
    let document: Option<Document> = serde_saphyr::from_str_with_options(text, options(text.len()))
        .map_err(|error| {
            let error = error.without_snippet();
            FileError::Syntax {
                at: error.location().and_then(position),
                why: plain(error),
            }
        })?;
    Ok(document.map_or_else(Vec::new, |document| document.0))
}

/// What is written is bounded by the size of the file, so only what multiplies it needs a limit of
/// its own.
fn options(size: usize) -> Options {
    let written = size.saturating_add(1024).saturating_mul(2);
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: written.saturating_add(EXPANSION_LIMIT),
            max_nodes: written.saturating_add(EXPANSION_LIMIT),
            max_total_scalar_bytes: written.saturating_add(64 << 20),
            max_recorded_anchor_events: written.saturating_add(EXPANSION_LIMIT),
            max_depth: DEPTH_LIMIT,
            max_documents: 1,
            // Many routes may share one anchor; the limit on replayed events is the one that
            // counts.
            enforce_alias_anchor_ratio: false,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: EXPANSION_LIMIT,
            max_replay_stack_depth: 32,
        },
        emit_comments: false,
        with_snippet: false,
    }
}

/// The message without its place, which is told apart.
fn plain(error: &Error) -> String {
    match error {
        Error::AliasError { error, .. } => plain(error),
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => format!(
            "too much for one file: it may be nested {DEPTH_LIMIT} levels deep, and aliases and \
             merge keys may add {EXPANSION_LIMIT} nodes"
        ),
        error => {
            let text = error.render_with_formatter(&UserMessageFormatter);
            let text = text.lines().next().unwrap_or_default();
            let place = |place: &str| {
                place
                    .chars()
                    .all(|c| c.is_ascii_digit() || ", column".contains(c))
            };
            match text.rsplit_once(" at line ") {
                Some((what, at)) if place(at) => what.to_owned(),
                _ => text.to_owned(),
            }
        }
    }
}

fn position(location: Location) -> Option<Position> {
    (location != Location::UNKNOWN).then(|| Position {
        line: location.line(),
        column: location.column(),
    })
}

struct Document(Vec<Section>);

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Top;
        impl<'de> Visitor<'de> for Top {
            type Value = Document;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping with sections such as `routes`")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
                let mut sections = Vec::new();
                while let Some(name) = map.next_key::<Spanned<String>>()? {
                    let at = position(name.referenced);
                    let body = map.next_value()?;
                    sections.push(Section {
                        name: name.value,
                        at,
                        body,
                    });
                }
                Ok(Document(sections))
            }
        }
        deserializer.deserialize_map(Top)
    }
}

impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyBody)
    }
}

struct AnyBody;

impl<'de> Visitor<'de> for AnyBody {
    type Value = Body;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Body, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element::<Spanned<Value>>()? {
            items.push((position(item.referenced), item.value));
        }
        Ok(Body::Items(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Body, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Body::Other)
    }

    fn visit_unit<E>(self) -> Result<Body, E> {
        Ok(Body::Empty)
    }

    fn visit_none<E>(self) -> Result<Body, E> {
        Ok(Body::Empty)
    }

    fn visit_str<E>(self, _: &str) -> Result<Body, E> {
        Ok(Body::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Body, E> {
        Ok(Body::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Body, E> {
        Ok(Body::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Body, E> {
        Ok(Body::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Body, E> {
        Ok(Body::Other)
    }
}
