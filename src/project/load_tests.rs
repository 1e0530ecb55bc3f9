//! Loading whole folders, strictly and tolerantly.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::load::{Mode, Request, Wanted, load, load_with_lints};
use super::settings::Flag;
use super::{HeaderValue, Identity, PathRule, Project, Variables, VersionField};
use crate::error::{Error, ErrorKind};
use crate::verification::Evidence;

/// A folder of files that is removed with it.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            folder.write(name, text.as_bytes());
        }
        folder
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Without links, so that paths compare.
    fn path(&self) -> PathBuf {
        self.0.path().canonicalize().unwrap()
    }

    fn load(&self, mode: Mode, wanted: Wanted<'_>) -> Result<Project, Error> {
        self.load_with(mode, wanted, &[], None)
    }

    fn load_with(
        &self,
        mode: Mode,
        wanted: Wanted<'_>,
        variables: &[(&str, &str)],
        config: Option<&str>,
    ) -> Result<Project, Error> {
        let process = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let process = Variables(process.collect::<BTreeMap<_, _>>());
        let dir = self.path();
        load(&Request {
            wanted,
            config: config.map(Path::new),
            ..Request::new(&dir, mode, &process)
        })
    }
}

const STAGING: &str = "app = \"shop-staging\"\n[http_service]\ninternal_port = 8080\n";
const PRODUCTION: &str = "app = \"shop\"\n[http_service]\ninternal_port = 8080\n";

fn one(name: &str) -> Wanted<'_> {
    Wanted::One(Some(name))
}

#[test]
fn files_and_tables_are_environments() {
    let folder = Folder::new(&[
        ("fly.production.toml", PRODUCTION),
        ("fly.staging.toml", STAGING),
        (
            "shipctl.toml",
            "[environments.staging]\nprotected = true\nafter = \"production\"\n",
        ),
    ]);
    let project = folder.load(Mode::Strict, Wanted::All).unwrap();
    let shown: Vec<_> = project
        .environments
        .iter()
        .map(|one| (one.name.as_str(), one.protected, one.services[0].app.as_str()))
        .collect();
    assert_eq!(
        shown,
        [("production", true, "shop"), ("staging", true, "shop-staging")]
    );
    assert_eq!(project.name, folder.path().file_name().unwrap().to_string_lossy());
    assert_eq!(project.warnings, Vec::<String>::new());
    let service = &project.environments[0].services[0];
    assert_eq!(service.name, "web");
    assert_eq!(service.context, folder.path());
    assert_eq!(service.file.as_ref().unwrap().text, PRODUCTION);
}

#[test]
fn a_fly_toml_alone_is_the_default_environment() {
    let folder = Folder::new(&[("fly.toml", PRODUCTION), ("sub/x", "")]);
    let process = Variables::default();
    let dir = folder.path().join("sub");
    let project = load(&Request::new(&dir, Mode::Strict, &process)).unwrap();
    assert_eq!(project.root, folder.path());
    assert_eq!(project.environments.len(), 1);
    assert_eq!(project.environments[0].name, "default");
    assert!(!project.environments[0].protected);
    assert_eq!(project.environments[0].services[0].app, "shop");
    let empty = tempfile::tempdir().unwrap();
    let error = load(&Request::new(empty.path(), Mode::Tolerant, &process)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Config);
    assert!(error.hints[0].contains("-C DIR"), "{error:?}");
}

#[test]
fn mistakes_stop_only_whom_they_concern() {
    let broken = "app = \"shop-review\n";
    let folder = Folder::new(&[("fly.staging.toml", STAGING), ("fly.review.toml", broken)]);
    let project = folder.load(Mode::Strict, one("staging")).unwrap();
    assert_eq!(project.warnings.len(), 1, "{:?}", project.warnings);
    assert!(
        project.warnings[0].starts_with("fly.review.toml:1: no valid TOML"),
        "{:?}",
        project.warnings
    );
    let error = folder.load(Mode::Strict, one("review")).unwrap_err();
    assert_eq!((error.kind, error.kind.exit_code()), (ErrorKind::Config, 4));
    assert!(error.message.starts_with("fly.review.toml:1:"), "{error:?}");
    assert!(
        error.excerpt.as_ref().unwrap().contains("--> fly.review.toml:1:"),
        "{error:?}"
    );
    assert!(folder.load(Mode::Strict, Wanted::All).is_err());
    // With nothing chosen yet, policy is to refuse.
    assert!(folder.load(Mode::Strict, Wanted::One(None)).is_ok());
    let tolerant = folder.load(Mode::Tolerant, one("review")).unwrap();
    assert!(
        tolerant.warnings[0].contains("fly.review.toml:1:"),
        "{:?}",
        tolerant.warnings
    );
}

