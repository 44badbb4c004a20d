//! A store that takes no writes.

use super::*;
use crate::store::FileStore;

#[tokio::test]
async fn a_file_is_read_and_every_write_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("resources.yaml");
    let text =
        "routes:\n  - id: 1\n    uri: /a\n    upstream: {nodes: {'127.0.0.1:80': 1}}\n#END\n";
    std::fs::write(&path, text).unwrap();
    let api = Api::over(open(&path).await, |_| {});
    assert_eq!(
        api.get("/routes/1").await.is(200).json()["value"]["uri"],
        "/a"
    );
    assert_eq!(api.get("/routes").await.json()["total"], 1);
    for (method, at) in [
        ("PUT", "/routes/1"),
        ("POST", "/routes"),
        ("PATCH", "/routes/1"),
        ("DELETE", "/routes/1"),
    ] {
        let refused = api.call(method, at, route().to_string()).await.refused(405);
        assert!(refused.contains("resources.yaml"), "{method}: {refused}");
    }
    let request = Request::builder()
        .method("PUT")
        .uri("/apisix/admin/configs")
        .header("x-api-key", KEY)
        .header("x-digest", "d");
    let refused = api.send(request.body("{}".into()).unwrap()).await;
    assert!(refused.refused(405).contains("resources.yaml"));
}

async fn open(path: &std::path::Path) -> FileStore {
    FileStore::open(path).await.unwrap()
}
