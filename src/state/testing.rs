//! Ledgers for tests: short entries, written through the real ledger into a temporary folder.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::release::{Image, ReleaseNumber};
use crate::state::EnvironmentState;
use crate::state::history::History;
use crate::state::record::{
    Configuration, Deployer, End, GitFacts, Kind, Mark, Outcome, Record, Served, ServiceEnd, ServiceStart,
    Start,
};

pub(crate) const APP: &str = "shop";

/// `registry.fly.io/shop:TAG@sha256:TAG`, without what a digest may not hold.
pub(crate) fn image(tag: &str) -> Image {
    Image::parse(&format!(
        "registry.fly.io/shop:{tag}@sha256:{}",
        tag.replace(['-', '.'], "")
    ))
}

pub(crate) fn served(release: u64, tag: &str) -> Served {
    Served {
        release: Some(ReleaseNumber(release)),
        image: image(tag).name,
        digest: image(tag).digest,
    }
}

pub(crate) struct TestLedger {
    pub(crate) folder: TempDir,
    pub(crate) state: EnvironmentState,
}

impl TestLedger {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            state: EnvironmentState::at(folder.path().join("production"), "production"),
            folder,
        }
    }

    pub(crate) fn of(entries: &[Entry]) -> Self {
        let ledger = Self::new();
        for entry in entries {
            ledger.add(entry);
        }
        ledger
    }

    pub(crate) fn add(&self, entry: &Entry) {
        for record in entry.records() {
            self.state.ledger().append(&record).unwrap();
        }
    }

    pub(crate) fn add_end(&self, entry: &Entry) {
        let end = entry.records().pop().unwrap();
        self.state.ledger().append(&end).unwrap();
    }

    pub(crate) fn history(&self) -> History {
        self.state.ledger().read().unwrap()
    }
}

/// One attempt on the app [`APP`], of service `web`.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) start: Start,
    pub(crate) mark: Option<Mark>,
    pub(crate) end: Option<End>,
}

impl Entry {
    pub(crate) fn deploy(id: &str, tag: &str) -> Self {
        Self::new(Kind::Deploy, id, tag)
    }

    pub(crate) fn rollback(id: &str, tag: &str) -> Self {
        Self::new(Kind::Rollback, id, tag)
    }

    pub(crate) fn verify(id: &str, tag: &str) -> Self {
        Self::new(Kind::Verify, id, tag)
    }

    fn new(kind: Kind, id: &str, tag: &str) -> Self {
        Self {
            start: Start {
                id: id.to_owned(),
                kind,
                environment: "production".to_owned(),
                actor: "dev@example.com".to_owned(),
                reason: None,
                overridden: Vec::new(),
                git: GitFacts::default(),
                started_at: "2026-01-28T10:00:00Z".to_owned(),
                deployer: Deployer::default(),
                services: vec![ServiceStart {
                    service: "web".to_owned(),
                    app: APP.to_owned(),
                    image: Some(image(tag)),
                    release_command: false,
                    configuration: Some(Configuration {
                        file: "fly.production.toml".to_owned(),
                        text: "plain".to_owned(),
                        ..Configuration::default()
                    }),
                    previous: None,
                    built: false,
                }],
            },
            mark: None,
            end: None,
        }
    }

    pub(crate) fn configured(mut self, text: &str) -> Self {
        self.start.services[0].configuration = Some(Configuration {
            text: text.to_owned(),
            ..Configuration::default()
        });
        self
    }

    pub(crate) fn built(mut self) -> Self {
        self.start.services[0].built = true;
        self
    }

    pub(crate) fn of_commit(mut self, sha: &str, describe: &str) -> Self {
        self.start.git = GitFacts {
            sha: Some(sha.to_owned()),
            describe: Some(describe.to_owned()),
            ..GitFacts::default()
        };
        self
    }

    /// What served before.
    pub(crate) fn over(mut self, release: u64, tag: &str) -> Self {
        self.start.services[0].previous = Some(served(release, tag));
        self
    }

    pub(crate) fn verified(self) -> Self {
        self.ended(Outcome::Verified, "verified")
    }

    pub(crate) fn failed(self) -> Self {
        self.ended(Outcome::Failed, "refuted")
    }

    pub(crate) fn interrupted(self) -> Self {
        self.ended(Outcome::Interrupted, "inconclusive")
    }

    pub(crate) fn broken(self) -> Self {
        self.ended(Outcome::Broken, "refuted")
    }

    /// Refuted; returned to `tag`, which was verified then.
    pub(crate) fn rolled_back_to(self, tag: &str) -> Self {
        let mut entry = self.ended(Outcome::RolledBack, "refuted");
        let service = entry.service_end();
        service.serving = Some(served(0, tag));
        service.serving_verified = true;
        entry
    }

    pub(crate) fn ended(mut self, outcome: Outcome, verdict: &str) -> Self {
        let service = &self.start.services[0];
        let image = service.image.clone().unwrap();
        self.end = Some(End {
            id: self.start.id.clone(),
            ended_at: "2026-01-28T10:01:00Z".to_owned(),
            outcome,
            services: vec![ServiceEnd {
                service: service.service.clone(),
                app: service.app.clone(),
                verdict: verdict.to_owned(),
                release: None,
                image: Some(image.name),
                digest: image.digest,
                version: None,
                named: false,
                answered_path: None,
                serving: None,
                serving_verified: false,
                machine_configs: BTreeMap::new(),
            }],
            report: json!({ "duration_ms": 60_000, "exit_code": 0 }),
        });
        self
    }

    pub(crate) fn release(mut self, number: u64) -> Self {
        self.service_end().release = Some(ReleaseNumber(number));
        self
    }

    pub(crate) fn answering(mut self, version: &str) -> Self {
        self.service_end().version = Some(version.to_owned());
        self
    }

    pub(crate) fn running(mut self, group: &str, config: Value) -> Self {
        self.service_end()
            .machine_configs
            .insert(group.to_owned(), config);
        self
    }

    /// Without an end.
    pub(crate) fn cut_off_while(mut self, phase: &str, moved: bool) -> Self {
        self.mark = Some(Mark {
            id: self.start.id.clone(),
            at: self.start.started_at.clone(),
            phase: phase.to_owned(),
            service: "web".to_owned(),
            process_group: 4242,
            start_time: 1,
            moved,
        });
        self.end = None;
        self
    }

    fn service_end(&mut self) -> &mut ServiceEnd {
        &mut self.end.as_mut().unwrap().services[0]
    }

    pub(crate) fn records(&self) -> Vec<Record> {
        let mut records = vec![Record::Start(Box::new(self.start.clone()))];
        records.extend(self.mark.clone().map(Record::Mark));
        records.extend(self.end.clone().map(|end| Record::End(Box::new(end))));
        records
    }
}
