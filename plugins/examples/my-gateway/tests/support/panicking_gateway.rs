//! A gateway whose one plugin of its own panics in the phase that a request names.

use crossway::Gateway;
use crossway_sdk::prelude::*;
use std::process::ExitCode;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {}

struct PanicOnDemand;

fn panic_if_asked(ex: &Exchange<'_>, phase: &str) {
    let asked = ex.session.req_header().headers.get("x-panic-in");
    assert!(
        asked.is_none_or(|p| p != phase),
        "asked to panic in {phase}"
    );
}

#[phases]
impl Plugin for PanicOnDemand {
    const NAME: &'static str = "panic-on-demand";
    const PRIORITY: i32 = 50;
    type Config = Config;

    fn build(Config {}: Config, _: &BuildCx<'_>) -> Result<Self, BuildError> {
        Ok(Self)
    }

    fn rewrite<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        panic_if_asked(ex, "rewrite");
        Step::next()
    }

    fn access<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        Step::wait(async move {
            panic_if_asked(ex, "access");
            Ok(Flow::Next)
        })
    }

    fn before_proxy(&self, ex: &mut Exchange<'_>, _: &mut RequestHeader) -> Result<(), Error> {
        panic_if_asked(ex, "before_proxy");
        Ok(())
    }

    fn header_filter(&self, ex: &mut Exchange<'_>, _: &mut ResponseHeader) -> Result<(), Error> {
        panic_if_asked(ex, "header_filter");
        Ok(())
    }

    fn log(&self, ex: &mut Exchange<'_>) {
        panic_if_asked(ex, "log");
    }
}

fn main() -> ExitCode {
    Gateway::builtin()
        .plugin(Definition::of::<PanicOnDemand>())
        .main()
}
