//! `fly.<env>.toml` as flyctl reads it, and what shipctl needs of it.

use std::collections::BTreeMap;
use std::time::Duration;

/// A configuration of an app. Keys that shipctl does not need stay in it unread.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FlyToml {
    pub(crate) app: Option<String>,
    pub(crate) primary_region: Option<String>,
    /// `[deploy] strategy`, as written.
    pub(crate) strategy: Option<String>,
    pub(crate) release_command: Option<String>,
    pub(crate) release_command_timeout: Option<Duration>,
    pub(crate) wait_timeout: Option<Duration>,
    /// `[build] image`.
    pub(crate) image: Option<String>,
    pub(crate) env: BTreeMap<String, String>,
    /// `[[files]]` with a `local_path`.
    pub(crate) files: Vec<String>,
    /// Names and commands; empty where the file names none (one group `app`).
    pub(crate) processes: BTreeMap<String, String>,
}

/// What a file says of one process group.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct GroupConfig {
    /// An HTTP handler leads to it from outside.
    pub(crate) public_http: bool,
    /// Where that handler listens and leads to; 443 before 80 before others.
    pub(crate) public_port: Option<PublicPort>,
    /// Any of its services lets the proxy stop its instances.
    pub(crate) autostop: bool,
    /// The largest of its services.
    pub(crate) min_machines_running: u32,
    /// Everything that each of its instances is checked by.
    pub(crate) checks: Vec<CheckConfig>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct PublicPort {
    pub(crate) port: u16,
    pub(crate) tls: bool,
    /// On the instance.
    pub(crate) internal_port: u16,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum CheckKind {
    Http,
    Tcp,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CheckConfig {
    /// The key of `[checks]`; `None` for a check of a service.
    pub(crate) name: Option<String>,
    pub(crate) kind: CheckKind,
    pub(crate) port: Option<u16>,
    pub(crate) path: Option<String>,
    pub(crate) method: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) interval: Option<Duration>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) grace_period: Option<Duration>,
}

impl FlyToml {
    /// The process groups by name; `app` where the file names none.
    pub(crate) fn groups(&self) -> Vec<String> {
        if self.processes.is_empty() {
            vec!["app".to_owned()]
        } else {
            self.processes.keys().cloned().collect()
        }
    }
}
