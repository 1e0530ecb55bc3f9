//! Does a person want this?

/// What follows from who asks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Consent {
    Given,
    Ask,
    Refuse,
}

/// A rollback of a protected environment asks on a terminal, and is refused without one; `--yes` answers.
pub(crate) fn consent(protected: bool, yes: bool, terminal: bool) -> Consent {
    match (protected, yes) {
        (false, _) | (_, true) => Consent::Given,
        (true, false) if terminal => Consent::Ask,
        (true, false) => Consent::Refuse,
    }
}

/// `y` or `yes`, in any case; everything else is no.
pub(crate) fn is_yes(answer: &str) -> bool {
    let answer = answer.trim();
    answer.eq_ignore_ascii_case("y") || answer.eq_ignore_ascii_case("yes")
}

#[cfg(test)]
mod tests {
    use super::Consent::{Ask, Given, Refuse};
    use super::{consent, is_yes};

    #[test]
    fn who_is_asked() {
        for (protected, yes, terminal, expected) in [
            (false, false, false, Given),
            (false, false, true, Given),
            (false, true, false, Given),
            (false, true, true, Given),
            (true, true, false, Given),
            (true, true, true, Given),
            (true, false, true, Ask),
            (true, false, false, Refuse),
        ] {
            assert_eq!(
                consent(protected, yes, terminal),
                expected,
                "{protected} {yes} {terminal}"
            );
        }
    }

    #[test]
    fn what_is_a_yes() {
        for answer in ["y", "Y", "yes", "YES\n", " yes "] {
            assert!(is_yes(answer), "{answer:?}");
        }
        for answer in ["", "n", "no", "yeah", "yy", "j", "yes please"] {
            assert!(!is_yes(answer), "{answer:?}");
        }
    }
}
