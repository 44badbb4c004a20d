//! Writing stream routes: what is refused, and why.

use serde_json::{Value, json};

use crate::stream_nodes::{Streams, upstream};
use crate::support::Gateway;

#[tokio::test(flavor = "multi_thread")]
async fn without_a_listener_stream_routes_cannot_be_written() {
    let gateway = Gateway::start().await;
    let admin = gateway.admin();
    let route = json!({ "upstream": upstream(&["127.0.0.1:1"]) });
    for request in [
        admin.put("/stream_routes/1", &route),
        admin.post("/stream_routes", &route),
        admin.delete("/stream_routes/1"),
    ] {
        let refused = request.await.expect_status(400).json();
        let said = "stream mode is disabled, can not add stream routes";
        assert_eq!(refused, json!({ "error_msg": said }));
    }
    let list = admin.get("/stream_routes").await.expect_status(200).json();
    assert_eq!(list["total"], 0);
}

async fn refused(streams: &Streams, document: Value) -> String {
    let admin = streams.gateway.admin();
    let answer = admin.put("/stream_routes/1", &document).await;
    let text = answer.expect_status(400).json()["error_msg"].to_string();
    serde_json::from_str(&text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_refused_with_the_reason() {
    let streams = Streams::start().await;
    let with =
        |plugins: Value| json!({ "upstream": upstream(&["127.0.0.1:1"]), "plugins": plugins });
    assert_eq!(
        refused(&streams, with(json!({ "cors": {} }))).await,
        "unknown plugin [cors]"
    );
    assert_eq!(
        refused(&streams, with(json!({ "nothing": {} }))).await,
        "unknown plugin [nothing]"
    );
    let said = refused(&streams, with(json!({ "ip-restriction": {} }))).await;
    let frame = "failed to check the configuration of stream plugin [ip-restriction]: ";
    assert!(said.starts_with(frame), "{said}");
    for (document, part) in [
        (json!({ "upstream_id": "none" }), "upstream id [none]"),
        (json!({ "service_id": "none" }), "service id [none]"),
        (json!({ "remote_addr": "nowhere" }), "remote_addr"),
        (json!({ "server_port": 0 }), "server_port"),
        (
            json!({ "protocol": { "name": "redis" } }),
            "unknown protocol [redis]",
        ),
        (
            json!({ "upstream": { "scheme": "tcp", "nodes": [{ "host": "a.test", "weight": 1 }] } }),
            "port is needed",
        ),
        (
            json!({ "upstream": { "scheme": "kafka", "nodes": { "127.0.0.1:1": 1 } } }),
            "kafka is not available",
        ),
    ] {
        let said = refused(&streams, document).await;
        assert!(said.contains(part), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_of_a_stream_route_may_be_one_of_http_and_not_the_other_way_round() {
    let streams = Streams::start().await;
    let gateway = &streams.gateway;
    gateway
        .put("/upstreams/http", upstream(&["127.0.0.1:1"]))
        .await;
    gateway
        .put("/stream_routes/1", json!({ "upstream_id": "http" }))
        .await;
    let mut tcp = upstream(&["127.0.0.1:1"]);
    tcp["scheme"] = json!("tcp");
    gateway
        .put("/services/tcp", json!({ "upstream": tcp }))
        .await;
    gateway
        .put("/stream_routes/2", json!({ "service_id": "tcp" }))
        .await;
    let route = json!({ "uri": "/", "service_id": "tcp" });
    let refused = gateway
        .admin()
        .put("/routes/1", &route)
        .await
        .expect_status(400);
    let said = refused.text();
    assert!(
        said.contains("an HTTP route needs http, https, grpc or grpcs"),
        "{said}"
    );
}
