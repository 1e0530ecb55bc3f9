//! Image references and the registry that they point into.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::world::World;

/// The parts that the Machines API reports of a reference.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct ImageRef {
    pub(super) registry: String,
    pub(super) repository: String,
    pub(super) tag: String,
    pub(super) digest: String,
}

/// What the registry knows of a `repository:tag`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Registered {
    pub(super) digest: String,
    /// Removed: it cannot be resolved any more, neither by tag nor by digest.
    #[serde(default)]
    pub(super) gone: bool,
}

/// Lower-case hexadecimal SHA-256 of a text.
pub(super) fn hex_of(text: &str) -> String {
    let mut found = String::with_capacity(64);
    for byte in Sha256::digest(text) {
        use std::fmt::Write;
        let _ = write!(found, "{byte:02x}");
    }
    found
}

/// `repository:tag` and digest of a reference.
fn split(reference: &str) -> (&str, Option<&str>) {
    match reference.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (reference, None),
    }
}

impl ImageRef {
    /// Splits a reference as the Machines API does: a name without a registry belongs to the mirror of Docker Hub.
    pub(super) fn parse(reference: &str) -> Self {
        let (name, digest) = split(reference);
        let slash = name.rfind('/').map_or(0, |at| at + 1);
        let (head, tag) = match name[slash..].split_once(':') {
            Some((last, tag)) => (&name[..slash + last.len()], tag),
            None => (name, "latest"),
        };
        let (registry, repository) = match head.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => {
                (first.to_owned(), rest.to_owned())
            }
            Some(_) => ("docker-hub-mirror.fly.io".to_owned(), head.to_owned()),
            None => ("docker-hub-mirror.fly.io".to_owned(), format!("library/{head}")),
        };
        Self {
            registry,
            repository,
            tag: tag.to_owned(),
            digest: digest.unwrap_or_default().to_owned(),
        }
    }
}

impl World {
    /// The digest that a reference stands for: its own, else what the registry holds for the tag.
    pub(super) fn digest_of(&self, reference: &str) -> String {
        let (name, digest) = split(reference);
        if let Some(digest) = digest {
            return digest.to_owned();
        }
        match self.images.get(name) {
            Some(image) => image.digest.clone(),
            None => format!("sha256:{}", hex_of(name)),
        }
    }

    /// The reference in full, with the digest and, for a bare digest, the tag that the registry knows it by.
    pub(super) fn image_ref(&self, reference: &str) -> ImageRef {
        let mut found = ImageRef::parse(reference);
        found.digest = self.digest_of(reference);
        found
    }

    /// The tag whose words choose the behaviour: of a bare digest, the one that it was pushed by.
    pub(super) fn behaving_tag(&self, image: &ImageRef) -> String {
        if image.tag != "latest" {
            return image.tag.clone();
        }
        self.images
            .iter()
            .find(|(_, known)| known.digest == image.digest)
            .map_or_else(|| image.tag.clone(), |(name, _)| ImageRef::parse(name).tag)
    }

    /// Whether the registry can serve a reference; `missing` in the tag never can.
    pub(super) fn resolves(&self, reference: &str) -> bool {
        let (name, digest) = split(reference);
        let gone = match digest {
            Some(digest) => self
                .images
                .values()
                .any(|image| image.gone && image.digest == digest),
            None => self.images.get(name).is_some_and(|image| image.gone),
        };
        !gone && !ImageRef::parse(reference).tag.contains("missing")
    }

    /// Writes a tag into the registry, so that its digest is found again by name.
    pub(super) fn register(&mut self, reference: &str, digest: Option<&str>) {
        let (name, own) = split(reference);
        let digest = match digest.or(own) {
            Some(digest) => digest.to_owned(),
            None => self.digest_of(name),
        };
        if name.rsplit('/').next().is_some_and(|last| last.contains(':')) {
            self.images
                .entry(name.to_owned())
                .or_insert(Registered { digest, gone: false });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ImageRef, World};

    #[test]
    fn references_split_as_the_platform_does() {
        for (reference, registry, repository, tag) in [
            ("registry.fly.io/shop:v1", "registry.fly.io", "shop", "v1"),
            (
                "registry.fly.io/shop@sha256:ab",
                "registry.fly.io",
                "shop",
                "latest",
            ),
            (
                "registry.fly.io/shop:v1@sha256:ab",
                "registry.fly.io",
                "shop",
                "v1",
            ),
            ("nginx", "docker-hub-mirror.fly.io", "library/nginx", "latest"),
            ("org/app:2", "docker-hub-mirror.fly.io", "org/app", "2"),
            ("localhost:5000/app", "localhost:5000", "app", "latest"),
        ] {
            let found = ImageRef::parse(reference);
            assert_eq!(
                (
                    found.registry.as_str(),
                    found.repository.as_str(),
                    found.tag.as_str()
                ),
                (registry, repository, tag),
                "{reference}"
            );
        }
    }

    #[test]
    fn a_removed_image_is_gone_by_tag_and_by_digest() {
        let mut world = World::default();
        world.register("registry.fly.io/shop:v1", None);
        let digest = world.digest_of("registry.fly.io/shop:v1");
        let by_both = format!("registry.fly.io/shop:v1@{digest}");
        assert!(world.resolves(&by_both));
        world.images.get_mut("registry.fly.io/shop:v1").unwrap().gone = true;
        assert!(!world.resolves(&by_both));
        assert!(!world.resolves("registry.fly.io/shop:v1"));
        assert!(world.resolves("registry.fly.io/shop:v2"));
        assert!(!world.resolves("registry.fly.io/shop:missing"));
    }
}
