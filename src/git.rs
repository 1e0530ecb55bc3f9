//! What git says of the checkout: who, from which commit, under which names.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use crate::effect::process::{Invocation, capture};
use crate::state::record::GitFacts;

/// None of these calls leaves the machine.
const LIMIT: Duration = Duration::from_secs(10);

/// Variables that git needs to find itself, its user and its configuration.
const PASSED: [&str; 5] = [
    "PATH",
    "HOME",
    "XDG_CONFIG_HOME",
    "TMPDIR",
    "GIT_CEILING_DIRECTORIES",
];

/// A checkout at one moment. What git does not say is `None` or empty.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Checkout {
    /// Of HEAD.
    pub(crate) sha: Option<String>,
    /// The nearest tag with distance and commit, else the short commit.
    pub(crate) describe: Option<String>,
    /// A tracked file differs from HEAD.
    pub(crate) dirty: bool,
    /// `refs/heads/…`, unless HEAD is detached.
    pub(crate) branch: Option<String>,
    /// `refs/tags/…` at HEAD.
    pub(crate) tags: Vec<String>,
    /// `user.email`.
    pub(crate) email: Option<String>,
    /// `origin` as host/owner/repo.
    pub(crate) origin: Option<String>,
}

impl Checkout {
    /// Asks git, with all questions side by side; without git or a repository there is nothing to know.
    pub(crate) async fn look(dir: &Path, variables: &BTreeMap<String, String>) -> Option<Self> {
        let git = Git { dir, variables };
        let (sha, describe, changes, branch, tags, email, origin, inside) = tokio::join!(
            git.ask(&["rev-parse", "--verify", "HEAD"]),
            git.ask(&["describe", "--tags", "--always"]),
            git.ask(&["status", "--porcelain", "--untracked-files=no"]),
            git.ask(&["symbolic-ref", "--quiet", "HEAD"]),
            git.ask(&[
                "for-each-ref",
                "--points-at=HEAD",
                "--format=%(refname)",
                "refs/tags"
            ]),
            git.ask(&["config", "--get", "user.email"]),
            git.ask(&["config", "--get", "remote.origin.url"]),
            git.ask(&["rev-parse", "--is-inside-work-tree"]),
        );
        if inside? != "true" {
            return None;
        }
        Some(Self {
            sha: sha.filter(|sha| !sha.is_empty()),
            describe: describe.filter(|describe| !describe.is_empty()),
            dirty: changes.is_some_and(|changes| !changes.is_empty()),
            branch: branch.filter(|branch| !branch.is_empty()),
            tags: tags.unwrap_or_default().lines().map(str::to_owned).collect(),
            email: email.filter(|email| !email.is_empty()),
            origin: origin.as_deref().and_then(reduced),
        })
    }
}

struct Git<'a> {
    dir: &'a Path,
    variables: &'a BTreeMap<String, String>,
}

impl Git<'_> {
    /// The trimmed answer, or nothing where git fails.
    async fn ask(&self, args: &[&str]) -> Option<String> {
        // Where somebody names another configuration, that one says whom git trusts.
        let is_passed = |name: &str| PASSED.contains(&name) || name.starts_with("GIT_CONFIG");
        let passed = self
            .variables
            .iter()
            .filter(|(name, _)| is_passed(name))
            .map(|(name, value)| (name.clone(), value.clone()));
        let own = [
            // Looking must not write: `status` would refresh the index.
            ("GIT_OPTIONAL_LOCKS", "0"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("LC_ALL", "C"),
        ];
        let own = own
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let invocation = Invocation {
            program: "git".into(),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            env: passed.chain(own).collect(),
            dir: Some(self.dir.to_owned()),
            ..Invocation::default()
        };
        let answer = capture(&invocation, LIMIT).await.ok()?;
        (answer.code == Some(0)).then(|| String::from_utf8_lossy(&answer.stdout).trim().to_owned())
    }
}

