//! What a provider records and what it runs: releases, images and their digests, the names of secrets.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The number that the provider gave a release; Fly shows it as `v42`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub(crate) struct ReleaseNumber(pub(crate) u64);

impl fmt::Display for ReleaseNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

/// The content address of an image, as `sha256:…`.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub(crate) struct Digest(String);

impl Digest {
    /// Accepts `sha256:` with a non-empty rest; anything else is no digest.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("sha256:")?;
        (!rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()))
            .then(|| Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An image as it is named and, where that is known, what it contains.
///
/// `name` is `registry/repository` or `registry/repository:tag`, never with a digest.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Image {
    pub(crate) name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) digest: Option<Digest>,
}

impl Image {
    /// Reads `repo`, `repo:tag`, `repo@sha256:…` or `repo:tag@sha256:…`.
    pub(crate) fn parse(reference: &str) -> Self {
        match reference.split_once('@') {
            Some((name, digest)) => Self {
                name: name.to_owned(),
                digest: Digest::parse(digest),
            },
            None => Self {
                name: reference.to_owned(),
                digest: None,
            },
        }
    }

    pub(crate) fn with_digest(mut self, digest: Option<Digest>) -> Self {
        self.digest = digest.or(self.digest);
        self
    }

    /// The part after the colon that follows the last slash.
    pub(crate) fn tag(&self) -> Option<&str> {
        let from = self.name.rfind('/').map_or(0, |slash| slash + 1);
        self.name[from..].split_once(':').map(|(_, tag)| tag)
    }

    /// Registry and repository, without the tag.
    pub(crate) fn repository(&self) -> &str {
        match self.tag() {
            Some(tag) => &self.name[..self.name.len() - tag.len() - 1],
            None => &self.name,
        }
    }

    /// The name as people read it.
    pub(crate) fn short(&self) -> &str {
        short_image(&self.name)
    }

    /// How it is handed to flyctl: a bare digest would lose the name (DESIGN 7).
    pub(crate) fn reference(&self) -> String {
        match &self.digest {
            Some(digest) => format!("{}@{digest}", self.name),
            None => self.name.clone(),
        }
    }

    /// By digest where both are known, else by name.
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        match (&self.digest, &other.digest) {
            (Some(mine), Some(theirs)) => mine == theirs,
            _ => self.name == other.name,
        }
    }
}

/// An image's name without its registry.
pub(crate) fn short_image(name: &str) -> &str {
    name.split_once('/')
        .filter(|(host, _)| host.contains('.') || host.contains(':'))
        .map_or(name, |(_, rest)| rest)
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// One entry of the provider's list, newest first, at most 25 of them (REFERENCE 1.2).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Release {
    pub(crate) id: String,
    pub(crate) number: ReleaseNumber,
    pub(crate) status: ReleaseStatus,
    pub(crate) description: String,
    /// Named by flyctl without a digest in most cases.
    pub(crate) image: Image,
    /// E-mail of the account, or its name.
    pub(crate) user: Option<String>,
    /// RFC 3339, as flyctl printed it.
    pub(crate) created_at: String,
}

/// A secret of an app: its name, and nothing of its value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct AppSecret {
    pub(crate) name: String,
    /// When it was last set; `None` where the provider does not tell.
    pub(crate) set_at: Option<Timestamp>,
}

/// flyctl writes four words; the server may write others, which are kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum ReleaseStatus {
    Running,
    Complete,
    Failed,
    Interrupted,
    Other(String),
}

impl ReleaseStatus {
    pub(crate) fn parse(word: &str) -> Self {
        match word {
            "running" => Self::Running,
            "complete" => Self::Complete,
            "failed" => Self::Failed,
            "interrupted" => Self::Interrupted,
            other => Self::Other(other.to_owned()),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Running => "running",
            Self::Complete => "complete",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
            Self::Other(word) => word,
        }
    }

    /// Ended without having become current.
    pub(crate) fn has_failed(&self) -> bool {
        matches!(self, Self::Failed | Self::Interrupted)
    }
}

#[cfg(test)]
mod tests {
    use super::{Digest, Image};

    #[test]
    fn references_are_taken_apart_and_put_together() {
        for (reference, repository, tag, digest) in [
            (
                "registry.fly.io/shop:v2",
                "registry.fly.io/shop",
                Some("v2"),
                None,
            ),
            ("registry.fly.io/shop", "registry.fly.io/shop", None, None),
            ("localhost:5000/shop", "localhost:5000/shop", None, None),
            ("r/shop:v2@sha256:ab12", "r/shop", Some("v2"), Some("sha256:ab12")),
            ("r/shop@sha256:ab12", "r/shop", None, Some("sha256:ab12")),
        ] {
            let image = Image::parse(reference);
            assert_eq!(image.repository(), repository, "{reference}");
            assert_eq!(image.tag(), tag, "{reference}");
            assert_eq!(image.digest.as_ref().map(Digest::as_str), digest, "{reference}");
            assert_eq!(image.reference(), reference);
        }
    }

    #[test]
    fn digests_decide_where_both_are_known() {
        let same = |a: &str, b: &str| Image::parse(a).is_same_as(&Image::parse(b));
        assert!(same("r/a:1@sha256:aa", "r/b:2@sha256:aa"));
        assert!(!same("r/a:1@sha256:aa", "r/a:1@sha256:bb"));
        assert!(same("r/a:1@sha256:aa", "r/a:1"));
        assert!(!same("r/a:1", "r/a:2"));
    }

    #[test]
    fn people_read_an_image_without_its_registry() {
        for (name, short) in [
            ("registry.fly.io/shop:v1", "shop:v1"),
            ("localhost:5000/team/shop:v1", "team/shop:v1"),
            ("team/shop:v1", "team/shop:v1"),
            ("shop", "shop"),
            ("", ""),
        ] {
            assert_eq!(Image::parse(name).short(), short);
        }
    }
}
