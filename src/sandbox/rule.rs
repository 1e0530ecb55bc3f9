//! How an app behaves: by the words in its image's tag, and by rules that a test or an explorer lays over them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::machine::Machine;
use super::world::{App, World};

/// The words of an image tag that choose a behaviour (DESIGN 10).
const WORDS: [&str; 8] = [
    "unhealthy",
    "crash",
    "slow",
    "oldversion",
    "garbage",
    "hang",
    "relfail",
    "partial",
];

/// A rule: whom it applies to, what the app answers, and how its machines live. The last one that says something wins.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Rule {
    // Whom it applies to; what is absent applies to all.
    pub(super) machine: Option<String>,
    /// A tag, a digest or a whole reference; a trailing `*` stands for any rest.
    pub(super) image: Option<String>,
    pub(super) group: Option<String>,
    pub(super) region: Option<String>,
    /// The path of the request.
    pub(super) path: Option<String>,
    /// The `Host` of the request.
    pub(super) host: Option<String>,

    // What the app answers over HTTP.
    pub(super) status: Option<u16>,
    pub(super) headers: Map<String, Value>,
    /// Replaces the whole document.
    pub(super) body: Option<Value>,
    /// Fields laid over the usual document; null removes one.
    pub(super) fields: Map<String, Value>,
    /// Replaces the document by this text.
    pub(super) text: Option<String>,
    /// The version that the answer names.
    pub(super) version: Option<Value>,
    /// Real seconds before the answer begins.
    pub(super) delay_seconds: Option<f64>,
    /// A body of this many bytes.
    pub(super) size: Option<u64>,
    /// A body without an end.
    pub(super) endless: Option<bool>,
    /// The body comes with one byte per this many real seconds.
    pub(super) drip_seconds: Option<f64>,
    /// The connection is closed: `before` any answer, or `within` the body.
    pub(super) cut: Option<String>,
    /// The connection is held open without an answer.
    pub(super) hang: Option<bool>,
    /// The answer above is given to every n-th request of a machine only.
    pub(super) every: Option<u64>,
    /// The answer above is given from this many world seconds after the machine's start on.
    pub(super) from_seconds: Option<f64>,

    // How its machines live.
    /// From launch to `started`.
    pub(super) start_seconds: Option<f64>,
    /// From `started` to passing checks.
    pub(super) health_seconds: Option<f64>,
    /// From being woken to `started`.
    pub(super) wake_seconds: Option<f64>,
    /// The process ends this long after its start, with `exit_code` (1), and is restarted unless `restarts` is false.
    pub(super) dies_after_seconds: Option<f64>,
    pub(super) exit_code: Option<i32>,
    pub(super) restarts: Option<bool>,
    /// What the platform's checks say, whatever the app answers.
    pub(super) checks: Option<String>,
    /// How long its release command runs, and what it exits with.
    pub(super) release_seconds: Option<f64>,
    pub(super) release_exit_code: Option<i32>,
}

/// The request that an answer is for.
pub(super) struct Asked<'a> {
    pub(super) path: &'a str,
    pub(super) host: &'a str,
}

fn selects(wanted: Option<&String>, found: &str) -> bool {
    wanted.is_none_or(|wanted| match wanted.strip_suffix('*') {
        Some(start) => found.starts_with(start),
        None => wanted == found,
    })
}

impl Rule {
    /// Whether the rule speaks of this machine, leaving the request aside.
    fn concerns(&self, machine: &Machine) -> bool {
        let image = &machine.image_ref;
        let reference = machine.image();
        selects(self.machine.as_ref(), &machine.id)
            && selects(self.group.as_ref(), machine.group())
            && selects(self.region.as_ref(), &machine.region)
            && (selects(self.image.as_ref(), &image.tag)
                || selects(self.image.as_ref(), &image.digest)
                || selects(self.image.as_ref(), &reference))
    }

    /// Whether its answer is for this request.
    pub(super) fn answers(&self, machine: &Machine, asked: &Asked<'_>, up_for: f64) -> bool {
        self.concerns(machine)
            && selects(self.path.as_ref(), asked.path)
            && selects(self.host.as_ref(), asked.host)
            && self
                .every
                .is_none_or(|every| every > 0 && machine.answered.is_multiple_of(every))
            && self.from_seconds.is_none_or(|from| up_for >= from)
    }
}

/// The last word that an app's rules say about a machine's life.
pub(super) fn last<T>(app: &App, machine: &Machine, pick: impl Fn(&Rule) -> Option<T>) -> Option<T> {
    app.rules
        .iter()
        .rev()
        .filter(|rule| rule.concerns(machine))
        .find_map(pick)
}

/// The behaviour of a machine as the words that apply.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each word is one independent behaviour"
)]
pub(super) struct Behaviour {
    pub(super) unhealthy: bool,
    pub(super) crash: bool,
    pub(super) slow: bool,
    pub(super) oldversion: bool,
    pub(super) garbage: bool,
    pub(super) hang: bool,
    pub(super) relfail: bool,
}

impl Behaviour {
    /// Reads whole words: `change` holds no `hang`.
    fn of(text: &str) -> (Self, bool) {
        let mut found = Self::default();
        let mut partial = false;
        for word in text.split(|letter: char| !letter.is_ascii_alphanumeric()) {
            match WORDS.iter().position(|known| *known == word) {
                Some(0) => found.unhealthy = true,
                Some(1) => found.crash = true,
                Some(2) => found.slow = true,
                Some(3) => found.oldversion = true,
                Some(4) => found.garbage = true,
                Some(5) => found.hang = true,
                Some(6) => found.relfail = true,
                Some(7) => partial = true,
                _ => {}
            }
        }
        (found, partial)
    }
}

/// What a machine does now: its own order, else its configuration's `SANDBOX_BEHAVIOUR`, else the app's order, else
/// the tag of its image.
pub(super) fn behaviour(world: &World, app: &App, machine: &Machine) -> Behaviour {
    let by_env = machine.config["env"]["SANDBOX_BEHAVIOUR"].as_str();
    let tag;
    let chosen = if !machine.behaviour.is_empty() {
        machine.behaviour.as_str()
    } else if let Some(word) = by_env {
        word
    } else if !app.behaviour.is_empty() {
        app.behaviour.as_str()
    } else {
        tag = world.behaving_tag(&machine.image_ref);
        tag.as_str()
    };
    let (mut found, partial) = Behaviour::of(chosen);
    if partial {
        let first = app.live().find(|peer| !peer.is_release_command());
        found.unhealthy |= first.is_some_and(|first| first.id != machine.id);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::Behaviour;

    #[test]
    fn only_whole_words_choose_a_behaviour() {
        assert!(Behaviour::of("v2-unhealthy").0.unhealthy);
        assert!(Behaviour::of("v1.2_crash-ab12cd34").0.crash);
        assert!(Behaviour::of("v2-partial").1);
        assert_eq!(Behaviour::of("v2-change-slowly"), (Behaviour::default(), false));
    }
}
