//! The state of the simulated platform, as it lies in the world file: apps, releases, machines, faults, settings.
//!
//! Nothing here waits or prints. Times are milliseconds since 1970 by the real clock; a duration is given in
//! world seconds and divided by `settings.speed` when it is scheduled, so that what is recorded stays real.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::image::{self, Registered};
use super::machine::Machine;
use super::rule::Rule;

/// Milliseconds since 1970-01-01T00:00:00Z.
pub(super) type Millis = i64;

/// The version of the world file; another one is refused.
const FORMAT: u32 = 1;
/// Logs kept per app, and entries of the journal: enough for a test, bounded for a long `sandbox up`.
const KEPT_LOGS: usize = 300;
const KEPT_JOURNAL: usize = 600;

/// What a test may turn; the names are those of the capture tool where it has them.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Settings {
    /// Divides every world duration.
    pub(super) speed: f64,
    /// From launch to state `started`.
    pub(super) start_seconds: f64,
    /// From `started` to passing checks.
    pub(super) health_seconds: f64,
    /// The same where the image's tag says `slow`.
    pub(super) slow_health_seconds: f64,
    /// How long a release command runs.
    pub(super) release_seconds: f64,
    /// Idle time before autostop.
    pub(super) idle_seconds: f64,
    /// How long a build takes.
    pub(super) build_seconds: f64,
    /// Reported start events are moved back by this much: above 10, smoke checks pass at once.
    pub(super) backdate_start_seconds: f64,
    /// True: flyctl's question about public DNS names is spared; false: it is asked in vain for a minute.
    pub(super) hide_ips_after_deploy: bool,
    /// Resolved references end in `@sha256:…`.
    pub(super) ref_with_digest: bool,
    /// Prints `host_status` and `cordoned` for machines, as newer flyctl do.
    pub(super) host_status: bool,
    /// What `version` prints.
    pub(super) flyctl_version: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            speed: 1.0,
            start_seconds: 0.3,
            health_seconds: 1.0,
            slow_health_seconds: 5.0,
            release_seconds: 1.0,
            idle_seconds: 3.0,
            build_seconds: 1.0,
            backdate_start_seconds: 0.0,
            hide_ips_after_deploy: true,
            ref_with_digest: false,
            host_status: false,
            flyctl_version: "0.2.4".to_owned(),
        }
    }
}

/// The account that releases and leases are attributed to.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct User {
    pub(super) id: String,
    pub(super) email: String,
    pub(super) name: String,
}

/// The next calls of the stand-in whose label contains `find` go wrong.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fault {
    /// `500`, `503`, `401`, `404`, `409`, `429`, `delay`, `drop`, `unreachable`.
    pub(super) kind: String,
    #[serde(default = "once")]
    pub(super) count: u32,
    /// A part of `graphql query|mutation <fields>` or `flaps <METHOD> <path>`; empty is every call.
    #[serde(default, rename = "match")]
    pub(super) find: String,
    /// Matching calls that pass before the first one fails.
    #[serde(default)]
    pub(super) after: u32,
    /// How long a `delay` takes.
    #[serde(default = "ten")]
    pub(super) seconds: f64,
    /// From the first call that fails on, every matching one does for this long, whatever `count` says.
    #[serde(default)]
    pub(super) for_seconds: Option<f64>,
    #[serde(default)]
    pub(super) until: Option<Millis>,
}

fn once() -> u32 {
    1
}

fn ten() -> f64 {
    10.0
}

