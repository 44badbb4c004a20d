use super::Datadog;
use crate::{logger::testing::*, testing::refused};
use crossway_sdk::{definition::Definition, request::Request, route::RouteInfo};
use serde_json::json;
use std::sync::Arc;

#[tokio::test]
async fn each_request_is_six_metrics_with_its_tags() {
    let (port, socket) = udp_server().await;
    let metadata = json!({"port": port, "constant_tags": ["source:gw"]});
    let config =
        json!({"constant_tags": ["env:test"], "include_method": true, "include_path": true});
    let logger = Logger::with::<Datadog>(config, Some(metadata));
    logger.log(&mut finished().await);
    logger.finish().await;
    let tags = "|#source:gw,env:test,route_name:shop,consumer:jack,balancer_ip:10.0.0.1,response_status:200,\
                scheme:http,method:POST";
    let mut names = Vec::new();
    for _ in 0..6 {
        let metric = datagram(&socket).await;
        let metric = metric
            .strip_suffix(tags)
            .unwrap_or_else(|| panic!("{metric}"));
        let (name, value) = metric.split_once(':').unwrap();
        let (value, kind) = value.split_once('|').unwrap();
        value.parse::<f64>().unwrap();
        names.push(format!("{name}|{kind}"));
    }
    let expected = [
        "apisix.request.counter|c",
        "apisix.request.latency|h",
        "apisix.upstream.latency|h",
        "apisix.apisix.latency|h",
        "apisix.ingress.size|ms",
        "apisix.egress.size|ms",
    ];
    assert_eq!(names, expected);
}

#[tokio::test]
async fn ids_stand_in_for_names_and_a_value_cannot_end_its_tag() {
    let (port, socket) = udp_server().await;
    let metadata = json!({"port": port, "namespace": "", "constant_tags": []});
    let logger = Logger::with::<Datadog>(json!({"prefer_name": false}), Some(metadata));
    let mut scene = finished().await;
    let request: &mut Request = &mut scene.request;
    request.route = Some(Arc::new(RouteInfo {
        id: "a,b|c".into(),
        name: Some("shop".into()),
        service_id: Some("s".into()),
        ..RouteInfo::default()
    }));
    request.identity = None;
    request.tries.clear();
    logger.log(&mut scene);
    logger.finish().await;
    let expected = "request.counter:1|c|#route_name:a_b_c,service_name:s,response_status:200";
    assert_eq!(datagram(&socket).await, expected);
}

#[test]
fn unknown_attributes_and_metadata_are_refused() {
    let definition = Definition::of::<Datadog>();
    assert_eq!(
        refused(&definition, json!({"prefer_name": 1})).0,
        "/prefer_name"
    );
    assert!(definition.check_metadata(&json!({"port": -1})).is_err());
    assert!(
        definition
            .check_metadata(&json!({"port": 1, "host": "a"}))
            .is_ok()
    );
}