/// FAULTS 55.
#[test]
fn a_typo_stops_deploys_and_nothing_else() {
    let folder = Folder::new(&[
        ("fly.staging.toml", STAGING),
        (
            "shipctl.toml",
            "[verify]\nbake = \"1m\"\ntimeuot = \"9m\"\n[notify]\nx = 1\n",
        ),
    ]);
    let error = folder.load(Mode::Strict, one("staging")).unwrap_err();
    assert_eq!(error.message, "shipctl.toml:3: `[verify]` has no key `timeuot`");
    assert_eq!(
        error.others[0].message,
        "shipctl.toml:4: `[notify]` is not supported by this version"
    );
    assert!(
        error.hints.contains(&"did you mean `timeout`?".to_owned()),
        "{error:?}"
    );
    let project = folder.load(Mode::Tolerant, one("staging")).unwrap();
    assert_eq!(
        project.environments[0].services[0].verify.bake,
        Duration::from_secs(60)
    );
    assert_eq!(project.warnings.len(), 2, "{:?}", project.warnings);

    folder.write(
        "shipctl.toml",
        b"[environments.staging]\napp = \"shop-staging\"\n[verify\nbake = 1\n",
    );
    folder.write("fly.staging.toml", b"\xff\xfe");
    assert!(folder.load(Mode::Strict, one("staging")).is_err());
    let project = folder.load(Mode::Tolerant, one("staging")).unwrap();
    assert_eq!(
        project.environments[0].services[0].app, "shop-staging",
        "the second witness names it"
    );
    assert!(project.environments[0].services[0].file.is_none());
    assert_eq!(project.warnings.len(), 2, "{:?}", project.warnings);
}

#[test]
fn an_environment_needs_its_file_and_an_app_of_its_own() {
    let folder = Folder::new(&[
        ("fly.staging.toml", STAGING),
        ("fly.toml", STAGING),
        ("shipctl.toml", "[environments.production]\n"),
    ]);
    let error = folder.load(Mode::Strict, one("production")).unwrap_err();
    assert_eq!(error.kind.exit_code(), 4);
    assert_eq!(
        error.message,
        "`fly.production.toml` is missing: the file of service `web` in environment `production`"
    );
    assert!(error.hints[0].contains("rename `fly.toml`"), "{error:?}");
    let project = folder.load(Mode::Strict, one("staging")).unwrap();
    assert!(
        project.warnings.iter().any(|warning| warning
            == "`fly.toml` names the app `shop-staging` too: a bare `fly deploy` would ship `staging`"),
        "{:?}",
        project.warnings
    );

    folder.write("fly.production.toml", STAGING.as_bytes());
    for environment in ["staging", "production"] {
        let error = folder.load(Mode::Strict, one(environment)).unwrap_err();
        assert_eq!(error.kind.exit_code(), 4);
        assert!(error.message.contains("`shop-staging`, and so does"), "{error:?}");
    }
    assert!(folder.load(Mode::Tolerant, one("staging")).is_ok());
    let error = folder.load(Mode::Strict, one("stagin")).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Config);
    assert_eq!(
        error.hints,
        [
            "did you mean `staging`?",
            "environments are `production` and `staging`"
        ]
    );
}

#[test]
fn the_file_that_is_named_is_found_where_it_belongs() {
    let folder = Folder::new(&[
        ("fly.staging.toml", STAGING),
        ("fly.production.toml", PRODUCTION),
        ("other.toml", PRODUCTION),
        ("dir/x", ""),
    ]);
    let named = |wanted, config| folder.load_with(Mode::Strict, wanted, &[], Some(config));
    let project = named(Wanted::One(None), "fly.staging.toml").unwrap();
    let config = project.config.unwrap();
    assert_eq!(config.belongs_to, Some(("staging".to_owned(), "web".to_owned())));
    assert_eq!(config.app.as_deref(), Some("shop-staging"));
    let absolute = folder.path().join("dir/../fly.production.toml");
    let project = named(Wanted::One(None), absolute.to_str().unwrap()).unwrap();
    assert_eq!(project.config.unwrap().belongs_to.unwrap().0, "production");
    // A file of nobody stands in for the one of the environment that is named.
    let project = named(one("production"), "other.toml").unwrap();
    assert_eq!(project.config.unwrap().belongs_to, None);
    let file = &project.environments[0].services[0].config;
    assert_eq!(*file, folder.path().join("other.toml"));
    for (config, word) in [
        ("fly.stagin.toml", "did you mean `fly.staging.toml`?"),
        ("nowhere.toml", "there are"),
        ("dir", "name the file in it"),
    ] {
        let error = named(one("staging"), config).unwrap_err();
        assert_eq!(error.kind.exit_code(), 4, "{config}");
        assert!(error.hints[0].contains(word), "{config}: {error:?}");
    }
}

