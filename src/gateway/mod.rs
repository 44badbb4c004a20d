//! The gateway as a whole: what it is made of, and its commands. A custom binary adds plugins and balancers here.

mod access_logs;
mod acme;
mod check;
mod connections;
mod control;
mod drain;
mod edge;
mod error_log;
mod explain;
mod figures;
mod handover;
mod handshakes;
mod memory;
mod notify;
mod open;
mod options;
mod ready;
mod reload;
mod reports;
mod rotate;
mod run;
mod sealed;
mod sockets;
mod streams;
mod upgrade;

use crate::{
    cli::{Arguments, Command},
    upstream::balance::Balancers,
};
use clap::Parser;
use crossway_sdk::{
    balance::{Balance, BalanceNode},
    definition::{Definition, Doubled, Registry},
};
use std::{io::Write, process::ExitCode};

/// A gateway under construction.
///
/// ```no_run
/// use std::process::ExitCode;
///
/// fn main() -> ExitCode {
///     crossway::Gateway::builtin().main()
/// }
/// ```
pub struct Gateway {
    registry: Result<Registry, Doubled>,
    balancers: Balancers,
}

/// Why a command ended. The text is for the operator.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Failure(String);

impl Failure {
    fn new(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

impl Gateway {
    /// With all plugins and balancers that Crossway has built in.
    pub fn builtin() -> Self {
        Self {
            registry: crossway_plugins::registry(),
            balancers: Balancers::builtin(),
        }
    }

    /// Adds a plugin. One with the name of another is an error that [`Gateway::main`] reports.
    #[must_use]
    pub fn plugin(mut self, definition: Definition) -> Self {
        self.registry = self
            .registry
            .and_then(|registry| registry.plugin(definition));
        self
    }

    /// Adds a balancer, which upstreams name in `type`.
    #[must_use]
    pub fn balancer(
        mut self,
        name: &'static str,
        factory: impl Fn(&[BalanceNode]) -> Box<dyn Balance> + Send + Sync + 'static,
    ) -> Self {
        self.balancers = self.balancers.with(name, factory);
        self
    }

    /// Reads the command line and does what it says. Exit status: 0 done, 1 failed or refused, 2 not understood.
    pub fn main(self) -> ExitCode {
        let arguments = match Arguments::try_parse() {
            Ok(arguments) => arguments,
            Err(error) => {
                // Help and version come this way, too, and are no errors.
                let code = u8::try_from(error.exit_code()).unwrap_or(2);
                return match error.print() {
                    Ok(()) => ExitCode::from(code),
                    Err(_) => ExitCode::FAILURE,
                };
            }
        };
        let done = self.registry.map_err(Failure::new).and_then(|registry| {
            let parts = Parts {
                registry,
                balancers: self.balancers,
            };
            match arguments.command {
                Command::Run(run) => run::run(parts, run),
                Command::Check(check) => check::check(parts, &check),
                Command::Explain(explain) => explain::explain(parts, &explain),
                Command::Ready(ready) => ready::ready(&ready),
            }
        });
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => {
                say(&mut std::io::stderr(), &format!("crossway: {failure}"));
                ExitCode::FAILURE
            }
        }
    }
}

/// What the commands work with.
pub(crate) struct Parts {
    registry: Registry,
    balancers: Balancers,
}

/// Writes a line for whoever started the command. A terminal that is gone is no reason to stop.
fn say(to: &mut dyn Write, line: &str) {
    drop(writeln!(to, "{line}"));
}
