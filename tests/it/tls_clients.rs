//! Client certificates: who gets in, and how far.

use std::io;

use rustls::ClientConfig;
use serde_json::{Value, json};

use crate::support::{
    Authority, Connection, Gateway, Http2, Interface, Leaf, Request, Response, Upstream,
};

struct House {
    gateway: Gateway,
    upstream: Upstream,
    servers: Authority,
    clients: Authority,
}

impl House {
    async fn build() -> Self {
        let gateway = Gateway::builder().with_https().start().await;
        let upstream = Upstream::start().await;
        let route = json!({ "uri": "/*", "upstream": upstream.document() });
        gateway.put("/routes/1", route).await;
        Self {
            gateway,
            upstream,
            servers: Authority::new("servers"),
            clients: Authority::new("clients"),
        }
    }

    /// Serves a name; what is asked of clients is `client`.
    async fn serve(&self, id: &str, name: &str, client: Option<Value>) {
        let leaf = self.servers.issue(&[name]);
        let mut ssl = json!({ "sni": name, "cert": leaf.certificate_pem, "key": leaf.key_pem });
        if let Some(client) = client {
            ssl["client"] = client;
        }
        self.gateway.put(&format!("/ssls/{id}"), ssl).await;
    }

    fn client(&self, own: Option<&Leaf>) -> ClientConfig {
        match own {
            None => self.servers.client(),
            Some(leaf) => self.servers.client_with(leaf),
        }
    }

    async fn open(&self, name: &str, own: Option<&Leaf>) -> io::Result<Connection> {
        self.gateway.connect_tls(name, self.client(own)).await
    }

    /// GET on a new connection. In TLS 1.3 a server refuses a client after the client's own last word.
    async fn get(&self, name: &str, own: Option<&Leaf>, path: &str) -> io::Result<Response> {
        self.open(name, own).await?.send(&get(name, path)).await
    }

    async fn status(&self, name: &str, own: Option<&Leaf>, path: &str) -> Option<u16> {
        self.get(name, own, path).await.ok().map(|a| a.status)
    }
}

