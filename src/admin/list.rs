//! GET of the documents of a kind: filters, pages, order.

use axum::http::StatusCode;
use fancy_regex::{Regex, RegexBuilder};
use serde_json::{Value, json};

use super::{Admin, answer::Answer, error::Failure, path::Address, query::Query};
use crate::{
    model::{Id, IdShape, Kind, ResourceKey},
    store::Entry,
};

/// How hard a client's regular expression may try on one document.
const BACKTRACKS: usize = 100_000;
const PAGE_SIZES: std::ops::RangeInclusive<f64> = 10.0..=500.0;
const BAD_PAGE_SIZE: &str = "page_size must be between 10 and 500";

impl Admin {
    /// The documents of an address that a query asks for.
    pub(super) async fn list(&self, address: &Address, query: &Query) -> Result<Answer, Failure> {
        let page = Page::parse(query)?;
        let filter = Filter::parse(address.kind, query)?;
        let contents = self.authority.store().list(&address.prefix()).await?;
        // A kind that lives below another has no place of its own that could be empty.
        if contents.entries.is_empty() && address.kind.owner().is_some() {
            return Err(Failure::no_key());
        }
        let mut found: Vec<(Entry, Value)> = contents
            .entries
            .into_iter()
            .filter(|entry| kind_of(entry) == Some(address.kind))
            .filter_map(document)
            .filter(|(_, document)| filter.takes(document))
            .collect();
        let total = found.len();
        if let Some(page) = page {
            found.sort_by_key(|(entry, _)| entry.created);
            found = found.into_iter().skip(page.skip).take(page.size).collect();
        }
        let list: Vec<Value> = found
            .into_iter()
            .map(|(entry, document)| {
                let document = self.veiled(&entry, document);
                self.item(address.kind, &entry, document)
            })
            .collect();
        let body = json!({"list": list, "total": total});
        Ok(Answer::json(StatusCode::OK, &body))
    }
}

fn kind_of(entry: &Entry) -> Option<Kind> {
    let key: Option<ResourceKey> = entry.key.as_str().parse().ok();
    key.map(|key| key.kind)
}

fn document(entry: Entry) -> Option<(Entry, Value)> {
    match serde_json::from_slice(&entry.value) {
        Ok(document) => Some((entry, document)),
        Err(error) => {
            // Somebody else has written it: nothing here stores what is no JSON.
            tracing::error!(key = %entry.key, %error, "a stored document is not JSON");
            None
        }
    }
}

/// A page of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Page {
    skip: usize,
    size: usize,
}

impl Page {
    /// The page that is asked for; none unless both numbers are there.
    fn parse(query: &Query) -> Result<Option<Self>, Failure> {
        let number = |name: &str| query.get(name)?.trim().parse::<f64>().ok();
        let (Some(page), Some(size)) = (number("page"), number("page_size")) else {
            return Ok(None);
        };
        if !PAGE_SIZES.contains(&size) {
            return Err(Failure::text(StatusCode::BAD_REQUEST, BAD_PAGE_SIZE));
        }
        // Saturating: what is no number becomes 0, and what is beyond any list becomes the largest number.
        let (page, size) = (page.max(1.0) as usize, size as usize);
        let skip = page.saturating_sub(1).saturating_mul(size);
        Ok(Some(Self { skip, size }))
    }
}

/// What documents have to be like. All conditions must hold.
#[derive(Default)]
struct Filter {
    name: Option<Regex>,
    uri: Option<Regex>,
    label: Option<String>,
    fields: Vec<(&'static str, String)>,
}

impl Filter {
    fn parse(kind: Kind, query: &Query) -> Result<Self, Failure> {
        let expression = |name: &str| query.get(name).map(|text| regex(name, text)).transpose();
        let mut filter = Self {
            name: expression("name")?,
            uri: expression("uri")?,
            label: query.get("label").map(str::to_owned),
            fields: Vec::new(),
        };
        let fields = Query::parse(query.get("filter").unwrap_or_default());
        for (name, value) in fields.pairs() {
            match filterable(kind).iter().find(|field| **field == name) {
                Some(field) => filter.fields.push((field, value.to_owned())),
                None => tracing::warn!(field = name, "a list cannot be filtered by this field"),
            }
        }
        Ok(filter)
    }

