//! What the rows are told with: a project in a world of its own, the programs run in it, and the truth about it.

mod process;
mod scene;
mod truth;

pub(crate) use process::{Ended, Running};
pub(crate) use scene::{Builder, Call, Elsewhere, Scene};
pub(crate) use truth::{Machine, Truth};

/// Two machines in one region behind the proxy, with one HTTP check; flyctl starts stopped ones again.
pub(crate) const FLY_TOML: &str = r#"app = "shop"
primary_region = "iad"

[http_service]
internal_port = 8080
auto_stop_machines = false
auto_start_machines = false

[[http_service.checks]]
grace_period = "5s"
interval = "10s"
method = "GET"
path = "/health"
timeout = "2s"
"#;

/// The same without checks.
pub(crate) const FLY_TOML_NO_CHECKS: &str = r#"app = "shop"
primary_region = "iad"

[http_service]
internal_port = 8080
auto_stop_machines = false
auto_start_machines = false
"#;

/// The name of an image of the app `shop`.
pub(crate) fn image(tag: &str) -> String {
    format!("registry.fly.io/shop:{tag}")
}
