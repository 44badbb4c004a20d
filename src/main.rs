//! The gateway with everything that is built in.

use std::process::ExitCode;

fn main() -> ExitCode {
    crossway::Gateway::builtin().main()
}
