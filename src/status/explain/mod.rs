//! What would become of a request, and why: read off the compiled configuration, through the same matcher and the same
//! chains that serve. Nothing is sent and nothing changes. Limits of size (413, 414, 431) are not judged.

mod answer;
mod known;
mod plugins;
pub mod print;
#[cfg(test)]
mod tests;
mod upstream;

pub use super::question::{BadQuestion, Question};
pub use answer::{
    Answer, CandidateReport, ConsumerReport, Explanation, Fate, FilterReport, LeftOut, NodeReport,
    PluginReport, RequestReport, RouteReport, TimeoutReport, UpstreamReport,
};

use crate::{
    compile::State,
    matcher::{self, Candidate, Outcome, Query, Reason, target},
    model::{Kind, ResourceKey},
    proxy,
    snapshot::{Route, Snapshot, Standing, Target},
};
use crossway_sdk::route::Matched;
use known::{Known, Taken};
use std::sync::Arc;

/// So many candidates beside the winner are listed.
const CANDIDATES: usize = 20;

/// Explains what would become of a request.
pub fn explain(state: &State, question: &Question) -> Explanation {
    let snapshot = state.snapshot();
    let mut explanation = about(&snapshot, question);
    let (host, normal) = match admit(question) {
        Ok(admitted) => admitted,
        Err((status, why)) => {
            explanation.answer = Answer::Status { status, why };
            return explanation;
        }
    };
    explanation.request.host = host.to_string();
    explanation.request.path = Some(normal.path.to_string());
    let query = normal.query.and_then(|q| std::str::from_utf8(q).ok());
    let mut known = Known::new(question, &host, &normal.path, query);
    let found = route(state, &snapshot, question, &mut known, &mut explanation);
    let doubts = normal.doubts;
    if !doubts.is_empty()
        && let Err(why) = all_read_alike(&snapshot, question, &host, query, doubts, found.as_ref())
    {
        explanation.answer = Answer::Status { status: 400, why };
        return explanation;
    }
    consumer(&snapshot, question, &mut explanation);
    let configuration = plugins::Configuration {
        state,
        snapshot: &snapshot,
    };
    configuration.global(found.as_deref(), &known, &mut explanation);
    if let Some(found) = found {
        configuration.route(&found, &known, &mut explanation);
        settle(state, &found, &mut explanation);
    }
    explanation.unknown = known.unknown();
    explanation
}

/// An explanation that says nothing yet.
fn about(snapshot: &Snapshot, question: &Question) -> Explanation {
    Explanation {
        revision: snapshot.revision,
        request: RequestReport {
            method: question.method.to_string(),
            host: question.host.clone(),
            uri: question.uri.clone(),
            path: None,
            remote_addr: question.remote,
            scheme: if question.tls { "https" } else { "http" }.to_owned(),
        },
        answer: Answer::Status {
            status: 404,
            why: String::new(),
        },
        route: None,
        candidates: Vec::new(),
        disabled: Vec::new(),
        global_plugins: Vec::new(),
        plugins: Vec::new(),
        left_out: Vec::new(),
        consumer: None,
        upstream: None,
        unknown: Vec::new(),
        notes: Vec::new(),
    }
}

/// The host and the target as routes see them, or the status that the request is refused with and why.
fn admit(question: &Question) -> Result<(Box<str>, target::Normal<'_>), (u16, String)> {
    if proxy::is_refused_method(&question.method) {
        return Err((405, format!("{} is never served", question.method)));
    }
    let host = proxy::host_name(&question.host)
        .ok_or_else(|| (400, format!("{:?} is no host", question.host)))?;
    let normal = target::normalise(question.uri.as_bytes(), question.paths)
        .map_err(|error| (400, error.to_string()))?;
    Ok((host, normal))
}

