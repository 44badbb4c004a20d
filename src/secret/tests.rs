//! What is known of a value as time goes by.

#![allow(clippy::unwrap_used)]

use super::{fetch::Trouble, keeper::*, variable};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

fn wanted(path: &str) -> Wanted {
    Wanted {
        manager: "{\"token\": \"the-token\"}".into(),
        key: format!("{path}/key").into(),
    }
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn is(secrets: &Secrets, wanted: &Wanted, value: &str) -> bool {
    secrets.find(wanted) == Found::Value(value.into())
}

#[test]
fn a_value_serves_until_the_next_answer() {
    let (secrets, key, start) = (Secrets::default(), wanted("a"), Instant::now());
    let all = BTreeSet::from([key.clone()]);
    assert!(secrets.find(&key) == Found::Waiting);
    assert_eq!(secrets.due(all.clone(), start), all);
    assert!(secrets.put_down(&key, Some(Ok("one".to_owned())), start));
    assert!(is(&secrets, &key, "one"));
    assert!(secrets.due(all.clone(), start + seconds(299)).is_empty());
    assert_eq!(secrets.due(all.clone(), start + seconds(300)), all);
    assert!(!secrets.put_down(&key, Some(Ok("one".to_owned())), start + seconds(300)));
    assert!(secrets.put_down(&key, Some(Ok("two".to_owned())), start + seconds(600)));
    assert!(is(&secrets, &key, "two"));
}

#[test]
fn the_last_good_value_is_kept_while_the_manager_is_away_and_not_for_ever() {
    let (secrets, key, start) = (Secrets::default(), wanted("a"), Instant::now());
    let all = BTreeSet::from([key.clone()]);
    let away = || Some(Err(Trouble::Unreachable("down".to_owned())));
    secrets.put_down(&key, Some(Ok("one".to_owned())), start);
    assert!(!secrets.put_down(&key, away(), start + seconds(300)));
    assert!(is(&secrets, &key, "one"));
    assert!(secrets.due(all.clone(), start + seconds(359)).is_empty());
    assert_eq!(secrets.due(all.clone(), start + seconds(360)), all);
    assert!(secrets.put_down(&key, away(), start + seconds(86_400)));
    assert!(secrets.find(&key) == Found::Missing("down".into()));
}

#[test]
fn what_the_manager_no_longer_has_is_gone_at_once() {
    let (secrets, key, start) = (Secrets::default(), wanted("a"), Instant::now());
    secrets.put_down(&key, Some(Ok("one".to_owned())), start);
    let gone = Some(Err(Trouble::Gone("deleted".to_owned())));
    assert!(secrets.put_down(&key, gone, start + seconds(1)));
    assert!(secrets.find(&key) == Found::Missing("deleted".into()));
}

#[test]
fn what_was_not_answered_in_time_is_asked_again_at_once() {
    let (secrets, key, start) = (Secrets::default(), wanted("a"), Instant::now());
    let all = BTreeSet::from([key.clone()]);
    assert!(!secrets.put_down(&key, None, start));
    assert!(matches!(secrets.find(&key), Found::Missing(_)));
    assert!(secrets.unknown(all.clone()).is_empty());
    assert_eq!(secrets.due(all.clone(), start), all);
    secrets.keep_only(&BTreeSet::new());
    assert_eq!(secrets.unknown(all.clone()), all);
}

#[test]
fn nothing_prints_a_token() {
    assert!(!format!("{:?}", wanted("a")).contains("the-token"));
}

#[test]
fn a_variable_that_is_missing_is_named() {
    let error = variable("CROSSWAY_NOT_THERE", &[]).unwrap_err();
    assert_eq!(error, "the environment has no variable CROSSWAY_NOT_THERE");
    let error = variable("PATH", &["a".to_owned()]).unwrap_err();
    assert!(error.contains("PATH") && !error.contains("/bin"), "{error}");
}
