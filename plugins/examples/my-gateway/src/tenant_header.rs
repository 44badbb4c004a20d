//! `tenant-header`: finds out by the host which tenant a request is for, and tells the upstream and the client.

use crossway_sdk::prelude::*;
use http::{HeaderName, HeaderValue};

/// What is written under `tenant-header` on a route, a service, a consumer or in a global rule.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The domain below which each tenant has a host of its own. With `shop.example`, the host `acme.shop.example` is
    /// that of the tenant `acme`.
    #[schemars(length(min = 1))]
    domain: String,
    /// The header that carries the tenant.
    #[serde(default = "x_tenant")]
    header: String,
}

fn x_tenant() -> String {
    "X-Tenant".to_owned()
}

/// The plugin, built once for each place where it is configured: nothing is parsed while a request waits.
pub(crate) struct TenantHeader {
    suffix: String,
    header: HeaderName,
}

/// What the plugin remembers of one request, between its phases.
type Tenant = Option<HeaderValue>;

#[phases]
impl Plugin for TenantHeader {
    const NAME: &'static str = "tenant-header";
    const PRIORITY: i32 = 50;
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        let name = config.header.parse();
        Ok(Self {
            suffix: format!(".{}", config.domain.to_ascii_lowercase()),
            header: name.map_err(|_| cx.error("/header", "expected the name of a header"))?,
        })
    }

    fn rewrite<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        let Some(tenant) = self.tenant_of(&ex.request.host) else {
            return Step::respond(Reply::message(404, "no such tenant"));
        };
        // Replaces what the client sent: only the host names a tenant.
        let head = ex.session.req_header_mut();
        if let Err(error) = head.insert_header(self.header.clone(), tenant.clone()) {
            return Step::fail(error.into());
        }
        *ex.state::<Tenant>() = Some(tenant);
        Step::next()
    }

    fn header_filter(&self, ex: &mut Exchange<'_>, head: &mut ResponseHeader) -> Result<(), Error> {
        if let Some(Some(tenant)) = ex.existing_state::<Tenant>() {
            head.insert_header(self.header.clone(), tenant.clone())?;
        }
        Ok(())
    }
}

impl TenantHeader {
    fn tenant_of(&self, host: &str) -> Tenant {
        let label = host.strip_suffix(&self.suffix)?;
        let is_label = !label.is_empty() && !label.contains('.');
        HeaderValue::from_str(label).ok().filter(|_| is_label)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossway_sdk::testing::{Scene, build};
    use serde_json::json;

    /// The status that the plugin answers with, and the tenant that upstream and client are told.
    async fn run(host: &str) -> (Option<u16>, Option<String>, Option<String>) {
        let definition = Definition::of::<TenantHeader>();
        let plugin = build(&definition, json!({"domain": "shop.example"})).unwrap();
        let raw = format!("GET / HTTP/1.1\r\nHost: {host}\r\nX-Tenant: forged\r\n\r\n");
        let mut scene = Scene::new(raw.as_bytes()).await.unwrap();
        if let Flow::Respond(reply) = scene.rewrite(&*plugin).await.unwrap() {
            return (Some(reply.status.as_u16()), None, None);
        }
        let mut head = ResponseHeader::build(200, None).unwrap();
        scene.header_filter(&*plugin, &mut head).unwrap();
        let value = |v: Option<&HeaderValue>| v.map(|v| v.to_str().unwrap().to_owned());
        let upstream = value(scene.session.req_header().headers.get("x-tenant"));
        (None, upstream, value(head.headers.get("x-tenant")))
    }

    #[tokio::test]
    async fn upstream_and_client_are_told_the_tenant_of_the_host() {
        let acme = Some("acme".to_owned());
        assert_eq!(
            run("ACME.shop.example:8080").await,
            (None, acme.clone(), acme)
        );
    }

    #[tokio::test]
    async fn a_host_of_no_tenant_is_refused() {
        for host in [
            "shop.example",
            ".shop.example",
            "a.b.shop.example",
            "acme.shop.test",
        ] {
            assert_eq!(run(host).await.0, Some(404), "{host}");
        }
    }

    #[test]
    fn a_configuration_that_cannot_work_is_refused_with_its_place() {
        let definition = Definition::of::<TenantHeader>();
        let place = |config| build(&definition, config).err().map(|error| error.path);
        assert_eq!(place(json!({"domain": ""})), Some("/domain".to_owned()));
        assert_eq!(
            place(json!({"domain": "a.test", "header": "no header"})),
            Some("/header".to_owned())
        );
        assert!(place(json!({"domian": "a.test"})).is_some());
    }
}