/// Finds the route that takes the request and puts down what became of all candidates.
fn route<'q>(
    state: &'q State,
    snapshot: &Snapshot,
    question: &Question,
    known: &mut Known<'q>,
    explanation: &mut Explanation,
) -> Option<Arc<Route>> {
    let RequestReport { host, path, .. } = &explanation.request;
    let path = path.as_deref().unwrap_or_default();
    let query = Query {
        host,
        authority: &question.host,
        path,
        method: &question.method,
        remote: question.remote,
        vars: known,
        body_read: false,
    };
    let report = |candidate: Candidate| candidate_report(state, candidate);
    let candidates = snapshot.routes.explain(&query, CANDIDATES);
    let disabled = state.disabled_routes().explain(&query, CANDIDATES);
    let fits = |candidate: &Candidate| !matches!(candidate.fate, matcher::Fate::Lost { .. });
    explanation.candidates = candidates.into_iter().map(report).collect();
    explanation.disabled = disabled
        .into_iter()
        .filter(fits)
        .map(|candidate| CandidateReport {
            fate: Fate::Disabled,
            ..report(candidate)
        })
        .collect();
    let found = match snapshot.routes.find(&query) {
        Outcome::Found(found) => found,
        outcome => {
            explanation.answer = unmatched(matches!(outcome, Outcome::NeedsBody), explanation);
            return None;
        }
    };
    let parameters = found.params(path);
    let parameters: Vec<_> = parameters
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let matched = Matched {
        path: found.path.to_shared(),
        host: found.host.map(|host| host.to_shared()),
    };
    let route = found.value.clone();
    let info = &route.info;
    explanation.route = Some(RouteReport {
        id: info.id.to_string(),
        name: info.name.as_deref().map(str::to_owned),
        service: info.service_id.as_deref().map(str::to_owned),
        service_name: info.service_name.as_deref().map(str::to_owned),
        path: matched.path.to_string(),
        host: matched.host.as_deref().map(str::to_owned),
        parameters: parameters.clone(),
        websocket: route.websocket,
    });
    let Some(info) = state.route(&info.id).map(|route| &*route.info) else {
        return Some(route);
    };
    let consumer = question.consumer.as_deref();
    known.taken(Taken {
        info,
        matched,
        parameters,
        consumer: consumer.and_then(|name| state.consumer(name).map(|entry| &*entry.consumer)),
    });
    Some(route)
}

/// Whether all paths that servers may read in the target have the same route; if not, why the request is refused.
fn all_read_alike(
    snapshot: &Snapshot,
    question: &Question,
    host: &str,
    query: Option<&str>,
    doubts: target::Doubts,
    found: Option<&Arc<Route>>,
) -> Result<(), String> {
    let readings = target::readings(question.uri.as_bytes(), question.paths, doubts);
    for path in readings.map_err(|error| error.to_string())? {
        let known = Known::new(question, host, &path, query);
        let query = Query {
            host,
            authority: &question.host,
            path: &path,
            method: &question.method,
            remote: question.remote,
            vars: &known,
            body_read: false,
        };
        let other = match snapshot.routes.find(&query) {
            Outcome::Found(other) => Some(other.value),
            Outcome::NotFound => None,
            // The gateway would read the body, and then it would be known.
            Outcome::NeedsBody => continue,
        };
        if found.map(Arc::as_ptr) != other.map(Arc::as_ptr) {
            let taken = other.map_or("no route".to_owned(), |other| {
                format!("route {}", other.info.id)
            });
            return Err(format!(
                "a server may read the path as {path:?}, which has {taken}; see the settings `paths`"
            ));
        }
    }
    Ok(())
}

fn unmatched(needs_body: bool, explanation: &Explanation) -> Answer {
    if needs_body {
        let open = explanation.candidates.iter().find(|c| c.fate == Fate::Open);
        let route = open.map_or("", |c| c.route.as_str());
        let why = format!("whether route {route} takes it depends on the request body");
        return Answer::Open { why };
    }
    let why = match explanation.candidates.len() {
        0 => "no route has this host and this path".to_owned(),
        1 => "the only route considered does not fit".to_owned(),
        n => format!("none of the {n} routes considered fits"),
    };
    Answer::Status { status: 404, why }
}

