use super::*;
use crate::testing::Scene;

async fn scene(head: &str, body: &[u8]) -> Scene {
    let raw = format!("POST / HTTP/1.1\r\nHost: a.test\r\n{head}\r\n");
    let raw = [raw.as_bytes(), body].concat();
    Scene::new(&raw).await.unwrap()
}

#[tokio::test]
async fn a_body_of_exactly_the_limit_is_read() {
    let mut scene = scene("Content-Length: 5\r\n", b"hello").await;
    assert_eq!(scene.exchange().read_body(5).await.unwrap(), "hello");
    // What was read is not read again, and held to each reader's own limit.
    assert_eq!(scene.exchange().read_body(9).await.unwrap(), "hello");
    let error = scene.exchange().read_body(4).await.unwrap_err();
    assert_eq!(error.status(), 413);
    assert_eq!(scene.request.body.as_deref(), Some(&b"hello"[..]));
}

#[tokio::test]
async fn a_body_that_announces_too_much_is_not_read_at_all() {
    let mut scene = scene("Content-Length: 5\r\n", b"hello").await;
    let error = scene.exchange().read_body(4).await.unwrap_err();
    assert_eq!(error.to_string(), "the request body is larger than 4 bytes");
    assert!(scene.request.body.is_none() && scene.request.body_start.is_empty());
}

#[tokio::test]
async fn what_was_read_of_a_chunked_body_that_is_too_large_is_kept() {
    let body = b"3\r\nabc\r\n3\r\ndef\r\n3\r\nghi\r\n0\r\n\r\n";
    let mut scene = scene("Transfer-Encoding: chunked\r\n", body).await;
    let error = scene.exchange().read_body(4).await.unwrap_err();
    assert_eq!(error.status(), 413);
    assert!(scene.request.body.is_none());
    assert_eq!(scene.request.body_start, "abcdef");
    // A reader with more room goes on from there.
    assert_eq!(scene.exchange().read_body(9).await.unwrap(), "abcdefghi");
    assert!(scene.request.body_start.is_empty());
}

#[tokio::test]
async fn garbage_in_place_of_chunks_is_a_400() {
    let mut scene = scene("Transfer-Encoding: chunked\r\n", b"zz\r\nabc").await;
    let error = scene.exchange().read_body(100).await.unwrap_err();
    assert_eq!(error.status(), 400);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stops_in_the_middle_is_a_408() {
    let (client, server) = tokio::io::duplex(1024);
    let mut client = client;
    let head = b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhe";
    tokio::io::AsyncWriteExt::write_all(&mut client, head)
        .await
        .unwrap();
    let mut session = Session::new_h1(Box::new(server));
    session.as_downstream_mut().read_request().await.unwrap();
    assert_eq!(next(&mut session).await.unwrap().unwrap(), "he");
    assert_eq!(next(&mut session).await.unwrap_err().status(), 408);
}

#[tokio::test]
async fn a_replaced_body_is_what_variables_see() {
    let mut scene = scene("Content-Length: 7\r\n", b"{\"a\":1}").await;
    scene.exchange().read_body(100).await.unwrap();
    assert_eq!(scene.request.json_body().unwrap()["a"], 1);
    scene.exchange().replace_body("{\"a\":2}");
    assert_eq!(scene.request.json_body().unwrap()["a"], 2);
    assert!(scene.request.body_replaced);
    assert_eq!(scene.exchange().read_body(100).await.unwrap(), "{\"a\":2}");
}

#[test]
fn a_response_is_gathered_and_given_whole_at_its_end() {
    let mut gathered = Gathered::default();
    for (piece, end, expected) in [
        (Some("ab"), false, None),
        (None, false, None),
        (Some("c"), false, None),
        (None, true, Some("abc")),
    ] {
        let mut chunk = piece.map(Bytes::from);
        let whole = gathered.take(&mut chunk, end, 3).unwrap();
        assert_eq!(whole.as_deref(), expected.map(str::as_bytes));
        assert!(chunk.is_none());
    }
}

#[test]
fn a_response_without_a_body_is_given_as_an_empty_one() {
    let whole = Gathered::default().take(&mut None, true, 3).unwrap();
    assert_eq!(whole.as_deref(), Some(&b""[..]));
}

#[test]
fn a_response_over_the_limit_is_refused_and_let_go() {
    let mut gathered = Gathered::default();
    let mut piece = Some(Bytes::from("abc"));
    gathered.take(&mut piece, false, 3).unwrap();
    let mut piece = Some(Bytes::from("d"));
    let error = gathered.take(&mut piece, true, 3).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the response body is larger than 3 bytes"
    );
    assert!(gathered.held.is_empty());
}
