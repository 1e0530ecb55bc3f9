//! One service of one environment: its file, what it copies, and how it is verified.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::diagnostics::Problem;
use super::discover::{DEFAULT, PLAIN, normal, shown};
use super::document::{self, Document, LARGEST, Node, Tree, Unread, Unreadable, read_bytes};
use super::fly_toml::{CheckConfig, FlyToml, check, lint};
use super::keys::{
    SERVICE_CONFIG, SERVICE_CONTEXT, SERVICE_NEEDS, SERVICE_PATH, VERIFY_BAKE, VERIFY_HEADERS, VERIFY_HOST,
    VERIFY_IDENTITY, VERIFY_MIN_EVIDENCE, VERIFY_PATH, VERIFY_SUCCESSES, VERIFY_TIMEOUT,
    VERIFY_VERSION_FIELD,
};
use super::settings::{Layers, Scope, Settler, Source};
use super::{FlyFile, HeaderValue, Identity, PathRule, Service, VerifySettings, VersionField};
use crate::secret::Secret;
use crate::verification::Evidence;

/// The least time that an instance has to turn good where nothing is set.
const LEAST_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// How much longer than its `grace_period` an instance has.
const AFTER_GRACE: Duration = Duration::from_secs(60);

/// A service as far as it could be read.
pub(super) struct LoadedService {
    pub(super) service: Service,
    /// What is wrong with its file.
    pub(super) file_problems: Vec<Problem>,
    /// What is wrong with its other values.
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<String>,
    /// The place of `app` in the file, for messages.
    pub(super) app_place: Option<Problem>,
    pub(super) lints: Vec<lint::Lint>,
}

/// What a service is looked for with.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) root: &'a Path,
    pub(super) environment: &'a str,
    pub(super) service: &'a str,
    /// The file that `--config` names in place of the service's own.
    pub(super) substitute: Option<&'a Path>,
}

/// The folder of the service's files, and its file in this environment.
pub(super) fn locate(place: Place<'_>, path: &str, config: Option<&str>) -> (PathBuf, PathBuf) {
    let folder = normal(place.root, Path::new(path));
    let file = if let Some(config) = config {
        // Written beside `path` it means a file in there; alone, one beside shipctl.toml.
        let inside = normal(&folder, Path::new(config));
        let beside = normal(place.root, Path::new(config));
        if inside.exists() || !beside.exists() {
            inside
        } else {
            beside
        }
    } else {
        let own = folder.join(format!("fly.{}.toml", place.environment));
        if place.environment == DEFAULT && !own.exists() {
            folder.join(PLAIN)
        } else {
            own
        }
    };
    (folder, file)
}

pub(super) fn load(place: Place<'_>, layers: &Layers<'_>) -> LoadedService {
    let scope = Scope {
        environment: Some(place.environment),
        service: Some(place.service),
    };
    let mut settler = Settler::new(layers, scope);
    let (path, _) = settler.text_or(&SERVICE_PATH, ".", Source::Default);
    let config = settler.text(&SERVICE_CONFIG);
    let (folder, own) = locate(place, &path, config.as_deref());
    let config = place.substitute.map_or(own, Path::to_owned);
    let name = shown(place.root, &config);
    let (file, document, mut file_problems) = read_file(place, &config, &name);

    let own_folder = config.parent().unwrap_or(&folder).to_owned();
    let (context, is_given) =
        settler.text_or(&SERVICE_CONTEXT, &shown(place.root, &own_folder), Source::Default);
    let context = if is_given {
        normal(place.root, Path::new(&context))
    } else {
        own_folder
    };
    let needs = settler.texts(&SERVICE_NEEDS);

    let mut warnings = Vec::new();
    let files = match &document {
        Some(document) if file_problems.is_empty() => {
            local_files(document, &context, &mut file_problems, &mut warnings)
        }
        _ => BTreeMap::new(),
    };
    let lints = match &document {
        Some(document) if file_problems.is_empty() => lint::lints(document),
        _ => Vec::new(),
    };
    let app_place = document.as_ref().and_then(|document| {
        let node = document.root.get("app")?;
        Some(document.problem(node.span.clone(), String::new(), ""))
    });
    let toml = file.as_ref().map(|file| &file.toml);
    let app = toml.and_then(|toml| toml.app.clone()).unwrap_or_default();
    let verify = verify(&mut settler, toml, &name);
    LoadedService {
        service: Service {
            name: place.service.to_owned(),
            app,
            witness: None,
            config,
            file,
            files,
            context,
            needs,
            verify,
            effective: settler.effective,
        },
        file_problems,
        problems: settler.problems,
        warnings,
        app_place,
        lints,
    }
}

