//! The floors of the house: a room of `src/` imports from lower floors and from itself, and from
//! nothing else. Plugins depend on the SDK, never on the gateway.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::string_slice)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Which room is on which floor. A new room gets its place here before it gets its first import.
const FLOORS: &[(u8, &[&str])] = &[
    (0, &["model", "settings"]),
    (
        1,
        &[
            "store", "matcher", "upstream", "tls", "secret", "observe", "listener",
        ],
    ),
    (2, &["chain", "snapshot"]),
    (3, &["compile", "proxy", "stream"]),
    (4, &["sync", "acme", "release"]),
    (5, &["admin", "kong", "console", "status", "cli"]),
    // Puts the rooms together, for `main.rs` and for custom binaries.
    (6, &["gateway"]),
];

/// `(room, imports, because)`: neighbours that may know each other.
const NEIGHBOURS: &[(&str, &str, &str)] = &[(
    "snapshot",
    "chain",
    "a snapshot holds the compiled chains; a chain knows of no snapshot",
)];

/// Files of the crate root: they put the rooms together and may know all of them.
const ROOT: &[&str] = &["lib", "main"];

#[test]
fn rooms_import_only_from_lower_floors() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut breaches = Vec::new();
    for file in rust_files(&src) {
        let place = Place::of(&src, &file);
        if ROOT.contains(&place.room.as_str()) {
            continue;
        }
        let source = fs::read_to_string(&file).unwrap();
        for import in imports(&source, &place, &src) {
            if let Some(why) = breach(&place.room, &import) {
                breaches.push(format!(
                    "{}: {why}",
                    file.strip_prefix(&src).unwrap().display()
                ));
            }
        }
    }
    assert!(
        breaches.is_empty(),
        "{} breaches:\n{}",
        breaches.len(),
        breaches.join("\n")
    );
}

#[test]
fn every_room_has_a_floor() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let rooms: BTreeSet<String> = rust_files(&src)
        .iter()
        .map(|file| Place::of(&src, file).room)
        .collect();
    let homeless: Vec<&String> = rooms
        .iter()
        .filter(|r| !ROOT.contains(&r.as_str()) && floor(r).is_none())
        .collect();
    assert!(homeless.is_empty(), "not listed in FLOORS: {homeless:?}");
}

#[test]
fn plugins_do_not_depend_on_the_gateway() {
    for manifest in ["plugins/sdk/Cargo.toml", "plugins/builtin/Cargo.toml"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(manifest);
        let text = fs::read_to_string(path).unwrap();
        assert!(
            !depends_on_gateway(&text),
            "{manifest} depends on the crate `crossway`"
        );
    }
}

#[test]
fn a_breach_is_found_in_whatever_spelling() {
    let place = Place {
        room: "proxy".to_owned(),
        depth: 2,
    };
    let src = Path::new("/nonexistent");
    let found = |source: &str| imports(source, &place, src);
    assert_eq!(found("use crate::sync::Authority;"), ["sync"]);
    assert_eq!(
        found("use crate::{snapshot::Current, sync::{a, b}};"),
        ["snapshot", "sync"]
    );
    assert_eq!(found("fn f(x: crate::admin::Key) {}"), ["admin"]);
    assert_eq!(found("use super::super::admin::Key;"), ["admin"]);
    assert_eq!(found("use super::retry::Budget;"), Vec::<String>::new());
    assert_eq!(
        found("// see crate::sync\n/// [`crate::sync`]"),
        Vec::<String>::new()
    );

    assert!(breach("proxy", "sync").is_some(), "a higher floor");
    assert!(breach("proxy", "compile").is_some(), "the same floor");
    assert!(
        breach("chain", "snapshot").is_some(),
        "an exception has one direction"
    );
    assert!(breach("store", "Gateway").is_some(), "the crate root");
    assert!(breach("snapshot", "chain").is_none());
    assert!(breach("proxy", "snapshot").is_none());
    assert!(breach("proxy", "proxy").is_none());

    assert!(depends_on_gateway(
        "[dependencies]\ncrossway.workspace = true"
    ));
    assert!(depends_on_gateway(
        "[dependencies]\ngate = { package = \"crossway\" }"
    ));
    assert!(!depends_on_gateway(
        "[dependencies]\ncrossway-sdk.workspace = true"
    ));
}