#[test]
fn values_come_from_where_they_are_set() {
    let folder = Folder::new(&[
        (
            "fly.staging.toml",
            "app = \"s\"\n[http_service]\ninternal_port = 8080\n[[http_service.checks]]\npath = \"/up\"\n\
             method = \"head\"\ngrace_period = \"10m\"\n[http_service.checks.headers]\nHost = \"h\"\nX-Check = \"1\"\n\
             Authorization = \"none\"\n",
        ),
        (
            "shipctl.toml",
            "[verify]\nheaders = { Authorization = \"env:HEALTH_TOKEN\" }\nidentity = \"required\"\n\
             version_field = \"header:x-release\"\nmin_evidence = \"http\"\n[state]\nurl = \"/srv/state\"\n",
        ),
        (
            ".env",
            "HEALTH_TOKEN=common\nSHIPCTL_STATE=/from/env\nDATABASE_URL=no\n",
        ),
        (
            ".env.staging",
            "HEALTH_TOKEN=hunter22\nSHIPCTL_VERIFY_SUCCESSES=7\nFLY_API_TOKEN_STAGING=t0ken\n",
        ),
    ]);
    let variables = [
        ("SHIPCTL_DEPLOY_TIMEOUT", "12m"),
        ("SHIPCTL_ROLLBACK_FREEZE", "never"),
        ("PATH", "/bin"),
    ];
    let project = folder
        .load_with(Mode::Strict, one("staging"), &variables, None)
        .unwrap();
    let environment = &project.environments[0];
    let verify = &environment.services[0].verify;
    assert!(matches!(&verify.path, PathRule::Check { path, .. } if path == "/up" && verify.method == "HEAD"));
    assert_eq!(verify.method, "HEAD");
    assert_eq!(
        verify.timeout,
        Duration::from_secs(660),
        "grace_period and a minute"
    );
    assert_eq!(verify.successes, 7);
    assert_eq!(verify.identity, Identity::Required);
    assert_eq!(verify.version_field, VersionField::Header("x-release".to_owned()));
    assert_eq!(verify.min_evidence, Evidence::Http);
    let headers: Vec<_> = verify
        .headers
        .iter()
        .map(|(name, value)| format!("{name}={}", value.expose()))
        .collect();
    assert_eq!(headers, ["Authorization=hunter22", "X-Check=1"]);
    assert!(matches!(verify.headers[0].1, HeaderValue::Secret(_)));
    assert_eq!(environment.deploy_timeout, Duration::from_secs(720));
    assert_eq!(environment.freeze, super::FreezePolicy::Never);
    assert_eq!(environment.state_url.as_deref(), Some("/from/env"));
    assert_eq!(project.state_url.as_deref(), Some("/from/env"));
    assert_eq!(environment.variables.get("FLY_API_TOKEN_STAGING"), Some("t0ken"));
    assert_eq!(environment.variables.get("DATABASE_URL"), None);
    assert!(!format!("{project:?}").contains("hunter22"));
    let source = |key: &str| {
        let own = environment.services[0]
            .effective
            .iter()
            .chain(&environment.effective);
        own.filter(|one| one.key == key)
            .map(|one| one.source.to_string())
            .next()
            .unwrap()
    };
    assert_eq!(
        source("verify.successes"),
        ".env.staging:2 (SHIPCTL_VERIFY_SUCCESSES)"
    );
    assert_eq!(source("verify.path"), "fly.staging.toml");
    assert_eq!(source("verify.timeout"), "fly.staging.toml");
    assert_eq!(source("verify.bake"), "default");
    assert_eq!(source("verify.identity"), "shipctl.toml:3");
    assert_eq!(source("state.url"), ".env:2 (SHIPCTL_STATE)");
    assert_eq!(source("deploy.timeout"), "SHIPCTL_DEPLOY_TIMEOUT");
}