/// The file as far as it can be read, and what is wrong with it.
fn read_file(place: Place<'_>, path: &Path, name: &str) -> (Option<FlyFile>, Option<Document>, Vec<Problem>) {
    let text = match document::read(path, name) {
        Ok(text) => text,
        Err(Unread::Wrong(problem)) => return (None, None, vec![problem]),
        Err(Unread::Missing) => return (None, None, vec![missing(place, path, name)]),
    };
    if path
        .extension()
        .is_some_and(|kind| kind == "json" || kind == "yaml")
    {
        let problem = Problem::whole(name, "is no TOML, and shipctl reads TOML alone");
        let mend = "write it as TOML: `flyctl config save` makes one of what is deployed";
        return (None, None, vec![problem.hint(mend)]);
    }
    let (document, problems) = check::read(name, &text);
    let toml = FlyToml::of_table(document.root.to_table());
    let file = FlyFile {
        path: path.to_owned(),
        text,
        toml,
    };
    (Some(file), Some(document), problems)
}

fn missing(place: Place<'_>, path: &Path, name: &str) -> Problem {
    let problem = Problem::whole(
        name,
        format!(
            "is missing: the file of service `{}` in environment `{}`",
            place.service, place.environment
        ),
    );
    let plain = path.with_file_name(PLAIN);
    if plain != path && plain.exists() {
        let plain = shown(place.root, &plain);
        return problem.hint(format!(
            "rename `{plain}` to `{name}`, or say `config = \"{PLAIN}\"` in `[services.{}]`",
            place.service
        ));
    }
    problem.hint(format!(
        "write `{name}`, or remove the environment `{}`",
        place.environment
    ))
}

/// The contents of `[[files]]` that lie on this machine: they are a part of the release.
fn local_files(
    document: &Document,
    context: &Path,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<String>,
) -> BTreeMap<String, Vec<u8>> {
    let mut contents = BTreeMap::new();
    let entries = document.root.get("files").map(|files| &files.tree);
    let Some(Tree::Array(entries)) = entries else {
        return contents;
    };
    for node in entries.iter().filter_map(|entry| entry.get("local_path")) {
        let Some(path) = node.as_str() else { continue };
        let cause = match read_bytes(&context.join(path), LARGEST) {
            Ok(bytes) => {
                contents.insert(path.to_owned(), bytes);
                continue;
            }
            Err(Unreadable::TooLarge) => {
                warnings.push(format!(
                    "`[[files]]` copies `{path}`, which is too large to be kept: a rollback takes it as it is then"
                ));
                continue;
            }
            Err(Unreadable::Missing) => "which is missing".to_owned(),
            Err(Unreadable::Directory | Unreadable::NoFile) => "which is no file".to_owned(),
            Err(Unreadable::Other(error)) => format!("which cannot be read: {error}"),
        };
        let message = format!("`[[files]]` copies `{}`, {cause}", path.escape_debug());
        let problem = document.problem(node.span.clone(), message, "");
        problems.push(problem.hint(format!(
            "paths are relative to the build folder, `{}`",
            context.display()
        )));
    }
    contents
}

/// A service that no file speaks of, asked as the configuration of its app says where that is known.
pub(super) fn bare(
    name: &str,
    app: &str,
    folder: &Path,
    toml: Option<&FlyToml>,
    settler: &mut Settler<'_>,
) -> Service {
    let verify = verify(settler, toml, "flyctl config show");
    Service {
        name: name.to_owned(),
        app: app.to_owned(),
        witness: None,
        config: folder.join("fly.toml"),
        file: None,
        files: BTreeMap::new(),
        context: folder.to_owned(),
        needs: Vec::new(),
        verify,
        effective: std::mem::take(&mut settler.effective),
    }
}

fn verify(settler: &mut Settler<'_>, toml: Option<&FlyToml>, file: &str) -> VerifySettings {
    let from_file = || Source::FlyFile {
        file: file.to_owned(),
    };
    let public = toml.and_then(FlyToml::public_group);
    let check = public.as_ref().and_then(|(_, group)| group.health_check());

    let of_check = check.and_then(|check| check.path.as_deref()).unwrap_or_default();
    let by_default = format!("/{}", of_check.trim_start_matches('/'));
    let source = if check.is_some() {
        from_file()
    } else {
        Source::Default
    };
    let (path, is_given) = settler.text_or(&VERIFY_PATH, &by_default, source);
    let mut headers = given_headers(settler);
    let (path, method) = match check {
        _ if is_given => (PathRule::Named(path), "GET".to_owned()),
        None => (PathRule::Root, "GET".to_owned()),
        Some(check) => {
            let rule = PathRule::Check {
                path,
                headers: headers_of(check),
            };
            (rule, method_of(check))
        }
    };
    add(&mut headers, &path);

    let with_grace = toml
        .and_then(FlyToml::grace_period)
        .map_or(Duration::ZERO, |grace| grace + AFTER_GRACE);
    let (timeout, source) = if with_grace > LEAST_TIMEOUT {
        (with_grace, from_file())
    } else {
        (LEAST_TIMEOUT, Source::Default)
    };
    VerifySettings {
        path,
        method,
        host: settler.text(&VERIFY_HOST),
        headers,
        timeout: settler.duration(&VERIFY_TIMEOUT, timeout, source),
        successes: settler.count(&VERIFY_SUCCESSES, Some(3)).unwrap_or(3),
        bake: settler.duration(&VERIFY_BAKE, Duration::from_secs(10), Source::Default),
        identity: match settler
            .text_or(&VERIFY_IDENTITY, "auto", Source::Default)
            .0
            .as_str()
        {
            "required" => Identity::Required,
            "off" => Identity::Off,
            _ => Identity::Auto,
        },
        version_field: {
            let (field, _) = settler.text_or(&VERIFY_VERSION_FIELD, "/version", Source::Default);
            match field.strip_prefix("header:") {
                Some(name) => VersionField::Header(name.to_owned()),
                None => VersionField::Pointer(field),
            }
        },
        min_evidence: match settler
            .text_or(&VERIFY_MIN_EVIDENCE, "state", Source::Default)
            .0
            .as_str()
        {
            "app" => Evidence::App,
            "http" => Evidence::Http,
            "checks" => Evidence::Checks,
            _ => Evidence::State,
        },
    }
}

