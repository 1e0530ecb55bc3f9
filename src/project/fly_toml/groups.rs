//! What a file says of each process group: where requests come in, what is checked, and who may sleep.
//!
//! A service or check without `processes` belongs to the first group by name, as v0.2.4 does it (seen by deploying
//! such files with it).

use std::ops::RangeInclusive;
use std::time::Duration;

use toml::{Table, Value};

use super::{BareNumber, duration_of, tables, text};

/// What a file says of one process group.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct GroupConfig {
    /// An HTTP handler leads to it from outside.
    pub(crate) public_http: bool,
    /// Any service leads to it.
    pub(crate) served: bool,
    /// Where that handler listens and leads to; 443 before 80 before others.
    pub(crate) public_port: Option<PublicPort>,
    /// Any of its services lets the proxy stop its instances.
    pub(crate) autostop: bool,
    /// The largest of its services; counts in the primary region alone.
    pub(crate) min_machines_running: u32,
    /// Everything that each of its instances is checked by.
    pub(crate) checks: Vec<CheckConfig>,
}

impl GroupConfig {
    /// The HTTP check on the port that the public address leads to: what is asked where nothing else is named.
    pub(crate) fn health_check(&self) -> Option<&CheckConfig> {
        let port = self.public_port?.internal_port;
        self.checks
            .iter()
            .find(|check| check.kind == CheckKind::Http && check.port == Some(port))
    }
}

/// A port that the proxy answers HTTP on, and where it leads to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct PublicPort {
    pub(crate) port: u16,
    pub(crate) tls: bool,
    /// On the instance; 0 where the file names none.
    pub(crate) internal_port: u16,
}

impl PublicPort {
    /// The default address uses 443; what answers there comes first.
    pub(super) fn rank(self) -> (u8, u16) {
        match self.port {
            443 => (0, 443),
            80 => (1, 80),
            other => (2, other),
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum CheckKind {
    Http,
    Tcp,
}

/// One check that the platform runs on each instance.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CheckConfig {
    /// The key of `[checks]`; `None` for a check of a service, which the platform names.
    pub(crate) name: Option<String>,
    pub(crate) kind: CheckKind,
    /// On the instance.
    pub(crate) port: Option<u16>,
    pub(crate) path: Option<String>,
    pub(crate) method: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) interval: Option<Duration>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) grace_period: Option<Duration>,
}

/// A service of either table, in one form.
struct Service<'a> {
    table: &'a Table,
    internal_port: u16,
    /// `[http_service]`: ports 80 and 443 are implied.
    is_short_form: bool,
}

impl Service<'_> {
    fn public_port(&self) -> Option<PublicPort> {
        let internal_port = self.internal_port;
        if self.is_short_form {
            return Some(PublicPort {
                port: 443,
                tls: true,
                internal_port,
            });
        }
        tables(self.table.get("ports"))
            .filter(|port| has_handler(port, "http"))
            .filter_map(|port| {
                Some(PublicPort {
                    port: best_port(&port_range(port)?),
                    tls: has_handler(port, "tls"),
                    internal_port,
                })
            })
            .min_by_key(|port| port.rank())
    }

    /// In the order in which flyctl hands them to the platform: TCP before HTTP.
    fn checks(&self) -> Vec<CheckConfig> {
        let lists: &[(&str, CheckKind, BareNumber)] = if self.is_short_form {
            &[("checks", CheckKind::Http, BareNumber::Nanoseconds)]
        } else {
            &[
                ("tcp_checks", CheckKind::Tcp, BareNumber::Milliseconds),
                ("http_checks", CheckKind::Http, BareNumber::Milliseconds),
            ]
        };
        lists
            .iter()
            .flat_map(|(key, kind, bare)| {
                tables(self.table.get(*key)).map(|check| check_of(check, *kind, *bare, self.internal_port))
            })
            .collect()
    }

    fn autostop(&self) -> bool {
        match self.table.get("auto_stop_machines") {
            Some(Value::Boolean(on)) => *on,
            Some(Value::String(word)) => word == "stop" || word == "suspend",
            _ => false,
        }
    }
}

