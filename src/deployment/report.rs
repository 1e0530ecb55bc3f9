//! The answer of a deployment: the document that `--json` prints and the ledger keeps (DESIGN 9).
//!
//! These are view types: fields are only ever added, and a rename inside the program breaks nobody.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::deployment::baseline::common_image;
use crate::instance::Instance;
use crate::release::{Digest, Image, ReleaseNumber};
use crate::state::record::{GitFacts, Kind, Outcome, Served};
use crate::verification::{Evidence, InstanceReport, Verdict};

/// One of this program's own words; nothing is borrowed from what is read.
type Word = &'static str;

/// `shipctl/deployment/1`. What a record keeps of it is read back for people.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Report {
    #[serde(skip_deserializing)]
    pub(crate) schema: Word,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) sandbox: bool,
    pub(crate) id: String,
    #[serde(deserialize_with = "kind")]
    pub(crate) kind: Word,
    pub(crate) environment: String,
    /// `null` while unfinished.
    pub(crate) outcome: Option<Outcome>,
    pub(crate) exit_code: u8,
    /// Printed as the name of the exit code.
    #[serde(rename = "name")]
    pub(crate) ending: Ending,
    pub(crate) actor: String,
    pub(crate) reason: Option<String>,
    pub(crate) git: GitFacts,
    /// RFC 3339.
    pub(crate) started_at: String,
    pub(crate) duration_ms: u64,
    #[serde(skip_deserializing)]
    pub(crate) phases: Vec<PhaseReport>,
    pub(crate) services: Vec<ServiceReport>,
    /// What to do next, most likely first.
    #[serde(default)]
    pub(crate) hints: Vec<String>,
    /// The ledger has no record of it, or may not have one.
    #[serde(skip)]
    pub(crate) unrecorded: bool,
    /// The release that `verify` was asked for, where another one serves.
    #[serde(skip)]
    pub(crate) asked: Option<ReleaseNumber>,
    /// Said about the deployment as a whole.
    #[serde(default)]
    pub(crate) warnings: Vec<String>,
}

/// One phase with its time.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PhaseReport {
    pub(crate) name: String,
    pub(crate) duration_ms: u64,
    /// `completed` or `failed`.
    pub(crate) result: &'static str,
}

/// One service of the deployment.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct ServiceReport {
    pub(crate) service: String,
    pub(crate) app: String,
    /// `verified`, `refuted`, `inconclusive`; `null` where nothing was shipped.
    pub(crate) verdict: Option<Verdict>,
    pub(crate) evidence: Option<Evidence>,
    pub(crate) reasons: Vec<String>,
    pub(crate) warnings: Vec<String>,
    pub(crate) release: Option<ReleaseNumber>,
    /// Always `repo:tag`.
    pub(crate) image: Option<String>,
    pub(crate) digest: Option<Digest>,
    /// What the answers named as their version.
    pub(crate) version: Option<String>,
    pub(crate) previous: Option<ServedReport>,
    pub(crate) serving: Option<ServedReport>,
    pub(crate) provider: Option<ProviderReport>,
    pub(crate) instances: Vec<InstanceReport>,
    /// The last log lines of the instances that failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) log: Vec<String>,
}

/// What serves, or served.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct ServedReport {
    /// The newest that an instance runs; `null` where they run different images.
    pub(crate) release: Option<ReleaseNumber>,
    /// `null` where instances run different ones.
    pub(crate) image: Option<String>,
    pub(crate) digest: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) verdict: Option<ServedVerdict>,
    /// Instances run different images.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) mixed: bool,
    /// Each release that an instance runs, oldest first, where there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) releases: Vec<ServedPart>,
}

/// One release of several that serve beside each other.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct ServedPart {
    pub(crate) release: Option<ReleaseNumber>,
    pub(crate) image: String,
    pub(crate) digest: Option<Digest>,
    /// How many run it.
    pub(crate) instances: usize,
}

/// What is known of what serves at the end.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ServedVerdict {
    Verified,
    Refuted,
    Inconclusive,
    /// Nothing was changed, and nothing judged.
    Unchanged,
}

