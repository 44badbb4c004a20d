//! The declarative file: what it may contain, what is refused and where, and how changes of it are
//! followed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::string_slice)]

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Instant;

use futures::StreamExt;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::timeout;

use super::*;
use crate::store::{Change, Position};

fn none(_: &str) -> Option<String> {
    None
}

fn yaml(text: &str) -> Result<Vec<Item>, FileError> {
    parse(text, Format::Yaml, &none)
}

fn json_text(text: &str) -> Result<Vec<Item>, FileError> {
    parse(text, Format::Json, &none)
}

fn at(line: u64, column: u64) -> Option<Position> {
    Some(Position { line, column })
}

fn listing(items: &[Item]) -> Vec<(&str, Value, u64)> {
    items
        .iter()
        .map(|item| {
            (
                item.key.as_str(),
                item.value.clone(),
                item.at.map_or(0, |at| at.line),
            )
        })
        .collect()
}

const EVERYTHING: &str = "\
# a comment
routes:
  - id: 1
    uri: /hello
    methods: [GET, POST]
  - uri: /second
services:
upstreams: []
consumers:
  - username: jack
  - id: jack/credentials/a
    plugins: {key-auth: {key: secret}}
secrets:
  - id: vault/1
    uri: http://127.0.0.1
plugin_metadata:
  - id: http-logger
    log_format: {host: $host}
plugins:
  - name: key-auth
  - name: mqtt-proxy
    stream: true
