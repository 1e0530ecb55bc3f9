//! What the ledger says about what serves and what is shipped, in the terms of a deployment.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::deployment::baseline::Baseline;
use crate::deployment::expect::{self, Naming, names_of};
use crate::deployment::job::Heard;
use crate::deployment::prepare::{Facts, settings};
use crate::effect::{clock, process};
use crate::instance::Instance;
use crate::project::fly_toml::FlyToml;
use crate::project::{Environment, Service};
use crate::release::{Image, ReleaseNumber};
use crate::rollback::Candidate;
use crate::state::history::{History, Known, Unfinished, Word};
use crate::state::record::{GitFacts, Kind, Outcome};
use crate::verification::expectation::Reach;
use crate::verification::identity::Names;

/// How many attempts are looked through for what a rollback leaves behind.
const ATTEMPTS: usize = 60;

/// The phase of a mark that a return made.
pub(crate) const RETURN: &str = "return";

/// How many entries are looked through for versions that name other releases.
const VERSIONS: usize = 60;

/// Whether anything was ever recorded of the app.
pub(crate) fn knows_app(history: &History, app: &str) -> bool {
    history.rows_of(app).next().is_some()
}

/// The entry of what an instance runs.
pub(crate) fn of_instance(history: &History, app: &str, instances: &[Instance]) -> Option<Known> {
    let image = &instances.first()?.image;
    let running: Vec<(&str, &Value)> = instances
        .iter()
        .filter_map(|instance| Some((instance.group.as_deref()?, &instance.config)))
        .collect();
    // A ledger that cannot be read any more knows nothing; what serves is established all the same.
    history.known_of(app, image, &running).ok().flatten()
}

/// What serves, and what the ledger holds of it.
pub(crate) fn baseline(
    history: &History,
    environment: &Environment,
    service: &Service,
    facts: &Facts,
) -> (Baseline, Option<Known>) {
    let remote = facts.remote.as_ref().map(FlyToml::from_json);
    let mut today = service
        .file
        .as_ref()
        .map(|file| file.toml.groups())
        .unwrap_or_default();
    if service.file.is_none() {
        today.extend(remote.iter().flat_map(FlyToml::groups));
    }
    let verify = settings(service, &environment.variables, facts.remote.as_ref());
    let mut first = Baseline::of(facts, &today, Vec::new(), &verify);
    // A file that renames all groups finds none of what serves; the machines name theirs.
    let renamed = first.is_empty().then(|| own_groups(&facts.machines));
    if let Some(own) = &renamed {
        first = Baseline::of(facts, own, Vec::new(), &verify);
    }
    let known = of_instance(history, &service.app, &first.instances);
    let recorded = known.as_ref().and_then(|known| known.configuration.as_ref());
    let groups = match (recorded, &remote) {
        (Some(configuration), _) => FlyToml::parse(&configuration.text).groups(),
        (None, Some(remote)) => remote.groups(),
        // Nobody says which groups served, but the machines: those that run are theirs.
        (None, None) => renamed.unwrap_or_else(|| today.clone()),
    };
    (Baseline::of(facts, &today, groups, &verify), known)
}

fn own_groups(machines: &[Instance]) -> Vec<String> {
    let groups: BTreeSet<&String> = machines
        .iter()
        .filter_map(|machine| machine.group.as_ref())
        .collect();
    groups.into_iter().cloned().collect()
}

/// The digest of a tag that shipctl made: no two of its builds share one.
pub(crate) fn complete(history: &History, app: &str, image: Image) -> Image {
    if image.digest.is_some() {
        return image;
    }
    let built = history.build_of(app, &image).ok().flatten();
    image.with_digest(built.and_then(|known| known.image).and_then(|image| image.digest))
}

/// Which words name the release that is shipped, and which name others.
pub(crate) struct Shipping<'a> {
    pub(crate) image: Option<&'a Image>,
    pub(crate) label: Option<&'a str>,
    /// `SHIPCTL_VERSION`.
    pub(crate) said: Option<&'a str>,
    pub(crate) git: &'a GitFacts,
}

