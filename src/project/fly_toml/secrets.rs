//! Values of `[env]` that look like secrets: they belong into `flyctl secrets`, and not into the ledger.

use crate::project::document::{Document, Node, Tree};
use crate::secret::REDACTED;

/// Words of a name that tell a secret.
const WORDS: [&str; 11] = [
    "PASSWORD",
    "PASSWD",
    "SECRET",
    "TOKEN",
    "APIKEY",
    "API_KEY",
    "ACCESS_KEY",
    "PRIVATE_KEY",
    "CREDENTIAL",
    "ENCRYPTION_KEY",
    "DSN",
];

/// Beginnings of values that tell a secret, whatever their name is.
const BEGINNINGS: [&str; 11] = [
    "fo1_",
    "fm1a_",
    "fm1r_",
    "fm2_",
    "FlyV1 ",
    "ghp_",
    "github_pat_",
    "glpat-",
    "sk_live_",
    "AKIA",
    "-----BEGIN ",
];

/// Whether this looks like a secret, by name or by value.
pub(crate) fn looks_secret(name: &str, value: &str) -> bool {
    if value.is_empty() || value == "true" || value == "false" || value.parse::<f64>().is_ok() {
        return false;
    }
    let name = name.to_ascii_uppercase();
    WORDS.iter().any(|word| name.contains(word))
        || BEGINNINGS.iter().any(|beginning| value.starts_with(beginning))
        || has_password(value)
}

/// `scheme://user:password@host`.
fn has_password(value: &str) -> bool {
    let Some((_, rest)) = value.split_once("://") else {
        return false;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    authority
        .rsplit_once('@')
        .is_some_and(|(user, _)| user.contains(':'))
}

/// The text with the values of `[env]` that look secret replaced, and their names. Nothing else changes.
pub(crate) fn redact_env(text: &str) -> (String, Vec<String>) {
    let (document, _) = Document::parse("", text);
    let mut found: Vec<(&Node, &str)> = entries(&document)
        .filter(|(name, node)| node.as_str().is_some_and(|value| looks_secret(name, value)))
        .map(|(name, node)| (node, name))
        .collect();
    found.sort_by_key(|(node, _)| node.span.start);
    let names = found.iter().map(|(_, name)| (*name).to_owned()).collect();
    let mut redacted = text.to_owned();
    for (node, _) in found.into_iter().rev() {
        redacted.replace_range(node.span.clone(), &format!("\"{REDACTED}\""));
    }
    (redacted, names)
}

/// The names and values of `[env]`, in either form.
pub(super) fn entries(document: &Document) -> impl Iterator<Item = (&str, &Node)> {
    let tables: Vec<&Node> = match document.root.get("env") {
        Some(env) => match &env.tree {
            Tree::Array(items) => items.iter().collect(),
            _ => vec![env],
        },
        None => Vec::new(),
    };
    tables
        .into_iter()
        .flat_map(Node::entries)
        .map(|(name, node)| (name.text.as_str(), node))
}

#[cfg(test)]
mod tests {
    use super::{looks_secret, redact_env};

    #[test]
    fn secrets_are_known_by_name_or_value() {
        for (name, value, secret) in [
            ("DB_PASSWORD", "hunter2", true),
            ("stripe_api_key", "x1", true),
            ("DATABASE_URL", "postgres://u:p@db/x", true),
            ("DATABASE_URL", "postgres://db/x", false),
            ("HOME_PAGE", "https://example.com/a:b@c", false),
            ("DEPLOY", "FlyV1 fm2_abc", true),
            ("LOG_LEVEL", "info", false),
            ("MAX_TOKENS", "4096", false),
            ("SECRET_MODE", "true", false),
            ("PASSWORD", "", false),
        ] {
            assert_eq!(looks_secret(name, value), secret, "{name}={value}");
        }
    }

    #[test]
    fn nothing_but_the_values_changes() {
        let text = "# kept\napp = \"shop\"\n[env]\n  A_TOKEN = 'xyz' # why\n  B = \"1\"\n  C_SECRET = \"\"\"\ntwo\nlines\"\"\"\n";
        let (redacted, names) = redact_env(text);
        assert_eq!(names, ["A_TOKEN", "C_SECRET"]);
        assert_eq!(
            redacted,
            "# kept\napp = \"shop\"\n[env]\n  A_TOKEN = \"[REDACTED]\" # why\n  B = \"1\"\n  C_SECRET = \"[REDACTED]\"\n"
        );
        assert_eq!(
            redact_env("app = \"shop\"\n"),
            ("app = \"shop\"\n".to_owned(), Vec::new())
        );
    }
}
