//! Which release an answer names, and what that is worth.

use std::collections::BTreeSet;

use crate::project::{Identity, VersionField};
use crate::release::{Digest, Image};

/// The shortest part of a git sha that names a commit.
const SHORTEST_SHA: usize = 7;

/// What an answer may call a release.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    /// Tags, labels, describes, `SHIPCTL_VERSION`, or what it answered when it was last verified.
    pub(crate) words: BTreeSet<String>,
    /// Images: named by reference (its digest, else `repo:tag`), digest or tag.
    pub(crate) images: Vec<Image>,
    /// Whole git shas; seven characters or more name one.
    pub(crate) shas: BTreeSet<String>,
}

/// How the version in an answer is judged.
#[derive(Clone, Debug)]
pub(crate) struct IdentityRule {
    pub(crate) mode: Identity,
    pub(crate) field: VersionField,
    /// What names the target. A target that named nothing when it was verified has no names: not judged.
    pub(crate) expected: Names,
    /// What names others: the baseline's answer, and the other releases of the ledger.
    pub(crate) others: Names,
    /// The service named its own release at the baseline or when it was last verified.
    pub(crate) named_before: bool,
    /// Names both: the nearest tag of describe, the same before and after.
    pub(crate) both: BTreeSet<String>,
}

/// The version that one answer names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum VersionSeen {
    Named(String),
    /// The answer could be read, and nothing stands there.
    Missing,
    /// The answer is no JSON; what it is instead.
    Unparsable(&'static str),
}

impl VersionSeen {
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::Named(name) => Some(name),
            Self::Missing | Self::Unparsable(_) => None,
        }
    }
}

/// What the version is worth.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Finding {
    /// It names this release.
    Seen,
    /// It says nothing, and need not.
    NotJudged,
    /// It says nothing certain, which a person should know.
    Uncertain(String),
    /// It is not this release.
    Wrong(String),
}

impl Names {
    /// One word alone.
    pub(crate) fn word(word: &str) -> Self {
        Self {
            words: BTreeSet::from([word.to_owned()]),
            ..Self::default()
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.words.is_empty() && self.images.is_empty() && self.shas.is_empty()
    }

    /// Whether `version` is one of these. A leading `v` is ignored.
    pub(crate) fn matches(&self, version: &str) -> bool {
        let plain = without_v(version);
        self.words.iter().any(|word| without_v(word) == plain)
            || self.shas.iter().any(|sha| names_commit(plain, sha))
            || self.images.iter().any(|image| names_image(version.trim(), image))
    }
}

fn without_v(text: &str) -> &str {
    let text = text.trim();
    text.strip_prefix(['v', 'V']).unwrap_or(text)
}

fn names_commit(version: &str, sha: &str) -> bool {
    version.len() >= SHORTEST_SHA
        && version.len() <= sha.len()
        && version.bytes().all(|byte| byte.is_ascii_hexdigit())
        && sha[..version.len()].eq_ignore_ascii_case(version)
}

fn names_image(version: &str, image: &Image) -> bool {
    if let Some(digest) = Digest::parse(version) {
        return image.digest.as_ref() == Some(&digest);
    }
    if image
        .tag()
        .is_some_and(|tag| without_v(tag) == without_v(version))
    {
        return true;
    }
    // A reference has a repository, which a bare word has not.
    let named = Image::parse(version);
    version.contains(['/', '@']) && named.is_same_as(image)
        || (version.contains(':') && named.digest.is_none() && named.name == image.name)
}

impl IdentityRule {
    /// Whether a wrong or missing version counts at all. `same_digest`: before and after are one image.
    pub(crate) fn is_judged(&self, same_digest: bool) -> bool {
        let wanted = match self.mode {
            Identity::Off => false,
            Identity::Auto => self.named_before,
            Identity::Required => true,
        };
        wanted && !same_digest && !self.expected.is_empty()
    }

