use super::FileLogger;
use crate::{logger::testing::*, testing::refused};
use crossway_sdk::definition::Definition;
use serde_json::json;
use std::{fs, path::PathBuf};

/// A directory of its own that is removed in the end.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("crossway-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

#[tokio::test]
async fn lines_are_appended_and_a_file_that_was_moved_is_opened_anew() {
    let directory = Directory::new();
    let (path, moved) = (directory.0.join("a.log"), directory.0.join("b.log"));
    fs::write(&path, "before\n").unwrap();
    let logger = Logger::new::<FileLogger>(json!({"path": path, "log_format": {"a": "b"}}));
    logger.log(&mut finished().await);
    logger.log(&mut finished().await);
    logger.finish().await;
    let line = "{\"a\":\"b\",\"route_id\":\"1\"}\n";
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        format!("before\n{line}{line}")
    );
    fs::rename(&path, &moved).unwrap();
    logger.log(&mut finished().await);
    logger.finish().await;
    assert_eq!(fs::read_to_string(&path).unwrap(), line);
    assert_eq!(fs::read_to_string(&moved).unwrap().lines().count(), 3);
}

#[tokio::test]
async fn only_requests_that_meet_a_condition_are_logged() {
    let directory = Directory::new();
    for (conditions, lines) in [
        (json!([[["arg_q", "==", "1"]]]), 1),
        (
            json!([[["arg_q", "==", "2"]], [["host", "==", "a.example"]]]),
            1,
        ),
        (json!([[["arg_q", "==", "2"]]]), 0),
        (json!([["arg_q", "==", "1"]]), 1),
        (json!([]), 1),
    ] {
        let path = directory.0.join("a.log");
        fs::write(&path, "").unwrap();
        let logger = Logger::new::<FileLogger>(json!({"path": path, "match": conditions}));
        logger.log(&mut finished().await);
        logger.finish().await;
        assert_eq!(
            fs::read_to_string(&path).unwrap().lines().count(),
            lines,
            "{conditions}"
        );
    }
}

#[tokio::test]
async fn the_path_may_stand_in_the_metadata_and_a_file_that_cannot_be_written_is_a_failure() {
    let directory = Directory::new();
    let path = directory.0.join("a.log");
    let logger = Logger::with::<FileLogger>(json!({}), Some(json!({"path": path})));
    logger.log(&mut finished().await);
    logger.finish().await;
    assert!(path.exists());
    let logger = Logger::new::<FileLogger>(json!({"path": directory.0.join("no/such")}));
    logger.log(&mut finished().await);
    logger.finish().await;
    assert_eq!(logger.failed(), 1);
}

#[test]
fn a_path_and_conditions_that_can_be_read_are_needed() {
    let definition = Definition::of::<FileLogger>();
    let (_, message) = refused(&definition, json!({}));
    assert!(
        message.contains("property \"path\" is required"),
        "{message}"
    );
    let (path, _) = refused(
        &definition,
        json!({"path": "/x", "match": [[["arg_a", "nope", 1]]]}),
    );
    assert_eq!(path, "/match/0");
}