pub(crate) fn naming(
    history: &History,
    service: &Service,
    baseline: &Baseline,
    known: Option<&Known>,
    shipping: &Shipping<'_>,
) -> Naming {
    let app = &service.app;
    let built = shipping
        .image
        .and_then(|image| history.build_of(app, image).ok().flatten());
    let git = if shipping.label.is_some() {
        Some(shipping.git)
    } else {
        built.as_ref().and_then(|known| known.git.as_ref())
    };
    let expected = names_of(shipping.image, shipping.label, git, shipping.said);
    let others = others(history, app, baseline, shipping.image);
    let before = known
        .and_then(|known| known.git.as_ref())
        .and_then(|git| git.describe.as_deref());
    let after = git.and_then(|git| git.describe.as_deref());
    Naming {
        named_before: named_itself(baseline, known)
            && (baseline.version.is_some() || Heard::of(known).answered(service.verify.path.path())),
        both: expect::both(before, after),
        expected,
        others,
    }
}

/// What names other releases than `image`: the baseline's answer, and what the ledger holds.
pub(crate) fn others(history: &History, app: &str, baseline: &Baseline, image: Option<&Image>) -> Names {
    let is_ours = |other: &Image| image.is_some_and(|image| image.is_same_as(other));
    let mut others = Names::default();
    if let Some(served) = baseline.image.as_ref().filter(|served| !is_ours(served)) {
        others.words.extend(baseline.version.clone());
        others.images.push(served.clone());
    }
    for (at, row) in history.rows_of(app).take(VERSIONS) {
        if row.shipped.image.is_none() {
            continue;
        }
        let Ok(entry) = history.known(at) else { continue };
        if !entry.image.as_ref().is_some_and(is_ours) {
            others.words.extend(entry.version);
            if entry.built {
                others.shas.extend(entry.git.and_then(|git| git.sha));
            }
        }
    }
    others
}

/// Whether the service named its own release at the baseline, or when it was last verified. A word that it always
/// answers names none, however often it was seen.
pub(crate) fn named_itself(baseline: &Baseline, known: Option<&Known>) -> bool {
    let own = names(baseline.image.as_ref(), known);
    let answered = known.and_then(|known| known.version.as_ref());
    (baseline.version.as_ref().or(answered)).is_some_and(|version| own.matches(version))
}

/// Whether what an entry of the ledger answered names its own release.
pub(crate) fn entry_named_itself(entry: &Known) -> bool {
    let own = names(entry.image.as_ref(), Some(entry));
    (entry.version.as_ref()).is_some_and(|version| own.matches(version))
}

/// What names a release that the ledger may know.
pub(crate) fn names(image: Option<&Image>, known: Option<&Known>) -> Names {
    let git: Option<&GitFacts> = known
        .filter(|known| known.built)
        .and_then(|known| known.git.as_ref());
    let answered = known
        .filter(|known| known.named)
        .and_then(|known| known.version.as_deref());
    names_of(image, None, git, answered)
}

/// What is known of how the release that serves answers; `asked` is the path that it was asked on just now.
pub(crate) fn heard(baseline: &Baseline, known: Option<&Known>, asked: &str) -> Heard {
    match (Heard::of(known), baseline.answered, baseline.reach) {
        (Heard::Well(mut paths), true, _) => {
            paths.push(asked.to_owned());
            Heard::Well(paths)
        }
        (Heard::Unknown, true, _) => Heard::Well(vec![asked.to_owned()]),
        (Heard::Unknown, false, Some(Reach::ReachableBefore)) => Heard::Well(Vec::new()),
        (heard, false, _) => heard,
    }
}

/// The newest attempt that was cut off, if any was.
pub(crate) fn unfinished(history: &History, lock_is_held: bool) -> Vec<Unfinished> {
    history.unfinished(lock_is_held).unwrap_or_default()
}

