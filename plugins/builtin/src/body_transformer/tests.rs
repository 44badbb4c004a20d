use super::*;
use crate::scenes::{built, refused, reply, request, text};
use crossway_sdk::{definition::Instance, testing::Scene};
use serde_json::json;

async fn post(content_type: &str, body: &str) -> Scene {
    let head = format!(
        "POST /x?q=1&q=2&flag HTTP/1.1\r\nHost: a\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    Scene::new(head.as_bytes()).await.unwrap()
}

/// The request body that the upstream gets.
async fn sent(config: Value, scene: &mut Scene) -> String {
    let plugin = built::<BodyTransformer>(json!({ "request": config }));
    assert!(matches!(scene.rewrite(&*plugin).await.unwrap(), Flow::Next));
    assert!(scene.request.body_replaced);
    String::from_utf8(scene.request.body.clone().unwrap().to_vec()).unwrap()
}

/// Status and body of the answer that ended the request.
async fn said(config: Value, scene: &mut Scene) -> (u16, String) {
    let plugin = built::<BodyTransformer>(config);
    let reply = reply(scene.rewrite(&*plugin).await);
    (reply.status.as_u16(), text(&reply).unwrap_or_default())
}

#[tokio::test]
async fn each_format_is_read_by_its_content_type() {
    for (content_type, body, template, expected) in [
        (
            "application/json",
            r#"{"name":"hello","age":20}"#,
            r#"{"foo":"{{name .. " world"}}","bar":{{age+10}}}"#,
            r#"{"foo":"hello world","bar":30}"#,
        ),
        (
            "text/xml; charset=utf-8",
            "<n:a xmlns:n='u'><n:b>1</n:b></n:a>",
            "{{a.b}}",
            "1",
        ),
        (
            "application/x-www-form-urlencoded",
            "a=1+%41&a=2&b",
            "{{a[1]}},{{a[2]}},{{b}}",
            "1 A,2,true",
        ),
        ("application/X-WWW-form-urlencoded", "a=1", "{{a}}", "1"),
        (
            "multipart/form-data; boundary=x",
            "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--x--\r\n",
            "{{a}}",
            "1",
        ),
        ("text/plain", "raw", "[{*_body*}]", "[raw]"),
        ("application/json", "[1,2]", "{{_body}}", "[1,2]"),
    ] {
        let mut scene = post(content_type, body).await;
        assert_eq!(
            sent(json!({ "template": template }), &mut scene).await,
            expected,
            "{content_type}"
        );
    }
}

#[tokio::test]
async fn a_format_can_be_set() {
    let mut scene = post("text/plain", r#"{"a":"b"}"#).await;
    assert_eq!(
        sent(
            json!({ "template": "{{a}}", "input_format": "json" }),
            &mut scene
        )
        .await,
        "b"
    );
    let mut scene = post("application/json", "{").await;
    assert_eq!(
        sent(
            json!({ "template": "{*_body*}", "input_format": "plain" }),
            &mut scene
        )
        .await,
        "{"
    );
    let mut scene = post("application/json", "{").await;
    let template = "{{q[1]}}{{q[2]}}{{flag}}";
    assert_eq!(
        sent(
            json!({ "template": template, "input_format": "args" }),
            &mut scene
        )
        .await,
        "12true"
    );
}

#[tokio::test]
async fn a_get_request_gets_a_body_from_its_arguments() {
    let mut scene = request("GET /x?name=a%20b HTTP/1.1\nHost: a\nUser-Agent: me/1").await;
    let template =
        r#"{"n":"{{name}}","v":"{{_ctx.var.arg_name}}","a":"{*_ctx.var.http_user_agent*}"}"#;
    let body = sent(
        json!({ "template": template, "input_format": "json" }),
        &mut scene,
    )
    .await;
    assert_eq!(body, r#"{"n":"a b","v":"a b","a":"me/1"}"#);
}

#[tokio::test]
async fn a_body_cannot_stand_in_for_what_the_template_relies_on() {
    let body = r#"{"_ctx":{"var":{"host":"evil"}},"_body":"evil","_escape_json":"evil","v":"x"}"#;
    let mut scene = post("application/json", body).await;
    let template = "{{_ctx.var.host}} {*_escape_json(v)*} {{#_body}}";
    let expected = format!("a \"x\" {}", body.len());
    assert_eq!(
        sent(json!({ "template": template }), &mut scene).await,
        expected
    );
}

#[tokio::test]
async fn a_template_may_be_written_in_base64() {
    let encoded = BASE64.encode("[{{a}}]");
    for (config, content_type, body, expected) in [
        (
            json!({ "template": encoded }),
            "application/json",
            "{\"a\":1}",
            "[1]".to_owned(),
        ),
        (
            json!({ "template": encoded, "template_is_base64": true }),
            "application/x-www-form-urlencoded",
            "a=1",
            "[1]".to_owned(),
        ),
        // As in APISIX: for these formats only when it is said.
        (
            json!({ "template": encoded }),
            "application/x-www-form-urlencoded",
            "a=1",
            encoded.clone(),
        ),
        (
            json!({ "template": "no base64: {{a}}", "template_is_base64": true }),
            "application/json",
            "{\"a\":1}",
            "no base64: 1".to_owned(),
        ),
    ] {
        let mut scene = post(content_type, body).await;
        assert_eq!(sent(config.clone(), &mut scene).await, expected, "{config}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_or_rendered_is_said() {
    let json =
        |template: &str| json!({ "request": { "template": template }, "max_req_body_size": 40 });
    for (config, content_type, body, status, message) in [
        (
            json("x"),
            "application/json",
            "{",
            400,
            "request body decode: ",
        ),
        (
            json("x"),
            "application/json",
            "7",
            400,
            "expected an object or an array",
        ),
        (
            json("x"),
            "text/xml",
            "{\"a\":1}",
            400,
            "request body decode: ",
        ),
        (
            json("x"),
            "multipart/form-data",
            "abc",
            400,
            "it is not multipart/form-data",
        ),
        (
            json("{{a.b.c}}"),
            "application/json",
            "{}",
            503,
            "request template rendering: attempt to index a nil value",
        ),
    ] {
        let (got, text) = said(config, &mut post(content_type, body).await).await;
        assert_eq!(got, status);
        assert!(text.contains(message), "{text}");
    }
    let long = "x".repeat(41);
    let (got, _) = said(json("x"), &mut post("text/plain", &long).await).await;
    assert_eq!(got, 413);
}

/// The head and the body that the client gets.
async fn answered(
    config: Value,
    headers: &[(&str, &str)],
    pieces: &[&str],
) -> (ResponseHeader, String) {
    let plugin = built::<BodyTransformer>(json!({ "response": config, "max_resp_body_size": 200 }));
    let mut scene = request("GET / HTTP/1.1\nHost: a").await;
    let mut head = ResponseHeader::build(200, None).unwrap();
    for (name, value) in headers {
        head.insert_header((*name).to_owned(), *value).unwrap();
    }
    scene.header_filter(&*plugin, &mut head).unwrap();
    let out = filtered(&*plugin, &mut scene, pieces).unwrap();
    (head, out)
}

fn filtered(plugin: &dyn Instance, scene: &mut Scene, pieces: &[&str]) -> Result<String, Error> {
    let mut out = Vec::new();
    for (place, piece) in pieces.iter().enumerate() {
        let mut chunk = (!piece.is_empty()).then(|| Bytes::copy_from_slice(piece.as_bytes()));
        let end = place + 1 == pieces.len();
        plugin.body_filter(&mut scene.exchange(), &mut chunk, end)?;
        out.extend_from_slice(&chunk.unwrap_or_default());
    }
    Ok(String::from_utf8(out).unwrap())
}

#[tokio::test]
async fn a_response_is_transformed_whole() {
    let headers = [
        ("Content-Type", "text/xml"),
        ("Content-Length", "9"),
        ("ETag", "x"),
        ("Content-Encoding", "identity"),
    ];
    let template = r#"{% if a.b then %}{"b":{*_escape_json(a.b)*}}{% else %}none{% end %}"#;
    let (head, body) = answered(
        json!({ "template": template }),
        &headers,
        &["<a><b>", "1/2</b></a>", ""],
    )
    .await;
    assert_eq!(body, r#"{"b":"1\/2"}"#);
    for gone in ["content-length", "etag", "content-encoding"] {
        assert!(!head.headers.contains_key(gone), "{gone}");
    }
}

#[tokio::test]
async fn a_response_that_cannot_be_transformed_stays_as_it_is() {
    let headers = [("Content-Type", "application/json")];
    for template in ["{{a}}", "{{b.c.d}}"] {
        let config = json!({ "template": template, "input_format": "xml" });
        let (_, body) = answered(config, &headers, &["{\"a\"", ":1}"]).await;
        assert_eq!(body, "{\"a\":1}");
    }
    let plugin = built::<BodyTransformer>(
        json!({ "response": { "template": "x" }, "max_resp_body_size": 3 }),
    );
    let mut scene = request("GET / HTTP/1.1\nHost: a").await;
    let mut head = ResponseHeader::build(200, None).unwrap();
    scene.header_filter(&*plugin, &mut head).unwrap();
    let error = filtered(&*plugin, &mut scene, &["abc", "d"]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the response body is larger than 3 bytes"
    );
}

#[tokio::test]
async fn a_response_without_a_body_can_get_one_unless_it_must_not() {
    let config = json!({ "template": "{{_ctx.var.host}}" });
    assert_eq!(
        answered(config.clone(), &[("Content-Length", "0")], &[""])
            .await
            .1,
        "a"
    );
    let plugin = built::<BodyTransformer>(json!({ "response": config }));
    let mut scene = request("HEAD / HTTP/1.1\nHost: a").await;
    let mut head = ResponseHeader::build(200, None).unwrap();
    scene.header_filter(&*plugin, &mut head).unwrap();
    assert_eq!(filtered(&*plugin, &mut scene, &[""]).unwrap(), "");
}

#[test]
fn what_cannot_be_is_refused() {
    for (config, why) in [
        (json!({}), "object matches none of the required"),
        (json!({ "request": {} }), "template"),
        (
            json!({ "request": { "template": "x", "input_format": "yaml" } }),
            "/request/input_format",
        ),
        (
            json!({ "request": { "template": "x" }, "max_req_body_size": 0 }),
            "/max_req_body_size",
        ),
        (
            json!({ "response": { "template": "{% while 1 do %}{% end %}" } }),
            "template: \"while\" is not supported as a statement: expected if, for or local (at /response/template)",
        ),
        (
            json!({ "request": { "template": BASE64.encode("{{f()}}") } }),
            "the function f is not supported",
        ),
    ] {
        let message = refused::<BodyTransformer>(config.clone());
        assert!(message.contains(why), "{config}: {message}");
    }
}