#[test]
fn flags_are_stronger_than_all_else() {
    let folder = Folder::new(&[("fly.staging.toml", STAGING)]);
    let process = Variables(BTreeMap::from([(
        "SHIPCTL_VERIFY_BAKE".to_owned(),
        "5s".to_owned(),
    )]));
    let flags = [Flag {
        key: "verify.bake",
        name: "--bake",
        value: "0s".to_owned(),
    }];
    let dir = folder.path();
    let project = load(&Request {
        flags: &flags,
        ..Request::new(&dir, Mode::Strict, &process)
    })
    .unwrap();
    let verify = &project.environments[0].services[0].verify;
    assert_eq!(verify.bake, Duration::ZERO);
    assert_eq!(verify.path, PathRule::Root);
    assert_eq!(verify.timeout, Duration::from_secs(300));
}

#[test]
fn what_env_files_hold_is_checked_where_it_is_used() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new(&[
        ("fly.staging.toml", STAGING),
        ("shipctl.toml", "[verify]\nheaders = { A = \"env:NOT_SET\" }\n"),
        (".env", "FLY_API_TOKEN_PRODUCTION=CHANGE_ME\nAPP_KEY=CHANGE_ME\n"),
        (".env.staging", "FLY_API_TOKEN_STAGING=CHANGE_ME\n"),
    ]);
    let error = folder.load(Mode::Strict, one("staging")).unwrap_err();
    assert_eq!(
        error.message,
        ".env.staging:1: `FLY_API_TOKEN_STAGING`: it still says `CHANGE_ME`"
    );
    assert_eq!(error.others.len(), 1, "{error:?}");
    assert!(
        error.others[0].message.contains("`NOT_SET`, which is not set"),
        "{error:?}"
    );
    let set = [("FLY_API_TOKEN_STAGING", "t"), ("NOT_SET", "x")];
    let project = folder
        .load_with(Mode::Strict, one("staging"), &set, None)
        .unwrap();
    assert_eq!(project.warnings, Vec::<String>::new());
    let path = folder.path().join(".env.staging");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let project = folder
        .load_with(Mode::Strict, one("staging"), &set, None)
        .unwrap();
    assert_eq!(
        project.warnings,
        ["others may read `.env.staging`; run `chmod 600 .env.staging`"]
    );
}

#[test]
fn services_have_files_folders_and_an_order() {
    let folder = Folder::new(&[
        ("fly.production.toml", PRODUCTION),
        ("python_service/fly.production.toml", "app = \"shop-ai\"\n"),
        (
            "cron/fly.toml",
            "app = \"shop-cron\"\n[[files]]\nguest_path = \"/x\"\nlocal_path = \"tab\"\n",
        ),
        ("cron/tab", "* * * * *"),
        (
            "shipctl.toml",
            "[services.ai]\npath = \"python_service\"\ncontext = \".\"\nneeds = [\"web\", \"cron\"]\n\
             [services.web]\n[services.cron]\npath = \"cron\"\nconfig = \"fly.toml\"\n",
        ),
    ]);
    let project = folder.load(Mode::Strict, one("production")).unwrap();
    let services = &project.environments[0].services;
    let shown: Vec<_> = services
        .iter()
        .map(|one| {
            let context = one
                .context
                .strip_prefix(folder.path())
                .unwrap()
                .display()
                .to_string();
            (one.name.as_str(), one.app.as_str(), context)
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("web", "shop", String::new()),
            ("cron", "shop-cron", "cron".to_owned()),
            ("ai", "shop-ai", String::new())
        ]
    );
    assert_eq!(services[1].files["tab"], b"* * * * *");

    let process = Variables::default();
    let dir = folder.path();
    let (ai, nobody) = (["ai".to_owned()], ["production".to_owned()]);
    let request = Request {
        services: &ai,
        ..Request::new(&dir, Mode::Strict, &process)
    };
    let project = load(&request).unwrap();
    assert_eq!(project.environments[0].services.len(), 1);
    assert!(project.environments[0].services[0].needs.is_empty());
    let error = load(&Request {
        services: &nobody,
        ..request
    })
    .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Usage);

    std::fs::remove_file(folder.path().join("cron/tab")).unwrap();
    let error = folder.load(Mode::Strict, one("production")).unwrap_err();
    assert_eq!(
        error.message,
        "cron/fly.toml:4: `[[files]]` copies `tab`, which is missing"
    );
}

