//! `authz-casbin`: admits requests by user, path and method, as a Casbin model and policy say.
//!
//! The user is what a header says, so something in front must have made that header trustworthy: a client that may write it
//! may be anybody.

mod config;
mod files;
mod rules;
#[cfg(test)]
mod tests;

pub use config::{Config, Metadata};

use crate::auth::{Presented, header};
use crossway_sdk::prelude::*;
use files::Files;
use http::HeaderName;
use rules::{Rules, Unfit};
use std::sync::Arc;

/// The plugin.
pub struct AuthzCasbin {
    username: HeaderName,
    source: Source,
}

/// Where the rules are from.
enum Source {
    /// Compiled with the configuration.
    Text(Arc<Rules>),
    Files(Files),
}

#[phases]
impl Plugin for AuthzCasbin {
    const NAME: &'static str = "authz-casbin";
    const PRIORITY: i32 = 2560;
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        let username = config
            .username
            .parse()
            .map_err(|_| cx.error("/username", "expected the name of a header"))?;
        let files = (&config.model_path, &config.policy_path);
        let text = (&config.model, &config.policy);
        let source = match (files, text) {
            ((Some(model), Some(policy)), (None, None)) => Source::Files(Files::new(model, policy)),
            ((None, None), (Some(model), Some(policy))) => {
                let compiled = Rules::new(model, policy).map_err(|unfit| match unfit {
                    Unfit::Model(why) => cx.error("/model", why),
                    Unfit::Policy(why) => cx.error("/policy", why),
                });
                Source::Text(Arc::new(compiled?))
            }
            ((None, None), (None, None)) => Source::Text(of_metadata(cx)?),
            _ => {
                let message = "expected either model_path and policy_path, or model and policy, or \
                               none of them and metadata of the plugin";
                return Err(cx.error("", message));
            }
        };
        Ok(Self { username, source })
    }

    fn metadata_schema() -> Option<Value> {
        Some(
            schemars::generate::SchemaSettings::draft07()
                .into_generator()
                .into_root_schema_for::<Metadata>()
                .to_value(),
        )
    }

    fn rewrite<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        let user = match header(&ex.session.req_header().headers, &self.username) {
            Presented::Nothing => "anonymous".into(),
            // Which of several the policy means, nobody knows.
            Presented::Unusable => return Step::respond(denied()),
            Presented::Text(user) => user,
        };
        match &self.source {
            Source::Text(rules) if rules.are_few() => {
                let head = ex.session.req_header();
                let path = ex.request.path(head);
                Step::Done(conclude(rules.admits(&user, path, head.method.as_str())))
            }
            source => {
                let user = user.into_owned();
                Step::wait(async move { judge_apart(source, ex, user).await })
            }
        }
    }
}

/// Judges in a thread that serves no requests.
async fn judge_apart(source: &Source, ex: &Exchange<'_>, user: String) -> Result<Flow, Error> {
    let rules = match source {
        Source::Text(rules) => rules.clone(),
        Source::Files(files) => files.rules().await.map_err(Error::new)?.clone(),
    };
    let head = ex.session.req_header();
    let path = ex.request.path(head);
    if rules.are_few() {
        return conclude(rules.admits(&user, path, head.method.as_str()));
    }
    let (path, method) = (path.to_owned(), head.method.clone());
    let judged = tokio::task::spawn_blocking(move || rules.admits(&user, &path, method.as_str()));
    conclude(judged.await.unwrap_or_else(|e| Err(e.to_string())))
}

fn conclude(judged: Result<bool, String>) -> Result<Flow, Error> {
    match judged {
        Ok(true) => Ok(Flow::Next),
        Ok(false) => Ok(Flow::Respond(denied())),
        Err(why) => Err(Error(why)),
    }
}

fn denied() -> Reply {
    Reply::message(403, "Access Denied")
}

/// The rules of the metadata, one set for all places that go by them.
fn of_metadata(cx: &BuildCx<'_>) -> Result<Arc<Rules>, BuildError> {
    let Some(document) = cx.metadata() else {
        let message =
            "expected model_path and policy_path, or model and policy: the plugin has no metadata";
        return Err(cx.error("", message));
    };
    let refuse = |why: String| cx.error("", format!("in the metadata: {why}"));
    let metadata = Metadata::deserialize(document).map_err(|e| refuse(e.to_string()))?;
    let Metadata { model, policy } = &metadata;
    let rules = Rules::new(model, policy).map_err(|unfit| match unfit {
        Unfit::Model(why) => refuse(format!("model: {why}")),
        Unfit::Policy(why) => refuse(format!("policy: {why}")),
    })?;
    // Of equal rules one set is kept, however many places go by them.
    Ok(cx.shared(&format!("authz-casbin/{metadata:?}"), || rules))
}
