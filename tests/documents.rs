//! What the documents show, name and link to is in the tree.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    fs,
    path::{Path, PathBuf},
};

const DOCUMENTS: [&str; 7] = [
    "README.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "benchmarks/README.md",
    "conf/REFERENCE.md",
    "plugins/builtin/README.md",
];

/// What the README shows whole, up to the tests at the end of each file.
const SHOWN: [&str; 3] = [
    "plugins/examples/my-gateway/src/main.rs",
    "plugins/examples/my-gateway/src/tenant_header.rs",
    "plugins/examples/my-gateway/src/first_available.rs",
];

#[test]
fn the_code_in_the_readme_is_that_of_the_example() {
    let readme = read("README.md");
    for file in SHOWN {
        let marker = format!("<!-- {file} -->\n```rust\n");
        let (_, after) = readme.split_once(&marker).expect(file);
        let (shown, _) = after.split_once("```").expect("the end of the block");
        let source = read(file);
        let code = source.split("\n#[cfg(test)]").next().unwrap();
        assert_eq!(shown, code, "README.md shows something else than {file}");
    }
    assert_eq!(
        readme.matches("```rust").count(),
        SHOWN.len(),
        "code that no file is behind"
    );
}

#[test]
fn links_lead_to_files() {
    for document in DOCUMENTS {
        let text = read(document);
        let folder = root().join(document);
        let folder = folder.parent().unwrap();
        for link in text.split("](").skip(1) {
            let target = link.split([')', '#']).next().unwrap();
            if !target.is_empty() && !target.contains("://") {
                assert!(folder.join(target).exists(), "{document} links to {target}");
            }
        }
    }
}

#[test]
fn anchors_lead_to_headings() {
    for document in DOCUMENTS {
        for link in read(document).split("](").skip(1) {
            let link = link.split(')').next().unwrap();
            let Some((target, anchor)) = link.split_once('#') else {
                continue;
            };
            if target.contains("://") {
                continue;
            }
            let target = match target {
                "" => root().join(document),
                path => root().join(document).parent().unwrap().join(path),
            };
            let file = if target.is_dir() {
                target.join("README.md")
            } else {
                target
            };
            let text = fs::read_to_string(&file).unwrap();
            let found = text
                .lines()
                .any(|line| heading(line).is_some_and(|h| h == anchor));
            assert!(found, "{document} links to #{anchor}");
        }
    }
}

/// The anchor that a heading gets.
fn heading(line: &str) -> Option<String> {
    let title = line.strip_prefix('#')?.trim_start_matches('#').trim();
    let kept = title
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    Some(kept.collect::<String>().to_lowercase().replace(' ', "-"))
}

#[test]
fn places_that_are_named_are_there() {
    const TOPS: [&str; 8] = [
        "src/",
        "plugins/",
        "conf/",
        "tests/",
        "fuzz/",
        "benchmarks/",
        "scripts/",
        ".ci/",
    ];
    for document in ["README.md", "ARCHITECTURE.md"] {
        let text = read(document);
        let places = quoted(&text).filter(|place| TOPS.iter().any(|top| place.starts_with(top)));
        for place in places.filter(|place| !place.contains('<')) {
            assert!(root().join(place).exists(), "{document} names {place}");
        }
    }
}

/// A line of a table of promises names files, each followed by tests of it, or says that nothing is promised.
#[test]
fn tests_that_guard_promises_are_there() {
    for (document, least) in [("ARCHITECTURE.md", 20), ("SECURITY.md", 60)] {
        let text = read(document);
        let mut tests = 0;
        for (heading, table) in tables(&text).filter(|(heading, _)| heading.ends_with("| Test |")) {
            for line in table {
                tests += guards(document, line);
            }
            assert!(tests > 0, "{document}: no test below {heading}");
        }
        assert!(tests > least, "{document}: only {tests} tests were found");
    }
}

/// The heading and the lines of each table.
fn tables(text: &str) -> impl Iterator<Item = (&str, Vec<&str>)> {
    let lines: Vec<&str> = text.lines().collect();
    let starts: Vec<usize> = (1..lines.len())
        .filter(|&at| lines[at].starts_with("| ---"))
        .collect();
    starts.into_iter().map(move |at| {
        let rows = lines[at + 1..].iter().copied();
        let rows = rows.take_while(|line| line.starts_with('|')).collect();
        (lines[at - 1], rows)
    })
}

/// How many tests a line names, all of which have to be there.
fn guards(document: &str, line: &str) -> usize {
    let cell = line.trim_end_matches(" |").rsplit(" | ").next().unwrap();
    if cell.starts_with("not promised") {
        return 0;
    }
    let (mut source, mut tests) = (String::new(), 0);
    for name in quoted(cell) {
        if name.ends_with(".rs") {
            source = read(name);
        } else {
            assert!(
                source.contains(&format!("fn {name}(")),
                "{document}: there is no test {name}"
            );
            tests += 1;
        }
    }
    assert!(!source.is_empty(), "{document}: no test guards: {line}");
    tests
}

/// What stands between single backticks, outside blocks of code.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    let prose = text.split("```").step_by(2);
    prose.flat_map(|text| text.split('`').skip(1).step_by(2))
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).expect(file)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}
