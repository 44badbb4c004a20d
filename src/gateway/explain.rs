//! `crossway explain`: which route a request would take, and why.

use super::{Failure, Parts, open, options, sealed::Sealed};
use crate::{
    cli,
    compile::State,
    settings::{Settings, StoreKind, environment},
    status::explain::{Explanation, Question, explain as judge, print},
    sync,
};
use http::{HeaderName, HeaderValue, Method};

/// Asks the gateway that runs, when its store can only be had through it or `--control` says so; else reads the store.
pub(super) fn explain(parts: Parts, arguments: &cli::Explain) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    let explanation = runtime
        .map_err(Failure::new)?
        .block_on(answer(parts, arguments))?;
    let mut out = std::io::stdout();
    let written = match arguments.json {
        true => print::write_json(&explanation, &mut out),
        false => print::write_text(&explanation, &mut out),
    };
    written.map_err(Failure::new)
}

async fn answer(parts: Parts, arguments: &cli::Explain) -> Result<Explanation, Failure> {
    let mut question = question(arguments)?;
    if let Some(control) = &arguments.control {
        return print::ask(control, &question).await.map_err(Failure::new);
    }
    let settings = Settings::load(arguments.settings.config.as_deref(), environment())
        .map_err(Failure::new)?;
    question.paths = options::of_requests(&settings).target;
    let kind = settings.store.kind();
    if kind != StoreKind::File {
        // A running gateway knows best: its store, and the health of its nodes.
        let control = format!("http://{}", settings.control.listen.0);
        match (print::ask(&control, &question).await, kind) {
            (Ok(explanation), _) => return Ok(explanation),
            (Err(error), StoreKind::Memory) => return Err(Failure::new(error)),
            (Err(error), _) if !settings.data_dir.join("crossway.redb").exists() => {
                let place = settings.data_dir.display();
                return Err(Failure(format!(
                    "there is no store in {place}, and no gateway to ask: {error}"
                )));
            }
            (Err(_), _) => {}
        }
    }
    let state = offline(parts, &settings).await?;
    Ok(judge(&state, &question))
}

/// The state that a gateway with these settings would start with.
async fn offline(parts: Parts, settings: &Settings) -> Result<State, Failure> {
    let registry = prometheus::Registry::new();
    let runtime = tokio::runtime::Handle::current();
    let workshop = open::workshop(parts, settings, registry, runtime, false)?;
    let store = Sealed::over(open::store(settings).await?, &workshop.sealer);
    let contents = store.load().await.map_err(Failure::new)?;
    let mut state = State::new(workshop);
    let revision = contents.revision.0;
    let changes = contents
        .entries
        .into_iter()
        .filter_map(|e| sync::change_of(crate::store::Change::Put(e)));
    for refusal in state.apply(revision, changes.collect()) {
        tracing::warn!(key = %refusal.key, error = %refusal, "a document is refused");
    }
    Ok(state)
}

fn question(arguments: &cli::Explain) -> Result<Question, Failure> {
    let mut question = Question::new(
        arguments.host.clone().unwrap_or_default(),
        arguments.uri.clone(),
    );
    question.method = Method::from_bytes(arguments.method.as_bytes()).map_err(Failure::new)?;
    question.remote = arguments.remote_addr;
    for (name, value) in &arguments.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(Failure::new)?;
        question
            .headers
            .append(name, HeaderValue::from_str(value).map_err(Failure::new)?);
    }
    Ok(question)
}
