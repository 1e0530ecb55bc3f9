//! What the ledger holds of one release: what shipped it, with which configuration, and what it answered.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::error::Result;
use crate::release::{Digest, Image, Release, ReleaseNumber};
use crate::secret::REDACTED;
use crate::state::history::{History, Word};
use crate::state::keys::{ImageKey, Key};
use crate::state::record::{Configuration, GitFacts, Kind, Outcome};
use crate::state::row::Row;
use crate::state::summary::{commit_key, names_commit};

/// How many different configurations of one image are compared with what runs.
const CONFIGURATIONS_COMPARED: usize = 20;

/// One service of one attempt, as far as later decisions need it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Known {
    pub(crate) id: String,
    /// `None` where the start was lost.
    pub(crate) kind: Option<Kind>,
    /// When it ended, else when it began; RFC 3339.
    pub(crate) at: String,
    pub(crate) actor: Option<String>,
    pub(crate) git: Option<GitFacts>,
    /// shipctl built the image in this attempt.
    pub(crate) built: bool,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) verdict: Option<String>,
    pub(crate) image: Option<Image>,
    pub(crate) release: Option<ReleaseNumber>,
    pub(crate) configuration: Option<Configuration>,
    pub(crate) release_command: bool,
    pub(crate) version: Option<String>,
    /// Whether that names this very release, rather than being a word that others answer, too.
    pub(crate) named: bool,
    /// The path that answered 2xx, where one did.
    pub(crate) answered_path: Option<String>,
    /// How many instances each process group had when it was judged.
    pub(crate) instances: BTreeMap<String, usize>,
}

/// What the ledger adds to a release of the provider's list.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ReleaseFacts {
    pub(crate) digest: Option<Digest>,
    pub(crate) commit: Option<String>,
    pub(crate) describe: Option<String>,
    /// `verified`, `refuted` or `inconclusive`, as this very release was last judged.
    pub(crate) verdict: Option<String>,
    pub(crate) actor: Option<String>,
}

/// The instances of an app in a report, by group.
fn instances(report: &Value, app: &str) -> BTreeMap<String, usize> {
    let services = report["services"].as_array().into_iter().flatten();
    let mut counts = BTreeMap::new();
    for service in services.filter(|service| service["app"] == app) {
        let groups = service["instances"].as_array().into_iter().flatten();
        for group in groups.filter_map(|instance| instance["group"].as_str()) {
            *counts.entry(group.to_owned()).or_insert(0) += 1;
        }
    }
    counts
}

impl History {
    /// One service of the attempt at a place of the ledger.
    pub(crate) fn known(&self, at: usize) -> Result<Known> {
        let row = self.row(at);
        let app = self.name_at(row.app);
        let attempt = self.attempt(at)?;
        let mut known = Known {
            id: String::new(),
            kind: row.kind,
            at: String::new(),
            actor: None,
            git: None,
            built: row.built,
            outcome: None,
            verdict: None,
            image: None,
            release: row.release.get(),
            configuration: None,
            release_command: false,
            version: None,
            named: false,
            answered_path: None,
            instances: BTreeMap::new(),
        };
        if let Some(start) = attempt.start {
            (known.id, known.at) = (start.id, start.started_at);
            (known.actor, known.git) = (Some(start.actor), Some(start.git));
            let service = start.services.into_iter().find(|it| Key::of(&it.app) == app);
            if let Some(service) = service {
                known.image = service.image;
                known.configuration = service.configuration;
                known.release_command = service.release_command;
            }
        }
        if let Some(end) = attempt.end {
            (known.id, known.at) = (end.id, end.ended_at);
            known.outcome = Some(end.outcome);
            let service = end.services.into_iter().find(|it| Key::of(&it.app) == app);
            if let Some(service) = service {
                known.instances = instances(&end.report, &service.app);
                let shipped = service.image.as_deref().map(Image::parse);
                known.image = shipped.or(known.image).map(|it| it.with_digest(service.digest));
                known.verdict = Some(service.verdict);
                known.version = service.version;
                known.named = service.named;
                known.answered_path = service.answered_path;
            }
        }
        Ok(known)
    }

    /// The place of the entry that an image stands for: of several with different configurations the one whose
    /// machine `config` runs, else the newest (DESIGN 7). `running` are groups with their whole `config`.
    pub(crate) fn place_of(
        &self,
        app: &str,
        image: &Image,
        running: &[(&str, &Value)],
    ) -> Result<Option<usize>> {
        let places = self.configurations_of(app, ImageKey::of(image));
        if places.len() > 1 {
            for at in places.iter().take(CONFIGURATIONS_COMPARED) {
                if self.runs(*at, running)? {
                    return Ok(Some(*at));
                }
            }
        }
        Ok(places.first().copied())
    }

    /// The configuration of the newest entry of an image that has one.
    pub(crate) fn configuration_of(&self, app: &str, image: &Image) -> Result<Option<Configuration>> {
        let found = self
            .rows_with(app, ImageKey::of(image))
            .find(|(_, row)| row.has_stayed() && !row.shipped.configuration.is_none());
        let Some((at, _)) = found else {
            return Ok(None);
        };
        Ok(self.known(at)?.configuration)
    }