fn get(host: &str, path: &str) -> Request {
    let nowhere = ([127, 0, 0, 1], 1).into();
    Request::new(nowhere, "GET", path).host(host)
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_shows_a_certificate_of_the_authority_gets_in() {
    let house = House::build().await;
    let ca = house.clients.pem();
    house.serve("1", "m.test", Some(json!({ "ca": ca }))).await;
    house.serve("2", "open.test", None).await;
    let good = house.clients.issue(&["ann"]);
    let foreign = Authority::new("clients").issue(&["ann"]);
    assert_eq!(house.status("m.test", Some(&good), "/").await, Some(200));
    assert_eq!(house.status("m.test", Some(&foreign), "/").await, None);
    assert_eq!(house.status("m.test", None, "/").await, None);
    assert_eq!(house.status("open.test", None, "/").await, Some(200));
    assert_eq!(house.upstream.hits(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_depth_bounds_how_many_stand_between() {
    let house = House::build().await;
    let middle = house.clients.below("middle");
    let low = middle.below("low");
    let direct = house.clients.issue(&["direct"]);
    let one = middle.issue(&["one"]).through(&middle);
    let two = low.issue(&["two"]).through(&low).through(&middle);
    for depth in 0..=2 {
        let client = json!({ "ca": house.clients.pem(), "depth": depth });
        house.serve("1", "m.test", Some(client)).await;
        let mut got = Vec::new();
        for leaf in [&direct, &one, &two] {
            got.push(house.status("m.test", Some(leaf), "/").await == Some(200));
        }
        assert_eq!(got, [true, depth >= 1, depth >= 2], "depth {depth}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_may_be_left_out() {
    let house = House::build().await;
    let skip = ["^/open/[a-z]+$", "^/health$"];
    let client = json!({ "ca": house.clients.pem(), "skip_mtls_uri_regex": skip });
    house.serve("1", "m.test", Some(client)).await;
    let good = house.clients.issue(&["ann"]);
    let foreign = Authority::new("others").issue(&["ann"]);
    for (path, of_nobody) in [
        ("/open/a", 200),
        ("/health", 200),
        ("/health?x=/y", 200),
        ("/closed", 400),
        ("/healthy", 400),
        // Decided by the path as it is, not as it is spelled.
        ("/open/../closed", 400),
        ("/%6fpen/a", 200),
        ("/closed?/open/a", 400),
    ] {
        for leaf in [None, Some(&foreign)] {
            let got = house.status("m.test", leaf, path).await;
            assert_eq!(got, Some(of_nobody), "{path}, {}", leaf.is_some());
        }
        let got = house.status("m.test", Some(&good), path).await;
        assert_eq!(got, Some(200), "{path}");
    }
    let page = house.get("m.test", None, "/closed").await.unwrap();
    assert!(page.text().contains("400 Bad Request"), "{}", page.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_demands_certificates_is_reached_under_its_own_name_alone() {
    let house = House::build().await;
    let ca = house.clients.pem();
    house.serve("1", "m.test", Some(json!({ "ca": ca }))).await;
    let skip = json!({ "ca": ca, "skip_mtls_uri_regex": ["^/open$"] });
    house.serve("2", "skip.test", Some(skip)).await;
    house
        .serve("3", "*.wild.test", Some(json!({ "ca": ca })))
        .await;
    house.serve("4", "open.test", None).await;
    let good = house.clients.issue(&["ann"]);
    for (name, host, status) in [
        ("open.test", "m.test", 421),
        ("open.test", "M.test:443", 421),
        ("open.test", "m.test.", 421),
        ("open.test", "skip.test", 421),
        ("open.test", "a.wild.test", 421),
        ("m.test", "skip.test", 421),
        ("a.wild.test", "b.wild.test", 421),
        ("a.wild.test", "a.wild.test", 200),
        ("m.test", "open.test", 200),
        ("m.test", "unknown.test", 200),
        ("open.test", "unknown.test", 200),
    ] {
        let mut connection = house.open(name, Some(&good)).await.unwrap();
        let answer = connection.send(&get(host, "/open")).await.unwrap();
        assert_eq!(answer.status, status, "HTTP/1.1: {name}, {host}");
        let to = house.gateway.addr(Interface::Https);
        let client = house.client(Some(&good));
        let mut http2 = Http2::open(to, name, client).await.unwrap();
        let (got, _) = http2.get(host, "/open").await.unwrap();
        assert_eq!(got, status, "HTTP/2: {name}, {host}");
    }
    // The host may also stand in the target.
    let mut connection = house.open("open.test", None).await.unwrap();
    let absolute = Request::new(([127, 0, 0, 1], 1).into(), "GET", "https://m.test/open");
    let answer = connection.send(&absolute.host("m.test")).await.unwrap();
    assert_eq!(answer.status, 421);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demand_that_comes_later_holds_for_connections_that_are_open() {
    let house = House::build().await;
    house.serve("1", "m.test", None).await;
    let good = house.clients.issue(&["ann"]);
    let mut open = house.open("m.test", Some(&good)).await.unwrap();
    assert_eq!(open.send(&get("m.test", "/")).await.unwrap().status, 200);
    let demand = json!({ "ca": house.clients.pem() });
    house.serve("1", "m.test", Some(demand)).await;
    // Nobody asked this connection for a certificate: it has none to show.
    assert_eq!(open.send(&get("m.test", "/")).await.unwrap().status, 400);
    let mut verified = house.open("m.test", Some(&good)).await.unwrap();
    assert_eq!(
        verified.send(&get("m.test", "/")).await.unwrap().status,
        200
    );
    let others = json!({ "ca": Authority::new("others").pem() });
    house.serve("1", "m.test", Some(others)).await;
    assert_eq!(
        verified.send(&get("m.test", "/")).await.unwrap().status,
        400
    );
    house.serve("1", "m.test", None).await;
    assert_eq!(
        verified.send(&get("m.test", "/")).await.unwrap().status,
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_no_way_around_a_demand() {
    let house = House::build().await;
    let ca = json!({ "ca": house.clients.pem() });
    let good = house.clients.issue(&["ann"]);
    let client = std::sync::Arc::new(house.client(Some(&good)));
    house.serve("1", "m.test", Some(ca)).await;
    let mut resumed = Vec::new();
    for _ in 0..2 {
        let mut open = house
            .gateway
            .connect_tls("m.test", client.clone())
            .await
            .unwrap();
        assert_eq!(open.send(&get("m.test", "/")).await.unwrap().status, 200);
        resumed.push(open.handshake.unwrap().resumed);
    }
    assert_eq!(resumed, [false, true]);
    let others = json!({ "ca": Authority::new("others").pem() });
    house.serve("1", "m.test", Some(others)).await;
    let refused = async {
        let mut open = house.gateway.connect_tls("m.test", client.clone()).await?;
        open.send(&get("m.test", "/")).await
    };
    assert!(refused.await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_say_who_the_client_is() {
    let house = House::build().await;
    let skip = json!({ "ca": house.clients.pem(), "skip_mtls_uri_regex": [".*"] });
    house.serve("1", "m.test", Some(skip)).await;
    let headers = json!({
        "X-Verify": "$ssl_client_verify", "X-Subject": "$ssl_client_s_dn",
        "X-Issuer": "$ssl_client_i_dn", "X-Serial": "$ssl_client_serial",
        "X-Print": "$ssl_client_fingerprint", "X-Escaped": "$ssl_client_escaped_cert",
    });
    let rewrite = json!({ "proxy-rewrite": { "headers": { "set": headers } } });
    let route = json!({ "uri": "/*", "upstream": house.upstream.document(), "plugins": rewrite });
    house.gateway.put("/routes/1", route).await;
    let good = house.clients.issue(&["ann"]);
    let answer = house.get("m.test", Some(&good), "/").await.unwrap();
    let said = |name: &str| answer.echoed_header(name).unwrap_or_default();
    assert_eq!(said("X-Verify"), "SUCCESS");
    assert_eq!(said("X-Subject"), "CN=ann,O=Tests\\, Inc.");
    assert!(
        said("X-Issuer").contains("CN=clients"),
        "{}",
        said("X-Issuer")
    );
    assert_eq!(said("X-Print").len(), 40);
    assert!(said("X-Serial").bytes().all(|b| b.is_ascii_hexdigit()) && said("X-Serial") != "");
    assert!(said("X-Escaped").starts_with("-----BEGIN%20CERTIFICATE-----%0A"));
    let foreign = Authority::new("others").issue(&["ann"]);
    let answer = house.get("m.test", Some(&foreign), "/").await.unwrap();
    let verdict = answer.echoed_header("X-Verify").unwrap();
    assert!(verdict.starts_with("FAILED:"), "{verdict}");
    let answer = house.get("m.test", None, "/").await.unwrap();
    assert_eq!(answer.echoed_header("X-Verify").unwrap(), "NONE");
}