/// The commands that mend what a deployment left when it was cut off, most likely first. What it was restoring comes
/// before anything else: another rollback would go past it. `verified`: what serves, where that was judged good.
pub(crate) fn ways_out(
    unfinished: &Unfinished,
    environment: &str,
    deploy: &str,
    verified: Option<&Image>,
) -> Vec<String> {
    let start = &unfinished.start;
    let is_returning = |service: &str| {
        let mut marks = unfinished.marks.iter();
        marks.any(|mark| mark.service == service && mark.phase == RETURN)
    };
    let mut restored = start
        .services
        .iter()
        .filter(|it| is_returning(&it.service))
        .filter_map(|service| service.previous.as_ref())
        .peekable();
    let shipped = start.services.first().filter(|service| !service.built);
    let shipped = shipped.and_then(|service| service.image.as_ref());
    let again = match shipped {
        Some(image) => format!("to ship again: {deploy} --image {image}"),
        None => format!("to ship again: {deploy}"),
    };
    match (start.kind, verified) {
        // It came to its end, or its return did.
        (_, Some(serves)) if shipped.is_some_and(|shipped| shipped.is_same_as(serves)) => Vec::new(),
        (_, Some(_)) if restored.peek().is_some() => Vec::new(),
        (Kind::Deploy, Some(_)) => vec![again],
        (Kind::Rollback | Kind::Verify, Some(_)) => Vec::new(),
        (_, None) if restored.peek().is_some() => restored
            .map(|served| {
                let to = served
                    .release
                    .map_or_else(|| served.image.clone(), |number| number.to_string());
                format!("to finish the return: shipctl rollback {environment} --to {to}")
            })
            .chain([format!("if it is back already: shipctl verify {environment}")])
            .collect(),
        (Kind::Deploy, None) => vec![again, format!("to go back: shipctl rollback {environment}")],
        (Kind::Rollback | Kind::Verify, None) => {
            vec![format!("to go back all the same: shipctl rollback {environment}")]
        }
    }
}

/// Release commands that ran after a release that is gone back to: their work stays done (DESIGN 7).
pub(crate) fn migrations_since(history: &History, app: &str, target: &Candidate) -> Vec<String> {
    let own = target.entry.as_ref().map(|entry| entry.id.as_str());
    let mut said = Vec::new();
    for (at, row) in history.rows_of(app).take(ATTEMPTS) {
        let Ok(entry) = history.known(at) else { continue };
        if Some(entry.id.as_str()) == own
            || row
                .release
                .get()
                .is_some_and(|number| Some(number) <= target.release)
        {
            break;
        }
        if entry.kind == Some(Kind::Deploy) && entry.release_command && entry.release.is_some() {
            let name = entry.image.as_ref().map_or("what was shipped", Image::short);
            said.push(format!(
                "a release command ran with {name} after {}: the database stays as that left it",
                target.name()
            ));
        }
    }
    said
}

/// The process groups of flyctl, with their start times, that outlived a deployment of this machine.
pub(crate) fn living_groups(unfinished: &Unfinished, host: &str) -> Vec<(i32, u64)> {
    let marks = unfinished.marks.iter();
    marks
        .filter(|_| unfinished.start.deployer.host == host)
        .map(|mark| (mark.process_group, mark.start_time))
        .filter(|(group, start)| *group > 1 && process::group_is_alive(*group, *start))
        .collect()
}

/// How long ago the last attempt to ship was interrupted, where the leases of its flyctl may live still.
pub(crate) fn interrupted_ago(history: &History) -> Option<Duration> {
    let mut attempts = history.attempts().filter_map(Result::ok);
    let last = attempts.find(|attempt| {
        let start = attempt.start.as_ref();
        start.is_none_or(|start| start.kind != Kind::Verify)
    })?;
    let end = last.end.filter(|end| end.outcome == Outcome::Interrupted)?;
    if gave_leases_back(&end.report) {
        return None;
    }
    let then: Timestamp = end.ended_at.parse().ok()?;
    // A record names whole seconds.
    let ago = Duration::try_from(clock::now().duration_since(then)).ok()?;
    Some(ago.saturating_sub(Duration::from_secs(1)))
}