    /// What `seen` is worth. `image`: the target's, as far as instances have shown it.
    pub(crate) fn find(&self, seen: &VersionSeen, same_digest: bool, image: Option<&Image>) -> Finding {
        if self.mode == Identity::Off {
            return Finding::NotJudged;
        }
        let judged = self.is_judged(same_digest);
        let version = match seen {
            VersionSeen::Named(version) => version,
            VersionSeen::Missing if judged => {
                return Finding::Wrong(
                    "its answer names no version, so it does not say which release it is".into(),
                );
            }
            VersionSeen::Unparsable(what) if judged => {
                return Finding::Wrong(format!("it answers {what} where a version was named before"));
            }
            VersionSeen::Missing | VersionSeen::Unparsable(_) => return Finding::NotJudged,
        };
        // A target that named nothing when it was verified is expected to name nothing now.
        let ours = !self.expected.is_empty()
            && (self.expected.matches(version) || image.is_some_and(|image| names_image(version, image)));
        let theirs = self.others.matches(version);
        let both = self.both.iter().any(|word| without_v(word) == without_v(version));
        match (ours, theirs) {
            _ if both || (ours && theirs) => {
                if same_digest {
                    Finding::NotJudged
                } else {
                    Finding::Uncertain(format!(
                        "the version `{version}` names this release and another one, so it was not judged"
                    ))
                }
            }
            (true, _) => Finding::Seen,
            (false, _) if !judged => Finding::NotJudged,
            (false, true) => Finding::Wrong(format!(
                "it answers with version `{version}`, that of another release"
            )),
            (false, false) if self.mode == Identity::Required => Finding::Wrong(format!(
                "it answers with version `{version}`, which is not this release"
            )),
            (false, false) => Finding::Uncertain(format!(
                "the version `{version}` is neither known as this release nor as another one"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Finding, IdentityRule, Names, VersionSeen};
    use crate::project::{Identity, VersionField};
    use crate::release::Image;

    const SHA: &str = "7f3a9c0d11223344556677889900aabbccddeeff";

    fn names(words: &[&str], images: &[&str], shas: &[&str]) -> Names {
        Names {
            words: words.iter().map(ToString::to_string).collect(),
            images: images.iter().map(|image| Image::parse(image)).collect(),
            shas: shas.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn a_release_is_named_by_tag_reference_digest_word_or_sha() {
        let names = names(
            &["v1.4.0-3-g7f3a9c0"],
            &["registry.fly.io/shop:v2-ab12cd34@sha256:aa11"],
            &[SHA],
        );
        for (version, matches) in [
            ("v2-ab12cd34", true),
            ("2-ab12cd34", true),
            (" v2-ab12cd34\n", true),
            ("registry.fly.io/shop:v2-ab12cd34", true),
            ("registry.fly.io/shop:other@sha256:aa11", true),
            ("registry.fly.io/shop:v2-ab12cd34@sha256:bb22", false),
            ("registry.fly.io/shop@sha256:aa11", true),
            ("sha256:aa11", true),
            ("sha256:bb22", false),
            ("1.4.0-3-g7f3a9c0", true),
            ("7f3a9c0", true),
            ("v7f3a9c0", true),
            ("7F3A9C0D", true),
            (SHA, true),
            ("7f3a9c", false),
            ("7f3a9c1", false),
            ("v1", false),
            ("", false),
        ] {
            assert_eq!(names.matches(version), matches, "{version:?}");
        }
    }

    #[test]
    fn an_image_without_a_registry_is_named_whole_or_by_its_tag() {
        let names = names(&[], &["shop:v2"], &[]);
        for (version, matches) in [
            ("shop:v2", true),
            ("v2", true),
            ("shop:v3", false),
            ("other:v2", false),
        ] {
            assert_eq!(names.matches(version), matches, "{version:?}");
        }
    }

    #[test]
    fn a_word_names_what_is_called_by_it() {
        let word = Names::word("v1.4.0");
        assert!(word.matches("1.4.0"));
        assert!(!word.matches("v1.4.1"));
    }

    fn rule(mode: Identity, named_before: bool) -> IdentityRule {
        IdentityRule {
            mode,
            field: VersionField::Pointer("/version".into()),
            expected: names(&["v2"], &[], &[]),
            others: names(&["v1", "v0"], &[], &[]),
            named_before,
            both: ["v1.4.0".to_owned()].into(),
        }
    }

    #[derive(Debug, PartialEq)]
    enum Short {
        Seen,
        NotJudged,
        Uncertain,
        Wrong,
    }

    fn short(finding: &Finding) -> Short {
        match finding {
            Finding::Seen => Short::Seen,
            Finding::NotJudged => Short::NotJudged,
            Finding::Uncertain(_) => Short::Uncertain,
            Finding::Wrong(_) => Short::Wrong,
        }
    }

    #[test]
    fn what_a_version_is_worth() {
        let named = |name: &str| VersionSeen::Named(name.into());
        let html = VersionSeen::Unparsable("an HTML page");
        for (mode, before, same_digest, seen, expected) in [
            (Identity::Auto, true, false, named("v2"), Short::Seen),
            (Identity::Auto, false, false, named("2"), Short::Seen),
            (Identity::Auto, true, false, named("v1"), Short::Wrong),
            (Identity::Auto, true, false, named("v0"), Short::Wrong),
            (Identity::Auto, false, false, named("v1"), Short::NotJudged),
            (Identity::Auto, true, true, named("v1"), Short::NotJudged),
            (Identity::Auto, true, true, named("v2"), Short::Seen),
            (Identity::Auto, true, false, named("v9"), Short::Uncertain),
            (Identity::Required, false, false, named("v9"), Short::Wrong),
            (Identity::Required, false, false, named("v2"), Short::Seen),
            (Identity::Auto, true, false, VersionSeen::Missing, Short::Wrong),
            (
                Identity::Auto,
                false,
                false,
                VersionSeen::Missing,
                Short::NotJudged,
            ),
            (
                Identity::Required,
                false,
                false,
                VersionSeen::Missing,
                Short::Wrong,
            ),
            (Identity::Auto, true, false, html.clone(), Short::Wrong),
            (Identity::Auto, true, true, html.clone(), Short::NotJudged),
            (Identity::Off, true, false, html, Short::NotJudged),
            (Identity::Off, true, false, named("v1"), Short::NotJudged),
            (Identity::Auto, true, false, named("v1.4.0"), Short::Uncertain),
            (Identity::Auto, true, true, named("v1.4.0"), Short::NotJudged),
        ] {
            let found = rule(mode, before).find(&seen, same_digest, None);
            assert_eq!(
                short(&found),
                expected,
                "{mode:?} {before} {same_digest} {seen:?}"
            );
        }
    }

    #[test]
    fn a_target_that_named_nothing_is_not_judged() {
        let mut rule = rule(Identity::Required, true);
        rule.expected = Names::default();
        for seen in [VersionSeen::Missing, VersionSeen::Named("v1".into())] {
            assert_eq!(rule.find(&seen, false, None), Finding::NotJudged);
        }
    }

    #[test]
    fn a_moved_tag_names_both() {
        let mut rule = rule(Identity::Auto, true);
        rule.expected = names(&["latest"], &[], &[]);
        rule.others = names(&["latest"], &[], &[]);
        let found = rule.find(&VersionSeen::Named("latest".into()), false, None);
        assert_eq!(short(&found), Short::Uncertain);
    }

    #[test]
    fn the_digest_that_an_instance_showed_completes_the_names() {
        let rule = rule(Identity::Auto, true);
        let image = Image::parse("r/shop:v2@sha256:aa");
        let seen = VersionSeen::Named("sha256:aa".into());
        assert_eq!(short(&rule.find(&seen, false, None)), Short::Uncertain);
        assert_eq!(rule.find(&seen, false, Some(&image)), Finding::Seen);
    }
}
