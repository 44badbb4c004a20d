//! Crossway with a plugin and a balancer of its own.

mod first_available;
mod tenant_header;

use crossway::Gateway;
use crossway_sdk::definition::Definition;
use std::process::ExitCode;

fn main() -> ExitCode {
    Gateway::builtin()
        .plugin(Definition::of::<tenant_header::TenantHeader>())
        .balancer("first_available", first_available::first_available)
        .main()
}
