//! `shipctl config`: every effective value with its source, and what is wrong with the files.

use std::fmt::Write as _;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli::Globals;
use crate::error::Result;
use crate::output::Printer;
use crate::project::Project;
use crate::project::discover::shown;
use crate::project::fly_toml::lint::Lint;
use crate::project::load::{Loaded, Mode, Request, Wanted, load_with_lints};
use crate::project::settings::Effective;
use crate::project::shipctl_toml::FILE_NAME;
use crate::session::{Strictness, with_request};

const SCHEMA: &str = "shipctl/config/1";

/// Show every effective value with its source, or check the files
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  shipctl config show production
  shipctl config check
  shipctl config check --json | jq '.findings[]'")]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum ConfigCommand {
    /// Print every effective value and where it came from
    Show {
        /// The environment; all of them without it
        #[arg(value_name = "ENV")]
        environment: Option<String>,
    },
    /// Say what is wrong with the files, and what flyctl takes in another way than was meant
    ///
    /// Mistakes exit 4. What flyctl would accept and do something else with is said and exits 0.
    Check {
        /// The environment; all of them without it
        #[arg(value_name = "ENV")]
        environment: Option<String>,
    },
}

/// What is to be printed.
#[derive(Debug)]
struct Answer {
    text: String,
    /// `shipctl/config/1`.
    json: Value,
    warnings: Vec<String>,
}

/// Reads the files strictly, and says what they come to.
pub(crate) async fn run(args: &ConfigArgs, globals: &Globals, printer: &Printer) -> Result<u8> {
    let strict = Strictness::Strict {
        environment: None,
        config: None,
    };
    let answer = with_request(globals, strict, |request| answer(args, request)).await?;
    for warning in &answer.warnings {
        printer.warn(warning);
    }
    if printer.json {
        printer.document(&answer.json);
    } else {
        printer.data(&answer.text);
    }
    Ok(0)
}

/// Reads the project strictly; `request` says where it is, and which variables and services count.
fn answer(args: &ConfigArgs, request: &Request<'_>) -> Result<Answer> {
    let environment = match &args.command {
        ConfigCommand::Show { environment } | ConfigCommand::Check { environment } => environment.as_deref(),
    };
    let loaded = load_with_lints(&Request {
        mode: Mode::Strict,
        wanted: environment.map_or(Wanted::All, |name| Wanted::One(Some(name))),
        config: None,
        ..*request
    })?;
    Ok(match args.command {
        ConfigCommand::Show { .. } => show(loaded.project, environment),
        ConfigCommand::Check { .. } => check(loaded, environment),
    })
}

fn show(mut project: Project, only: Option<&str>) -> Answer {
    project
        .environments
        .retain(|environment| only.is_none_or(|only| environment.name == only));
    let mut blocks = vec![block(
        &format!("project {}", project.name),
        "",
        &project.effective,
    )];
    let mut environments = Vec::new();
    for environment in &project.environments {
        let protected = if environment.protected { ", protected" } else { "" };
        blocks.push(block(
            &format!("environment {}{protected}", environment.name),
            "",
            &environment.effective,
        ));
        let mut services = Vec::new();
        for service in &environment.services {
            let file = shown(&project.root, &service.config);
            let title = format!("service {}: app {}, {file}", service.name, service.app);
            blocks.push(block(&title, "  ", &service.effective));
            services.push(json!({
                "service": service.name,
                "app": service.app,
                "file": file,
                "context": service.context,
                "settings": settings(&service.effective),
            }));
        }
        environments.push(json!({
            "environment": environment.name,
            "protected": environment.protected,
            "settings": settings(&environment.effective),
            "services": services,
        }));
    }
    Answer {
        text: blocks.join("\n"),
        json: json!({
            "schema": SCHEMA,
            "root": project.root,
            "project": project.name,
            "settings": settings(&project.effective),
            "environments": environments,
        }),
        warnings: project.warnings,
    }
}

fn settings(effective: &[Effective]) -> Vec<Value> {
    let one = |one: &Effective| json!({"key": one.key, "value": one.value, "source": one.source.to_string()});
    effective.iter().map(one).collect()
}

/// A title with a table of three columns below it.
fn block(title: &str, indent: &str, effective: &[Effective]) -> String {
    let rows: Vec<[String; 3]> = effective
        .iter()
        .map(|one| [one.key.clone(), plain(&one.value), one.source.to_string()])
        .collect();
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let (keys, values) = (width(0), width(1));
    let mut text = format!("{indent}{title}\n");
    for [key, value, source] in &rows {
        let _ = writeln!(text, "{indent}  {key:keys$}  {value:values$}  {source}");
    }
    text
}

/// A value as a person writes it.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "-".to_owned(),
        Value::Object(entries) if entries.is_empty() => "-".to_owned(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Object(entries) => entries
            .iter()
            .map(|(name, value)| format!("{name}: {}", plain(value)))
            .collect::<Vec<_>>()
            .join(", "),
        other => other.to_string(),
    }
}