impl ServedReport {
    /// What these instances run; `None` where there are none.
    pub(crate) fn of(instances: &[Instance], verdict: Option<ServedVerdict>) -> Option<Self> {
        let mut parts: Vec<ServedPart> = Vec::new();
        for instance in instances {
            let is_same = |part: &&mut ServedPart| {
                let image = Image {
                    name: part.image.clone(),
                    digest: part.digest.clone(),
                };
                part.release == instance.release && image.is_same_as(&instance.image)
            };
            match parts.iter_mut().find(is_same) {
                Some(part) => part.instances += 1,
                None => parts.push(ServedPart {
                    release: instance.release,
                    image: instance.image.name.clone(),
                    digest: instance.image.digest.clone(),
                    instances: 1,
                }),
            }
        }
        parts.sort_by_key(|part| part.release);
        let newest = parts.last()?.release;
        let image = common_image(instances);
        Some(Self {
            release: newest.filter(|_| image.is_some()),
            mixed: image.is_none(),
            digest: image.as_ref().and_then(|image| image.digest.clone()),
            image: image.map(|image| image.name),
            verdict,
            releases: if parts.len() > 1 { parts } else { Vec::new() },
        })
    }
}

impl From<Served> for ServedReport {
    fn from(served: Served) -> Self {
        Self {
            release: served.release,
            image: Some(served.image),
            digest: served.digest,
            verdict: None,
            mixed: false,
            releases: Vec::new(),
        }
    }
}

/// What flyctl said.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct ProviderReport {
    pub(crate) exit_code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) release_status: Option<String>,
    /// A class of REFERENCE 2.8, in snake case.
    pub(crate) error_class: Option<String>,
    /// The line of flyctl's that tells most.
    pub(crate) message: Option<String>,
}

/// The exit codes that an attempt can end with, by name (DESIGN 9).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ending {
    Ok,
    /// A configuration that flyctl alone could judge.
    Config,
    Failed,
    RolledBack,
    Broken,
    Inconclusive,
    Provider,
    Interrupted(u8),
}

impl Ending {
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Config => 4,
            Self::Failed => 6,
            Self::RolledBack => 7,
            Self::Broken => 8,
            Self::Inconclusive => 9,
            Self::Provider => 10,
            Self::Interrupted(signal) => 128 + signal,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Config => "config",
            Self::Failed => "failed",
            Self::RolledBack => "rolled_back",
            Self::Broken => "broken",
            Self::Inconclusive => "inconclusive",
            Self::Provider => "provider",
            Self::Interrupted(_) => "interrupted",
        }
    }

    pub(crate) fn outcome(self) -> Outcome {
        match self {
            Self::Ok => Outcome::Verified,
            Self::Config | Self::Failed | Self::Provider => Outcome::Failed,
            Self::RolledBack => Outcome::RolledBack,
            Self::Broken => Outcome::Broken,
            Self::Inconclusive => Outcome::Inconclusive,
            Self::Interrupted(_) => Outcome::Interrupted,
        }
    }
}

impl Serialize for Ending {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Ending {
    /// By name, which leaves out the number of the signal: the exit code beside it has that.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        [
            Self::Ok,
            Self::Config,
            Self::Failed,
            Self::RolledBack,
            Self::Broken,
            Self::Inconclusive,
            Self::Provider,
            Self::Interrupted(0),
        ]
        .into_iter()
        .find(|ending| ending.name() == name)
        .ok_or_else(|| serde::de::Error::custom(format!("`{name}` is no ending")))
    }
}

fn kind<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Word, D::Error> {
    Kind::deserialize(deserializer).map(Kind::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Ending;
    use crate::verification::{Evidence, Verdict};

    #[test]
    fn documents_hold_the_words_of_the_contract() {
        for (ending, word) in [
            (Ending::RolledBack, "rolled_back"),
            (Ending::Interrupted(2), "interrupted"),
        ] {
            assert_eq!(json!(ending), word);
        }
        for verdict in [Verdict::Verified, Verdict::Refuted, Verdict::Inconclusive] {
            assert_eq!(json!(verdict), verdict.as_str());
        }
        for evidence in [Evidence::State, Evidence::Checks, Evidence::Http, Evidence::App] {
            assert_eq!(json!(evidence), evidence.as_str());
        }
    }

    #[test]
    fn every_ending_has_its_code() {
        for (ending, code, name) in [
            (Ending::Ok, 0, "ok"),
            (Ending::Config, 4, "config"),
            (Ending::Failed, 6, "failed"),
            (Ending::RolledBack, 7, "rolled_back"),
            (Ending::Broken, 8, "broken"),
            (Ending::Inconclusive, 9, "inconclusive"),
            (Ending::Provider, 10, "provider"),
            (Ending::Interrupted(2), 130, "interrupted"),
            (Ending::Interrupted(15), 143, "interrupted"),
        ] {
            assert_eq!((ending.exit_code(), ending.name()), (code, name));
        }
    }
}