/// An order that waits for its time, or for a call of the stand-in.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Scheduled {
    /// When it is due; absent while it waits for a call.
    pub(super) at: Option<Millis>,
    /// Part of the label of the call that it waits for.
    pub(super) call: Option<String>,
    /// Matching calls that still pass before.
    pub(super) skip: u32,
    pub(super) order: Value,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Organization {
    pub(super) id: String,
    pub(super) name: String,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Release {
    pub(super) id: String,
    pub(super) version: u64,
    pub(super) status: String,
    pub(super) image: String,
    pub(super) user: String,
    pub(super) created_at: Millis,
    /// The configuration as flyctl sends it, or an empty object.
    pub(super) definition: Value,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Address {
    pub(super) id: String,
    pub(super) ip: String,
    /// `v4`, `v6`, `shared_v4`, `private_v6`.
    pub(super) kind: String,
    pub(super) region: String,
    /// Absent for the shared address, which flyctl prints with the zero time.
    pub(super) created_at: Option<Millis>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Log {
    pub(super) at: Millis,
    pub(super) machine: String,
    pub(super) region: String,
    pub(super) level: String,
    pub(super) message: String,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Secret {
    pub(super) digest: String,
    pub(super) created_at: Millis,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct App {
    pub(super) name: String,
    pub(super) org: String,
    pub(super) releases: Vec<Release>,
    /// In the order of their creation, destroyed ones included.
    pub(super) machines: Vec<Machine>,
    pub(super) addresses: Vec<Address>,
    pub(super) secrets: BTreeMap<String, Secret>,
    /// Overrides what the image's tag says.
    pub(super) behaviour: String,
    pub(super) rules: Vec<Rule>,
    pub(super) logs: VecDeque<Log>,
    /// For round robin.
    pub(super) turn: usize,
}

impl App {
    pub(super) fn new(name: &str, org: &str) -> Self {
        Self {
            name: name.to_owned(),
            org: org.to_owned(),
            releases: Vec::new(),
            machines: Vec::new(),
            addresses: Vec::new(),
            secrets: BTreeMap::new(),
            behaviour: String::new(),
            rules: Vec::new(),
            logs: VecDeque::new(),
            turn: 0,
        }
    }

    pub(super) fn deployed(&self) -> bool {
        self.releases.iter().any(|release| release.status == "complete")
    }

    /// The word that `status` prints.
    pub(super) fn status(&self) -> &'static str {
        if self.releases.is_empty() {
            "pending"
        } else if self.machines.iter().any(|machine| machine.state == "started") {
            "deployed"
        } else {
            "suspended"
        }
    }

    pub(super) fn hostname(&self) -> String {
        format!("{}.fly.dev", self.name)
    }

    pub(super) fn live(&self) -> impl Iterator<Item = &Machine> {
        self.machines.iter().filter(|machine| machine.is_live())
    }

    pub(super) fn machine(&self, id: &str) -> Option<&Machine> {
        self.machines.iter().find(|machine| machine.id == id)
    }

    pub(super) fn machine_mut(&mut self, id: &str) -> Option<&mut Machine> {
        self.machines.iter_mut().find(|machine| machine.id == id)
    }

    pub(super) fn log(&mut self, at: Millis, machine: &str, region: &str, level: &str, message: String) {
        self.logs.push_back(Log {
            at,
            machine: machine.to_owned(),
            region: region.to_owned(),
            level: level.to_owned(),
            message,
        });
        while self.logs.len() > KEPT_LOGS {
            self.logs.pop_front();
        }
    }

    pub(super) fn set_secret(&mut self, name: &str, value: &str, now: Millis) {
        self.secrets.insert(
            name.to_owned(),
            Secret {
                digest: image::hex_of(value)[..16].to_owned(),
                created_at: now,
            },
        );
    }
}

/// The whole platform.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct World {
    format: u32,
    /// Grows with each identifier that is made.
    made: u64,
    /// Number of API calls so far, as far as they are counted.
    pub(super) calls: u64,
    pub(super) settings: Settings,
    pub(super) user: User,
    pub(super) organizations: BTreeMap<String, Organization>,
    /// Each known token with the organisations it opens; none is a refused token.
    pub(super) tokens: BTreeMap<String, BTreeSet<String>>,
    /// A token that is not listed opens everything: a person's own world asks for none.
    pub(super) any_token: bool,
    /// The token of flyctl's own login, where no variable names one.
    pub(super) login: Option<String>,
    /// An order named it, or took it away.
    pub(super) login_ordered: bool,
    pub(super) apps: BTreeMap<String, App>,
    /// The registry, by `repository:tag` reference.
    pub(super) images: BTreeMap<String, Registered>,
    pub(super) faults: Vec<Fault>,
    pub(super) scheduled: Vec<Scheduled>,
    /// Identifiers that the next machines get, given by a test.
    pub(super) machine_ids: VecDeque<String>,
    /// False: nothing accepts connections for the apps.
    pub(super) route: bool,
    /// Apps that shall not exist, though an environment names them.
    pub(super) forgotten: BTreeSet<String>,
    /// Orders made it, for a test that names its tokens.
    pub(super) ordered: bool,
    /// A project's sandbox lies here.
    pub(super) opened: bool,
    /// The mutating calls of the stand-in.
    pub(super) journal: VecDeque<Value>,
}

impl Default for World {
    fn default() -> Self {
        let mut world = Self {
            format: FORMAT,
            made: 0,
            calls: 0,
            settings: Settings::default(),
            user: User {
                id: "u5erSandb0x".to_owned(),
                email: "dev@example.com".to_owned(),
                name: "Dev Example".to_owned(),
            },
            organizations: BTreeMap::new(),
            tokens: BTreeMap::new(),
            any_token: false,
            login: None,
            login_ordered: false,
            apps: BTreeMap::new(),
            images: BTreeMap::new(),
            faults: Vec::new(),
            scheduled: Vec::new(),
            machine_ids: VecDeque::new(),
            route: true,
            forgotten: BTreeSet::new(),
            ordered: false,
            opened: false,
            journal: VecDeque::new(),
        };
        for (slug, name) in [
            ("personal", "Dev Example"),
            ("acme", "Acme Ltd"),
            ("globex", "Globex"),
        ] {
            let organization = Organization {
                id: world.identifier(14),
                name: name.to_owned(),
            };
            world.organizations.insert(slug.to_owned(), organization);
            world
                .tokens
                .insert(format!("fo1_{slug}"), BTreeSet::from([slug.to_owned()]));
        }
        let every = world.organizations.keys().cloned().collect();
        world.tokens.insert("fo1_all".to_owned(), every);
        world
    }
}

impl World {
    /// Reads a world; a file of another format is not understood.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let world: Self = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        if world.format == FORMAT {
            Ok(world)
        } else {
            Err(format!("format {} is not {FORMAT}", world.format))
        }
    }

    /// Makes it the world of a project's sandbox: flyctl is logged in, unless an order said otherwise before, and any
    /// token opens it, unless orders made it.
    pub(super) fn open(&mut self, idle_seconds: f64) {
        self.opened = true;
        self.any_token = !self.ordered;
        if !self.login_ordered {
            self.login = Some("fo1_all".to_owned());
        }
        if (self.settings.idle_seconds - Settings::default().idle_seconds).abs() < f64::EPSILON {
            self.settings.idle_seconds = idle_seconds;
        }
    }

    /// A world duration as real milliseconds; more than nothing stays more than nothing.
    #[expect(clippy::cast_possible_truncation, reason = "bounded by the clamp")]
    pub(super) fn span(&self, seconds: f64) -> Millis {
        let speed = if self.settings.speed > 0.0 {
            self.settings.speed
        } else {
            1.0
        };
        (seconds.max(0.0) * 1000.0 / speed).ceil().clamp(0.0, 1e12) as Millis
    }

    fn seed(&mut self) -> [u8; 32] {
        self.made += 1;
        Sha256::digest(format!("world {}", self.made)).into()
    }

    fn letters(&mut self, length: usize, alphabet: &[u8]) -> String {
        let mut found = String::with_capacity(length);
        while found.len() < length {
            for byte in self.seed() {
                if found.len() < length {
                    found.push(char::from(alphabet[usize::from(byte) % alphabet.len()]));
                }
            }
        }
        found
    }

    pub(super) fn identifier(&mut self, length: usize) -> String {
        self.letters(length, b"0123456789ABCDEFGHJKMNPQRSTVWXYZabcdefghijkmnpqrstvwxyz")
    }

    pub(super) fn hex(&mut self, length: usize) -> String {
        self.letters(length, b"0123456789abcdef")
    }

    pub(super) fn ulid(&mut self) -> String {
        format!("01{}", self.letters(24, b"0123456789ABCDEFGHJKMNPQRSTVWXYZ"))
    }

    /// The identifier of a new machine: the next one that a test gave, else a fresh one.
    pub(super) fn machine_id(&mut self) -> String {
        match self.machine_ids.pop_front() {
            Some(id) => id,
            None => format!("{}8", self.hex(13)),
        }
    }

    /// A name like those that Fly makes up.
    pub(super) fn machine_name(&mut self) -> String {
        let bytes = self.seed();
        let first = ["calm", "dark", "still", "wild"][usize::from(bytes[0]) % 4];
        let second = ["river", "leaf", "moon", "pine"][usize::from(bytes[1]) % 4];
        let number = 100 + u32::from(bytes[2]) * 38;
        format!("{first}-{second}-{number}")
    }

    /// The organisations that a token opens; none if it is refused.
    pub(super) fn opened_by(&self, token: &str) -> Option<BTreeSet<String>> {
        let mut found: Option<BTreeSet<String>> = None;
        let rest = token.split_once(' ').map_or(token, |(_, rest)| rest);
        for part in rest.split(',').map(str::trim) {
            if let Some(opens) = self.tokens.get(part)
                && !opens.is_empty()
            {
                found.get_or_insert_default().extend(opens.iter().cloned());
            } else if self.any_token && !self.tokens.contains_key(part) {
                found
                    .get_or_insert_default()
                    .extend(self.organizations.keys().cloned());
            }
        }
        found
    }

    pub(super) fn note(&mut self, entry: Value) {
        self.journal.push_back(entry);
        while self.journal.len() > KEPT_JOURNAL {
            self.journal.pop_front();
        }
    }

    /// Adds a release to an app and answers with its index.
    pub(super) fn add_release(
        &mut self,
        app: &str,
        image: &str,
        definition: Value,
        status: &str,
        now: Millis,
    ) -> Option<usize> {
        let id = self.identifier(22);
        let user = self.user.email.clone();
        let app = self.apps.get_mut(app)?;
        let version = app.releases.last().map_or(1, |last| last.version + 1);
        app.releases.push(Release {
            id,
            version,
            status: status.to_owned(),
            image: image.to_owned(),
            user,
            created_at: now,
            definition,
        });
        Some(app.releases.len() - 1)
    }

    pub(super) fn allocate(&mut self, app: &str, kind: &str, region: &str, now: Millis) -> Option<Address> {
        let id = format!("ip_{}", self.identifier(16));
        let app = self.apps.get_mut(app)?;
        let number = app.addresses.iter().filter(|one| one.kind != "shared_v4").count() + 10;
        let shared = kind == "shared_v4";
        let address = Address {
            id: if shared { String::new() } else { id },
            ip: match kind {
                "v4" => format!("192.0.2.{number}"),
                "v6" => format!("2001:db8::{number:x}"),
                "private_v6" => format!("fdaa:0:1::{number:x}"),
                _ => "192.0.2.200".to_owned(),
            },
            kind: kind.to_owned(),
            region: if shared { String::new() } else { region.to_owned() },
            created_at: (!shared).then_some(now),
        };
        if shared && let Some(found) = app.addresses.iter().find(|one| one.kind == "shared_v4") {
            return Some(found.clone());
        }
        // The shared address is listed last, whenever it was made.
        let at = if shared {
            app.addresses.len()
        } else {
            app.addresses
                .iter()
                .position(|one| one.kind == "shared_v4")
                .unwrap_or(app.addresses.len())
        };
        app.addresses.insert(at, address.clone());
        Some(address)
    }
}

/// A time as the platform prints it, with milliseconds.
pub(super) fn stamp(at: Millis) -> String {
    let at = jiff::Timestamp::from_millisecond(at).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{at:.3}")
}

/// A time as Go prints it: no trailing zeros in the fraction.
pub(super) fn short_stamp(at: Millis) -> String {
    jiff::Timestamp::from_millisecond(at)
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
        .to_string()
}

/// An entry of the journal for something that a stand-in did.
pub(super) fn entry(now: Millis, what: &str, detail: &str) -> Value {
    json!({"at": stamp(now), what: detail})
}

#[cfg(test)]
mod tests {
    use super::{World, short_stamp, stamp};

    #[test]
    fn speed_divides_spans_and_never_makes_them_vanish() {
        let mut world = World::default();
        assert_eq!(world.span(1.5), 1500);
        world.settings.speed = 100.0;
        assert_eq!(world.span(1.5), 15);
        assert_eq!(world.span(0.0001), 1);
        world.settings.speed = 0.0;
        assert_eq!(world.span(1.0), 1000);
    }

    #[test]
    fn tokens_open_their_organisations_only() {
        let mut world = World::default();
        assert_eq!(world.opened_by("fo1_all").unwrap().len(), 3);
        assert_eq!(world.opened_by("FlyV1 fo1_acme,x").unwrap().len(), 1);
        assert!(world.opened_by("fo1_wrong").is_none());
        world.any_token = true;
        assert_eq!(world.opened_by("whatever").unwrap().len(), 3);
        world
            .tokens
            .insert("refused".to_owned(), std::collections::BTreeSet::new());
        assert!(world.opened_by("refused").is_none());
    }

    #[test]
    fn times_are_printed_as_the_platform_does() {
        assert_eq!(stamp(1_795_233_474_100), "2026-11-21T03:57:54.100Z");
        assert_eq!(short_stamp(1_795_233_474_100), "2026-11-21T03:57:54.1Z");
        assert_eq!(short_stamp(1_795_233_474_000), "2026-11-21T03:57:54Z");
    }

    #[test]
    fn another_format_is_refused() {
        let mut text = serde_json::to_value(World::default()).unwrap();
        text["format"] = 9.into();
        assert!(World::parse(text.to_string().as_bytes()).is_err());
    }
}
