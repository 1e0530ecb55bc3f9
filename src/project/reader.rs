//! Goes from names to environments: which ones there are, and what each of them is settled to.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::diagnostics::{Problem, nearest};
use super::discover::{DEFAULT, PLAIN, environments_in, is_same_file, normal};
use super::document::{self, Document, Node, Unread};
use super::dotenv::DotEnv;
use super::environment::{in_order, placeholders, settle};
use super::fly_toml::FlyToml;
use super::fly_toml::check::all_of;
use super::fly_toml::lint::Lint;
use super::keys::{Key, SERVICE_CONFIG, SERVICE_PATH, Setting, VERIFY_HEADERS};
use super::load::{Request, Wanted};
use super::service::{self, LoadedService, Place};
use super::settings::{Layers, Scope, Settler, misspelt};
use super::{Environment, NamedConfig, shipctl_toml};
use crate::error::{Error, Result};

/// One environment as far as it could be read.
pub(super) struct ReadEnvironment {
    pub(super) environment: Environment,
    /// Everything that is wrong, its files included.
    pub(super) problems: Vec<Problem>,
    /// What is wrong with its files.
    pub(super) file_problems: Vec<Problem>,
    pub(super) warnings: Vec<String>,
    /// Service, app and where the app is named.
    pub(super) apps: Vec<(String, String, Problem)>,
    pub(super) lints: Vec<Lint>,
}

pub(super) struct Reader<'a> {
    pub(super) request: &'a Request<'a>,
    pub(super) root: &'a Path,
    pub(super) document: Option<&'a Document>,
    pub(super) common: &'a DotEnv,
    /// The environment whose file `--config` replaces, and by which.
    pub(super) substitute: Option<(String, PathBuf)>,
    pub(super) services: Vec<String>,
}

