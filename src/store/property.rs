//! Random transactions against a model that is a plain map: contents, revisions, conflicts and
//! events must agree. Random text against the parser of declarative files: it must not panic.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use proptest::prelude::*;
use tempfile::TempDir;

use super::embedded::EmbeddedOptions;
use super::*;

#[derive(Clone, Debug)]
enum Step {
    Put(u8, u8),
    Delete(u8),
}

#[derive(Clone, Debug)]
enum Wish {
    Absent(u8),
    Present(u8),
    /// As last written, plus this.
    Modified(u8, u64),
}

#[derive(Clone, Debug)]
struct Wanted {
    group: bool,
    wishes: Vec<Wish>,
    steps: BTreeMap<u8, Step>,
    reopen: bool,
}

fn wanted() -> impl Strategy<Value = Wanted> {
    let id = 0_u8..6;
    let step = (id.clone(), any::<u8>(), any::<bool>()).prop_map(|(id, value, put)| {
        (
            id,
            if put {
                Step::Put(id, value)
            } else {
                Step::Delete(id)
            },
        )
    });
    let wish = prop_oneof![
        id.clone().prop_map(Wish::Absent),
        id.clone().prop_map(Wish::Present),
        (id, 0_u64..2).prop_map(|(id, off)| Wish::Modified(id, off)),
    ];
    (
        any::<bool>(),
        prop::collection::vec(wish, 0..2),
        prop::collection::vec(step, 0..5),
        prop::bool::weighted(0.1),
    )
        .prop_map(|(group, wishes, steps, reopen)| Wanted {
            group,
            wishes,
            steps: steps.into_iter().collect(),
            reopen,
        })
}

fn key(id: u8) -> Key {
    Key::new(&format!("routes/{id}")).unwrap()
}

#[derive(Default)]
struct Model {
    revision: u64,
    groups: [BTreeMap<Key, Entry>; 2],
    events: [Vec<Event>; 2],
}

impl Model {
    fn transaction(&self, wanted: &Wanted) -> Transaction {
        let documents = &self.groups[usize::from(wanted.group)];
        let modified = |id: u8| documents.get(&key(id)).map_or(0, |entry| entry.modified.0);
        Transaction {
            expect: wanted
                .wishes
                .iter()
                .map(|wish| match *wish {
                    Wish::Absent(id) => (key(id), Expect::Absent),
                    Wish::Present(id) => (key(id), Expect::Present),
                    Wish::Modified(id, off) => {
                        (key(id), Expect::Modified(Revision(modified(id) + off)))
                    }
                })
                .collect(),
            writes: wanted
                .steps
                .values()
                .map(|step| match *step {
                    Step::Put(id, value) => Write::Put {
                        key: key(id),
                        value: Bytes::from(vec![value]),
                        ttl: None,
                    },
                    Step::Delete(id) => Write::Delete { key: key(id) },
                })
                .collect(),
        }
    }

    fn commit(&mut self, group: usize, transaction: &Transaction) -> Option<Revision> {
        let documents = &mut self.groups[group];
        for (key, expect) in &transaction.expect {
            let entry = documents.get(key);
            let holds = match expect {
                Expect::Absent => entry.is_none(),
                Expect::Present => entry.is_some(),
                Expect::Modified(revision) => entry.is_some_and(|e| e.modified == *revision),
            };
            if !holds {
                return None;
            }
        }
        let revision = Revision(self.revision + 1);
        let mut changes = Vec::new();
        for write in &transaction.writes {
            match write {
                Write::Put { key, value, .. } => {
                    let created = documents.get(key).map_or(revision, |entry| entry.created);
                    let entry = Entry {
                        key: key.clone(),
                        value: value.clone(),
                        created,
                        modified: revision,
                        expires: None,
                    };
                    documents.insert(key.clone(), entry.clone());
                    changes.push(Change::Put(entry));
                }
                Write::Delete { key } => {
                    if documents.remove(key).is_some() {
                        changes.push(Change::Delete { key: key.clone() });
                    }
                }
            }
        }
        if !changes.is_empty() {
            self.revision += 1;
            self.events[group].push(Event { revision, changes });
        }
        Some(Revision(self.revision))
    }
}

/// Runs the script; `reopen` gives the two groups, and forgets the past when asked to.
async fn agree(script: Vec<Wanted>, mut reopen: impl FnMut(bool) -> [Arc<dyn Store>; 2]) {
    let mut model = Model::default();
    let mut stores = reopen(false);
    let mut watched_from = Revision(0);
    for wanted in script {
        if wanted.reopen {
            drop(stores);
            stores = reopen(true);
            let revision = stores[0].revision().await.unwrap();
            assert_eq!(revision, Revision(model.revision));
            watched_from = revision;
        }
        let group = usize::from(wanted.group);
        let transaction = model.transaction(&wanted);
        let expected = model.commit(group, &transaction);
        match (stores[group].commit(transaction).await, expected) {
            (Ok(committed), Some(revision)) => assert_eq!(committed.revision, revision),
            (Err(CommitError::Conflict { .. }), None) => {}
            (answer, expected) => panic!("{answer:?} instead of {expected:?}"),
        }
        let contents = stores[group].load().await.unwrap();
        let documents: Vec<Entry> = model.groups[group].values().cloned().collect();
        assert_eq!(
            contents,
            Contents {
                revision: Revision(model.revision),
                entries: documents
            }
        );
    }
    for (store, events) in stores.iter().zip(&model.events) {
        let mut watch = store.watch(watched_from);
        for expected in events.iter().filter(|event| event.revision > watched_from) {
            assert_eq!(watch.next().await.unwrap().unwrap(), *expected);
        }
        assert!(watch.next().now_or_never().is_none(), "an event too many");
    }
}

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn memory_agrees_with_a_map(script in prop::collection::vec(wanted(), 0..40)) {
        let script = script.into_iter().map(|wanted| Wanted { reopen: false, ..wanted }).collect();
        let memory = Memory::default();
        runtime().block_on(agree(script, |_| {
            [Arc::new(memory.group("/a")), Arc::new(memory.group("/b"))]
        }));
    }
}

proptest! {
    #![proptest_config(cases(16))]

    #[test]
    fn embedded_agrees_with_a_map_and_across_restarts(
        script in prop::collection::vec(wanted(), 0..30)
    ) {
        let directory = TempDir::new().unwrap();
        runtime().block_on(agree(script, |_| {
            let database = Embedded::open(directory.path(), EmbeddedOptions::default()).unwrap();
            [Arc::new(database.group("/a")), Arc::new(database.group("/b"))]
        }));
    }
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn any_text_is_parsed_or_refused(
        pieces in prop::collection::vec(prop::sample::select(PIECES), 0..40)
    ) {
        let text = pieces.concat();
        for format in [file::Format::Yaml, file::Format::Json] {
            if let Ok(items) = file::parse(&text, format, &|_| None) {
                prop_assert!(items.iter().all(|item| item.at.is_some()));
            }
        }
    }
}

const PIECES: &[&str] = &[
    "routes:",
    "plugins:",
    "\n",
    "\n  - ",
    "\n    ",
    "id: 1",
    "uri: ",
    "&a ",
    "*a",
    "<<: ",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "\"",
    "'",
    "|",
    ">",
    "#END",
    "# ",
    "é",
    "${{",
    "}}",
    "x-a: ",
    "!!t ",
    "%",
    "---",
    "\t",
    "\r",
    "\u{0}",
    "{\"routes\": [",
    "{\"id\": 2}",
    "]}",
    "null",
    "1e999",
    "\\u00",
];
