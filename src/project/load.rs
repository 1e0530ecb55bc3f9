//! Reads a project: finds its root, settles every value, and says what is wrong.
//!
//! Strict loading stops at mistakes in `shipctl.toml` and in what belongs to the environment that is asked for; a
//! mistake in the file of another one is a warning. Tolerant loading stops at nothing but a project that is not there.

use std::path::{Path, PathBuf};

use super::conflicts::{after_problems, of_variables, plain_file_warnings, same_apps};
use super::diagnostics::{Problem, nearest};
use super::discover::{find_root, normal};
use super::document::{self, Document, Node, Unread};
use super::dotenv::DotEnv;
use super::fly_toml::check::all_of;
use super::fly_toml::lint::Lint;
use super::keys::{FLYCTL_PASS, PROJECT_NAME, STATE_URL};
use super::reader::{ReadEnvironment, Reader};
use super::settings::{Flag, Layers, Scope, Settler, Source, misspelt};
use super::{NamedConfig, Project, Variables, shipctl_toml};
use crate::error::{Error, Result};

/// The service that a project without `[services]` has.
pub(super) const ONLY_SERVICE: &str = "web";

/// How mistakes are taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mode {
    /// For `deploy` and `config`.
    Strict,
    /// For `rollback`, `status`, `verify`, `lock` and the like: at three in the morning a typo is not the problem.
    Tolerant,
}

/// What strict loading holds mistakes against.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Wanted<'a> {
    All,
    /// The one that is named; without a name the one that `--config` belongs to, if there is one.
    One(Option<&'a str>),
}

/// What to load, and with what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    /// Absolute: `-C`, else the current directory.
    pub(crate) dir: &'a Path,
    /// Whether `dir` was named by `-C`, and so is the root itself: no folder above it is meant.
    pub(crate) dir_is_root: bool,
    pub(crate) mode: Mode,
    pub(crate) wanted: Wanted<'a>,
    /// `--config`, relative to `dir`.
    pub(crate) config: Option<&'a Path>,
    /// `--service`; empty for all.
    pub(crate) services: &'a [String],
    pub(crate) process: &'a Variables,
    pub(crate) flags: &'a [Flag],
    /// `origin` reduced to host/owner/repo ([`crate::git`]).
    pub(crate) origin: Option<&'a str>,
}

impl<'a> Request<'a> {
    /// Everything in `dir`, without flags.
    pub(crate) fn new(dir: &'a Path, mode: Mode, process: &'a Variables) -> Self {
        Self {
            dir,
            dir_is_root: false,
            mode,
            wanted: Wanted::All,
            config: None,
            services: &[],
            process,
            flags: &[],
            origin: None,
        }
    }

    /// The folder that the project is in.
    pub(crate) fn root(&self) -> Result<PathBuf> {
        if self.dir_is_root {
            let own = find_root(self.dir).filter(|root| *root == normal(self.dir, Path::new("")));
            return own.ok_or_else(|| {
                Error::config(format!(
                    "`{}` holds neither `shipctl.toml` nor `fly.<env>.toml` nor `fly.toml`",
                    self.dir.display()
                ))
                .hint("name the project's own folder with `-C`")
            });
        }
        find_root(self.dir)
            .or_else(|| find_root(normal(self.dir, self.config?).parent()?))
            .ok_or_else(|| {
                Error::config(format!(
                    "`{}` holds neither `shipctl.toml` nor `fly.<env>.toml` nor `fly.toml`, nor does a folder above it",
                    self.dir.display()
                ))
                .hint("go to the project's folder, or name it with `-C DIR`")
            })
    }
}

/// A project with everything that was found out about its files.
pub(crate) struct Loaded {
    pub(crate) project: Project,
    /// What there is to say of files without mistakes, by environment.
    pub(crate) lints: Vec<(String, Lint)>,
}

/// Reads the project.
pub(crate) fn load(request: &Request<'_>) -> Result<Project> {
    load_with_lints(request).map(|loaded| loaded.project)
}