impl Reader<'_> {
    fn setting(layers: &Layers<'_>, key: &Key, service: &str) -> Option<String> {
        let scope = Scope {
            environment: None,
            service: Some(service),
        };
        match layers.find(key, scope, &mut Vec::new()) {
            Some((Setting::Text(text), _)) => Some(text),
            _ => None,
        }
    }

    /// The folder of each service.
    fn folders(&self, layers: &Layers<'_>) -> Vec<PathBuf> {
        let folder = |service: &String| {
            let path = Self::setting(layers, &SERVICE_PATH, service).unwrap_or_else(|| ".".to_owned());
            normal(self.root, Path::new(&path))
        };
        self.services.iter().map(folder).collect()
    }

    /// The tables of `[environments]` and the files `fly.<env>.toml` of each service; without any, `fly.toml` is one.
    pub(super) fn environment_names(&self, layers: &Layers<'_>) -> BTreeSet<String> {
        let tables = self
            .document
            .and_then(|document| document.root.get("environments"));
        let mut names: BTreeSet<String> = tables
            .map_or(&[][..], Node::entries)
            .iter()
            .map(|(name, _)| name.text.clone())
            .filter(|name| shipctl_toml::is_name(name))
            .collect();
        for folder in self.folders(layers) {
            names.extend(environments_in(&folder));
        }
        if names.is_empty() {
            let has_plain = self
                .folders(layers)
                .iter()
                .any(|folder| folder.join(PLAIN).exists());
            let has_single = self
                .services
                .iter()
                .any(|service| Self::setting(layers, &SERVICE_CONFIG, service).is_some());
            if has_plain || has_single {
                names.insert(DEFAULT.to_owned());
            }
        }
        names
    }

    /// Which environment and service the file of `--config` belongs to.
    pub(super) fn named_config(
        &self,
        layers: &Layers<'_>,
        names: &BTreeSet<String>,
    ) -> Result<Option<NamedConfig>> {
        let Some(given) = self.request.config else {
            return Ok(None);
        };
        let path = normal(self.request.dir, given);
        let text = match document::read(&path, &given.display().to_string()) {
            Ok(text) => text,
            Err(Unread::Wrong(problem)) => return Err(Problem::into_error(vec![problem])),
            Err(Unread::Missing) => return Err(self.missing_config(given, &path)),
        };
        let all: Vec<(String, String, PathBuf)> = names
            .iter()
            .flat_map(|environment| self.services.iter().map(move |service| (environment, service)))
            .map(|(environment, service)| {
                let place = self.place(environment, service);
                let folder = Self::setting(layers, &SERVICE_PATH, service).unwrap_or_else(|| ".".to_owned());
                let config = Self::setting(layers, &SERVICE_CONFIG, service);
                let (_, file) = service::locate(place, &folder, config.as_deref());
                (environment.clone(), service.clone(), file)
            })
            .collect();
        // A link to another environment's file is that other file only where it is no environment's own name.
        let belongs_to = all
            .iter()
            .find(|(environment, _, file)| {
                *file == path && self.request.wanted == Wanted::One(Some(environment))
            })
            .or_else(|| all.iter().find(|(.., file)| *file == path))
            .or_else(|| all.iter().find(|(.., file)| is_same_file(file, &path)))
            .map(|(environment, service, _)| (environment.clone(), service.clone()));
        Ok(Some(NamedConfig {
            given: given.display().to_string(),
            belongs_to,
            app: FlyToml::parse(text.trim_start_matches('\u{feff}')).app,
            path,
        }))
    }

    fn missing_config(&self, given: &Path, path: &Path) -> Error {
        let error = Error::config(format!(
            "the file `{}` that `--config` names does not exist",
            given.display()
        ));
        let folder = path.parent().unwrap_or(self.root);
        let files: Vec<String> = environments_in(folder)
            .iter()
            .map(|environment| format!("fly.{environment}.toml"))
            .collect();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        match nearest(&name, files.iter().map(String::as_str)) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None if files.is_empty() => {
                error.hint("name a file that exists; paths are relative to `-C`, else to where you are")
            }
            None => {
                let files: Vec<&str> = files.iter().map(String::as_str).collect();
                error.hint(format!("there are {}", all_of(&files)))
            }
        }
    }

    /// `--service` must name services that there are.
    pub(super) fn check_services(&self, names: &BTreeSet<String>) -> Result<()> {
        for name in self.request.services {
            if !self.services.contains(name) {
                let error = Error::usage(format!("there is no service `{}`", name.escape_debug()));
                let all: Vec<&str> = self.services.iter().map(String::as_str).collect();
                let hint = match nearest(name, all.iter().copied()) {
                    Some(near) => format!("did you mean `--service {near}`?"),
                    None if names.contains(name) => {
                        format!("`{name}` is an environment; services are {}", all_of(&all))
                    }
                    None => format!("services are {}", all_of(&all)),
                };
                return Err(error.hint(hint));
            }
        }
        Ok(())
    }

    fn place<'b>(&'b self, environment: &'b str, service: &'b str) -> Place<'b> {
        Place {
            root: self.root,
            environment,
            service,
            substitute: None,
        }
    }

    pub(super) fn environment(&self, name: &str) -> ReadEnvironment {
        let own_file = format!(".env.{name}");
        let (own, own_problem) = DotEnv::read(&self.root.join(&own_file), &own_file);
        let layers = Layers {
            flags: self.request.flags,
            process: self.request.process,
            dotenv: vec![&own, self.common],
            document: self.document,
        };
        let mut header_names = service::header_variables(self.document);
        header_names.extend(self.variables_of_headers(&layers, name));
        let is_read = |variable: &str| {
            variable.starts_with("SHIPCTL_")
                || variable.starts_with("FLY_API_TOKEN")
                || header_names.iter().any(|header| header == variable)
        };
        let mut warnings: Vec<String> = own_problem.iter().map(Problem::summary).collect();
        for file in [&own, self.common] {
            if file.is_open() && file.names(is_read).next().is_some() {
                warnings.push(format!("others may read `{0}`; run `chmod 600 {0}`", file.file));
            }
            warnings.extend(misspelt(file.names(is_read)));
        }

        let scope = Scope {
            environment: Some(name),
            service: None,
        };
        let mut settler = Settler::new(&layers, scope);
        let mut environment = settle(&mut settler, name, &layers, &is_read);
        let mut problems = std::mem::take(&mut settler.problems);
        environment.effective = settler.effective;
        problems.extend(placeholders(&layers, &environment, &[&own, self.common]));

        let (mut file_problems, mut apps, mut lints) = (Vec::new(), Vec::new(), Vec::new());
        for loaded in self.services_of(name, &layers) {
            let LoadedService {
                mut service,
                file_problems: wrong,
                problems: other,
                warnings: said,
                app_place,
                lints: found,
            } = loaded;
            if self.witnessed(&layers) == Some(&service.name) {
                service.witness.clone_from(&environment.app_witness);
            }
            if service.app.is_empty()
                && let Some(witness) = &service.witness
            {
                service.app.clone_from(witness);
            }
            if let Some(place) = app_place
                && !service.app.is_empty()
            {
                apps.push((service.name.clone(), service.app.clone(), place));
            }
            file_problems.extend(wrong);
            problems.extend(other);
            warnings.extend(said);
            lints.extend(found);
            environment.services.push(service);
        }
        problems.extend(file_problems.iter().cloned());
        environment.services = in_order(environment.services);
        ReadEnvironment {
            environment,
            problems,
            file_problems,
            warnings,
            apps,
            lints,
        }
    }

    /// The service that `[environments.X] app` speaks of: the only one, the one at the root, else the first.
    fn witnessed(&self, layers: &Layers<'_>) -> Option<&String> {
        let at_root = |service: &&String| {
            Self::setting(layers, &SERVICE_PATH, service)
                .is_none_or(|path| normal(self.root, Path::new(&path)) == self.root)
        };
        self.services.iter().find(at_root).or(self.services.first())
    }

    /// Variables that headers take their values from, where headers are themselves set by a variable.
    fn variables_of_headers(&self, layers: &Layers<'_>, environment: &str) -> Vec<String> {
        let of_service = |service: &String| {
            let scope = Scope {
                environment: Some(environment),
                service: Some(service),
            };
            match layers.find(&VERIFY_HEADERS, scope, &mut Vec::new()) {
                Some((Setting::Headers(headers), _)) => headers,
                _ => Vec::new(),
            }
        };
        let headers = self.services.iter().flat_map(of_service);
        headers
            .filter_map(|(_, value)| value.strip_prefix("env:").map(str::to_owned))
            .collect()
    }

    /// The services that are asked for; of those, one may have its file replaced by that of `--config`.
    fn services_of(&self, environment: &str, layers: &Layers<'_>) -> Vec<LoadedService> {
        let chosen =
            |service: &&String| self.request.services.is_empty() || self.request.services.contains(service);
        let mut loaded: Vec<LoadedService> = self
            .services
            .iter()
            .filter(chosen)
            .map(|service| service::load(self.place(environment, service), layers))
            .collect();
        if let Some((own, path)) = &self.substitute
            && own == environment
        {
            let app = document::read(path, "")
                .ok()
                .and_then(|text| FlyToml::parse(&text).app);
            let at = loaded
                .iter()
                .position(|one| Some(&one.service.app) == app.as_ref())
                .or((loaded.len() == 1).then_some(0));
            if let Some(at) = at {
                let service = loaded[at].service.name.clone();
                let place = Place {
                    substitute: Some(path),
                    ..self.place(environment, &service)
                };
                loaded[at] = service::load(place, layers);
            }
        }
        loaded
    }
}