    /// The entry that a digest or image stands for, as [`Self::place_of`].
    pub(crate) fn known_of(
        &self,
        app: &str,
        image: &Image,
        running: &[(&str, &Value)],
    ) -> Result<Option<Known>> {
        self.place_of(app, image, running)?
            .map(|at| self.known(at))
            .transpose()
    }

    /// The newest entry of each configuration that the image stayed with, newest first.
    fn configurations_of(&self, app: &str, image: ImageKey) -> Vec<usize> {
        let mut places: Vec<usize> = Vec::new();
        for (at, row) in self.rows_with(app, image) {
            let is_new = row.has_stayed()
                && places.len() < CONFIGURATIONS_COMPARED
                && places
                    .iter()
                    .all(|known| self.row(*known).shipped.configuration != row.shipped.configuration);
            if is_new {
                places.push(at);
            }
        }
        places
    }

    /// Whether what was recorded of the machines at `at` is what runs, in every group that both name.
    fn runs(&self, at: usize, running: &[(&str, &Value)]) -> Result<bool> {
        let app = self.name_at(self.row(at).app);
        let recorded = self
            .attempt(at)?
            .end
            .into_iter()
            .flat_map(|end| end.services)
            .find(|service| Key::of(&service.app) == app)
            .map(|service| service.machine_configs)
            .unwrap_or_default();
        let mut compared = false;
        for (group, config) in &recorded {
            let mut runs = running.iter().filter(|(name, _)| name == group).peekable();
            if runs.peek().is_none() {
                continue;
            }
            compared = true;
            if !runs.any(|(_, live)| is_same_config(config, &machine_config(live))) {
                return Ok(false);
            }
        }
        Ok(compared)
    }

    /// The newest entry that verified this image: what it answered then is what a return expects.
    pub(crate) fn last_verified_of(&self, app: &str, image: &Image) -> Result<Option<Known>> {
        let found = self
            .rows_with(app, ImageKey::of(image))
            .find(|(_, row)| row.is_verified());
        found.map(|(at, _)| self.known(at)).transpose()
    }

    /// The entry that built this image, whose commit and describe it may answer with.
    pub(crate) fn build_of(&self, app: &str, image: &Image) -> Result<Option<Known>> {
        let found = self
            .rows_with(app, ImageKey::of(image))
            .find(|(_, row)| row.built);
        found.map(|(at, _)| self.known(at)).transpose()
    }

    /// Whether a version is what a row's release answered, or names what it was built from.
    pub(crate) fn names(&self, at: usize, row: &Row, version: &str) -> Result<bool> {
        let key = Key::of_version(version);
        if row.version == key || (row.built && row.describe == key) {
            return Ok(true);
        }
        let commit = commit_key(version.strip_prefix('v').unwrap_or(version));
        if !row.built || commit == 0 || row.commit != commit {
            return Ok(false);
        }
        let sha = self.known(at)?.git.and_then(|git| git.sha);
        Ok(sha.is_some_and(|sha| names_commit(version, &sha)))
    }

    /// Whether this image, or a clean checkout of this commit, was verified here and not refuted since.
    pub(crate) fn has_verified(&self, image: Option<&Image>, sha: Option<&str>) -> Result<bool> {
        let image = image.map(ImageKey::of);
        let commit = sha.map_or(0, commit_key);
        for (at, row) in self.rows().iter().rev() {
            let is_image = image.is_some_and(|image| row.shipped.image.is_same_as(image));
            let is_commit =
                !is_image && commit != 0 && row.commit == commit && row.kind == Some(Kind::Deploy) && {
                    let git = self.attempt(at)?.start.map(|start| start.git);
                    git.is_some_and(|git| !git.dirty && git.sha.as_deref() == sha)
                };
            if is_image || is_commit {
                if row.is_verified() {
                    return Ok(true);
                }
                if row.refutes() {
                    return Ok(false);
                }
            }
        }
        Ok(false)
    }

    /// What the ledger knows of each release of the provider's list, in its order.
    pub(crate) fn release_facts(&self, app: &str, releases: &[Release]) -> Result<Vec<Option<ReleaseFacts>>> {
        releases
            .iter()
            .map(|release| self.facts_of(app, release))
            .collect()
    }

