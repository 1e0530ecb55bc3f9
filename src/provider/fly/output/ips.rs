//! `ips list --json` → addresses.

use super::{Unreadable, list, text};

/// An address of an app.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Address {
    /// `v4`, `shared_v4`, `v6`, `private_v6`, `egress_v4`, or another word (REFERENCE 1.6).
    pub(crate) kind: String,
    pub(crate) address: String,
}

impl Address {
    /// Whether anybody can send a request to it.
    pub(crate) fn is_public(&self) -> bool {
        matches!(self.kind.as_str(), "v4" | "shared_v4" | "v6")
    }
}

pub(crate) fn parse(output: &[u8]) -> Result<Vec<Address>, Unreadable> {
    let addresses = list(output)?
        .iter()
        .map(|ip| Address {
            kind: text(ip, "Type"),
            address: text(ip, "Address"),
        })
        .collect();
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::super::captures::capture;
    use super::parse;

    #[test]
    fn public_addresses_are_told_from_private_ones() {
        let list = parse(capture("ips_list_json").stdout.as_bytes()).unwrap();
        let seen: Vec<_> = list
            .iter()
            .map(|ip| (ip.kind.as_str(), ip.address.as_str()))
            .collect();
        assert_eq!(seen, [("v6", "2001:db8::a"), ("shared_v4", "192.0.2.200")]);
        assert!(list.iter().all(super::Address::is_public));
        let other = parse(br#"[{"Type":"private_v6"},{"Type":"egress_v4"},{}]"#).unwrap();
        assert!(!other.iter().any(super::Address::is_public));
        assert!(parse(b"null").unwrap().is_empty());
        assert!(parse(b"{}").is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes in any::<Vec<u8>>()) {
            let _ = parse(&bytes);
        }
    }
}