routes_conf_version: 12
#END
routes: this is not read {{{
";

#[test]
fn yaml_becomes_documents_with_their_places() {
    let items = yaml(EVERYTHING).unwrap();
    let expected = [
        (
            "routes/1",
            json!({"id": "1", "uri": "/hello", "methods": ["GET", "POST"]}),
            3,
        ),
        ("routes/arr_2", json!({"id": "arr_2", "uri": "/second"}), 6),
        ("consumers/jack", json!({"username": "jack"}), 10),
        (
            "consumers/jack/credentials/a",
            json!({"id": "a", "plugins": {"key-auth": {"key": "secret"}}}),
            11,
        ),
        (
            "secrets/vault/1",
            json!({"id": "1", "uri": "http://127.0.0.1"}),
            14,
        ),
        (
            "plugin_metadata/http-logger",
            json!({"log_format": {"host": "$host"}}),
            17,
        ),
        (
            "plugins",
            json!([{"name": "key-auth"}, {"name": "mqtt-proxy", "stream": true}]),
            19,
        ),
    ];
    assert_eq!(listing(&items), expected);
    assert_eq!(items[0].at, at(3, 5));
}

#[test]
fn json_becomes_documents_with_their_places() {
    let text = "{\n  \"routes\": [\n    {\"id\": 7, \"uri\": \"/\\ud83d\\ude00\"},\n    {\"id\": \"b\"}\n  ],\n  \"services\": null\n}";
    let items = json_text(text).unwrap();
    let expected = [
        ("routes/7", json!({"id": "7", "uri": "/😀"}), 3),
        ("routes/b", json!({"id": "b"}), 4),
    ];
    assert_eq!(listing(&items), expected);
    assert_eq!(items[1].at, at(4, 5));
}

#[test]
fn an_empty_file_has_no_documents() {
    for text in ["", "#END\n", "# nothing yet\n", "routes:\n"] {
        assert_eq!(yaml(text).unwrap(), [], "{text:?}");
    }
    assert_eq!(json_text("{}").unwrap(), []);
}

#[test]
fn anchors_and_merge_keys_work() {
    let text = "\
x-limits: &limits
  count: 2
  time_window: 60
routes:
  - id: 1
    plugins:
      limit-count:
        <<: *limits
        count: 5
  - id: 2
    plugins:
      limit-count: *limits
";
    let items = yaml(text).unwrap();
    assert_eq!(
        items[0].value["plugins"]["limit-count"],
        json!({"count": 5, "time_window": 60})
    );
    assert_eq!(
        items[1].value["plugins"]["limit-count"],
        json!({"count": 2, "time_window": 60})
    );
}

#[test]
fn scalars_and_keys_become_json() {
    let text = "\
routes:
  - id: x
    keys: {503: a, 1.5: b, true: c, 'q': d}
    numbers: [1, -2, 0.5, 1e3, 18446744073709551615]
    words: ['1', 127.0.0.1, 10:30, 2024-01-01, a b]
    switches: [true, False, yes, off]
    nothing: [~, null, '']
    text: |
      two
      lines
";
    let expected = json!({
        "id": "x",
        "keys": {"503": "a", "1.5": "b", "true": "c", "q": "d"},
        "numbers": [1, -2, 0.5, 1000.0, 18446744073709551615_u64],
        "words": ["1", "127.0.0.1", "10:30", "2024-01-01", "a b"],
        "switches": [true, false, true, false],
        "nothing": [null, null, ""],
        "text": "two\nlines\n",
    });
    assert_eq!(yaml(text).unwrap()[0].value, expected);
}

#[test]
fn one_anchor_may_serve_a_thousand_routes() {
    let mut text = "x-plugins: &plugins {key-auth: {}}\nroutes:\n".to_owned();
    for n in 0..1000 {
        text += &format!("  - {{id: {n}, plugins: *plugins}}\n");
    }
    let items = yaml(&text).unwrap();
    assert_eq!(items.len(), 1000);
    assert_eq!(items[999].value["plugins"], json!({"key-auth": {}}));
}

#[test]
fn an_alias_bomb_and_a_pit_are_refused() {
    let mut text = "x-a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
    for n in 1..12 {
        let before = format!("*a{}", n - 1);
        text += &format!("x-a{n}: &a{n} [{}]\n", [before.as_str(); 9].join(", "));
    }
    text += "routes:\n  - id: 1\n    bomb: *a11\n";
    let error = yaml(&text).unwrap_err();
    assert!(matches!(error, FileError::Syntax { .. }), "{error:?}");
    assert!(
        error.to_string().contains("aliases and merge keys"),
        "{error}"
    );
    assert!(
        yaml(&format!(
            "routes: {}1{}\n",
            "[".repeat(200),
            "]".repeat(200)
        ))
        .is_err()
    );
}

#[test]
fn a_large_file_is_within_the_limits() {
    let mut text = "routes:\n".to_owned();
    for n in 0..20_000 {
        text += &format!(
            "- {{id: {n}, uri: /r/{n}, methods: [GET, PUT], hosts: [a.b, c.d], upstream: {{nodes: {{'a:1': 1}}}}}}\n"
        );
    }
    assert_eq!(yaml(&text).unwrap().len(), 20_000);
}

#[test]
fn variables_are_replaced_in_values_and_ids() {
    let environment = |name: &str| (name == "PORT").then(|| "8080".to_owned());
    let text =
        "upstreams:\n  - id: u-${{PORT}}\n    port: ${{PORT}}\n    host: ${{HOST:=127.0.0.1}}\n";
    let items = parse(text, Format::Yaml, &environment).unwrap();
    let expected = json!({"id": "u-8080", "port": 8080, "host": "127.0.0.1"});
    assert_eq!(listing(&items), [("upstreams/u-8080", expected, 2)]);
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let cases: [(&str, u64, &str); 14] = [
        ("routes:\n  - id: 1\n    uri: [a\n", 3, "unclosed bracket"),
        ("routes:\n  - id: 1\n   uri: /x\n", 3, ""),
        ("routes:\n  - id: 1\n    id: 2\n", 3, "uplicate"),
        (
            "routes: []\nroute:\n  - id: 1\n",
            2,
            "unknown section \"route\"",
        ),
        ("routes:\n  id: 1\n", 1, "routes: expected a list"),
        (
            "routes:\n  - id: 1\n  - text\n",
            3,
            "routes[1]: expected a mapping",
        ),
        (
            "routes:\n  - id: 1.5\n",
            2,
            "must be a string or an integer",
        ),
        ("routes:\n  - id: a/b\n", 2, "must not contain a slash"),
        ("routes:\n  - id: ''\n", 2, "empty segment"),
        ("consumers:\n  - plugins: {}\n", 2, "expected a username"),
        (
            "consumers:\n  - id: jack/credential/a\n",
            2,
            "<username>/credentials/<id>",
        ),
        ("secrets:\n  - id: 1\n", 2, "<manager>/<id>"),
        ("plugin_metadata:\n  - log_format: {}\n", 2, "plugin's name"),
        (
            "routes:\n  - id: 1\n    uri: ${{NONE}}\n",
            2,
            "variable NONE is not set",
        ),
    ];
    for (text, line, message) in cases {
        let error = yaml(text).unwrap_err();
        let found = error.to_string();
        assert!(!found.contains("Policy"), "{found}");
        assert!(found.contains(message), "{text:?}: {found}");
        assert!(!found.contains('\n') && !found.is_empty(), "{found:?}");
        assert_eq!(
            error.at().map(|at| at.line),
            Some(line),
            "{text:?}: {found}"
        );
    }
    assert!(yaml("- a\n- b\n").is_err());
    assert!(yaml("routes: []\n---\nroutes: []\n").is_err());
    let error = json_text("{\n \"routes\": [\n  {\"id\": 1,}\n ]\n}").unwrap_err();
    assert_eq!(error.at().map(|at| at.line), Some(3), "{error}");
    let error = json_text("{\n \"routes\": [\n  {\"id\": 1},\n  5]\n}").unwrap_err();
    assert_eq!(error.at(), at(4, 3), "{error}");
}

#[test]
fn a_duplicate_is_refused_with_both_places() {
    let key = Key::new("routes/1").unwrap();
    let text = "routes:\n  - id: 1\n  - id: 2\n  - id: '1'\n";
    let error = yaml(text).unwrap_err();
    let expected = FileError::Duplicate {
        key: key.clone(),
        first: at(2, 5),
        at: at(4, 5),
    };
    assert_eq!(error, expected);
    assert_eq!(
        error.to_string(),
        "routes/1 is there twice, first at line 2 column 5"
    );
    let text = "{\"routes\": [{\"id\": 1}],\n\"routes\": [{\"id\": 1}]}";
    let expected = FileError::Duplicate {
        key,
        first: at(1, 13),
        at: at(2, 12),
    };
    assert_eq!(json_text(text).unwrap_err(), expected);
}

/// Longer than anything takes unless it is broken.
const DEADLINE: Duration = Duration::from_secs(20);

async fn next(
    events: &mut BoxStream<'static, Result<Event, WatchError>>,
) -> (u64, Vec<(String, bool)>) {
    let event = timeout(DEADLINE, events.next())
        .await
        .expect("an event")
        .unwrap()
        .unwrap();
    let change = |change: &Change| (change.key().to_string(), matches!(change, Change::Put(_)));
    (event.revision.0, event.changes.iter().map(change).collect())
}

async fn trouble(
    trouble: &mut watch::Receiver<Option<Trouble>>,
    wanted: impl Fn(&Option<Trouble>) -> bool,
) -> Option<Trouble> {
    let found = timeout(DEADLINE, trouble.wait_for(|now| wanted(now))).await;
    found.expect("news").unwrap().clone()
}

fn put(name: &str) -> (String, bool) {
    (name.to_owned(), true)
}

fn gone(name: &str) -> (String, bool) {
    (name.to_owned(), false)
}

#[tokio::test]
async fn a_changed_file_is_one_event_with_the_difference() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("resources.yaml");
    fs::write(&path, "routes:\n  - id: 1\n  - id: 2\n  - id: 3\n#END\n").unwrap();
    let store = FileStore::open(&path).await.unwrap();
    let contents = store.load().await.unwrap();
    assert_eq!(
        (contents.revision, contents.entries.len()),
        (Revision(1), 3)
    );
    let mut events = store.watch(contents.revision);

    let started = Instant::now();
    let text = "# moved\nroutes:\n  - id: 3\n  - {id: 2, uri: /new}\n  - id: 4\n#END\n";
    fs::write(&path, text).unwrap();
    let event = next(&mut events).await;
    assert_eq!(
        event,
        (2, vec![gone("routes/1"), put("routes/2"), put("routes/4")])
    );
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    let entry = store
        .get(&Key::new("routes/3").unwrap())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        entry.modified,
        Revision(1),
        "what did not change keeps its revision"
    );

    // Without an end mark, and as a new file under the same name.
    let new = directory.path().join("new");
    fs::write(&new, "routes: []\n").unwrap();
    fs::rename(&new, &path).unwrap();
    let event = next(&mut events).await;
    assert_eq!(
        event,
        (
            3,
            vec![gone("routes/2"), gone("routes/3"), gone("routes/4")]
        )
    );
}

#[tokio::test]
async fn a_broken_file_changes_nothing_and_is_reported_until_it_is_repaired() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("resources.yaml");
    fs::write(&path, "routes:\n  - id: 1\n#END\n").unwrap();
    let store = FileStore::open(&path).await.unwrap();
    let mut events = store.watch(Revision(1));
    let mut news = store.trouble();
    assert_eq!(*news.borrow(), None);

    fs::write(&path, "routes:\n  - id: 1\n   uri: /x\n#END\n").unwrap();
    let told = trouble(&mut news, Option::is_some).await.unwrap();
    assert_eq!(told.at.map(|at| at.line), Some(3));
    assert!(told.what.contains("resources.yaml:3:"), "{}", told.what);
    assert_eq!(store.load().await.unwrap().entries.len(), 1);

    fs::remove_file(&path).unwrap();
    let missing = |now: &Option<Trouble>| {
        now.as_ref()
            .is_some_and(|now| now.what.contains("cannot be read"))
    };
    trouble(&mut news, missing).await;
    assert_eq!(store.load().await.unwrap().entries.len(), 1);

    // The contents are as at first: all is well, and nothing has happened.
    fs::write(&path, "routes:\n  - id: 1\n#END\n").unwrap();
    trouble(&mut news, Option::is_none).await;
    fs::write(&path, "routes:\n  - id: 2\n#END\n").unwrap();
    assert_eq!(
        next(&mut events).await,
        (2, vec![gone("routes/1"), put("routes/2")])
    );
}

