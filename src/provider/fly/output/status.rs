//! `status --json` → whose app it is.

use super::{Unreadable, document};

/// The slug of the organisation that owns the app.
///
/// # Errors
/// Where the document names none.
pub(crate) fn organization(output: &[u8]) -> Result<String, Unreadable> {
    document(output)?["Organization"]["Slug"]
        .as_str()
        .filter(|slug| !slug.is_empty())
        .map(str::to_owned)
        .ok_or_else(|| Unreadable::new("the status names no organisation"))
}

#[cfg(test)]
mod tests {
    use super::organization;

    #[test]
    fn the_slug_or_nothing() {
        for (printed, slug) in [
            (
                r#"{"Name": "shop", "Organization": {"ID": "M9", "Name": "", "Slug": "acme"}}"#,
                Some("acme"),
            ),
            (r#"{"Name": "shop", "Organization": {"Slug": ""}}"#, None),
            (r#"{"Name": "shop"}"#, None),
            ("Error: nope", None),
        ] {
            assert_eq!(
                organization(printed.as_bytes()).ok().as_deref(),
                slug,
                "{printed}"
            );
        }
    }
}
