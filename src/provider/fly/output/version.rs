//! `version --json` → which flyctl this is.

use std::fmt;

use serde_json::Value;

use super::{Unreadable, document};

/// The oldest flyctl that is supported.
pub(crate) const OLDEST: Version = Version {
    text: String::new(),
    number: [0, 2, 4],
};

/// A version as it was printed. Development builds are numbered by their day, as `2026.11.21-dev.1`, and so are newer
/// than any release.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Version {
    text: String,
    number: [u64; 3],
}

impl Version {
    /// Reads the JSON form, or the text form that a very old flyctl prints.
    pub(crate) fn parse(output: &[u8]) -> Result<Self, Unreadable> {
        if let Ok(json) = document(output)
            && let Some(version) = json["Version"].as_str().and_then(Self::of)
        {
            return Ok(version);
        }
        let text = String::from_utf8_lossy(output);
        text.split_whitespace()
            .find_map(|word| word.strip_prefix('v').and_then(Self::of))
            .ok_or_else(|| Unreadable::new("no version in what `flyctl version --json` printed"))
    }

    /// `0.2.4`, `v0.2.4`, `2026.11.21-dev.1`.
    pub(crate) fn of(text: &str) -> Option<Self> {
        let bare = text.trim().trim_start_matches('v');
        let core = bare.split(['-', '+']).next()?;
        let mut parts = core.split('.').map(str::parse);
        let number = [parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?];
        parts.next().is_none().then(|| Self {
            text: bare.to_owned(),
            number,
        })
    }

    pub(crate) fn is_supported(&self) -> bool {
        self.number >= OLDEST.number
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.text.is_empty() {
            let [major, minor, patch] = self.number;
            return write!(f, "v{major}.{minor}.{patch}");
        }
        write!(f, "v{}", self.text)
    }
}

impl serde::Serialize for Version {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> serde::Deserialize<'de> for Version {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        value
            .as_str()
            .and_then(Self::of)
            .ok_or_else(|| serde::de::Error::custom("not a version"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::super::captures::capture;
    use super::{OLDEST, Version};

    #[test]
    fn both_forms_of_the_recorded_version() {
        for name in ["version_json", "version"] {
            let version = Version::parse(capture(name).stdout.as_bytes()).unwrap();
            assert!(version.text.starts_with("2026.11.21-dev."), "{version}");
            assert!(version.is_supported());
        }
    }

    #[test]
    fn the_floor() {
        for (text, supported) in [
            ("0.2.4", true),
            ("v0.2.5", true),
            ("0.4.87", true),
            ("1.0.0", true),
            ("0.2.4-pre", true),
            ("2026.11.21-dev.1", true),
            ("0.2.3", false),
            ("0.1.450", false),
            ("0.0.0-1700000000+dev", false),
        ] {
            assert_eq!(Version::of(text).unwrap().is_supported(), supported, "{text}");
        }
        assert_eq!(OLDEST.to_string(), "v0.2.4");
        assert_eq!(Version::of("v0.4.87").unwrap().to_string(), "v0.4.87");
    }

    #[test]
    fn what_names_no_version_is_unreadable() {
        for output in ["", "{}", "hello v", "{\"Version\":3}", "v1", "1.2.3.4"] {
            assert!(Version::parse(output.as_bytes()).is_err(), "{output}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes in any::<Vec<u8>>()) {
            let _ = Version::parse(&bytes);
        }
    }
}