#[tokio::test]
async fn a_watcher_that_refused_an_event_finds_the_whole_contents_by_loading_again() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("resources.json");
    fs::write(&path, r#"{"routes": [{"id": 1}]}"#).unwrap();
    let store = FileStore::open(&path).await.unwrap();
    let mut events = store.watch(Revision(1));
    fs::write(
        &path,
        r#"{"routes": [{"id": 1}, {"id": 2, "nonsense": true}]}"#,
    )
    .unwrap();
    assert_eq!(next(&mut events).await, (2, vec![put("routes/2")]));
    // Refused. The repair comes as the difference to what was refused, the contents are all there
    // is.
    fs::write(&path, r#"{"routes": [{"id": 1}, {"id": 2, "uri": "/"}]}"#).unwrap();
    assert_eq!(next(&mut events).await, (3, vec![put("routes/2")]));
    let contents = store.load().await.unwrap();
    let names: Vec<_> = contents
        .entries
        .iter()
        .map(|entry| entry.key.as_str())
        .collect();
    assert_eq!(
        (contents.revision, names),
        (Revision(3), vec!["routes/1", "routes/2"])
    );
}

#[tokio::test]
async fn a_mounted_config_map_is_followed_through_its_links() {
    let directory = TempDir::new().unwrap();
    let base = directory.path();
    for (version, id) in [("v1", 1), ("v2", 2)] {
        fs::create_dir(base.join(version)).unwrap();
        let text = format!("routes:\n  - id: {id}\n#END\n");
        fs::write(base.join(version).join("resources.yaml"), text).unwrap();
    }
    symlink("v1", base.join("..data")).unwrap();
    symlink("..data/resources.yaml", base.join("resources.yaml")).unwrap();
    let store = FileStore::open(&base.join("resources.yaml")).await.unwrap();
    let mut events = store.watch(Revision(1));
    symlink("v2", base.join("..data_tmp")).unwrap();
    fs::rename(base.join("..data_tmp"), base.join("..data")).unwrap();
    assert_eq!(
        next(&mut events).await,
        (2, vec![gone("routes/1"), put("routes/2")])
    );
}

#[tokio::test]
async fn a_rewrite_with_the_same_size_and_time_is_noticed() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("resources.yaml");
    fs::write(&path, "routes:\n  - id: 1\n#END\n").unwrap();
    let store = FileStore::open(&path).await.unwrap();
    let mut events = store.watch(Revision(1));
    let written = fs::metadata(&path).unwrap().modified().unwrap();
    fs::write(&path, "routes:\n  - id: 2\n#END\n").unwrap();
    fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(written)
        .unwrap();
    assert_eq!(
        next(&mut events).await,
        (2, vec![gone("routes/1"), put("routes/2")])
    );
}

