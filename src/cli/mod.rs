//! The command line.

pub mod args;

pub use args::{Arguments, Check, Command, Explain, Ready, Run, SettingsFile};

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use crate::{
        model::{check::check, kind::Kind},
        store::file::{Format, parse},
    };
    use std::path::Path;

    #[test]
    fn the_example_resources_of_the_repository_are_good() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/resources.yaml");
        let text = std::fs::read_to_string(path).unwrap();
        let items = parse(&text, Format::Yaml, &|_| None).unwrap();
        let keys: Vec<_> = items.iter().map(|item| item.key.as_str()).collect();
        assert_eq!(keys.len(), 5, "{keys:?}");
        for item in &items {
            let kind = Kind::from_path(item.key.segments().next().unwrap()).unwrap();
            assert_eq!(check(kind, &item.value), Ok(()), "{}", item.key.as_str());
            // What a declarative file refers to, it holds.
            for (reference, kind) in [("service_id", "services"), ("upstream_id", "upstreams")] {
                let Some(id) = item.value[reference].as_str() else {
                    continue;
                };
                assert!(
                    keys.contains(&format!("{kind}/{id}").as_str()),
                    "{reference} {id}"
                );
            }
        }
        let alice = items
            .iter()
            .find(|item| item.key.as_str() == "consumers/alice")
            .unwrap();
        assert_eq!(alice.value["plugins"]["key-auth"]["key"], "alices-key");
    }
}