    fn takes(&self, document: &Value) -> bool {
        let text = |name: &str| document.get(name).and_then(Value::as_str);
        let matches = |regex: &Regex, text: &str| regex.is_match(text).unwrap_or(false);
        let name = self
            .name
            .as_ref()
            .is_none_or(|regex| text("name").is_some_and(|name| matches(regex, name)));
        let uris = || {
            let more = document.get("uris").and_then(Value::as_array);
            let more = more.into_iter().flatten().filter_map(Value::as_str);
            text("uri").into_iter().chain(more)
        };
        let uri = self
            .uri
            .as_ref()
            .is_none_or(|regex| uris().any(|uri| matches(regex, uri)));
        let label = self.label.as_ref().is_none_or(|label| {
            document
                .get("labels")
                .is_some_and(|labels| labels.get(label).is_some())
        });
        let field = |(field, wanted): &(&str, String)| {
            let id = Id::from_value(IdShape::Plain, document.get(*field).unwrap_or(&Value::Null));
            id.is_ok_and(|id| id.as_str() == wanted)
        };
        name && uri && label && self.fields.iter().all(field)
    }
}

fn filterable(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Route | Kind::StreamRoute => &["service_id", "upstream_id"],
        _ => &[],
    }
}

fn regex(name: &str, text: &str) -> Result<Regex, Failure> {
    let built = RegexBuilder::new(text).backtrack_limit(BACKTRACKS).build();
    built.map_err(|error| {
        Failure::bad(format!(
            "invalid argument {name}: not a regular expression: {error}"
        ))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn page(query: &str) -> Option<(usize, usize)> {
        let page = Page::parse(&Query::parse(query)).unwrap();
        page.map(|page| (page.skip, page.size))
    }

    #[test]
    fn a_page_needs_two_numbers() {
        assert_eq!(page("page=2&page_size=10"), Some((10, 10)));
        assert_eq!(page("page=0&page_size=500"), Some((0, 500)));
        assert_eq!(page("page=-7&page_size=10"), Some((0, 10)));
        assert_eq!(page("page=NaN&page_size=10"), Some((0, 10)));
        for query in [
            "",
            "page=1",
            "page_size=10",
            "page=a&page_size=10",
            "page=1&page_size=x",
        ] {
            assert_eq!(page(query), None, "{query}");
        }
        for size in ["9", "501", "0", "-1", "inf", "NaN"] {
            let query = Query::parse(&format!("page=1&page_size={size}"));
            let refused = Answer::from(Page::parse(&query).unwrap_err());
            assert_eq!(
                (refused.status.as_u16(), refused.body.as_str()),
                (400, BAD_PAGE_SIZE)
            );
        }
        assert_eq!(page("page=1e300&page_size=10"), Some((usize::MAX, 10)));
    }

    #[test]
    fn conditions_are_combined() {
        let takes = |query: &str| {
            let document = json!({
                "name": "orders-v1", "uris": ["/a", "/orders/*"], "labels": {"team": "blue"}, "service_id": 7
            });
            Filter::parse(Kind::Route, &Query::parse(query))
                .unwrap()
                .takes(&document)
        };
        for query in [
            "",
            "name=orders",
            "name=v1$",
            "name=(?<!x)orders",
            "uri=^/orders",
            "label=team",
            "filter=service_id%3D7",
            "name=v1&uri=orders&label=team",
            "filter=unknown%3D7",
        ] {
            assert!(takes(query), "{query}");
        }
        for query in [
            "name=^v1",
            "uri=users",
            "label=blue",
            "filter=service_id%3D8",
            "filter=upstream_id%3D7",
            "name=orders&uri=users",
        ] {
            assert!(!takes(query), "{query}");
        }
        assert!(Filter::parse(Kind::Route, &Query::parse("name=(")).is_err());
        let other = Filter::parse(Kind::Service, &Query::parse("filter=service_id%3D8")).unwrap();
        assert!(
            other.fields.is_empty(),
            "only routes are filtered by fields"
        );
    }
}
