//! What can be written on the command line. Definitions only: what the commands do stands beside the rooms they use.

use clap::{Args, Parser, Subcommand};
use std::{net::IpAddr, path::PathBuf};

/// An API gateway that takes the configuration of Apache APISIX as it is.
#[derive(Debug, PartialEq, Parser)]
#[command(name = "crossway", version, arg_required_else_help = true)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, PartialEq, Subcommand)]
pub enum Command {
    /// Serve until told to stop (SIGTERM: finish what is in flight; SIGINT: at once; SIGHUP: read the settings again; SIGUSR2: have the binary that lies there now take over).
    Run(Run),
    /// Judge settings and resources without serving; the exit status is 0 when they are good.
    Check(Check),
    /// Tell which route a request would take, which plugins would run, and why.
    Explain(Explain),
    /// Ask the gateway that runs whether it takes requests; the exit status is 0 when it does.
    Ready(Ready),
}

/// The settings file.
#[derive(Debug, Default, PartialEq, Args)]
pub struct SettingsFile {
    /// Settings file. Without it: defaults and environment variables.
    #[arg(
        short = 'c',
        long = "config",
        value_name = "FILE",
        env = "CROSSWAY_CONFIG"
    )]
    pub config: Option<PathBuf>,
}

/// Serve until told to stop.
#[derive(Debug, PartialEq, Args)]
pub struct Run {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub settings: SettingsFile,
    /// Take the place of the gateway at the other end of the standard input, which started this one on SIGUSR2.
    #[arg(long, hide = true)]
    pub take_over: bool,
}

/// Judge settings and resources without serving.
#[derive(Debug, PartialEq, Args)]
pub struct Check {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub settings: SettingsFile,
    /// Declarative file of resources to judge, in place of the store's own.
    #[arg(long, value_name = "FILE")]
    pub resources: Option<PathBuf>,
}

/// Tell which route a request would take.
#[derive(Debug, PartialEq, Args)]
pub struct Explain {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub settings: SettingsFile,
    /// Ask the gateway that runs there, e.g. `http://127.0.0.1:9090`, in place of reading the store.
    #[arg(long, value_name = "URL", conflicts_with = "config")]
    pub control: Option<String>,
    /// Method of the request.
    #[arg(long, default_value = "GET")]
    pub method: String,
    /// Host of the request, without scheme.
    #[arg(long)]
    pub host: Option<String>,
    /// Path of the request, with its query.
    #[arg(long, value_parser = origin_form)]
    pub uri: String,
    /// Header of the request, as `Name: value`; may be given several times.
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    pub headers: Vec<(String, String)>,
    /// Address of the client.
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    pub remote_addr: IpAddr,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Ask the gateway that runs whether it takes requests.
#[derive(Debug, PartialEq, Args)]
pub struct Ready {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub settings: SettingsFile,
    /// Ask the gateway that runs there, e.g. `http://127.0.0.1:9090`, in place of the one with these settings.
    #[arg(long, value_name = "URL", conflicts_with = "config")]
    pub control: Option<String>,
}

fn origin_form(text: &str) -> Result<String, String> {
    if text.starts_with('/') {
        Ok(text.to_owned())
    } else {
        Err("expected a path that begins with /".to_owned())
    }
}

fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((name, value)) if http::HeaderName::from_bytes(name.as_bytes()).is_ok() => {
            Ok((name.to_owned(), value.trim().to_owned()))
        }
        _ => Err("expected a header such as 'Name: value'".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Command, String> {
        let arguments = std::iter::once("crossway").chain(line.split('|'));
        Arguments::try_parse_from(arguments)
            .map(|a| a.command)
            .map_err(|e| e.to_string())
    }

    #[test]
    fn the_definitions_hold_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn each_command_is_read() {
        let Ok(Command::Run(run)) = parse("run|-c|a.yaml") else {
            panic!()
        };
        assert_eq!(run.settings.config, Some("a.yaml".into()));
        assert!(!run.take_over);
        let Ok(Command::Run(run)) = parse("run|-c|a.yaml|--take-over") else {
            panic!()
        };
        assert!(run.take_over);
        let Ok(Command::Check(check)) = parse("check|--config|a.yaml|--resources|r.yaml") else {
            panic!()
        };
        assert_eq!(check.resources, Some("r.yaml".into()));
        let Ok(Command::Explain(explain)) = parse(
            "explain|--uri|/a?b=1|--host|a.test|--header|X-A: b:c|--header|X-B:|--control|http://127.0.0.1:9090|--json",
        ) else {
            panic!()
        };
        assert_eq!(
            (explain.method.as_str(), explain.uri.as_str()),
            ("GET", "/a?b=1")
        );
        let headers = [("X-A", "b:c"), ("X-B", "")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(explain.headers, headers);
        assert_eq!(explain.remote_addr.to_string(), "127.0.0.1");
        assert!(explain.json);
        let Ok(Command::Ready(ready)) = parse("ready|--control|http://127.0.0.1:9090") else {
            panic!()
        };
        assert_eq!(ready.control.as_deref(), Some("http://127.0.0.1:9090"));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for line in [
            "explain",
            "explain|--uri|a",
            "explain|--uri|/|--header|no colon",
            "explain|--uri|/|--header|a b: c",
            "explain|--uri|/|--remote-addr|here",
            "explain|--uri|/|-c|a.yaml|--control|http://127.0.0.1:9090",
            "serve",
            "ready|-c|a.yaml|--control|http://127.0.0.1:9090",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn the_version_is_told() {
        assert!(
            parse("--version")
                .unwrap_err()
                .contains(env!("CARGO_PKG_VERSION"))
        );
    }
}