/// Reads the project, and says what `config check` does.
pub(crate) fn load_with_lints(request: &Request<'_>) -> Result<Loaded> {
    let root = request.root()?;
    let (document, own_problems) = read_own(&root);
    let (common, common_problem) = DotEnv::read(&root.join(".env"), ".env");
    let layers = Layers {
        flags: request.flags,
        process: request.process,
        dotenv: vec![&common],
        document: document.as_ref(),
    };
    let mut reader = Reader {
        request,
        root: &root,
        document: document.as_ref(),
        common: &common,
        substitute: None,
        services: service_names(document.as_ref()),
    };
    let names = reader.environment_names(&layers);
    let config = reader.named_config(&layers, &names)?;
    let wanted = wanted(request.wanted, config.as_ref());
    if let Some(name) = wanted.one()
        && request.mode == Mode::Strict
        && !names.contains(name)
    {
        return Err(unknown_environment(name, names.iter().map(String::as_str)));
    }
    reader.check_services(&names)?;
    if let (Some(config), Some(name)) = (&config, wanted.one())
        && config.belongs_to.is_none()
    {
        reader.substitute = Some((name.to_owned(), config.path.clone()));
    }

    let mut problems = own_problems;
    problems.extend(after_problems(document.as_ref(), &names));
    let mut settler = Settler::new(&layers, Scope::default());
    let name = project_name(&mut settler, request.origin, &root);
    let state_url = settler.text(&STATE_URL);
    let flyctl_pass = settler.texts(&FLYCTL_PASS);
    let (effective, own) = (settler.effective, settler.problems);
    problems.extend(own);

    let mut warnings: Vec<String> = common_problem.iter().map(Problem::summary).collect();
    warnings.extend(misspelt(request.process.0.keys().map(String::as_str)));
    let mut read: Vec<ReadEnvironment> = names.iter().map(|name| reader.environment(name)).collect();
    let mut lints = Vec::new();
    let shared_apps = same_apps(&read);
    for one in &mut read {
        let name = &one.environment.name;
        let shared = shared_apps
            .iter()
            .filter(|(environments, _)| environments.contains(name));
        one.problems.extend(shared.map(|(_, problem)| problem.clone()));
        let of_variables = of_variables(one, &names, &reader.services);
        one.problems.extend(of_variables);
        if wanted.includes(name) {
            problems.append(&mut one.problems);
            warnings.append(&mut one.warnings);
            for lint in &one.lints {
                if lint.is_trap {
                    warnings.push(lint.problem.summary());
                }
                lints.push((name.clone(), lint.clone()));
            }
        } else {
            warnings.extend(one.file_problems.iter().map(Problem::summary));
        }
    }
    if request.mode == Mode::Strict {
        let deployed = read
            .iter()
            .map(|one| &one.environment)
            .filter(|one| wanted.includes(&one.name));
        warnings.extend(plain_file_warnings(&root, deployed));
    }
    dedup(&mut problems);
    match request.mode {
        Mode::Strict if !problems.is_empty() => return Err(Problem::into_error(problems)),
        Mode::Strict => {}
        Mode::Tolerant => warnings.extend(problems.iter().map(Problem::summary)),
    }
    dedup(&mut warnings);
    Ok(Loaded {
        project: Project {
            root: root.clone(),
            start: normal(request.dir, Path::new("")),
            name,
            environments: read.into_iter().map(|one| one.environment).collect(),
            warnings,
            state_url,
            flyctl_pass,
            config,
            effective,
        },
        lints,
    })
}

/// The answer to a name that is no environment's.
pub(crate) fn unknown_environment<'a>(name: &str, names: impl Iterator<Item = &'a str> + Clone) -> Error {
    let all: Vec<&str> = names.clone().collect();
    let error = Error::config(format!("there is no environment `{}`", name.escape_debug()));
    let error = match nearest(name, names) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error,
    };
    if all.is_empty() {
        error.hint(format!("write `fly.{}.toml` first", name.escape_debug()))
    } else {
        error.hint(format!("environments are {}", all_of(&all)))
    }
}

fn dedup<T: PartialEq>(items: &mut Vec<T>) {
    let mut kept: Vec<T> = Vec::with_capacity(items.len());
    for item in items.drain(..) {
        if !kept.contains(&item) {
            kept.push(item);
        }
    }
    *items = kept;
}

/// `shipctl.toml` as far as it can be read.
fn read_own(root: &Path) -> (Option<Document>, Vec<Problem>) {
    match document::read(&root.join(shipctl_toml::FILE_NAME), shipctl_toml::FILE_NAME) {
        Ok(text) => {
            let (document, problems) = shipctl_toml::read(shipctl_toml::FILE_NAME, &text);
            (Some(document), problems)
        }
        Err(Unread::Missing) => (None, Vec::new()),
        Err(Unread::Wrong(problem)) => (None, vec![problem]),
    }
}

fn service_names(document: Option<&Document>) -> Vec<String> {
    let tables = document.and_then(|document| document.root.get("services"));
    let names: Vec<String> = tables
        .map_or(&[][..], Node::entries)
        .iter()
        .map(|(name, _)| name.text.clone())
        .collect();
    if names.is_empty() {
        vec![ONLY_SERVICE.to_owned()]
    } else {
        names
    }
}

/// What is asked for, once it is known which environment `--config` belongs to.
enum Resolved {
    All,
    One(String),
    Nothing,
}

impl Resolved {
    fn one(&self) -> Option<&str> {
        match self {
            Self::One(name) => Some(name),
            Self::All | Self::Nothing => None,
        }
    }

    fn includes(&self, environment: &str) -> bool {
        match self {
            Self::All => true,
            Self::One(name) => name == environment,
            Self::Nothing => false,
        }
    }
}

fn wanted(wanted: Wanted<'_>, config: Option<&NamedConfig>) -> Resolved {
    match wanted {
        Wanted::All => Resolved::All,
        Wanted::One(Some(name)) => Resolved::One(name.to_owned()),
        Wanted::One(None) => match config.and_then(|config| config.belongs_to.as_ref()) {
            Some((environment, _)) => Resolved::One(environment.clone()),
            None => Resolved::Nothing,
        },
    }
}

fn project_name(settler: &mut Settler<'_>, origin: Option<&str>, root: &Path) -> String {
    let folder = root
        .file_name()
        .map_or("project".into(), |name| name.to_string_lossy());
    settler
        .text_or(&PROJECT_NAME, origin.unwrap_or(&folder), Source::Default)
        .0
}
