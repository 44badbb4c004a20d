//! XML as xml2lua reads it: an element with text only is that text, one with children is an object, repeated ones are a list,
//! attributes stand under `_attr`. Prefixes of namespaces are dropped.

use quick_xml::{
    Reader,
    events::{BytesStart, Event},
};
use serde_json::{Map, Value};

/// How deeply elements may stand in each other.
const DEPTH: usize = 200;

/// An element in the making.
#[derive(Default)]
struct Element {
    name: String,
    attributes: Map<String, Value>,
    texts: Vec<String>,
    children: Map<String, Value>,
}

/// Reads a document.
///
/// # Errors
/// It is not well-formed, or too deep.
pub(super) fn decode(document: &[u8]) -> Result<Value, String> {
    let text = std::str::from_utf8(document).map_err(|_| "it is not UTF-8".to_owned())?;
    let mut reader = Reader::from_str(text);
    let mut open = vec![Element::default()];
    loop {
        match reader.read_event().map_err(|e| e.to_string())? {
            Event::Start(tag) => {
                if open.len() > DEPTH {
                    return Err(format!("more than {DEPTH} elements stand in each other"));
                }
                open.push(element(&tag)?);
            }
            Event::Empty(tag) => {
                let element = element(&tag)?;
                close(&mut open, element);
            }
            Event::End(_) => {
                if let Some(element) = open.pop() {
                    close(&mut open, element);
                }
            }
            Event::Text(text) => push(&mut open, &text),
            Event::CData(data) => push(&mut open, &data),
            Event::GeneralRef(name) => {
                let unknown = || format!("the entity &{}; is unknown", &*name);
                push(&mut open, &entity(&name).ok_or_else(unknown)?);
            }
            Event::Eof => break,
            _ => {}
        }
    }
    match open.pop() {
        Some(root) if open.is_empty() && !root.children.is_empty() => {
            Ok(Value::Object(root.children))
        }
        Some(_) if open.is_empty() => Err("there is no element".to_owned()),
        _ => Err("an element is not closed".to_owned()),
    }
}

fn element(tag: &BytesStart<'_>) -> Result<Element, String> {
    let mut element = Element {
        name: local(tag.name().into_inner()),
        ..Element::default()
    };
    for attribute in tag.attributes() {
        let attribute = attribute.map_err(|e| e.to_string())?;
        let value = quick_xml::escape::unescape(&attribute.value).map_err(|e| e.to_string())?;
        let name = local(attribute.key.into_inner());
        element
            .attributes
            .insert(name, Value::String(value.into_owned()));
    }
    Ok(element)
}

/// The name without its prefix.
fn local(name: &str) -> String {
    name.rsplit_once(':')
        .map_or(name, |(_, local)| local)
        .to_owned()
}

/// Text of the innermost element; only an element between two texts keeps them apart.
fn push(open: &mut [Element], text: &str) {
    if let Some(element) = open.last_mut() {
        match element.texts.last_mut() {
            Some(last) => last.push_str(text),
            None => element.texts.push(text.to_owned()),
        }
    }
}

/// What the element is for its parent.
fn close(open: &mut [Element], element: Element) {
    let Element {
        name,
        attributes,
        texts,
        mut children,
    } = element;
    let texts: Vec<&str> = texts
        .iter()
        .map(|t| t.trim())
        .filter(|t| !t.is_empty())
        .collect();
    let value = match (
        texts.as_slice(),
        children.is_empty() && attributes.is_empty(),
    ) {
        ([], true) => Value::String(String::new()),
        ([text], true) => Value::String((*text).to_owned()),
        (texts, _) => {
            if !attributes.is_empty() {
                children.insert("_attr".to_owned(), Value::Object(attributes));
            }
            for (place, text) in (1..).zip(texts) {
                let place: i32 = place;
                children.insert(place.to_string(), Value::String((*text).to_owned()));
            }
            Value::Object(children)
        }
    };
    let Some(parent) = open.last_mut() else {
        return;
    };
    parent.texts.push(String::new());
    match parent.children.get_mut(&name) {
        None => drop(parent.children.insert(name, value)),
        Some(Value::Array(items)) => items.push(value),
        Some(first) => {
            let before = first.take();
            *first = Value::Array(vec![before, value]);
        }
    }
}

/// The five entities of XML, and characters by their number.
fn entity(name: &str) -> Option<String> {
    let character = |digits: &str, radix| {
        let code = u32::from_str_radix(digits, radix).ok()?;
        char::from_u32(code).map(String::from)
    };
    match name {
        "lt" => Some("<".to_owned()),
        "gt" => Some(">".to_owned()),
        "amp" => Some("&".to_owned()),
        "quot" => Some("\"".to_owned()),
        "apos" => Some("'".to_owned()),
        _ => match name.strip_prefix("#x") {
            Some(digits) => character(digits, 16),
            None => character(name.strip_prefix('#')?, 10),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_document_is_read_as_xml2lua_reads_it() {
        let document = r#"<?xml version="1.0"?>
            <!-- a comment -->
            <s:Envelope xmlns:s="http://x">
              <s:Body>
                <ns2:country><ns2:name> Spain &amp; &#65; </ns2:name><n>46</n></ns2:country>
                <item id="1">a</item><item>b</item><item/>
                <empty/><fault xml:lang="en">oops</fault><![CDATA[ ]]>
                <data><![CDATA[<x>]]></data>
              </s:Body>
            </s:Envelope>"#;
        assert_eq!(
            decode(document.as_bytes()).unwrap(),
            json!({ "Envelope": {
                "_attr": { "s": "http://x" },
                "Body": {
                    "country": { "name": "Spain & A", "n": "46" },
                    "item": [{ "1": "a", "_attr": { "id": "1" } }, "b", ""],
                    "empty": "",
                    "fault": { "1": "oops", "_attr": { "lang": "en" } },
                    "data": "<x>",
                },
            } })
        );
    }

    #[test]
    fn what_is_not_a_document_is_refused() {
        for document in [
            "",
            "text",
            "{\"a\": 1}",
            "<a>",
            "<a></b>",
            "<a",
            "</a>",
            "<a>&nope;</a>",
            "<a b></a>",
            "<a b=1/>",
            "<a>&#xD800;</a>",
        ] {
            assert!(decode(document.as_bytes()).is_err(), "{document}");
        }
        assert!(decode(b"<a>\xff</a>").is_err());
        assert!(decode("<a>".repeat(10_000).as_bytes()).is_err());
        // Entities of one's own, and what they would grow to, are not known.
        let bomb = r#"<!DOCTYPE a [<!ENTITY x "xxxxxxxx"><!ENTITY y "&x;&x;">]><a>&y;</a>"#;
        assert_eq!(
            decode(bomb.as_bytes()).unwrap_err(),
            "the entity &y; is unknown"
        );
    }
}
