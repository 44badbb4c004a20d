//! Buckets in Redis, one key each.

use crate::limit::{Argument, Call, Link, LinkError, Script, bounded};
use std::sync::{Arc, LazyLock};

static TAKE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("take.lua")));

/// The buckets of one place of use.
pub(crate) struct Shared {
    link: Arc<Link>,
    prefix: Box<[u8]>,
}

impl Shared {
    /// Buckets under `limit_req:<place>:<version of the configuration>:`.
    pub(crate) fn new(link: Arc<Link>, place: &str, version: &str) -> Self {
        let prefix = format!("limit_req:{place}:{version}:").into_bytes().into();
        Self { link, prefix }
    }

    /// Takes one request in: how many seconds it has to wait, or `None` when the burst is used up.
    pub(crate) async fn take(
        &self,
        key: &[u8],
        rate: f64,
        burst: f64,
    ) -> Result<Option<f64>, LinkError> {
        let answer = self
            .link
            .ask(Call::Script {
                script: &TAKE,
                key: &[&self.prefix, &*bounded(key)].concat(),
                arguments: &[Argument::Number(rate), Argument::Number(burst)],
            })
            .await?;
        let micros = answer.first().copied().unwrap_or(0);
        Ok((micros >= 0).then_some(micros as f64 / 1e6))
    }
}