#[tokio::test]
async fn writes_are_refused_with_the_file_to_edit() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("resources.yaml");
    fs::write(&path, "routes:\n  - id: 1\n").unwrap();
    let store = FileStore::open(&path).await.unwrap();
    assert!(!store.writable());
    let key = Key::new("routes/1").unwrap();
    let error = store.commit(Transaction::delete(key)).await.unwrap_err();
    assert!(matches!(error, CommitError::ReadOnly { .. }));
    assert!(
        error.to_string().contains(path.to_str().unwrap()),
        "{error}"
    );
}

#[tokio::test]
async fn a_start_with_a_missing_or_broken_file_fails_with_its_place() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("resources.yaml");
    let error = FileStore::open(&path).await.err().unwrap();
    assert!(
        error.to_string().contains("resources.yaml cannot be read"),
        "{error}"
    );
    fs::write(&path, "routes:\n  - id: 1\n  - id: 1\n").unwrap();
    let error = FileStore::open(&path).await.err().unwrap();
    assert!(
        error
            .to_string()
            .contains("resources.yaml:3:5: routes/1 is there twice"),
        "{error}"
    );
    fs::write(&path, b"routes: \xff").unwrap();
    let error = FileStore::open(&path).await.err().unwrap();
    assert!(error.to_string().contains("byte 8 is not UTF-8"), "{error}");
}