fn method_of(check: &CheckConfig) -> String {
    check.method.as_deref().unwrap_or("GET").to_ascii_uppercase()
}

/// The headers of a check without `Host`, which is the app's own name there.
fn headers_of(check: &CheckConfig) -> Vec<(String, String)> {
    let headers = check.headers.iter();
    headers
        .filter(|(name, _)| !name.eq_ignore_ascii_case("host"))
        .cloned()
        .collect()
}

/// Adds the headers of the check that is asked, where none of the same name is given.
fn add(headers: &mut Vec<(String, HeaderValue)>, rule: &PathRule) {
    let PathRule::Check { headers: own, .. } = rule else {
        return;
    };
    for (name, value) in own {
        if !headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name)) {
            headers.push((name.clone(), HeaderValue::Plain(value.clone())));
        }
    }
}

impl VerifySettings {
    /// The same, but asking as the checks of another configuration do: that of the release which is gone back to.
    /// What `[verify] path` names is asked of every release.
    pub(crate) fn asking_as(&self, file: &FlyToml) -> Self {
        let mut settings = self.clone();
        if let PathRule::Named(_) = self.path {
            return settings;
        }
        if let PathRule::Check { headers, .. } = &self.path {
            let is_of_check = |(name, value): &(String, HeaderValue)| {
                let own = headers.iter().find(|(own, _)| own == name);
                own.is_some_and(|(_, own)| *value == HeaderValue::Plain(own.clone()))
            };
            settings.headers.retain(|header| !is_of_check(header));
        }
        let public = file.public_group();
        let check = public.as_ref().and_then(|(_, group)| group.health_check());
        (settings.path, settings.method) = match check {
            None => (PathRule::Root, "GET".to_owned()),
            Some(check) => {
                let path = check.path.as_deref().unwrap_or_default();
                let rule = PathRule::Check {
                    path: format!("/{}", path.trim_start_matches('/')),
                    headers: headers_of(check),
                };
                (rule, method_of(check))
            }
        };
        add(&mut settings.headers, &settings.path);
        settings
    }
}

/// `[verify] headers`, with the values of variables; one that is not set is a problem.
fn given_headers(settler: &mut Settler<'_>) -> Vec<(String, HeaderValue)> {
    let mut headers = Vec::new();
    for (name, value) in settler.headers(&VERIFY_HEADERS) {
        let Some(variable) = value.strip_prefix("env:") else {
            headers.push((name, HeaderValue::Plain(value)));
            continue;
        };
        let before = settler.problems.len();
        match settler.layers.variable(variable, &mut settler.problems) {
            Some(secret) if secret.chars().any(char::is_control) => settler.problems.push(Problem::of_value(
                "`[verify] headers`",
                format!("the variable `{variable}` holds control characters, which no header may"),
            )),
            Some(secret) => headers.push((name, HeaderValue::Secret(Secret::new(secret)))),
            None if settler.problems.len() > before => {}
            None => settler.problems.push(
                Problem::of_value(
                    "`[verify] headers`",
                    format!("`{name}` takes its value from the variable `{variable}`, which is not set"),
                )
                .hint(format!("set `{variable}`, in the environment or in `.env`")),
            ),
        }
    }
    headers
}

/// The names of the variables that headers take their values from, in any table of the file.
pub(super) fn header_variables(document: Option<&Document>) -> Vec<String> {
    fn collect(node: &Node, names: &mut Vec<String>) {
        for (name, value) in node.entries() {
            if name.text == "headers" {
                let values = value.entries().iter().filter_map(|(_, value)| value.as_str());
                names.extend(
                    values
                        .filter_map(|value| value.strip_prefix("env:"))
                        .map(str::to_owned),
                );
            } else {
                collect(value, names);
            }
        }
    }
    let mut names = Vec::new();
    if let Some(document) = document {
        collect(&document.root, &mut names);
    }
    names
}
