//! Names as short fixed-size keys, so that a hundred thousand entries compare at once, and names as file names.

use sha2::{Digest as _, Sha256};

use crate::release::{Digest, Image};
use crate::state::record::Configuration;

/// Stands for a text: the first eight bytes of its SHA-256. Zero stands for none.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct Key(pub(crate) u64);

impl Key {
    pub(crate) const NONE: Self = Self(0);

    pub(crate) fn of(text: &str) -> Self {
        Self::of_bytes(text.as_bytes())
    }

    pub(crate) fn of_bytes(bytes: &[u8]) -> Self {
        Self::of_hash(Sha256::digest(bytes).as_slice())
    }

    /// A version as it is compared: a leading `v` is ignored (DESIGN 6).
    pub(crate) fn of_version(text: &str) -> Self {
        Self::of(plain_version(text))
    }

    /// What makes two configurations the same one: text, files and flags.
    pub(crate) fn of_configuration(configuration: &Configuration) -> Self {
        let mut hash = Sha256::new();
        let mut part = |text: &str| {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        };
        part(&configuration.text);
        for (path, content) in &configuration.files {
            part(path);
            part(content);
        }
        part("flags");
        for flag in &configuration.flags {
            part(flag);
        }
        Self::of_hash(hash.finalize().as_slice())
    }

    pub(crate) fn is_none(self) -> bool {
        self.0 == 0
    }

    fn of_hash(hash: &[u8]) -> Self {
        let mut first = [0; 8];
        first.copy_from_slice(&hash[..8]);
        Self(u64::from_le_bytes(first).max(1))
    }
}

/// An image as keys: its `repo:tag` and its digest, either of which may be unknown.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct ImageKey {
    pub(crate) name: Key,
    pub(crate) digest: Key,
}

impl ImageKey {
    pub(crate) fn of(image: &Image) -> Self {
        Self::from_parts(Some(&image.name), image.digest.as_ref())
    }

    pub(crate) fn from_parts(name: Option<&str>, digest: Option<&Digest>) -> Self {
        Self {
            name: name.map_or(Key::NONE, Key::of),
            digest: digest.map_or(Key::NONE, |digest| Key::of(digest.as_str())),
        }
    }

    pub(crate) fn is_none(self) -> bool {
        self.name.is_none() && self.digest.is_none()
    }

    /// By digest where both are known, else by name, as [`Image::is_same_as`].
    pub(crate) fn is_same_as(self, other: Self) -> bool {
        if !self.digest.is_none() && !other.digest.is_none() {
            return self.digest == other.digest;
        }
        !self.name.is_none() && self.name == other.name
    }
}

/// A release as the ledger tells it apart: image and configuration (DESIGN 7).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Identity {
    pub(crate) image: ImageKey,
    /// `NONE` where no configuration was recorded; it then speaks neither for nor against.
    pub(crate) configuration: Key,
}

impl Identity {
    pub(crate) fn is_same_as(self, other: Self) -> bool {
        self.image.is_same_as(other.image)
            && (self.configuration.is_none()
                || other.configuration.is_none()
                || self.configuration == other.configuration)
    }
}

/// A version without its leading `v`.
pub(crate) fn plain_version(text: &str) -> &str {
    let text = text.trim();
    text.strip_prefix('v').unwrap_or(text)
}

/// The SHA-256 of `bytes` in hexadecimal.
pub(crate) fn hash(bytes: &[u8]) -> String {
    use std::fmt::Write as _;

    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// A name as one path component that can be read back: all but letters, digits, `-`, `_` and inner dots is `%XX`.
pub(crate) fn path_safe(name: &str) -> String {
    use std::fmt::Write as _;

    let mut safe = String::with_capacity(name.len());
    for (at, byte) in name.bytes().enumerate() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => safe.push(char::from(byte)),
            b'.' if at > 0 => safe.push('.'),
            _ => {
                let _ = write!(safe, "%{byte:02X}");
            }
        }
    }
    if safe.is_empty() { "%".to_owned() } else { safe }
}

/// The name that [`path_safe`] made a component of; `None` if it made no such.
pub(crate) fn from_path_safe(component: &str) -> Option<String> {
    if component == "%" {
        return Some(String::new());
    }
    let mut bytes = Vec::with_capacity(component.len());
    let mut rest = component.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let hex = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&hex).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::{Identity, ImageKey, Key, from_path_safe, path_safe};
    use crate::release::Image;
    use crate::state::record::Configuration;

    #[test]
    fn names_become_one_component_and_come_back() {
        for (name, component) in [
            ("production", "production"),
            ("github.com/owner/repo", "github.com%2Fowner%2Frepo"),
            ("..", "%2E."),
            (".hidden", "%2Ehidden"),
            ("ä b", "%C3%A4%20b"),
            ("100%", "100%25"),
            ("", "%"),
        ] {
            assert_eq!(path_safe(name), component);
            assert_eq!(from_path_safe(component).as_deref(), Some(name));
        }
        assert_eq!(from_path_safe("%zz"), None);
    }

    #[test]
    fn image_keys_agree_with_images() {
        let references = [
            "r/a:1@sha256:aa",
            "r/a:1@sha256:bb",
            "r/a:1",
            "r/b:2@sha256:aa",
            "r/b:2",
        ];
        for mine in references {
            for theirs in references {
                let (mine, theirs) = (Image::parse(mine), Image::parse(theirs));
                assert_eq!(
                    ImageKey::of(&mine).is_same_as(ImageKey::of(&theirs)),
                    mine.is_same_as(&theirs),
                    "{mine:?} {theirs:?}"
                );
            }
        }
        assert!(
            !ImageKey::default().is_same_as(ImageKey::default()),
            "nothing is no image"
        );
    }

    #[test]
    fn configurations_differ_by_text_files_and_flags() {
        let plain = Configuration {
            text: "app = \"shop\"".to_owned(),
            ..Configuration::default()
        };
        let mut renamed = plain.clone();
        "fly.toml".clone_into(&mut renamed.file);
        assert_eq!(Key::of_configuration(&plain), Key::of_configuration(&renamed));
        let mut flagged = plain.clone();
        flagged.flags = vec!["-e".to_owned(), "A=1".to_owned()];
        let mut with_file = plain.clone();
        with_file.files.insert("-e".to_owned(), "A=1".to_owned());
        let keys = [&plain, &flagged, &with_file].map(Key::of_configuration);
        assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[0] != keys[2]);
    }

    #[test]
    fn an_unknown_configuration_speaks_neither_for_nor_against() {
        let image = ImageKey::of(&Image::parse("r/a:1@sha256:aa"));
        let with = |configuration| Identity { image, configuration };
        assert!(with(Key(1)).is_same_as(with(Key::NONE)));
        assert!(!with(Key(1)).is_same_as(with(Key(2))));
    }

    #[test]
    fn a_leading_v_is_ignored() {
        assert_eq!(Key::of_version("v1.4.0"), Key::of_version("1.4.0"));
        assert_ne!(Key::of_version("1.4.0"), Key::of_version("1.4.1"));
    }
}
