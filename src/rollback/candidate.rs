//! A release that could be shipped again, with everything the ledger holds for doing so.

use crate::error::Result;
use crate::release::{Image, Release, ReleaseNumber};
use crate::state::history::{History, Known, Origin, Statement};
use crate::state::keys::{Identity, ImageKey, Key};
use crate::state::record::Configuration;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Candidate {
    /// With its digest where anybody knows it.
    pub(crate) image: Image,
    pub(crate) release: Option<ReleaseNumber>,
    /// The ledger vouches for it; otherwise it is only what flyctl lists, and a person is asked.
    pub(crate) verified: bool,
    /// What it was formed with, where the ledger holds it.
    pub(crate) configuration: Option<Configuration>,
    /// What it answered as its version when it was last verified.
    pub(crate) version: Option<String>,
    /// The entry that shipped or verified it.
    pub(crate) entry: Option<Known>,
}

impl Candidate {
    /// Whether a yes to `shown` is one to this: the same release, and nothing less is known to be good of it.
    pub(crate) fn is_meant_by(&self, shown: &Self) -> bool {
        self.image.is_same_as(&shown.image)
            && self.configuration == shown.configuration
            && (self.verified || !shown.verified)
    }

    /// What the ledger vouches for. `None` where its lines are lost.
    pub(crate) fn vouched(history: &History, app: &str, statement: &Statement) -> Result<Option<Self>> {
        match statement.origin {
            Origin::Shipped => {
                let entry = history.known(statement.at)?;
                let Some(image) = entry.image.clone() else {
                    return Ok(None);
                };
                Self::complete(history, app, image, statement.release, true, Some(entry)).map(Some)
            }
            Origin::Returned => {
                let ended = history.attempt(statement.at)?.end;
                let serving = ended
                    .into_iter()
                    .flat_map(|end| end.services)
                    .find(|service| service.app == app)
                    .and_then(|service| service.serving);
                let Some(serving) = serving else {
                    return Ok(None);
                };
                let image = Image::parse(&serving.image).with_digest(serving.digest);
                let entry = history.known_of(app, &image, &[])?;
                Self::complete(history, app, image, statement.release, true, entry).map(Some)
            }
        }
    }

    /// An entry of the ledger, whatever became of it.
    pub(crate) fn entered(history: &History, app: &str, at: usize, verified: bool) -> Result<Option<Self>> {
        let entry = history.known(at)?;
        let Some(image) = entry.image.clone() else {
            return Ok(None);
        };
        let release = history.row(at).release.get();
        Self::complete(history, app, image, release, verified, Some(entry)).map(Some)
    }

    /// A release of the provider's list, with the entry that the ledger has for it.
    ///
    /// `has_digest` says that some record names its digest, if not that entry.
    pub(crate) fn listed(
        history: &History,
        app: &str,
        release: &Release,
        verified: bool,
        place: Option<usize>,
        has_digest: bool,
    ) -> Result<Self> {
        let entry = place.map(|at| history.known(at)).transpose()?;
        let entered = entry.as_ref().and_then(|entry| entry.image.as_ref());
        let mut digest = entered.and_then(|image| image.digest.clone());
        if digest.is_none() && has_digest {
            let facts = history.release_facts(app, std::slice::from_ref(release))?;
            digest = facts.into_iter().flatten().find_map(|facts| facts.digest);
        }
        let image = release.image.clone().with_digest(digest);
        Self::complete(history, app, image, Some(release.number), verified, entry)
    }

    /// An image that a person named and nobody knows.
    pub(crate) fn as_named(image: Image) -> Self {
        Self {
            image,
            release: None,
            verified: false,
            configuration: None,
            version: None,
            entry: None,
        }
    }

    /// Looks up what the entry itself does not hold: a `verify` records no file, a deployment may name no version.
    fn complete(
        history: &History,
        app: &str,
        image: Image,
        release: Option<ReleaseNumber>,
        verified: bool,
        entry: Option<Known>,
    ) -> Result<Self> {
        let Some(entry) = entry else {
            return Ok(Self {
                release,
                verified,
                ..Self::as_named(image)
            });
        };
        let mut configuration = entry.configuration.clone();
        if configuration.is_none() {
            configuration = history.configuration_of(app, &image)?;
        }
        let mut version = entry
            .version
            .clone()
            .filter(|_| entry.verdict.as_deref() == Some("verified"));
        if version.is_none() {
            version = history
                .last_verified_of(app, &image)?
                .and_then(|known| known.version);
        }
        Ok(Self {
            image,
            release,
            verified,
            configuration,
            version,
            entry: Some(entry),
        })
    }

    pub(crate) fn identity(&self) -> Identity {
        Identity {
            image: ImageKey::of(&self.image),
            configuration: self
                .configuration
                .as_ref()
                .map_or(Key::NONE, Key::of_configuration),
        }
    }

    /// `v41 (registry.fly.io/shop:v1.4.0)`, as people read it.
    pub(crate) fn name(&self) -> String {
        match self.release {
            Some(release) => format!("{release} ({})", self.image.short()),
            None => self.image.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Candidate;
    use crate::state::record::Configuration;
    use crate::state::testing::image;

    #[test]
    fn a_yes_holds_for_the_same_release_and_for_no_less() {
        let candidate = |tag: &str, verified: bool, text: &str| Candidate {
            verified,
            configuration: Some(Configuration {
                text: text.to_owned(),
                ..Configuration::default()
            }),
            ..Candidate::as_named(image(tag))
        };
        let shown = candidate("v1", true, "plain");
        let doubtful = candidate("v1", false, "plain");
        for (now, then, holds) in [
            (&shown, &shown, true),
            (&doubtful, &doubtful, true),
            (&shown, &doubtful, true),
            (&doubtful, &shown, false),
            (&candidate("v2", true, "plain"), &shown, false),
            (&candidate("v1", true, "other"), &shown, false),
        ] {
            assert_eq!(now.is_meant_by(then), holds, "{now:?} {then:?}");
        }
    }
}
