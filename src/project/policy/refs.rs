//! Globs over git refs: `*` and `?` stay within one component, `**` does not.

/// Whether any of the refs fits any of the globs.
pub(crate) fn any_allowed(globs: &[String], refs: &[String]) -> bool {
    refs.iter().any(|name| globs.iter().any(|glob| fits(glob, name)))
}

/// Whether a whole name fits a glob.
pub(crate) fn fits(glob: &str, name: &str) -> bool {
    let (glob, name): (Vec<char>, Vec<char>) = (glob.chars().collect(), name.chars().collect());
    // Row by row: which beginnings of the name fit the glob so far. No backtracking, so no glob is slow.
    let mut fitting = vec![false; name.len() + 1];
    fitting[0] = true;
    let mut at = 0;
    while at < glob.len() {
        let mut next = vec![false; name.len() + 1];
        if glob[at] == '*' {
            let any = glob.get(at + 1) == Some(&'*');
            at += if any { 2 } else { 1 };
            for end in 0..=name.len() {
                next[end] = fitting[end] || (end > 0 && next[end - 1] && (any || name[end - 1] != '/'));
            }
        } else {
            for end in 1..=name.len() {
                let same = match glob[at] {
                    '?' => name[end - 1] != '/',
                    character => name[end - 1] == character,
                };
                next[end] = fitting[end - 1] && same;
            }
            at += 1;
        }
        fitting = next;
    }
    fitting[name.len()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{ProptestConfig, prop_assert, proptest};

    use super::{any_allowed, fits};

    #[test]
    fn globs_fit_whole_names() {
        for (glob, name, expected) in [
            ("refs/tags/v*", "refs/tags/v1.4.0", true),
            ("refs/tags/v*", "refs/tags/release", false),
            ("refs/tags/v*", "xrefs/tags/v1", false),
            ("refs/tags/v*", "refs/tags/v", true),
            ("refs/heads/main", "refs/heads/main", true),
            ("refs/heads/main", "refs/heads/main2", false),
            ("refs/heads/*", "refs/heads/feature/x", false),
            ("refs/heads/**", "refs/heads/feature/x", true),
            ("refs/heads/feature/*", "refs/heads/feature/x", true),
            ("refs/tags/v?.?", "refs/tags/v1.2", true),
            ("**", "refs/heads/main", true),
            ("*", "refs/heads/main", false),
            ("", "", true),
            ("", "x", false),
        ] {
            assert_eq!(fits(glob, name), expected, "{glob} {name}");
        }
        let globs = ["refs/heads/main".to_owned(), "refs/tags/v*".to_owned()];
        assert!(any_allowed(
            &globs,
            &["refs/heads/x".to_owned(), "refs/tags/v1".to_owned()]
        ));
        assert!(!any_allowed(&globs, &[]));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn a_name_fits_itself_and_everything(name in "[a-z/.]{0,30}", stars in "[*a/?]{0,30}") {
            prop_assert!(fits(&name, &name));
            prop_assert!(fits("**", &name));
            let _ = fits(&stars, &name);
        }
    }
}
