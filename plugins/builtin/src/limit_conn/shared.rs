//! Counting what is in progress in Redis: a sorted set for each key, a member for each request.

use crate::limit::{Argument, Call, Link, LinkError, Script, bounded};
use std::sync::{Arc, LazyLock};
use uuid::Uuid;

static ENTER: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("enter.lua")));

/// The requests in progress of one place of use.
pub(crate) struct Shared {
    link: Arc<Link>,
    prefix: Box<str>,
    /// Seconds.
    ttl: u64,
}

/// One request in progress in Redis, as long as it is not dropped.
pub(crate) struct Member {
    link: Arc<Link>,
    key: Box<[u8]>,
    id: String,
    /// Whether Redis may hold it.
    held: bool,
}

impl Shared {
    /// Keys begin with `prefix`, the place and the version of the configuration.
    pub(crate) fn new(link: Arc<Link>, prefix: &str, place: &str, version: &str, ttl: u64) -> Self {
        Self {
            link,
            prefix: format!("{prefix}:{place}:{version}").into(),
            ttl,
        }
    }

    /// Lets a request in, and tells how many are in progress with it; `None` when there are `limit` already. `rule` is
    /// the position of the limit among several.
    pub(crate) async fn enter(
        &self,
        rule: usize,
        key: &[u8],
        limit: u64,
    ) -> Result<Option<(Member, u64)>, LinkError> {
        let head = format!("{}:{rule}:", self.prefix).into_bytes();
        let mut member = Member {
            link: self.link.clone(),
            key: [&*head, &*bounded(key)].concat().into(),
            id: Uuid::now_v7().simple().to_string(),
            // Should the client leave before the answer is there, the request is counted out all the same.
            held: true,
        };
        let arguments = [
            Argument::Integer(limit),
            Argument::Integer(self.ttl),
            Argument::Text(&member.id),
        ];
        let answer = self
            .link
            .ask(Call::Script {
                script: &ENTER,
                key: &member.key,
                arguments: &arguments,
            })
            .await?;
        match *answer.as_slice() {
            [1, live] => Ok(Some((member, u64::try_from(live).unwrap_or(1)))),
            _ => {
                member.held = false;
                Ok(None)
            }
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if !self.held {
            return;
        }
        // Nobody waits for this; when it fails, the member goes after its time.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (link, key) = (self.link.clone(), std::mem::take(&mut self.key));
            let member = std::mem::take(&mut self.id);
            runtime.spawn(async move {
                let left = link.ask(Call::Remove {
                    key: &key,
                    member: &member,
                });
                if let Err(error) = left.await {
                    tracing::debug!(%error, "a request could not be counted out");
                }
            });
        }
    }
}