/// Where a file stands: its room, and how many `super`s lead from it to the crate root.
struct Place {
    room: String,
    depth: usize,
}

impl Place {
    fn of(src: &Path, file: &Path) -> Self {
        let inside = file.strip_prefix(src).unwrap().with_extension("");
        let mut parts: Vec<String> = inside
            .iter()
            .map(|part| part.to_string_lossy().into_owned())
            .collect();
        if parts.last().is_some_and(|last| last == "mod") {
            parts.pop();
        }
        Self {
            room: parts.first().unwrap().clone(),
            depth: parts.len(),
        }
    }
}

fn floor(room: &str) -> Option<u8> {
    FLOORS
        .iter()
        .find(|(_, rooms)| rooms.contains(&room))
        .map(|(floor, _)| *floor)
}

fn breach(room: &str, import: &str) -> Option<String> {
    if room == import
        || NEIGHBOURS
            .iter()
            .any(|(from, to, _)| *from == room && *to == import)
    {
        return None;
    }
    match (floor(room), floor(import)) {
        (None, _) => None, // named by `every_room_has_a_floor`
        (Some(_), None) => Some(format!("`{room}` imports `{import}` from the crate root")),
        (Some(mine), Some(its)) if its >= mine => Some(format!(
            "`{room}` (floor {mine}) imports `{import}` (floor {its})"
        )),
        _ => None,
    }
}

/// What follows `crate::`, or as many `super::` as lead to the crate root, outside comments.
fn imports(source: &str, place: &Place, src: &Path) -> Vec<String> {
    let code: Vec<&str> = source
        .lines()
        .map(|l| l.split("//").next().unwrap_or(""))
        .collect();
    let code = code.join("\n");
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let part_of_a_name = code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        if !part_of_a_name {
            found.extend(first_names(&code[at + "crate::".len()..]));
        }
    }
    for (at, _) in code.match_indices("super::") {
        if code[..at].ends_with("super::") {
            continue;
        }
        let mut rest = &code[at..];
        let mut steps = 0;
        while let Some(after) = rest.strip_prefix("super::") {
            rest = after;
            steps += 1;
        }
        // An inline `mod tests` is one step deeper than its file, so `super::name` there may mean
        // a part of the room that happens to be called like another room.
        let is_part = |name: &str| {
            let folder = src.join(&place.room);
            folder.join(name).is_dir() || folder.join(format!("{name}.rs")).is_file()
        };
        if steps >= place.depth {
            let names = first_names(rest);
            found.extend(
                names
                    .into_iter()
                    .filter(|n| floor(n).is_some() && !is_part(n)),
            );
        }
    }
    found
}

/// The first name of a path, or of each path of a `{…}` group.
fn first_names(path: &str) -> Vec<String> {
    let Some(group) = path.trim_start().strip_prefix('{') else {
        return name(path).into_iter().collect();
    };
    let mut names = Vec::new();
    let mut depth = 0;
    let mut start = 0;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                names.extend(name(&group[start..at]));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    names
}

fn name(path: &str) -> Option<String> {
    let name: String = path
        .trim_start()
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect();
    (!name.is_empty()).then_some(name)
}

fn depends_on_gateway(manifest: &str) -> bool {
    manifest.lines().map(str::trim).any(|line| {
        let key = line
            .split(['=', '.'])
            .next()
            .unwrap_or("")
            .trim()
            .trim_matches('"');
        key == "crossway"
            || line.replace(' ', "").contains("package=\"crossway\"")
            || line == "[dependencies.crossway]"
    })
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}
