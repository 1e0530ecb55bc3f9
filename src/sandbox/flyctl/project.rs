//! Which app and which configuration a command line means, as flyctl finds them (REFERENCE 3.1).

use std::path::{Path, PathBuf};

use super::super::config::Config;
use super::failure::Failure;
use super::session::Session;

const NO_APP: &str = "the config for your app is missing an app name, add an app field to the fly.toml file or specify with the -a flag";

/// A configuration file that was read.
pub(super) struct LocalConfig {
    pub(super) config: Config,
    /// As it is shown in messages.
    pub(super) shown: String,
    /// The folder that holds it.
    pub(super) folder: PathBuf,
}

/// The file that `-c` names, else `fly.toml` in the folder; a missing one is nothing, without a word.
pub(super) fn local(session: &Session, folder: &Path) -> Result<Option<LocalConfig>, Failure> {
    let given = session.arguments.value("config");
    let path = folder.join(given.unwrap_or("fly.toml"));
    let shown = given.map_or_else(|| path.display().to_string(), str::to_owned);
    if !path.exists() {
        return Ok(None);
    }
    let failed = |why: String| Failure::new(format!("failed loading app config from {shown}: {why}"));
    if path.is_dir() {
        return Err(failed(format!("read {shown}: is a directory")));
    }
    let text = std::fs::read_to_string(&path).map_err(|error| failed(error.to_string()))?;
    let config = Config::from_toml(&text).map_err(|error| failed(syntax_error(&text, &error)))?;
    let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
    Ok(Some(LocalConfig {
        config,
        shown,
        folder,
    }))
}

/// Row and column, then the lines (capture `deploy_config_invalid`). The earliest mistake is the one to tell: the
/// parser reads on after one.
fn syntax_error(text: &str, error: &toml::de::Error) -> String {
    let (_, all) = toml::de::DeTable::parse_recoverable(text);
    let start = |error: &toml::de::Error| error.span().map_or(usize::MAX, |span| span.start);
    let first = all.iter().min_by_key(|error| start(error)).unwrap_or(error);
    let at = start(first).min(text.len());
    let before = text.get(..at).unwrap_or_default();
    let row = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
    let line = text.lines().nth(row - 1).unwrap_or_default();
    let blanks = " ".repeat(column);
    format!(
        "row {row} column {column}\n{row}| {line}\n |{blanks}~ {}",
        first.message()
    )
}

/// The app: `-a`, then `FLY_APP`, then the file.
pub(super) fn app_name(session: &Session) -> Result<String, Failure> {
    let local = local(session, &session.folder)?;
    chosen_app(session, local.as_ref().map(|local| &local.config))
}

pub(super) fn chosen_app(session: &Session, config: Option<&Config>) -> Result<String, Failure> {
    session
        .arguments
        .value("app")
        .or_else(|| session.variable("FLY_APP").filter(|app| !app.is_empty()))
        .or_else(|| config.and_then(Config::app))
        .map(str::to_owned)
        .ok_or_else(|| Failure::new(NO_APP))
}
