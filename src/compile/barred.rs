//! What stands for a plugin that cannot be built because a secret is not to be had: nothing gets past it.

use crossway_sdk::{
    definition::{Definition, Instance},
    exchange::Exchange,
    flow::{Reply, Step},
    plugin::Phases,
    stream::StreamExchange,
};

/// Answers 503, and closes sessions.
pub(super) struct Barred;

impl Barred {
    /// The phases in which it stands in the way. Of sessions only if the plugin has a say in them.
    pub(super) fn phases(definition: &Definition) -> Phases {
        let http = Phases::REWRITE | Phases::ACCESS;
        let of_sessions = Phases::STREAM_ACCESS | Phases::STREAM_LOG;
        match definition.phases.intersects(of_sessions) {
            true => http | Phases::STREAM_ACCESS,
            false => http,
        }
    }
}

fn refuse<'a>() -> Step<'a> {
    Step::respond(Reply::status(503))
}

impl Instance for Barred {
    fn rewrite<'a>(&'a self, _: &'a mut Exchange<'_>) -> Step<'a> {
        refuse()
    }
    fn access<'a>(&'a self, _: &'a mut Exchange<'_>) -> Step<'a> {
        refuse()
    }
    fn stream_access<'a>(&'a self, _: &'a mut StreamExchange<'_>) -> Step<'a> {
        refuse()
    }
}
