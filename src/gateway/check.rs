//! `crossway check`: judges settings and resources without serving.

use super::{Failure, Parts, acme, open, say};
use crate::{
    cli,
    compile::{Change, State},
    model::{Kind, ResourceKey},
    settings::{Settings, StoreKind, environment},
    store::file,
};
use std::{path::Path, str::FromStr};

/// Judges; `Ok` when all is good. Every problem is one line: where it stands, and what is wrong.
pub(super) fn check(parts: Parts, arguments: &cli::Check) -> Result<(), Failure> {
    let settings = Settings::load(arguments.settings.config.as_deref(), environment())
        .map_err(Failure::new)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::new)?;
    let registry = prometheus::Registry::new();
    let workshop = open::workshop(parts, &settings, registry, runtime.handle().clone(), false)?;
    acme::directory(&settings)?;
    let mut out = std::io::stdout();
    say(&mut out, "settings: ok");
    let resources = match (&arguments.resources, settings.store.kind()) {
        (Some(path), _) => Some(from_file(path)?),
        (None, StoreKind::File) => settings.store.file.as_deref().map(from_file).transpose()?,
        (None, _) => None,
    };
    let Some(resources) = resources else {
        return Ok(());
    };
    let count = resources.len();
    let resources = resources.into_iter().map(|((key, content), at)| {
        let opened = content.as_ref();
        let opened = opened.and_then(|content| workshop.sealer.opened(&key, content));
        let content = opened
            .map(|document| document.to_string().into())
            .or(content);
        ((key, content), at)
    });
    let resources: Vec<(Change, String)> = resources.collect();
    let mut state = State::new(workshop);
    let places: Vec<(ResourceKey, String)> = resources
        .iter()
        .map(|(c, at)| (c.0.clone(), at.clone()))
        .collect();
    let mut refusals = state.apply(0, resources.into_iter().map(|(change, _)| change).collect());
    refusals.extend(state.dangling());
    if refusals.is_empty() {
        for (key, at) in &places {
            if let Some(why) = without_effect(key, &settings) {
                let note = format!("{at}: {key}: note: it has no effect, since {why}");
                say(&mut std::io::stderr(), &note);
            }
        }
        say(&mut out, &format!("resources: ok ({count} documents)"));
        return Ok(());
    }
    for refusal in &refusals {
        let at = places
            .iter()
            .find(|(key, _)| *key == refusal.key)
            .map_or("", |(_, at)| at);
        say(
            &mut std::io::stderr(),
            &format!("{at}: {}: {}", refusal.key, refusal.message),
        );
    }
    Err(Failure(format!(
        "{} of {count} documents are refused",
        refusals.len()
    )))
}

/// Why documents of this kind are kept and nothing comes of them.
fn without_effect(key: &ResourceKey, settings: &Settings) -> Option<&'static str> {
    match key.kind {
        Kind::StreamRoute if !settings.stream.enabled() => {
            Some("the settings have no listener for it (stream.tcp, stream.udp)")
        }
        _ => None,
    }
}

/// The documents of a declarative file, and where each stands.
fn from_file(path: &Path) -> Result<Vec<(Change, String)>, Failure> {
    let place = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|e| Failure(format!("{place}: {e}")))?;
    let items = file::parse(&text, file::Format::of(path), &|name| {
        std::env::var(name).ok()
    })
    .map_err(|e| match e.at() {
        Some(at) => Failure(format!("{place}:{}:{}: {e}", at.line, at.column)),
        None => Failure(format!("{place}: {e}")),
    })?;
    let mut changes = Vec::with_capacity(items.len());
    for item in items {
        let at = format!("{place}:{}", item.at.map_or(0, |at| at.line));
        let key =
            ResourceKey::from_str(item.key.as_str()).map_err(|e| Failure(format!("{at}: {e}")))?;
        changes.push(((key, Some(item.value.to_string().into())), at));
    }
    Ok(changes)
}
