//! What is configured: projects, environments and services, resolved once.

mod conflicts;
pub(crate) mod diagnostics;
pub(crate) mod discover;
pub(crate) mod document;
pub(crate) mod dotenv;
pub(crate) mod duration;
mod environment;
pub(crate) mod fly_toml;
mod key_values;
pub(crate) mod keys;
pub(crate) mod load;
#[cfg(test)]
mod load_tests;
pub(crate) mod policy;
mod reader;
mod service;
pub(crate) mod settings;
pub(crate) mod shipctl_toml;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use fly_toml::FlyToml;
use settings::Effective;

use crate::secret::Secret;
use crate::verification::Evidence;

/// A folder with its environments, every value of it settled.
#[derive(Clone, Debug)]
pub(crate) struct Project {
    /// Absolute.
    pub(crate) root: PathBuf,
    /// What paths of a command line are relative to: `-C DIR`, else the current folder.
    pub(crate) start: PathBuf,
    /// `[project] name`, else `host/owner/repo` of `origin`, else the folder's name.
    pub(crate) name: String,
    /// By name.
    pub(crate) environments: Vec<Environment>,
    /// What a person should know and nothing stops at.
    pub(crate) warnings: Vec<String>,
    /// Without `.env.<env>`; an environment's own is [`Environment::state_url`].
    pub(crate) state_url: Option<String>,
    /// `[flyctl] pass`: names of variables that reach flyctl.
    pub(crate) flyctl_pass: Vec<String>,
    /// The file that `--config` names, and where it belongs.
    pub(crate) config: Option<NamedConfig>,
    /// What of the project's own was settled, for `config show`.
    pub(crate) effective: Vec<Effective>,
}

impl Project {
    /// A file as a command line names it.
    pub(crate) fn on_a_command_line(&self, file: &Path) -> String {
        relative(&self.start, file).display().to_string()
    }
}

/// The way from a folder to a file; both are absolute.
fn relative(folder: &Path, file: &Path) -> PathBuf {
    let common = folder
        .components()
        .zip(file.components())
        .take_while(|(one, other)| one == other);
    let common = common.count();
    let up = folder.components().skip(common).map(|_| Component::ParentDir);
    up.chain(file.components().skip(common)).collect()
}

/// The file that `--config` names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct NamedConfig {
    /// Absolute.
    pub(crate) path: PathBuf,
    /// As it was given.
    pub(crate) given: String,
    /// The environment and the service whose file it is; `None` where it is nobody's.
    pub(crate) belongs_to: Option<(String, String)>,
    /// The app that it names.
    pub(crate) app: Option<String>,
}

impl Project {
    pub(crate) fn environment(&self, name: &str) -> Option<&Environment> {
        self.environments
            .iter()
            .find(|environment| environment.name == name)
    }
}

/// A named target with its own files and policy.
#[derive(Clone, Debug)]
pub(crate) struct Environment {
    pub(crate) name: String,
    pub(crate) protected: bool,
    /// `[environments.X] app`, the second witness of where a deployment goes.
    pub(crate) app_witness: Option<String>,
    /// The organisation that owns its apps, by slug; a deploy to an app of another one is refused.
    pub(crate) org: Option<String>,
    /// Name of the variable that holds the token, never its value.
    pub(crate) token_variable: String,
    /// Globs; empty allows every ref.
    pub(crate) allowed_refs: Vec<String>,
    pub(crate) after: Option<String>,
    /// Regions that `verified` needs an instance in.
    pub(crate) regions: Vec<String>,
    pub(crate) min_instances: Option<u32>,
    pub(crate) freeze: FreezePolicy,
    pub(crate) state_url: Option<String>,
    /// What bounds a whole deployment, builds included.
    pub(crate) deploy_timeout: Duration,
    /// In an order that honours `needs`.
    pub(crate) services: Vec<Service>,
    /// The process's variables over those of `.env.<env>` and `.env` that shipctl reads.
    pub(crate) variables: Variables,
    /// What was settled, for `config show`.
    pub(crate) effective: Vec<Effective>,
}