fn candidate_report(state: &State, candidate: Candidate) -> CandidateReport {
    let (fate, reason, detail) = match candidate.fate {
        matcher::Fate::Won => (Fate::Won, None, None),
        matcher::Fate::Shadowed => (Fate::Shadowed, None, None),
        matcher::Fate::Open => (
            Fate::Open,
            None,
            Some("its vars depend on the body".to_owned()),
        ),
        matcher::Fate::Lost { reason, detail } => (Fate::Lost, Some(word(reason)), Some(detail)),
    };
    let route = state.route(&candidate.key);
    CandidateReport {
        route: candidate.key.to_string(),
        name: route.and_then(|r| r.info.name.as_deref().map(str::to_owned)),
        path: candidate.path.to_string(),
        host: candidate.host.as_deref().map(str::to_owned),
        priority: candidate.priority,
        fate,
        reason: reason.map(str::to_owned),
        detail,
    }
}

fn word(reason: Reason) -> &'static str {
    match reason {
        Reason::Method => "method",
        Reason::RemoteAddress => "remote_addr",
        Reason::Host => "host",
        Reason::Path => "path",
        Reason::Condition | Reason::NeedsBody => "vars",
    }
}

fn consumer(snapshot: &Snapshot, question: &Question, explanation: &mut Explanation) {
    let Some(username) = &question.consumer else {
        return;
    };
    let entry = snapshot.consumers.get(username);
    let group = entry.and_then(|e| e.consumer.group_id.as_deref().map(str::to_owned));
    explanation.consumer = Some(ConsumerReport {
        username: username.clone(),
        found: entry.is_some(),
        group,
    });
}

/// A stored document.
fn document(state: &State, kind: Kind, id: &str) -> Option<serde_json::Value> {
    let key = ResourceKey::new(kind, id).ok()?;
    serde_json::from_slice(state.document(&key)?).ok()
}

/// Where the matched route sends the request, or why it is answered here.
fn settle(state: &State, route: &Route, explanation: &mut Explanation) {
    let status = |status, why: &str| Answer::Status {
        status,
        why: why.to_owned(),
    };
    explanation.answer = match (route.standing, &route.target) {
        (Standing::ServiceMissing, _) => {
            status(404, "the service that the route refers to does not exist")
        }
        (Standing::PluginConfigMissing, _) => status(
            503,
            "the plugin config that the route refers to does not exist",
        ),
        (_, Target::Missing) => status(502, "the upstream that is referred to does not exist"),
        (_, Target::None) => status(
            503,
            "no upstream is configured; a plugin may answer or name one",
        ),
        (_, Target::Upstream(upstream)) => {
            let report = upstream::report(state, route, upstream);
            explanation.upstream = Some(report);
            match upstream::refusal(upstream) {
                Some(why) => Answer::Status { status: 503, why },
                None => Answer::Forwarded {
                    why: fits(explanation),
                },
            }
        }
    };
    if route.standing != Standing::Complete {
        let note = "the answer comes before any plugin decides; those of later phases still see it";
        explanation.notes.push(note.to_owned());
    }
}

/// Why the route takes the request.
fn fits(explanation: &Explanation) -> String {
    let Some(route) = &explanation.route else {
        return String::new();
    };
    let host = match &route.host {
        Some(host) => format!("host {host}"),
        None => "any host".to_owned(),
    };
    let before = explanation.candidates.iter();
    let before = before.take_while(|c| c.fate == Fate::Lost).count();
    let rank = match before {
        0 => "it is the first in order".to_owned(),
        1 => "the one before it in order does not fit".to_owned(),
        n => format!("the {n} before it in order do not fit"),
    };
    format!(
        "route {} serves {host} and path {}; {rank}",
        route.id, route.path
    )
}