/// `origin` as host/owner/repo, whatever its protocol; a path stays one. Neither user, password nor port are kept.
pub(crate) fn reduced(origin: &str) -> Option<String> {
    let origin = origin.trim();
    let (authority, path) = if let Some((scheme, rest)) = origin.split_once("://") {
        if scheme == "file" {
            ("", rest)
        } else {
            rest.split_once('/').unwrap_or((rest, ""))
        }
    } else {
        match origin.split_once(':') {
            // `git@host:owner/repo`, as long as no slash comes before the colon.
            Some((host, path)) if !host.contains('/') => (host, path),
            _ => ("", origin),
        }
    };
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match host.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => host,
    };
    let path = path.trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    let parts: Vec<&str> = path
        .split('/')
        .filter(|part| !part.is_empty() && *part != "." && *part != "..")
        .collect();
    if parts.is_empty() {
        return None;
    }
    let host = host.to_ascii_lowercase();
    let all: Vec<&str> = [host.as_str()]
        .into_iter()
        .filter(|host| !host.is_empty())
        .chain(parts)
        .collect();
    Some(all.join("/"))
}

/// The refs that a deploy comes from: the one to record, and all that a rule may be satisfied by (DESIGN 4).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Refs {
    pub(crate) recorded: Option<String>,
    pub(crate) all: Vec<String>,
}

/// `SHIPCTL_REF`; else `GITHUB_REF` if `GITHUB_SHA` is HEAD; and the tags and the branch at HEAD.
pub(crate) fn refs<'a>(variable: impl Fn(&str) -> Option<&'a str>, checkout: Option<&Checkout>) -> Refs {
    let head = checkout.and_then(|checkout| checkout.sha.as_deref());
    let named = variable("SHIPCTL_REF").or_else(|| {
        let is_head = head.is_some() && variable("GITHUB_SHA") == head;
        variable("GITHUB_REF").filter(|_| is_head)
    });
    let here = checkout
        .into_iter()
        .flat_map(|checkout| checkout.tags.iter().chain(&checkout.branch))
        .map(String::as_str);
    let mut all: Vec<String> = Vec::new();
    for name in named.into_iter().chain(here) {
        if !all.iter().any(|known| known == name) {
            all.push(name.to_owned());
        }
    }
    Refs {
        recorded: all.first().cloned(),
        all,
    }
}

