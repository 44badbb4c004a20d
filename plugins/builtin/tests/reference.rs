//! What holds for every plugin: its reference page in `docs/` is written from its definition and never out of date, a refusal says
//! where and what, and no request brings it down.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "reference/attributes.rs"]
mod attributes;
#[path = "every/example.rs"]
mod example;
#[path = "every/hostile.rs"]
mod hostile;
#[path = "reference/page.rs"]
mod page;
#[path = "every/refusals.rs"]
mod refusals;
#[path = "every/run.rs"]
mod run;
#[path = "reference/transcript.rs"]
mod transcript;

use crossway_plugins::registry;
use std::{collections::BTreeSet, fs, path::Path};

/// The example on a page is what happened here when it ran.
#[tokio::test]
async fn every_page_is_up_to_date() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let update = std::env::var_os("UPDATE_REFERENCE").is_some();
    if update {
        fs::create_dir_all(&folder).unwrap();
    }
    let mut stale = Vec::new();
    for definition in registry().unwrap().iter() {
        let path = folder.join(format!("{}.md", definition.name));
        let page = page::of(definition, &transcript::of(definition).await);
        if update {
            fs::write(&path, &page).unwrap();
        }
        if fs::read_to_string(&path).ok() != Some(page) {
            stale.push(definition.name);
        }
    }
    assert!(
        stale.is_empty(),
        "run again with UPDATE_REFERENCE=1 and commit docs/: {stale:?}"
    );
}

#[test]
fn there_is_no_page_without_a_plugin() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let pages = fs::read_dir(folder).unwrap();
    let pages: BTreeSet<_> = pages
        .map(|page| page.unwrap().file_name().into_string().unwrap())
        .collect();
    let registry = registry().unwrap();
    let expected = registry
        .iter()
        .map(|definition| format!("{}.md", definition.name));
    assert_eq!(pages, expected.collect());
}

#[test]
fn the_list_of_plugins_names_each_with_its_priority_and_phases() {
    let readme = include_str!("../README.md");
    let registry = registry().unwrap();
    for definition in registry.iter() {
        let row = page::row(definition);
        assert!(
            readme.contains(&row),
            "README.md lacks a line that begins with {row}"
        );
    }
    let rows = readme
        .lines()
        .filter(|line| line.starts_with("| ["))
        .count();
    assert_eq!(
        rows,
        registry.iter().count(),
        "a line of a plugin that is not there"
    );
}

/// An attribute without a doc comment would leave an empty cell.
#[test]
fn every_attribute_is_documented() {
    for definition in registry().unwrap().iter() {
        let schemas = [
            Some(definition.schema()),
            definition.credential_schema(),
            definition.metadata_schema(),
        ];
        for schema in schemas.into_iter().flatten() {
            for attribute in attributes::of(schema) {
                let place = format!("{}: {}", definition.name, attribute.path);
                assert!(!attribute.meaning.is_empty(), "{place} is not documented");
                assert!(!attribute.types.is_empty(), "{place} has no type");
            }
        }
    }
}
