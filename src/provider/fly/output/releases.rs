//! `releases --json` → releases, newest first.

use std::cmp::Reverse;

use serde_json::Value;

use super::{Unreadable, list, text};
use crate::release::{Image, Release, ReleaseNumber, ReleaseStatus};

/// At most 25, however many there are. `InProgress`, `DeploymentStrategy` and `Metadata` say nothing (REFERENCE 1.2).
pub(crate) fn parse(output: &[u8]) -> Result<Vec<Release>, Unreadable> {
    let mut releases = list(output)?.iter().map(release).collect::<Result<Vec<_>, _>>()?;
    releases.sort_by_key(|release| Reverse(release.number));
    Ok(releases)
}

fn release(release: &Value) -> Result<Release, Unreadable> {
    let number = release["Version"]
        .as_u64()
        .ok_or_else(|| Unreadable::new("a release without a version"))?;
    let user = ["Email", "Name"]
        .into_iter()
        .find_map(|key| release["User"][key].as_str().filter(|text| !text.is_empty()))
        .map(str::to_owned);
    Ok(Release {
        id: text(release, "ID"),
        number: ReleaseNumber(number),
        status: ReleaseStatus::parse(release["Status"].as_str().unwrap_or_default()),
        description: text(release, "Description"),
        image: Image::parse(release["ImageRef"].as_str().unwrap_or_default()),
        user,
        created_at: text(release, "CreatedAt"),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::super::captures::capture;
    use super::parse;
    use crate::release::{ReleaseNumber, ReleaseStatus};

    #[test]
    fn the_recorded_list_newest_first() {
        let list = parse(capture("releases_json").stdout.as_bytes()).unwrap();
        let seen: Vec<_> = list
            .iter()
            .map(|release| {
                (
                    release.number.0,
                    release.status.as_str(),
                    release.image.name.as_str(),
                )
            })
            .collect();
        assert_eq!(
            seen,
            [
                (4, "complete", "registry.fly.io/shop:v4"),
                (3, "failed", "registry.fly.io/shop:v3-bad"),
                (2, "complete", "registry.fly.io/shop:v2"),
                (1, "complete", "registry.fly.io/shop:v1"),
            ]
        );
        assert_eq!(list[0].user.as_deref(), Some("dev@example.com"));
        assert_eq!(list[0].description, "Release");
        assert_eq!(list[0].created_at, "2026-11-21T03:47:54.099Z");
        assert!(list[1].status.has_failed());
    }

    #[test]
    fn other_recorded_lists() {
        assert!(
            parse(capture("releases_never_deployed_json").stdout.as_bytes())
                .unwrap()
                .is_empty()
        );
        assert_eq!(
            parse(capture("releases_many_json").stdout.as_bytes())
                .unwrap()
                .len(),
            25
        );
        let running = parse(capture("releases_running_json").stdout.as_bytes()).unwrap();
        assert_eq!(running[0].status, ReleaseStatus::Running);
        let digest =
            parse(br#"[{"Version":2,"ImageRef":"r/s:t@sha256:ab","Status":"pending"},{"Version":9}]"#)
                .unwrap();
        assert_eq!(digest[0].number, ReleaseNumber(9));
        assert_eq!(digest[1].status, ReleaseStatus::Other("pending".into()));
        assert_eq!(digest[1].image.reference(), "r/s:t@sha256:ab");
        assert_eq!(digest[1].user, None);
    }

    #[test]
    fn what_is_no_list_of_releases_is_unreadable() {
        for output in ["", "{}", "[{}]", "[null]", "[{\"Version\":\"x\"}]"] {
            assert!(parse(output.as_bytes()).is_err(), "{output}");
        }
        assert!(parse(b"null").unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes in any::<Vec<u8>>()) {
            let _ = parse(&bytes);
        }
    }
}