pub(super) fn group(table: &Table, name: &str, groups: &[String]) -> GroupConfig {
    let is_default = groups.first().is_some_and(|first| first == name);
    let belongs = |part: &Table| {
        let named = names(part.get("processes"));
        if named.is_empty() {
            is_default
        } else {
            named.contains(&name)
        }
    };
    let http_service = table.get("http_service").and_then(Value::as_table);
    let services: Vec<Service<'_>> = http_service
        .into_iter()
        .map(|table| (table, true))
        .chain(tables(table.get("services")).map(|table| (table, false)))
        .filter(|(table, _)| belongs(table))
        .map(|(table, is_short_form)| Service {
            table,
            internal_port: port_of(table.get("internal_port")).unwrap_or(0),
            is_short_form,
        })
        .collect();
    let http_port = services
        .iter()
        .find(|service| service.is_short_form)
        .map(|service| service.internal_port);

    let mut checks: Vec<CheckConfig> = services.iter().flat_map(Service::checks).collect();
    checks.extend(top_level_checks(table, http_port, &belongs));
    let public_port = services
        .iter()
        .filter_map(Service::public_port)
        .min_by_key(|port| port.rank());
    GroupConfig {
        public_http: public_port.is_some(),
        served: !services.is_empty(),
        public_port,
        autostop: services.iter().any(Service::autostop),
        min_machines_running: services
            .iter()
            .filter_map(|service| service.table.get("min_machines_running")?.as_integer())
            .filter_map(|count| u32::try_from(count).ok())
            .max()
            .unwrap_or(0),
        checks,
    }
}

/// Those of `[checks.NAME]`; without a port they ask the port of the group's `http_service`.
fn top_level_checks(
    table: &Table,
    http_port: Option<u16>,
    belongs: &dyn Fn(&Table) -> bool,
) -> Vec<CheckConfig> {
    let Some(Value::Table(named)) = table.get("checks") else {
        return Vec::new();
    };
    named
        .iter()
        .filter_map(|(name, check)| Some((name, check.as_table()?)))
        .filter(|(_, check)| belongs(check))
        .filter_map(|(name, check)| {
            let kind = match check.get("type").and_then(Value::as_str)? {
                "http" => CheckKind::Http,
                "tcp" => CheckKind::Tcp,
                _ => return None,
            };
            let port = port_of(check.get("port")).or(http_port);
            Some(CheckConfig {
                name: Some(name.clone()),
                port,
                ..check_of(check, kind, BareNumber::Milliseconds, 0)
            })
        })
        .collect()
}

fn check_of(check: &Table, kind: CheckKind, bare: BareNumber, port: u16) -> CheckConfig {
    let http = kind == CheckKind::Http;
    CheckConfig {
        name: None,
        kind,
        port: Some(port),
        path: text(check.get("path")).filter(|_| http),
        method: text(check.get("method")).filter(|_| http),
        headers: if http {
            headers(check.get("headers"))
        } else {
            Vec::new()
        },
        interval: duration_of(check.get("interval"), bare),
        timeout: duration_of(check.get("timeout"), bare),
        grace_period: duration_of(check.get("grace_period"), bare),
    }
}

/// A table of texts, or an array of `{ name, value | values }` as the platform writes it.
fn headers(value: Option<&Value>) -> Vec<(String, String)> {
    match value {
        Some(Value::Table(table)) => table
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect(),
        other => tables(other)
            .filter_map(|header| {
                let value = header
                    .get("value")
                    .or_else(|| header.get("values")?.as_array()?.first())?;
                Some((text(header.get("name"))?, value.as_str()?.to_owned()))
            })
            .collect(),
    }
}

fn names(value: Option<&Value>) -> Vec<&str> {
    let items = value.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    items.iter().filter_map(Value::as_str).collect()
}

fn has_handler(port: &Table, handler: &str) -> bool {
    names(port.get("handlers")).contains(&handler)
}

/// A number, or a text with one: flyctl takes both in `[[services]]`.
fn port_of(value: Option<&Value>) -> Option<u16> {
    match value? {
        Value::Integer(port) => u16::try_from(*port).ok(),
        Value::String(port) => port.parse().ok(),
        _ => None,
    }
}

fn port_range(port: &Table) -> Option<RangeInclusive<u16>> {
    if let Some(only) = port_of(port.get("port")) {
        return Some(only..=only);
    }
    let start = port_of(port.get("start_port"))?;
    Some(start..=port_of(port.get("end_port")).unwrap_or(start))
}