    fn facts_of(&self, app: &str, release: &Release) -> Result<Option<ReleaseFacts>> {
        let word = self.word_on(app, release.number, &release.image);
        let verdict = word.and_then(Word::verdict).map(str::to_owned);
        let image = ImageKey::of(&release.image);
        // Whoever looked at a release, or went back to it, did not make it from what lay there.
        let deploys = || {
            self.rows_with(app, image)
                .filter(|(_, row)| row.kind == Some(Kind::Deploy))
        };
        let shipped = deploys()
            .find(|(_, row)| row.release.is(release.number))
            .or_else(|| deploys().next());
        let git = match shipped {
            Some((at, _)) => self.attempt(at)?.start.map(|start| start.git),
            None => None,
        };
        let of_git = ReleaseFacts {
            commit: git.as_ref().and_then(|git| git.sha.clone()),
            describe: git.and_then(|git| git.describe),
            verdict,
            ..ReleaseFacts::default()
        };
        let own: Vec<(usize, &Row)> = self
            .rows_with(app, image)
            .filter(|(_, row)| row.release.is(release.number))
            .collect();
        if let Some((at, _)) = own.first() {
            let made = own.iter().find(|(_, row)| row.kind != Some(Kind::Verify));
            let actor = match made {
                Some((at, _)) => self.known(*at)?.actor,
                None => None,
            };
            return Ok(Some(ReleaseFacts {
                digest: self.known(*at)?.image.and_then(|image| image.digest),
                actor,
                ..of_git
            }));
        }
        let served = self.rows_of(app).find_map(|(at, row)| {
            [row.serving, row.previous]
                .into_iter()
                .find(|served| served.release.is(release.number) && served.image.is_same_as(image))
                .map(|_| at)
        });
        let Some(at) = served else {
            return Ok(None);
        };
        let attempt = self.attempt(at)?;
        let previous = attempt
            .start
            .into_iter()
            .flat_map(|it| it.services)
            .map(|it| it.previous);
        let serving = attempt
            .end
            .into_iter()
            .flat_map(|it| it.services)
            .map(|it| it.serving);
        let digest = previous
            .chain(serving)
            .flatten()
            .find(|it| it.release == Some(release.number))
            .and_then(|it| it.digest);
        Ok(Some(ReleaseFacts { digest, ..of_git }))
    }
}

/// A machine's `config` as it is recorded and compared: without what differs by release, machine or size.
pub(crate) fn machine_config(config: &Value) -> Value {
    let mut config = config.clone();
    if let Some(fields) = config.as_object_mut() {
        for key in ["image", "metadata", "guest"] {
            fields.shift_remove(key);
        }
    }
    config
}

/// Equal but for values that were redacted when they were recorded.
fn is_same_config(recorded: &Value, live: &Value) -> bool {
    match (recorded, live) {
        (Value::String(recorded), Value::String(_)) if recorded.contains(REDACTED) => true,
        (Value::Object(recorded), Value::Object(live)) => {
            recorded.len() == live.len()
                && recorded
                    .iter()
                    .all(|(key, value)| live.get(key).is_some_and(|live| is_same_config(value, live)))
        }
        (Value::Array(recorded), Value::Array(live)) => {
            recorded.len() == live.len()
                && recorded
                    .iter()
                    .zip(live)
                    .all(|(recorded, live)| is_same_config(recorded, live))
        }
        _ => recorded == live,
    }
}

#[cfg(test)]
mod tests {
    use crate::release::{Image, Release, ReleaseNumber, ReleaseStatus};
    use crate::state::testing::{APP, Entry, TestLedger, image};

    #[test]
    fn a_second_start_of_an_attempt_takes_the_place_of_the_first() {
        let ledger = TestLedger::of(&[
            Entry::deploy("d1", "v1").configured("one").verified(),
            Entry::rollback("r1", "v2").configured("two"),
            Entry::rollback("r1", "v1").configured("one").verified(),
        ]);
        let history = ledger.history();
        assert_eq!(history.len(), 2);
        let known = history.known(1).unwrap();
        assert_eq!(known.image, Some(image("v1")));
        assert_eq!(known.configuration.unwrap().text, "one");
    }

    /// Whoever looked at a release, or went back to it, did not make it from what lay there.
    #[test]
    fn a_release_is_of_the_commit_that_shipped_its_image() {
        let release = |number: u64, tag: &str| Release {
            id: format!("r{number}"),
            number: ReleaseNumber(number),
            status: ReleaseStatus::Complete,
            description: String::new(),
            image: Image::parse(&image(tag).name),
            user: None,
            created_at: String::new(),
        };
        let history = TestLedger::of(&[
            Entry::verify("l1", "v1")
                .of_commit("look", "look")
                .verified()
                .release(1),
            Entry::deploy("d2", "v2")
                .of_commit("made", "made")
                .verified()
                .release(2),
            Entry::rollback("r3", "v1")
                .of_commit("back", "back")
                .verified()
                .release(3),
            Entry::verify("l4", "v2")
                .of_commit("look", "look")
                .verified()
                .release(4),
            Entry::deploy("d5", "v2")
                .of_commit("again", "again")
                .verified()
                .release(5),
        ])
        .history();
        let releases = [(1, "v1"), (2, "v2"), (3, "v1"), (4, "v2"), (5, "v2")];
        let releases: Vec<Release> = releases.map(|(number, tag)| release(number, tag)).to_vec();
        let facts = history.release_facts(APP, &releases).unwrap();
        let commits: Vec<Option<String>> = facts.into_iter().map(|facts| facts.unwrap().commit).collect();
        let commits: Vec<Option<&str>> = commits.iter().map(Option::as_deref).collect();
        assert_eq!(commits, [None, Some("made"), None, Some("again"), Some("again")]);
    }
}
