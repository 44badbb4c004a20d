use super::ProxyControl;
use crate::testing::*;
use crossway_sdk::{definition::Definition, plugin::Phases};
use serde_json::json;

#[test]
fn it_is_taken_and_costs_nothing() {
    let definition = Definition::of::<ProxyControl>();
    for config in [json!({}), json!({"request_buffering": false})] {
        built(&definition, config);
    }
    assert_eq!(definition.phases, Phases::empty());
    assert_eq!(
        refused(&definition, json!({"request_buffering": 1})).0,
        "/request_buffering"
    );
}