/// Whether every flyctl had ended by itself when the interrupt came: nothing but looking was left.
fn gave_leases_back(report: &Value) -> bool {
    let phases = report["phases"].as_array();
    let last = phases.and_then(|phases| phases.last()?["name"].as_str());
    let services = report["services"].as_array().into_iter().flatten();
    let mut ended = services.map(|service| service["provider"]["exit_code"].is_number());
    matches!(last, Some("bake" | "verify")) && ended.all(|ended| ended)
}

/// The last word on what serves: of several releases the weakest. `None` where nobody judged one of them.
pub(crate) fn word(history: &History, app: &str, instances: &[Instance]) -> Option<Word> {
    let mut words = instances
        .iter()
        .map(|instance| history.word_on(app, instance.release?, &instance.image));
    let first = words.next()??;
    words.try_fold(first, |weakest, word| Some(weakest.weaker(word?)))
}

/// The release by which the image that serves was last verified, where that is another one than serves.
pub(crate) fn image_verified_as(history: &History, app: &str, image: &Image) -> Option<ReleaseNumber> {
    let verified = history.last_verified_of(app, image).ok().flatten()?;
    verified.release
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{RETURN, gave_leases_back, ways_out};
    use crate::state::history::Unfinished;
    use crate::state::testing::{Entry, image};

    #[test]
    fn what_was_being_restored_is_offered_first() {
        let deploy = || Entry::deploy("d2", "v2").over(1, "v1");
        let again = format!("to ship again: shipctl deploy production --image {}", image("v2"));
        let back = "to go back: shipctl rollback production";
        let (first, second) = (image("v1"), image("v2"));
        for (case, entry, verified, expected) in [
            (
                "a deploy",
                deploy().cut_off_while("moved", true),
                None,
                &[&*again, back][..],
            ),
            (
                "a deploy that built its image",
                deploy().built().cut_off_while("moved", true),
                None,
                &["to ship again: shipctl deploy production", back],
            ),
            (
                "a deploy that moved nothing",
                deploy().cut_off_while("ship", false),
                Some(&first),
                &[&*again],
            ),
            (
                "a deploy that was verified since",
                deploy().cut_off_while("moved", true),
                Some(&second),
                &[],
            ),
            (
                "its return",
                deploy().cut_off_while(RETURN, true),
                None,
                &[
                    "to finish the return: shipctl rollback production --to v1",
                    "if it is back already: shipctl verify production",
                ],
            ),
            (
                "its return, verified since",
                deploy().cut_off_while(RETURN, true),
                Some(&first),
                &[],
            ),
            (
                "a return to what no record names",
                Entry::deploy("d2", "v2").cut_off_while(RETURN, true),
                None,
                &[&*again, back],
            ),
            (
                "a rollback",
                Entry::rollback("r1", "v1")
                    .over(2, "v2")
                    .cut_off_while("moved", true),
                None,
                &["to go back all the same: shipctl rollback production"],
            ),
        ] {
            let unfinished = Unfinished {
                marks: entry.mark.into_iter().collect(),
                start: entry.start,
            };
            let ways = ways_out(&unfinished, "production", "shipctl deploy production", verified);
            assert_eq!(ways, expected, "{case}");
        }
    }

    #[test]
    fn leases_are_waited_for_where_flyctl_was_ended() {
        for (phase, exit_code, given_back) in [
            ("ship", json!(null), false),
            ("ship", json!(0), false),
            ("verify", json!(1), true),
            ("verify", json!(null), false),
            ("bake", json!(0), true),
            ("return", json!(0), false),
        ] {
            let report = json!({
                "phases": [{"name": "prepare"}, {"name": phase}],
                "services": [{"provider": {"exit_code": exit_code}}],
            });
            assert_eq!(gave_leases_back(&report), given_back, "{report}");
        }
        assert!(!gave_leases_back(&json!(null)));
    }
}