fn best_port(range: &RangeInclusive<u16>) -> u16 {
    [443, 80]
        .into_iter()
        .find(|port| range.contains(port))
        .unwrap_or(*range.start())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::FlyToml;
    use super::{CheckKind, PublicPort};

    /// What v0.2.4 makes of this file was seen by deploying it: `aa` has the check `c`, `web` the service and `d`.
    #[test]
    fn what_names_no_group_belongs_to_the_first_by_name() {
        let toml = FlyToml::parse(
            "app = \"shop\"\n[processes]\nweb = \"a\"\naa = \"b\"\n[http_service]\nprocesses = [\"web\"]\n\
             internal_port = 8080\nauto_stop_machines = true\nmin_machines_running = 1\n\
             [[http_service.checks]]\ninterval = \"10s\"\ntimeout = \"2s\"\npath = \"/health\"\n\
             [http_service.checks.headers]\nHost = \"x\"\nA = \"b\"\n\
             [checks.c]\ntype = \"tcp\"\nport = 1\ninterval = \"15s\"\n\
             [checks.d]\ntype = \"http\"\nprocesses = [\"web\"]\npath = \"/d\"\n",
        );
        assert_eq!(toml.groups(), ["aa", "web"]);
        let (aa, web) = (toml.group("aa"), toml.group("web"));
        let shown = |group: &super::GroupConfig| -> Vec<String> {
            let checks = group.checks.iter();
            checks
                .map(|check| format!("{:?} {:?} {:?}", check.name, check.kind, check.port))
                .collect()
        };
        assert_eq!(shown(&aa), ["Some(\"c\") Tcp Some(1)"]);
        assert_eq!(
            shown(&web),
            ["None Http Some(8080)", "Some(\"d\") Http Some(8080)"]
        );
        assert!(!aa.public_http && !aa.autostop);
        assert!(web.public_http && web.autostop && web.min_machines_running == 1);
        let health = web.health_check().unwrap();
        assert_eq!(health.path.as_deref(), Some("/health"));
        assert_eq!(health.headers.len(), 2);
        assert_eq!(toml.public_group().unwrap().0, "web");
        assert_eq!(toml.group("gone"), super::GroupConfig::default());
    }

    #[test]
    fn the_port_that_the_address_leads_to_comes_first() {
        let toml = FlyToml::parse(
            "app = \"shop\"\n[[services]]\ninternal_port = 9090\n[[services.ports]]\nport = 8443\nhandlers = [\"tls\", \"http\"]\n\
             [[services.http_checks]]\npath = \"/metrics\"\n\
             [[services]]\ninternal_port = \"8080\"\nprotocol = \"tcp\"\nauto_stop_machines = \"suspend\"\n\
             [[services.ports]]\nport = 80\nhandlers = [\"http\"]\n[[services.ports]]\nstart_port = 440\nend_port = 450\nhandlers = [\"tls\", \"http\"]\n\
             [[services.tcp_checks]]\ninterval = 15000\n[[services.http_checks]]\npath = \"/up\"\ninterval = 10000\ngrace_period = \"1m\"\n",
        );
        let group = toml.group("app");
        assert_eq!(
            group.public_port,
            Some(PublicPort {
                port: 443,
                tls: true,
                internal_port: 8080
            })
        );
        assert!(group.autostop);
        assert_eq!(group.checks.len(), 3);
        assert_eq!(group.health_check().unwrap().path.as_deref(), Some("/up"));
        assert_eq!(group.checks[1].kind, CheckKind::Tcp);
        assert_eq!(group.checks[1].interval, Some(Duration::from_secs(15)));
        assert_eq!(toml.grace_period(), Some(Duration::from_secs(60)));
    }

    #[test]
    fn what_is_no_http_is_not_public() {
        for text in [
            "[[services]]\ninternal_port = 5432\n[[services.ports]]\nport = 5432\nhandlers = [\"pg_tls\"]\n",
            "[[services]]\ninternal_port = 53\nprotocol = \"udp\"\n[[services.ports]]\nport = 53\n",
            "[[services]]\ninternal_port = 8080\n",
            "",
        ] {
            let group = FlyToml::parse(&format!("app = \"shop\"\n{text}")).group("app");
            assert!(!group.public_http && group.public_port.is_none(), "{text}");
            assert_eq!(group.health_check(), None);
        }
    }

    #[test]
    fn a_number_alone_means_nanoseconds_to_http_service() {
        let toml = FlyToml::parse(
            "[http_service]\ninternal_port = 1\n[[http_service.checks]]\ninterval = 10\ntimeout = 2.9\n",
        );
        let check = &toml.group("app").checks[0];
        assert_eq!(check.interval, Some(Duration::from_nanos(10)));
        assert_eq!(check.timeout, Some(Duration::from_nanos(2)));
    }
}