fn check(loaded: Loaded, only: Option<&str>) -> Answer {
    let Loaded { project, lints } = loaded;
    let mut text = String::new();
    for (_, lint) in &lints {
        let problem = &lint.problem;
        let _ = writeln!(text, "{}", problem.summary());
        for line in problem.excerpt.iter().flat_map(|excerpt| excerpt.lines()) {
            let _ = writeln!(text, "{line}");
        }
        if let Some(hint) = &problem.hint {
            let _ = writeln!(text, "  hint: {hint}");
        }
        text.push('\n');
    }
    let own = Some(FILE_NAME.to_owned()).filter(|name| project.root.join(name).exists());
    let files: Vec<String> = project
        .environments
        .iter()
        .filter(|environment| only.is_none_or(|only| environment.name == only))
        .flat_map(|environment| &environment.services)
        .map(|service| shown(&project.root, &service.config))
        .chain(own)
        .collect();
    let _ = match lints.len() {
        0 => writeln!(text, "nothing to say of {}", files.join(", ")),
        1 => writeln!(text, "1 finding in {}", files.join(", ")),
        count => writeln!(text, "{count} findings in {}", files.join(", ")),
    };
    // What is a trap was made a warning too, for deploys; here it is a finding already.
    let said: Vec<String> = lints.iter().map(|(_, lint)| lint.problem.summary()).collect();
    let warnings = project
        .warnings
        .into_iter()
        .filter(|warning| !said.contains(warning))
        .collect();
    let findings: Vec<Value> = lints
        .iter()
        .map(|(environment, lint)| finding(environment, lint))
        .collect();
    Answer {
        text,
        json: json!({"schema": SCHEMA, "files": files, "findings": findings}),
        warnings,
    }
}

fn finding(environment: &str, lint: &Lint) -> Value {
    json!({
        "environment": environment,
        "file": lint.problem.file,
        "line": lint.problem.line,
        "message": lint.problem.message,
        "hint": lint.problem.hint,
        "trap": lint.is_trap,
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Parser;

    use super::{Answer, ConfigArgs};
    use crate::error::Result;
    use crate::project::Variables;
    use crate::project::load::{Mode, Request};

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        config: ConfigArgs,
    }

    fn answer(dir: &Path, words: &[&str]) -> Result<Answer> {
        let line = Line::try_parse_from(["config"].iter().chain(words)).unwrap();
        let process = Variables::default();
        super::answer(&line.config, &Request::new(dir, Mode::Tolerant, &process))
    }

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write(
            "fly.production.toml",
            "app = \"shop\"\n[http_service]\ninternal_port = 8080\n[[http_service.checks]]\npath = \"/up\"\n",
        );
        write(
            "fly.staging.toml",
            "app = \"shop-staging\"\n[deploy]\nwait_timeout = 300\n",
        );
        write(
            "shipctl.toml",
            "[verify]\nbake = \"20s\"\nheaders = { A = \"s3cret\", B = \"env:PATH\" }\n",
        );
        write(".env", "PATH=x\n");
        folder
    }

    #[test]
    fn every_value_is_shown_with_its_source() {
        let folder = folder();
        let answer = answer(folder.path(), &["show", "production"]).unwrap();
        let lines: Vec<String> = answer
            .text
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        for line in [
            "environment production, protected",
            "service web: app shop, fly.production.toml",
            "verify.bake 20s shipctl.toml:2",
            "verify.path /up fly.production.toml",
            "verify.headers A: [REDACTED], B: env:PATH shipctl.toml:3",
            "environments.production.protected true default",
            "deploy.timeout 30m default",
        ] {
            assert!(lines.iter().any(|shown| shown == line), "{line}\n{}", answer.text);
        }
        assert!(!answer.text.contains("s3cret") && !answer.json.to_string().contains("s3cret"));
        assert_eq!(answer.json["schema"], "shipctl/config/1");
        assert_eq!(answer.json["environments"].as_array().unwrap().len(), 1);
        assert_eq!(answer.json["environments"][0]["services"][0]["app"], "shop");
    }

    #[test]
    fn findings_are_no_mistakes() {
        let folder = folder();
        let all = answer(folder.path(), &["check"]).unwrap();
        assert!(
            all.text
                .contains("`deploy.wait_timeout = 300` means 300ns to flyctl"),
            "{}",
            all.text
        );
        assert!(all.text.contains("--> fly.staging.toml:3:16"), "{}", all.text);
        assert!(
            all.text
                .ends_with("1 finding in fly.production.toml, fly.staging.toml, shipctl.toml\n"),
            "{}",
            all.text
        );
        assert_eq!(all.json["findings"][0]["line"], 3);
        assert_eq!(all.warnings, ["others may read `.env`; run `chmod 600 .env`"]);
        let good = answer(folder.path(), &["check", "production"]).unwrap();
        assert_eq!(good.text, "nothing to say of fly.production.toml, shipctl.toml\n");
    }

    #[test]
    fn mistakes_are_said_all_at_once() {
        let folder = folder();
        std::fs::write(folder.path().join("fly.staging.toml"), "app = 1\n").unwrap();
        std::fs::write(folder.path().join("shipctl.toml"), "[verify]\nbaek = \"1s\"\n").unwrap();
        let error = answer(folder.path(), &["check"]).unwrap_err();
        assert_eq!(error.kind.exit_code(), 4);
        let [other] = &*error.others else {
            panic!("{error:?}");
        };
        let excerpts = [&error.excerpt, &other.excerpt].map(|excerpt| excerpt.as_deref().unwrap_or_default());
        assert!(excerpts[0].contains("shipctl.toml:2"), "{excerpts:?}");
        assert!(excerpts[1].contains("fly.staging.toml:1"), "{excerpts:?}");
        assert!(answer(folder.path(), &["show", "nowhere"]).is_err());
    }
}
