//! Whether a release failed here before: the very one is refused, what may be another one only warned of (DESIGN 4).

use crate::error::Result;
use crate::release::Image;
use crate::state::history::History;
use crate::state::keys::{Identity, ImageKey, Key};
use crate::state::record::{Configuration, Outcome};

/// The attempt that was returned from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Before {
    pub(crate) id: String,
    /// RFC 3339.
    pub(crate) at: String,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Repetition {
    /// It was not returned from, or was verified since.
    None,
    /// This very release: same image, same configuration.
    Same(Before),
    /// This image with another configuration.
    OtherConfiguration(Before),
    /// This tag, which may have moved since.
    SameTag(Before),
}

impl History {
    /// Whether `image` with `configuration` was returned from and not verified since.
    ///
    /// An image is known by its digest, or by a tag that shipctl made: no two of its builds share one.
    pub(crate) fn repetition(
        &self,
        app: &str,
        image: &Image,
        configuration: &Configuration,
    ) -> Result<Repetition> {
        let asked = Identity {
            image: ImageKey::of(image),
            configuration: Key::of_configuration(configuration),
        };
        let is_own_tag = image.tag().is_some()
            && self
                .rows_of(app)
                .any(|(_, row)| row.built && row.shipped.image.name == asked.image.name);
        let mut doubtful: Option<(usize, bool)> = None;
        let mut image_is_verified = false;
        for (at, row) in self.rows_of(app) {
            if !row.shipped.image.is_same_as(asked.image) {
                continue;
            }
            let is_certain =
                is_own_tag || row.shipped.image.digest == asked.image.digest && !asked.image.digest.is_none();
            let is_this = is_certain && row.shipped.configuration == asked.configuration;
            if row.is_verified() {
                image_is_verified = true;
                if is_this {
                    break;
                }
            } else if row.has_outcome(Outcome::RolledBack) {
                if is_this {
                    return Ok(Repetition::Same(self.before(at)?));
                }
                if !image_is_verified && doubtful.is_none() {
                    doubtful = Some((at, is_certain));
                }
            }
        }
        match doubtful {
            None => Ok(Repetition::None),
            Some((at, true)) => Ok(Repetition::OtherConfiguration(self.before(at)?)),
            Some((at, false)) => Ok(Repetition::SameTag(self.before(at)?)),
        }
    }

    fn before(&self, at: usize) -> Result<Before> {
        let attempt = self.attempt(at)?;
        let ended = attempt.end.map(|end| (end.id, end.ended_at));
        let started = attempt.start.map(|start| (start.id, start.started_at));
        let (id, at) = ended.or(started).unwrap_or_default();
        Ok(Before { id, at })
    }
}

#[cfg(test)]
mod tests {
    use super::Repetition;
    use crate::release::Image;
    use crate::state::record::Configuration;
    use crate::state::testing::{APP, Entry, TestLedger, image};

    fn judged(entries: &[Entry], reference: &str, configuration: &str) -> &'static str {
        let ledger = TestLedger::new();
        for entry in entries {
            ledger.add(entry);
        }
        let configuration = Configuration {
            text: configuration.to_owned(),
            ..Configuration::default()
        };
        let found = ledger
            .history()
            .repetition(APP, &Image::parse(reference), &configuration)
            .unwrap();
        match found {
            Repetition::None => "none",
            Repetition::Same(_) => "same",
            Repetition::OtherConfiguration(_) => "other configuration",
            Repetition::SameTag(_) => "same tag",
        }
    }

    #[test]
    fn fault_53_the_very_release_that_was_returned_from_is_known() {
        let v1 = Entry::deploy("d1", "v1").verified();
        let bad = Entry::deploy("d2", "v2").rolled_back_to("v1");
        let digest = image("v2").reference();
        let entries = [v1, bad.clone()];
        for (reference, configuration, expected) in [
            (digest.as_str(), "plain", "same"),
            ("r/else@sha256:v2", "plain", "same"),
            (digest.as_str(), "mended", "other configuration"),
            ("registry.fly.io/shop:v2", "plain", "same tag"),
            ("registry.fly.io/shop:v2", "mended", "same tag"),
            ("registry.fly.io/shop:v2@sha256:moved", "plain", "none"),
            ("registry.fly.io/shop:v1@sha256:v1", "plain", "none"),
            ("registry.fly.io/shop:v9", "plain", "none"),
        ] {
            assert_eq!(
                judged(&entries, reference, configuration),
                expected,
                "{reference} {configuration}"
            );
        }
    }

    #[test]
    fn a_tag_that_shipctl_made_is_as_good_as_a_digest() {
        let built = Entry::deploy("d2", "v2").built().rolled_back_to("v1");
        assert_eq!(judged(&[built], "registry.fly.io/shop:v2", "plain"), "same");
    }

    #[test]
    fn verified_since_it_may_be_shipped_again() {
        let bad = Entry::deploy("d2", "v2").rolled_back_to("v1");
        let digest = image("v2").reference();
        let good = Entry::deploy("d3", "v2").verified();
        let mended = Entry::deploy("d3", "v2").configured("mended").verified();
        for (entries, expected) in [
            (vec![bad.clone(), good.clone()], "none"),
            (vec![bad.clone(), Entry::verify("d3", "v2").verified()], "none"),
            (vec![bad.clone(), mended.clone()], "same"),
            (vec![good, bad.clone()], "same"),
            (vec![bad.clone(), Entry::deploy("d3", "v2").failed()], "same"),
        ] {
            assert_eq!(judged(&entries, &digest, "plain"), expected);
        }
        assert_eq!(judged(&[bad, mended], &digest, "third"), "none");
    }
}