#[test]
fn traps_are_warned_of_and_advice_is_kept_for_the_lint() {
    let folder = Folder::new(&[
        (
            "fly.staging.toml",
            "app = \"s\"\n[http_service]\ninternal_port = 8080\n[deploy]\nwait_timeout = 300\n",
        ),
        ("fly.review.toml", "app = \"r\"\n[deploy]\nwait_timeout = 300\n"),
    ]);
    let process = Variables::default();
    let dir = folder.path();
    let request = Request {
        wanted: one("staging"),
        ..Request::new(&dir, Mode::Strict, &process)
    };
    let loaded = load_with_lints(&request).unwrap();
    assert_eq!(
        loaded.project.warnings,
        ["fly.staging.toml:5: `deploy.wait_timeout = 300` means 300ns to flyctl"]
    );
    assert_eq!(loaded.lints.len(), 2);
}

#[test]
fn an_app_without_a_file_stands_by_itself() {
    let folder = Path::new("/somewhere");
    let toml = super::fly_toml::FlyToml::from_json(&serde_json::json!({
        "app": "shop", "http_service": {"internal_port": 1, "checks": [{"path": "/up"}]}
    }));
    let bare = |name| super::Environment::bare(name, "shop", folder, Some(&toml), &Variables::default());
    assert!(bare("shop").protected && bare("production").protected && !bare("staging").protected);
    let environment = bare("shop");
    let [service] = &environment.services[..] else {
        panic!("{:?}", environment.services)
    };
    assert_eq!(
        (service.app.as_str(), service.context.as_path()),
        ("shop", folder)
    );
    assert_eq!(service.verify.path.path(), "/up");
}

/// The files of this repository are the example that people copy.
#[test]
fn the_files_of_the_example_are_right() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let process = Variables::default();
    let loaded = load_with_lints(&Request::new(root, Mode::Strict, &process)).unwrap();
    assert_eq!(loaded.project.warnings, Vec::<String>::new());
    assert_eq!(loaded.lints, []);
    let memory = |environment: &str| {
        let text = std::fs::read_to_string(root.join(format!("fly.{environment}.toml"))).unwrap();
        let table: toml::Table = text.parse().unwrap();
        let stop = &table["http_service"]["auto_stop_machines"];
        assert!(
            stop.is_bool(),
            "{environment}: flyctl v0.2.4 knows booleans alone"
        );
        (
            stop.as_bool().unwrap(),
            table["vm"][0]["memory"].as_str().unwrap().to_owned(),
        )
    };
    assert_eq!(memory("production"), (false, "512mb".to_owned()));
    assert_eq!(memory("staging"), (true, "512mb".to_owned()));
    assert_eq!(memory("review"), (true, "256mb".to_owned()));
    let production = loaded.project.environment("production").unwrap();
    assert!(production.protected);
    assert_eq!(production.regions.len(), 2);
    assert_eq!(production.min_instances, Some(2));
    for environment in &loaded.project.environments {
        let service = &environment.services[0];
        let group = service.file.as_ref().unwrap().toml.group("app");
        assert_eq!(group.health_check().unwrap().path.as_deref(), Some("/health"));
        assert_eq!(service.verify.path, PathRule::Named("/health".to_owned()));
        assert!(group.public_http);
    }
}

#[test]
fn the_example_of_the_reference_is_right() {
    let text = include_str!("../../docs/configuration.md");
    let (_, example) = text.split_once("```toml\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    let folder = Folder::new(&[
        ("shipctl.toml", example),
        ("fly.production.toml", PRODUCTION),
        ("fly.staging.toml", STAGING),
        ("python_service/fly.production.toml", "app = \"shop-ai\"\n"),
        ("python_service/fly.staging.toml", "app = \"shop-ai-staging\"\n"),
    ]);
    let variables = [("HEALTH_TOKEN", "t")];
    let project = folder
        .load_with(Mode::Strict, Wanted::All, &variables, None)
        .unwrap();
    assert_eq!(project.name, "shop");
    assert_eq!(
        project.environments[0].services[1].verify.timeout,
        Duration::from_secs(600)
    );
}
