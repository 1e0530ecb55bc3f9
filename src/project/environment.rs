//! The keys of an environment, and the order of its services.

use std::path::Path;
use std::time::Duration;

use super::diagnostics::Problem;
use super::dotenv::DotEnv;
use super::fly_toml::FlyToml;
use super::keys::{
    self, AFTER, ALLOWED_REFS, APP, DEPLOY_TIMEOUT, LOCK_TTL, MIN_INSTANCES, ORG, PROTECTED, REGIONS,
    ROLLBACK_ACROSS_CONTRACTING, ROLLBACK_FREEZE, STATE_BUNDLES, STATE_URL, TOKEN,
};
use super::load::ONLY_SERVICE;
use super::settings::{Layers, Scope, Settler, Source};
use super::{Environment, FreezePolicy, Service, Variables, service};

/// The keys of an environment.
pub(super) fn settle(
    settler: &mut Settler<'_>,
    name: &str,
    layers: &Layers<'_>,
    is_read: &dyn Fn(&str) -> bool,
) -> Environment {
    let protected = ["production", "prod", "live"]
        .iter()
        .any(|one| name.eq_ignore_ascii_case(one));
    // Read so that they are checked and shown. They bear on contracting migrations and on shared state, of which there
    // are none yet.
    settler.text_or(&ROLLBACK_ACROSS_CONTRACTING, "stop", Source::Default);
    settler.text_or(&STATE_BUNDLES, "local", Source::Default);
    settler.duration(&LOCK_TTL, Duration::from_secs(5 * 60), Source::Default);
    Environment {
        name: name.to_owned(),
        protected: settler.boolean(&PROTECTED, protected),
        app_witness: settler.text(&APP),
        org: settler.text(&ORG),
        token_variable: settler
            .text_or(&TOKEN, &keys::token_variable(name), Source::Default)
            .0,
        allowed_refs: settler.texts(&ALLOWED_REFS),
        after: settler.text(&AFTER),
        regions: settler.texts(&REGIONS),
        min_instances: settler.count(&MIN_INSTANCES, None),
        freeze: match settler
            .text_or(&ROLLBACK_FREEZE, "protected", Source::Default)
            .0
            .as_str()
        {
            "always" => FreezePolicy::Always,
            "never" => FreezePolicy::Never,
            _ => FreezePolicy::Protected,
        },
        state_url: settler.text(&STATE_URL),
        deploy_timeout: settler.duration(&DEPLOY_TIMEOUT, Duration::from_secs(30 * 60), Source::Default),
        services: Vec::new(),
        variables: layers.merged(is_read),
        effective: Vec::new(),
    }
}

impl Environment {
    /// An environment that no file speaks of: `-a APP` on a machine without a checkout (DESIGN 2). One that is only
    /// known by its app's name is protected. `toml` is what flyctl says of the app's configuration, where it was asked.
    pub(crate) fn bare(
        name: &str,
        app: &str,
        folder: &Path,
        toml: Option<&FlyToml>,
        process: &Variables,
    ) -> Self {
        let layers = Layers {
            flags: &[],
            process,
            dotenv: Vec::new(),
            document: None,
        };
        let scope = |service| Scope {
            environment: Some(name),
            service,
        };
        let mut settler = Settler::new(&layers, scope(None));
        let mut environment = settle(&mut settler, name, &layers, &|_| false);
        environment.protected |= name == app;
        let mut settler = Settler::new(&layers, scope(Some(ONLY_SERVICE)));
        environment
            .services
            .push(service::bare(ONLY_SERVICE, app, folder, toml, &mut settler));
        environment
    }
}

/// Variables of the `.env` files that a template left to be filled in, where they would be used.
pub(super) fn placeholders(
    layers: &Layers<'_>,
    environment: &Environment,
    files: &[&DotEnv],
) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut names: Vec<&str> = files
        .iter()
        .flat_map(|file| file.names(|name| name.starts_with("SHIPCTL_")))
        .collect();
    let has_own = layers
        .variable(&environment.token_variable, &mut problems)
        .is_some()
        || !problems.is_empty();
    if !has_own && layers.process.get("FLY_ACCESS_TOKEN").is_none() {
        names.push("FLY_API_TOKEN");
    }
    for name in names {
        layers.variable(name, &mut problems);
    }
    problems
}

/// Services in an order in which each comes after those that it needs; needs of others are left out.
pub(super) fn in_order(services: Vec<Service>) -> Vec<Service> {
    let names: Vec<String> = services.iter().map(|service| service.name.clone()).collect();
    let mut waiting: Vec<Service> = services
        .into_iter()
        .map(|mut service| {
            service
                .needs
                .retain(|need| names.contains(need) && *need != service.name);
            service
        })
        .collect();
    let mut ordered: Vec<Service> = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let is_ready = |service: &Service| {
            let done = |need: &String| ordered.iter().any(|done| done.name == *need);
            service.needs.iter().all(done)
        };
        // A circle is said to be one when the file is read; tolerant loading breaks it anywhere.
        let next = waiting.iter().position(is_ready).unwrap_or(0);
        ordered.push(waiting.remove(next));
    }
    ordered
}