/// What a record keeps.
pub(crate) fn record(checkout: Option<&Checkout>, refs: &Refs) -> GitFacts {
    GitFacts {
        sha: checkout.and_then(|checkout| checkout.sha.clone()),
        reference: refs.recorded.clone(),
        describe: checkout.and_then(|checkout| checkout.describe.clone()),
        dirty: checkout.is_some_and(|checkout| checkout.dirty),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;
    use std::time::Duration;

    use super::{Checkout, record, reduced, refs};
    use crate::effect::process::{Invocation, capture};

    #[test]
    fn every_form_of_an_origin_is_one_name() {
        for origin in [
            "https://github.com/owner/repo.git",
            "https://github.com/owner/repo",
            "https://user:t0ken@GitHub.com/owner/repo.git/",
            "ssh://git@github.com:22/owner/repo.git",
            "git@github.com:owner/repo.git",
            "github.com:owner/repo",
            "git://github.com/owner/repo",
        ] {
            assert_eq!(
                reduced(origin).as_deref(),
                Some("github.com/owner/repo"),
                "{origin}"
            );
        }
        for (origin, name) in [
            ("/srv/git/repo.git", Some("srv/git/repo")),
            ("file:///srv/git/repo.git", Some("srv/git/repo")),
            ("../repo.git", Some("repo")),
            ("git@host:a/b/c.git", Some("host/a/b/c")),
            ("", None),
            ("https://github.com", None),
        ] {
            assert_eq!(reduced(origin).as_deref(), name, "{origin}");
        }
    }

    #[test]
    fn which_refs_count() {
        let checkout = Checkout {
            sha: Some("abc".to_owned()),
            branch: Some("refs/heads/main".to_owned()),
            tags: vec!["refs/tags/v1".to_owned()],
            ..Checkout::default()
        };
        let of = |variables: &[(&str, &'static str)], checkout: Option<&Checkout>| {
            let variables: BTreeMap<String, &'static str> = variables
                .iter()
                .map(|(name, value)| ((*name).to_owned(), *value))
                .collect();
            refs(|name| variables.get(name).copied(), checkout).all.join(" ")
        };
        let at_head = [("GITHUB_REF", "refs/heads/pr"), ("GITHUB_SHA", "abc")];
        let elsewhere = [("GITHUB_REF", "refs/heads/pr"), ("GITHUB_SHA", "def")];
        let named = [
            ("SHIPCTL_REF", "refs/tags/v9"),
            ("GITHUB_REF", "refs/heads/pr"),
            ("GITHUB_SHA", "abc"),
        ];
        assert_eq!(of(&[], Some(&checkout)), "refs/tags/v1 refs/heads/main");
        assert_eq!(
            of(&at_head, Some(&checkout)),
            "refs/heads/pr refs/tags/v1 refs/heads/main"
        );
        assert_eq!(of(&elsewhere, Some(&checkout)), "refs/tags/v1 refs/heads/main");
        assert_eq!(
            of(&named, Some(&checkout)),
            "refs/tags/v9 refs/tags/v1 refs/heads/main"
        );
        assert_eq!(of(&named, None), "refs/tags/v9");
        assert_eq!(of(&at_head, None), "");
    }

    /// git with a home of its own, so that nobody's configuration decides.
    async fn git(dir: &Path, args: &[&str]) {
        let path = std::env::var("PATH").unwrap();
        let invocation = Invocation {
            program: "git".into(),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            env: vec![
                ("PATH".to_owned(), path),
                ("HOME".to_owned(), dir.display().to_string()),
                ("GIT_CONFIG_NOSYSTEM".to_owned(), "1".to_owned()),
            ],
            dir: Some(dir.to_owned()),
            ..Invocation::default()
        };
        let done = capture(&invocation, Duration::from_secs(60)).await.unwrap();
        assert_eq!(
            done.code,
            Some(0),
            "{args:?}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
    }

    #[tokio::test]
    async fn a_checkout_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        let variables = BTreeMap::from([
            ("PATH".to_owned(), std::env::var("PATH").unwrap()),
            ("HOME".to_owned(), dir.display().to_string()),
            (
                "GIT_CEILING_DIRECTORIES".to_owned(),
                dir.parent().unwrap().display().to_string(),
            ),
        ]);
        assert_eq!(Checkout::look(dir, &variables).await, None, "no repository");
        git(dir, &["init", "-q", "-b", "main"]).await;
        let empty = Checkout::look(dir, &variables).await.unwrap();
        assert_eq!(
            (empty.sha, empty.describe, empty.dirty),
            (None, None, false),
            "no commit"
        );

        std::fs::write(dir.join("a"), "1").unwrap();
        git(dir, &["config", "user.email", "dev@example.com"]).await;
        git(dir, &["config", "user.name", "Dev"]).await;
        git(
            dir,
            &["remote", "add", "origin", "git@example.com:owner/repo.git"],
        )
        .await;
        git(dir, &["add", "a"]).await;
        git(dir, &["commit", "-q", "-m", "one"]).await;
        git(dir, &["tag", "-a", "v1.0.0", "-m", "one"]).await;
        let clean = Checkout::look(dir, &variables).await.unwrap();
        assert_eq!(clean.sha.as_ref().map(String::len), Some(40));
        assert_eq!(clean.describe.as_deref(), Some("v1.0.0"));
        assert_eq!(clean.branch.as_deref(), Some("refs/heads/main"));
        assert_eq!(clean.tags, ["refs/tags/v1.0.0"]);
        assert_eq!(clean.email.as_deref(), Some("dev@example.com"));
        assert_eq!(clean.origin.as_deref(), Some("example.com/owner/repo"));
        assert!(!clean.dirty);

        std::fs::write(dir.join("new"), "1").unwrap();
        assert!(
            !Checkout::look(dir, &variables).await.unwrap().dirty,
            "an untracked file"
        );
        std::fs::write(dir.join("a"), "2").unwrap();
        git(dir, &["checkout", "-q", "--detach"]).await;
        let changed = Checkout::look(dir, &variables).await.unwrap();
        assert!(changed.dirty);
        assert_eq!(changed.branch, None);
        let facts = record(Some(&changed), &refs(|_| None, Some(&changed)));
        assert_eq!(facts.reference.as_deref(), Some("refs/tags/v1.0.0"));
        assert!(facts.dirty);

        let without_git = BTreeMap::from([("PATH".to_owned(), dir.display().to_string())]);
        assert_eq!(Checkout::look(dir, &without_git).await, None);
    }
}
