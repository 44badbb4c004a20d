//! `crossway explain`: an explanation for readers, and how to ask a gateway that runs.

use super::{
    Answer, CandidateReport, Explanation, Fate, LeftOut, PluginReport, Question, UpstreamReport,
};
use http::Uri;
use std::{
    io::{self, Write},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// How long a gateway may take to answer; [`AskError::Late`] names it.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of an answer, above which it is none of a gateway's.
const MAX_ANSWER: u64 = 64 << 20;

/// Writes an explanation as JSON.
///
/// # Errors
/// `out` does not take it.
pub fn write_json(explanation: &Explanation, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, explanation)?;
    writeln!(out)
}

/// Writes an explanation as text.
///
/// # Errors
/// `out` does not take it.
pub fn write_text(explanation: &Explanation, out: &mut dyn Write) -> io::Result<()> {
    let request = &explanation.request;
    writeln!(
        out,
        "{} {}://{}{} from {}, revision {}",
        request.method,
        request.scheme,
        request.host,
        request.uri,
        request.remote_addr,
        explanation.revision
    )?;
    if let Some(path) = request.path.as_ref().filter(|path| **path != request.uri) {
        writeln!(out, "  path   {path}")?;
    }
    match &explanation.answer {
        Answer::Forwarded { why } => writeln!(out, "  goes to the upstream: {why}")?,
        Answer::Status { status, why } => writeln!(out, "  answered with {status}: {why}")?,
        Answer::Open { why } => writeln!(out, "  open: {why}")?,
    }
    if let Some(route) = &explanation.route {
        let name = quoted(route.name.as_deref());
        writeln!(out, "\nRoute {}{name}", route.id)?;
        if let Some(service) = &route.service {
            let name = quoted(route.service_name.as_deref());
            writeln!(out, "  service {service}{name}")?;
        }
        for (name, value) in &route.parameters {
            writeln!(out, "  uri_param_{name} = {value}")?;
        }
    }
    if let Some(upstream) = &explanation.upstream {
        write_upstream(upstream, out)?;
    }
    write_plugins("Plugins of global rules", &explanation.global_plugins, out)?;
    write_plugins("Plugins", &explanation.plugins, out)?;
    write_left_out(&explanation.left_out, out)?;
    let tried = "Routes considered, in the order tried";
    write_candidates(tried, &explanation.candidates, out)?;
    write_candidates("Switched off", &explanation.disabled, out)?;
    if !explanation.unknown.is_empty() {
        let names = explanation.unknown.join(", ");
        writeln!(out, "\nNot known here and taken as absent: {names}")?;
    }
    for note in &explanation.notes {
        writeln!(out, "\nNote: {note}")?;
    }
    Ok(())
}

fn quoted(name: Option<&str>) -> String {
    name.map(|name| format!(" {name:?}")).unwrap_or_default()
}

fn write_upstream(upstream: &UpstreamReport, out: &mut dyn Write) -> io::Result<()> {
    let name = Some(upstream.name.as_str()).filter(|name| *name != upstream.key);
    writeln!(
        out,
        "\nUpstream {}{}, named by {}",
        upstream.key,
        quoted(name),
        upstream.named_by
    )?;
    writeln!(
        out,
        "  {} by {}, host {}, at most {} attempts, timeouts {}/{}/{} s",
        upstream.scheme,
        upstream.balance,
        upstream.pass_host,
        upstream.attempts,
        upstream.timeouts.connect,
        upstream.timeouts.send,
        upstream.timeouts.read
    )?;
    for node in &upstream.nodes {
        let addresses: Vec<_> = node.addresses.iter().map(ToString::to_string).collect();
        let at = match addresses.as_slice() {
            [] => " (no address)".to_owned(),
            [only] if *only == node.host => String::new(),
            some => format!(" ({})", some.join(", ")),
        };
        let health = node.health.as_deref().unwrap_or("not checked");
        writeln!(
            out,
            "  {}:{}{at}  weight {}  priority {}  {health}",
            node.host, node.port, node.weight, node.priority
        )?;
    }
    for note in &upstream.notes {
        writeln!(out, "  {note}")?;
    }
    Ok(())
}

fn write_plugins(title: &str, plugins: &[PluginReport], out: &mut dyn Write) -> io::Result<()> {
    if plugins.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{title}, in running order")?;
    for plugin in plugins {
        writeln!(
            out,
            "  {:>6}  {}  of {}  [{}]",
            plugin.priority,
            plugin.name,
            plugin.origin,
            plugin.phases.join(" ")
        )?;
        if let Some(filter) = &plugin.filter {
            let runs = match filter.runs {
                Some(true) => "runs",
                Some(false) => "does not run",
                None => "depends on the body",
            };
            writeln!(out, "          {runs}: filter {}", filter.expression)?;
            if let Some(why) = &filter.why {
                writeln!(out, "          {why}")?;
            }
        }
        for note in &plugin.notes {
            writeln!(out, "          {note}")?;
        }
    }
    Ok(())
}

fn write_left_out(left_out: &[LeftOut], out: &mut dyn Write) -> io::Result<()> {
    if !left_out.is_empty() {
        writeln!(out, "\nConfigured and not run")?;
    }
    for one in left_out {
        writeln!(out, "  {} of {}: {}", one.name, one.origin, one.why)?;
    }
    Ok(())
}

