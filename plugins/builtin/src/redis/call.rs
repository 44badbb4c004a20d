//! What is asked of Redis in one round trip.

use super::endpoint::Connection;
use redis::{Cmd, ErrorKind, RedisError, RedisResult, ServerErrorKind, Value};

/// A script that decides in Redis, by itself or not at all.
pub(crate) struct Script {
    text: &'static str,
    digest: String,
}

impl Script {
    pub(crate) fn new(text: &'static str) -> Self {
        let digest = redis::Script::new(text).get_hash().to_owned();
        Self { text, digest }
    }
}

/// An argument of a script.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Argument<'a> {
    Integer(u64),
    Number(f64),
    Text(&'a str),
}

/// What is asked of Redis. Each touches one key only, so that a cluster knows where to send it.
pub(crate) enum Call<'a> {
    /// Runs a script, which answers with integers.
    Script {
        script: &'a Script,
        key: &'a [u8],
        arguments: &'a [Argument<'a>],
    },
    /// Takes a member out of a sorted set.
    Remove { key: &'a [u8], member: &'a str },
    /// A command of the caller's own. It must do no harm when it is sent twice.
    Command(&'a Cmd),
}

impl Call<'_> {
    pub(super) async fn run(&self, connection: &mut Connection) -> RedisResult<Value> {
        match self {
            Call::Script {
                script,
                key,
                arguments,
            } => {
                // By digest first; a Redis that has not seen the script gets its text, which it keeps.
                let known = command("EVALSHA", &script.digest, key, arguments);
                match answer(connection, &known).await {
                    Err(error) if is_unknown_script(&error) => {
                        let whole = command("EVAL", script.text, key, arguments);
                        answer(connection, &whole).await
                    }
                    answered => answered,
                }
            }
            Call::Remove { key, member } => {
                let mut command = redis::cmd("ZREM");
                command.arg(*key).arg(*member);
                answer(connection, &command).await
            }
            Call::Command(command) => answer(connection, command).await,
        }
    }
}

fn is_unknown_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

fn command(name: &str, script: &str, key: &[u8], arguments: &[Argument<'_>]) -> Cmd {
    let mut command = redis::cmd(name);
    command.arg(script).arg(1).arg(key);
    for argument in arguments {
        match argument {
            Argument::Integer(number) => command.arg(*number),
            Argument::Number(number) => command.arg(*number),
            Argument::Text(text) => command.arg(*text),
        };
    }
    command
}

async fn answer(connection: &mut Connection, command: &Cmd) -> RedisResult<Value> {
    match connection {
        Connection::Server(connection) => command.query_async(connection).await,
        Connection::Cluster(connection) => command.query_async(connection).await,
    }
}