/// A workload of an environment: one Fly app with its file.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    /// `web` where no table names one.
    pub(crate) name: String,
    /// Empty where tolerant loading found none: then the ledger knows.
    pub(crate) app: String,
    /// `[environments.X] app`, where it speaks of this service.
    pub(crate) witness: Option<String>,
    /// Where its file is or should be, absolute.
    pub(crate) config: PathBuf,
    /// `None` where tolerant loading could not read it.
    pub(crate) file: Option<FlyFile>,
    /// Contents of `[[files]]` by local path.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    /// Absolute; flyctl's working directory and build context.
    pub(crate) context: PathBuf,
    pub(crate) needs: Vec<String>,
    pub(crate) verify: VerifySettings,
    /// What was settled, for `config show`.
    pub(crate) effective: Vec<Effective>,
}

/// A `fly.<env>.toml` as it was when it was read: a deployment goes on with that, whatever is edited meanwhile.
#[derive(Clone, Debug)]
pub(crate) struct FlyFile {
    /// Absolute.
    pub(crate) path: PathBuf,
    pub(crate) text: String,
    pub(crate) toml: FlyToml,
}

/// `[verify]`, settled for one service of one environment.
#[derive(Clone, Debug)]
pub(crate) struct VerifySettings {
    pub(crate) path: PathRule,
    /// That of the check, else `GET`.
    pub(crate) method: String,
    /// Sent as `Host` where it is set.
    pub(crate) host: Option<String>,
    /// Those of the check that `[verify] headers` does not name, and those.
    pub(crate) headers: Vec<(String, HeaderValue)>,
    /// For an instance to turn good after it got the new release.
    pub(crate) timeout: Duration,
    /// Good answers in a row.
    pub(crate) successes: u32,
    /// How long everything is watched after the verdict is good.
    pub(crate) bake: Duration,
    pub(crate) identity: Identity,
    pub(crate) version_field: VersionField,
    pub(crate) min_evidence: Evidence,
}

/// Which path is asked, and what an answer on it is worth (DESIGN 3, 6).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum PathRule {
    /// `[verify] path`: a redirect or 4xx is bad.
    Named(String),
    /// That of the HTTP check on the public service's own port.
    Check {
        path: String,
        /// Without `Host`.
        headers: Vec<(String, String)>,
    },
    /// Nothing names a path: `/`, where only 2xx, 5xx and silence say something.
    Root,
}

impl PathRule {
    pub(crate) fn path(&self) -> &str {
        match self {
            Self::Named(path) | Self::Check { path, .. } => path,
            Self::Root => "/",
        }
    }
}

/// The value of a header, hidden where it came from a variable.
#[derive(Clone, Eq, PartialEq)]
pub(crate) enum HeaderValue {
    Plain(String),
    /// From `env:NAME`.
    Secret(Secret),
}

impl HeaderValue {
    pub(crate) fn expose(&self) -> &str {
        match self {
            Self::Plain(value) => value,
            Self::Secret(value) => value.expose(),
        }
    }
}

impl fmt::Debug for HeaderValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(value) => write!(f, "{value:?}"),
            Self::Secret(value) => write!(f, "{value}"),
        }
    }
}

/// Must the answer name the release that was shipped?
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Identity {
    Auto,
    Required,
    Off,
}

/// Where an answer names its version.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum VersionField {
    /// A JSON pointer into the body.
    Pointer(String),
    /// The name of a response header.
    Header(String),
}

/// Whether a person's rollback freezes the environment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum FreezePolicy {
    Protected,
    Always,
    Never,
}

/// Variables by name; never printed with their values.
#[derive(Clone, Default, Eq, PartialEq)]
pub(crate) struct Variables(pub(crate) BTreeMap<String, String>);

impl Variables {
    /// An empty variable counts as unset: that is what a CI system makes of a missing one.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