fn write_candidates(
    title: &str,
    candidates: &[CandidateReport],
    out: &mut dyn Write,
) -> io::Result<()> {
    if !candidates.is_empty() {
        writeln!(out, "\n{title}")?;
    }
    for one in candidates {
        let fate = match one.fate {
            Fate::Won => "takes it",
            Fate::Lost => "no",
            Fate::Open => "open",
            Fate::Shadowed => "too late",
            Fate::Disabled => "would fit",
        };
        let detail = one.detail.as_deref().map(|d| format!(": {d}"));
        writeln!(
            out,
            "  {fate:<9}  route {}{}  {}{}  priority {}{}",
            one.route,
            quoted(one.name.as_deref()),
            one.host.as_deref().unwrap_or("any host "),
            one.path,
            one.priority,
            detail.unwrap_or_default()
        )?;
    }
    Ok(())
}

/// A gateway did not explain.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Not where a control API is.
    #[error("{0:?} is no address of a control API; expected http://127.0.0.1:9090")]
    Address(String),
    /// Nobody there, or it broke off.
    #[error("the gateway at {0} does not answer: {1}")]
    Unreachable(String, io::Error),
    /// No answer in time.
    #[error("the gateway at {0} does not answer within 30 seconds")]
    Late(String),
    /// It refused the question.
    #[error("the gateway answered {0}: {1}")]
    Refused(u16, String),
    /// Something else answered.
    #[error("what answered at {0} is no control API: {1}")]
    Unexpected(String, String),
}

/// Asks the gateway whose control API is at `control` (`http://127.0.0.1:9090`).
///
/// # Errors
/// [`AskError`]
pub async fn ask(control: &str, question: &Question) -> Result<Explanation, AskError> {
    let target = format!("/v1/explain?{}", question.to_query());
    let (at, status, body) = get(control, &target).await?;
    let unexpected = |why: String| AskError::Unexpected(at.clone(), why);
    if status == 200 {
        return serde_json::from_slice(&body).map_err(|error| unexpected(error.to_string()));
    }
    let refusal = serde_json::from_slice::<serde_json::Value>(&body).unwrap_or_default();
    match refusal.get("error_msg").and_then(|text| text.as_str()) {
        Some(text) => Err(AskError::Refused(status, text.to_owned())),
        None => Err(unexpected(format!("status {status}"))),
    }
}

/// Asks the gateway whose control API is at `control` whether it takes requests.
///
/// # Errors
/// [`AskError`]; it is [`AskError::Refused`], with the reason, when the gateway says no.
pub async fn ask_ready(control: &str) -> Result<(), AskError> {
    let (at, status, body) = get(control, "/status/ready").await?;
    if status == 200 {
        return Ok(());
    }
    let answer = serde_json::from_slice::<serde_json::Value>(&body).unwrap_or_default();
    match answer.get("error").and_then(|text| text.as_str()) {
        Some(text) => Err(AskError::Refused(status, text.to_owned())),
        None => Err(AskError::Unexpected(at, format!("status {status}"))),
    }
}

/// The address that was asked, the status and the body.
async fn get(control: &str, target: &str) -> Result<(String, u16, Vec<u8>), AskError> {
    let bad = || AskError::Address(control.to_owned());
    let uri: Uri = control.parse().map_err(|_| bad())?;
    let plain = uri.scheme_str().is_none_or(|scheme| scheme == "http");
    let host = uri.host().filter(|_| plain).ok_or_else(bad)?;
    let at = format!("{host}:{}", uri.port_u16().unwrap_or(9090));
    let answer = timeout(PATIENCE, exchange(&at, target)).await;
    let answer = answer
        .map_err(|_| AskError::Late(at.clone()))?
        .map_err(|error| AskError::Unreachable(at.clone(), error))?;
    match read(&answer) {
        Some((status, body)) => Ok((at, status, body.to_vec())),
        None => Err(AskError::Unexpected(
            at,
            "its answer is not HTTP".to_owned(),
        )),
    }
}

/// One request over a connection of its own. HTTP/1.0: the answer ends with the connection and comes in one piece.
async fn exchange(at: &str, target: &str) -> io::Result<Vec<u8>> {
    let mut connection = TcpStream::connect(at).await?;
    let head = format!("GET {target} HTTP/1.0\r\nHost: {at}\r\nAccept: application/json\r\n\r\n");
    connection.write_all(head.as_bytes()).await?;
    let mut answer = Vec::new();
    connection.take(MAX_ANSWER).read_to_end(&mut answer).await?;
    Ok(answer)
}

/// The status and the body.
fn read(answer: &[u8]) -> Option<(u16, &[u8])> {
    const END: &[u8] = b"\r\n\r\n";
    let end = memchr::memmem::find(answer, END)?;
    let (head, rest) = answer.split_at_checked(end)?;
    let line = std::str::from_utf8(head).ok()?.lines().next()?;
    let mut words = line.split(' ');
    let http = words.next()?.starts_with("HTTP/1.");
    let status = words.next()?.parse().ok()?;
    http.then_some((status, rest.strip_prefix(END)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_its_status_and_what_follows_the_empty_line() {
        let answer = b"HTTP/1.0 400 Bad Request\r\na: b\r\n\r\n{\r\n\r\n}";
        assert_eq!(read(answer), Some((400, &b"{\r\n\r\n}"[..])));
        for bad in [
            &b""[..],
            b"HTTP/1.0 200 OK\r\n",
            b"SSH-2.0\r\n\r\n",
            b"HTTP/1.0 x\r\n\r\n",
        ] {
            assert_eq!(read(bad), None);
        }
    }

    #[tokio::test]
    async fn what_is_no_address_of_a_control_api_is_refused() {
        for bad in ["", "https://127.0.0.1:9090", "/v1", "http://"] {
            let error = ask(bad, &Question::new("a", "/")).await.unwrap_err();
            assert!(matches!(error, AskError::Address(_)), "{bad}: {error}");
        }
    }
}
