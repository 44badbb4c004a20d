//! What an example looks like on a page: its documents, the request, and what became of it when the test ran it.

use crate::{
    example::{Example, Source},
    run::{self, Outcome, Sent},
};
use crossway_sdk::{
    definition::Definition,
    flow::{Reply, ReplyBody},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};

/// The section of a page.
pub(crate) async fn of(definition: &Definition) -> String {
    let example = Example::of(definition.name);
    // Also where there is no request, the configuration is one that is accepted.
    run::built(definition, &example);
    let mut text = format!("\n## Example\n\n{}\n\n", example.says);
    let name = definition.name;
    text.push_str(&document("", &json!({"plugins": {name: example.config}})));
    if let Some(person) = &example.consumer {
        let mut consumer = json!({"username": person.username});
        if !person.labels.is_empty() {
            consumer["labels"] = json!(person.labels);
        }
        if !person.plugins.is_empty() {
            consumer["plugins"] = json!(person.plugins);
        }
        text.push_str(&document("The consumer:", &consumer));
    }
    if let Some(metadata) = &example.metadata {
        text.push_str(&document(
            &format!("The metadata, `plugin_metadata/{name}`:"),
            metadata,
        ));
    }
    for (key, content) in &example.documents {
        text.push_str(&document(&format!("`{key}`:"), content));
    }
    if let (Some(lines), Some(raw)) = (&example.request, example.raw()) {
        let head = lines.join("\n");
        text.push_str(&message(
            "A request:",
            &head,
            example.body.as_deref().unwrap_or_default(),
        ));
        let mut outcome = ran(definition, &example, &raw).await;
        blur(&mut outcome, &ran(definition, &example, &raw).await);
        text.push_str(&became(&example, &outcome));
    }
    text
}

async fn ran(definition: &Definition, example: &Example, raw: &[u8]) -> Outcome {
    let plugin = run::built(definition, example);
    let outcome = run::run(definition, example, &*plugin, raw).await;
    outcome.unwrap().unwrap()
}

/// What is another value each time is not shown.
fn blur(outcome: &mut Outcome, again: &Outcome) {
    let (Some((_, headers, _)), Some((_, others, _))) = (&mut outcome.response, &again.response)
    else {
        return;
    };
    for (name, value) in headers.iter_mut() {
        if others.get(name) != Some(value) {
            *value = HeaderValue::from_static("...");
        }
    }
}

fn became(example: &Example, outcome: &Outcome) -> String {
    if let (Some(reply), Some((_, headers, _))) = (&outcome.answer, &outcome.response) {
        return answer(reply, headers);
    }
    let mut text = String::new();
    let gateways = example
        .response
        .as_ref()
        .is_some_and(|r| r.source == Source::Gateway);
    if let (Some(sent), false) = (&outcome.sent, gateways) {
        let same = example.raw().is_some_and(|raw| same(&raw, sent));
        text.push_str(&upstream(sent, same));
    }
    if let (Some((status, headers, body)), Some(before)) = (&outcome.response, &example.response) {
        let mut lines = vec![status_line(before.status)];
        lines.extend(before.headers.iter().map(|(n, v)| format!("{n}: {v}")));
        let old = before.body.as_deref().unwrap_or_default();
        let title = match gateways {
            true => "An answer of the gateway itself:",
            false => "A response:",
        };
        text.push_str(&message(title, &lines.join("\n"), old));
        let head = head(status_line(*status), headers);
        text.push_str(&message(
            "What the client gets of it:",
            &head,
            &readable(body),
        ));
    }
    text
}

/// Whether the request goes on as it came.
fn same(raw: &[u8], sent: &Sent) -> bool {
    let raw = String::from_utf8_lossy(raw);
    let lines = raw
        .split("\r\n")
        .skip(1)
        .take_while(|line| !line.is_empty());
    let mut came: Vec<String> = lines.map(str::to_ascii_lowercase).collect();
    let sent_on = sent.headers.iter().map(|(n, v)| line(n, v));
    let mut sent_on: Vec<String> = sent_on.map(|line| line.to_ascii_lowercase()).collect();
    came.sort();
    sent_on.sort();
    raw.starts_with(&format!("{} ", sent.line))
        && sent.body.is_none()
        && sent.consumer.is_none()
        && came == sent_on
}

fn upstream(sent: &Sent, same: bool) -> String {
    if same {
        return "The upstream gets it as it came.\n\n".to_owned();
    }
    let title = match &sent.consumer {
        Some(consumer) => format!("The consumer is `{consumer}`, and the upstream gets:"),
        None => "What the upstream gets:".to_owned(),
    };
    let body = sent.body.as_deref().map(readable).unwrap_or_default();
    let mut headers = sent.headers.clone();
    if let (Some(length), Some(body)) = (headers.get_mut("content-length"), &sent.body) {
        // As the gateway frames it.
        *length = body.len().into();
    }
    let head = head(format!("{} HTTP/1.1", sent.line), &headers);
    message(&title, &head, &body)
}

fn answer(reply: &Reply, headers: &HeaderMap) -> String {
    let (body, page) = match &reply.body {
        ReplyBody::Bytes(body) => (readable(body), false),
        ReplyBody::Default => (String::new(), reply.status.as_u16() >= 400),
    };
    let title = match page {
        true => "The gateway answers, with the page of that status:",
        false => "The gateway answers:",
    };
    message(
        title,
        &head(status_line(reply.status.as_u16()), headers),
        &body,
    )
}

fn status_line(status: u16) -> String {
    let reason = StatusCode::from_u16(status)
        .ok()
        .and_then(|s| s.canonical_reason());
    format!("HTTP/1.1 {status} {}", reason.unwrap_or_default())
}

fn head(first: String, headers: &HeaderMap) -> String {
    let mut lines: Vec<String> = headers.iter().map(|(n, v)| line(n, v)).collect();
    lines.sort();
    lines.insert(0, first);
    lines.join("\n")
}

fn line(name: &HeaderName, value: &HeaderValue) -> String {
    format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))
}

fn readable(body: impl AsRef<[u8]>) -> String {
    match std::str::from_utf8(body.as_ref()) {
        Ok(text) if !text.contains(|c: char| c.is_control() && c != '\n' && c != '\r') => {
            text.trim_end().to_owned()
        }
        _ => format!("({} bytes)", body.as_ref().len()),
    }
}

fn document(title: &str, document: &Value) -> String {
    let text = serde_json::to_string_pretty(document).unwrap();
    let title = if title.is_empty() {
        String::new()
    } else {
        format!("{title}\n\n")
    };
    format!("{title}```json\n{text}\n```\n\n")
}

fn message(title: &str, head: &str, body: &str) -> String {
    let body = if body.is_empty() {
        String::new()
    } else {
        format!("\n\n{body}")
    };
    format!("{title}\n\n```http\n{head}{body}\n```\n\n")
}
