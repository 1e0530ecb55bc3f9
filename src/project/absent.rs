//! An environment on a machine without its checkout: an app by name, and defaults for the rest (DESIGN 2, `-a APP`).

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::load::ONLY_SERVICE;
use super::{
    AcrossContracting, Bundles, Environment, FreezePolicy, Identity, PathRule, Project, Service, Variables,
    VerifySettings, VersionField,
};
use crate::verification::Evidence;

impl Project {
    /// The project that a ledger or only an app's name stands for. What nobody says is protected.
    pub(crate) fn without_checkout(
        name: &str,
        environment: &str,
        app: &str,
        folder: &Path,
        variables: &Variables,
    ) -> Self {
        let unknown = environment == app;
        let live = ["production", "prod", "live"]
            .iter()
            .any(|one| environment.eq_ignore_ascii_case(one));
        let service = Service {
            name: ONLY_SERVICE.to_owned(),
            app: app.to_owned(),
            witness: None,
            config: folder.join("fly.toml"),
            file: None,
            files: BTreeMap::new(),
            context: folder.to_owned(),
            needs: Vec::new(),
            verify: VerifySettings {
                path: PathRule::Root,
                method: "GET".to_owned(),
                host: None,
                headers: Vec::new(),
                timeout: Duration::from_secs(5 * 60),
                successes: 3,
                bake: Duration::from_secs(10),
                identity: Identity::Auto,
                version_field: VersionField::Pointer("/version".to_owned()),
                min_evidence: Evidence::State,
            },
            effective: Vec::new(),
        };
        let environment = Environment {
            name: environment.to_owned(),
            protected: unknown || live,
            app_witness: None,
            token_variable: None,
            org: None,
            allowed_refs: Vec::new(),
            after: None,
            regions: Vec::new(),
            min_instances: None,
            freeze: FreezePolicy::Protected,
            across_contracting: AcrossContracting::Stop,
            state_url: None,
            bundles: Bundles::Local,
            deploy_timeout: Duration::from_secs(30 * 60),
            lock_ttl: Duration::from_secs(5 * 60),
            services: vec![service],
            variables: variables.clone(),
            effective: Vec::new(),
        };
        Self {
            root: folder.to_owned(),
            name: name.to_owned(),
            environments: vec![environment],
            warnings: Vec::new(),
            state_url: None,
            flyctl_pass: Vec::new(),
            config: None,
            effective: Vec::new(),
        }
    }
}
