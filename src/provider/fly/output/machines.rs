//! `machine list --json` → instances.

use serde_json::Value;

use super::{Unreadable, list, text};
use crate::instance::{CheckState, Exit, Instance, InstanceEvent, InstanceState};
use crate::release::{Digest, Image, ReleaseNumber};

/// All machines of the list, also those that flyctl made for itself.
pub(crate) fn parse(output: &[u8]) -> Result<Vec<Instance>, Unreadable> {
    list(output)?.iter().map(instance).collect()
}

fn instance(machine: &Value) -> Result<Instance, Unreadable> {
    let id = text(machine, "id");
    if id.is_empty() {
        // Leaving it out could hide the one that fails.
        return Err(Unreadable::new("a machine without an id"));
    }
    // A machine on an unreachable host has no `config`, but perhaps what is known of it (REFERENCE 1.2).
    let config = [&machine["config"], &machine["incomplete_config"]]
        .into_iter()
        .find(|config| config.is_object())
        .cloned()
        .unwrap_or_default();
    let metadata = &config["metadata"];
    let group = [
        &metadata["fly_process_group"],
        &config["env"]["FLY_PROCESS_GROUP"],
    ]
    .into_iter()
    .find_map(|group| group.as_str().filter(|group| !group.is_empty()))
    .map(str::to_owned);
    Ok(Instance {
        region: text(machine, "region"),
        state: InstanceState::parse(machine["state"].as_str().unwrap_or_default()),
        image: image(&config["image"], &machine["image_ref"]),
        release: number(&metadata["fly_release_version"]).map(ReleaseNumber),
        version: text(machine, "instance_id"),
        checks: items(&machine["checks"]).filter_map(check).collect(),
        events: items(&machine["events"]).map(event).collect(),
        updated_at: text(machine, "updated_at"),
        host_reachable: machine["host_status"].as_str().map(|status| status == "ok"),
        cordoned: machine["cordoned"].as_bool(),
        standbys: items(&config["standbys"])
            .filter_map(|id| id.as_str().map(str::to_owned))
            .collect(),
        canary: metadata["fly_canary"].as_str() == Some("true"),
        group,
        config,
        id,
    })
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// flyctl writes the number of a release as a decimal string.
fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// Named by `config.image`, for `image_ref` spells mirrors differently (DESIGN 7); the digest is that of `image_ref`.
fn image(config: &Value, reference: &Value) -> Image {
    let digest = reference["digest"].as_str().and_then(Digest::parse);
    if let Some(name) = config.as_str().filter(|name| !name.is_empty()) {
        return Image::parse(name).with_digest(digest);
    }
    let part = |key: &str| reference[key].as_str().filter(|part| !part.is_empty());
    let mut name = part("repository").unwrap_or_default().to_owned();
    if let Some(registry) = part("registry") {
        name = format!("{registry}/{name}");
    }
    if let Some(tag) = part("tag") {
        name = format!("{name}:{tag}");
    }
    Image { name, digest }
}

fn check(check: &Value) -> Option<CheckState> {
    let name = text(check, "name");
    // Made up by flyctl for old apps; `status` hides them too.
    (!name.starts_with("bg_deployments_compat")).then(|| CheckState {
        status: text(check, "status"),
        output: text(check, "output"),
        name,
    })
}

fn event(event: &Value) -> InstanceEvent {
    let kind = text(event, "type");
    InstanceEvent {
        exit: (kind == "exit").then(|| exit(&event["request"])),
        status: text(event, "status"),
        at_ms: event["timestamp"].as_i64().unwrap_or_default(),
        kind,
    }
}

/// Absent fields are zero and false; the event may be wrapped in that of the monitor.
fn exit(request: &Value) -> Exit {
    let wrapped = ["MonitorEvent", "monitor_event"]
        .into_iter()
        .map(|key| &request[key]["exit_event"])
        .find(|event| event.is_object());
    let event = wrapped.unwrap_or(&request["exit_event"]);
    Exit {
        code: event["exit_code"].as_i64().unwrap_or_default(),
        requested_stop: event["requested_stop"].as_bool().unwrap_or_default(),
        oom_killed: event["oom_killed"].as_bool().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};
    use serde_json::json;

    use super::super::captures::capture;
    use super::parse;
    use crate::instance::{Exit, InstanceState};
    use crate::release::ReleaseNumber;

    #[test]
    fn running_machines() {
        let list = parse(capture("machine_list_json").stdout.as_bytes()).unwrap();
        assert_eq!(list.len(), 2);
        let one = &list[0];
        assert_eq!((one.id.as_str(), one.region.as_str()), ("6b40928b5b7a78", "fra"));
        assert_eq!(one.state, InstanceState::Started);
        assert_eq!(one.group.as_deref(), Some("app"));
        assert_eq!(one.image.name, "registry.fly.io/shop:v4");
        assert!(
            one.image
                .digest
                .as_ref()
                .unwrap()
                .as_str()
                .starts_with("sha256:5a4d404ca550")
        );
        assert_eq!(one.release, Some(ReleaseNumber(4)));
        assert_eq!(one.version, "01WPQ5E6EYCNDY0YP57RCYBVN5");
        assert_eq!(
            (one.host_reachable, one.cordoned, one.canary),
            (None, None, false)
        );
        assert_eq!(one.checks.len(), 1);
        assert!(one.checks[0].is_passing());
        assert!(one.checks[0].output.contains("200 OK"));
        assert_eq!(one.updated_at, "2026-11-21T03:57:54.100Z");
        let kinds: Vec<_> = one
            .events
            .iter()
            .map(|event| (event.kind.as_str(), event.at_ms))
            .collect();
        assert_eq!(
            kinds,
            [("start", 1_795_233_474_100), ("launch", 1_795_233_474_100)]
        );
        assert!(one.counts(&["app".to_owned()]) && !one.has_autostop());
        assert_eq!(one.config["guest"]["memory_mb"], 256);
    }

    #[test]
    fn sleeping_machines_were_stopped_on_request() {
        let list = parse(capture("machine_list_stopped_json").stdout.as_bytes()).unwrap();
        assert_eq!(list[0].state, InstanceState::Stopped);
        let (at, exit) = list[0].last_exit().unwrap();
        assert_eq!(at, 1_795_233_476_584);
        assert_eq!(
            exit,
            Exit {
                code: 0,
                requested_stop: true,
                oom_killed: false
            }
        );
        assert!(!list[0].has_crashed() && list[0].has_autostop());
    }

    #[test]
    fn no_machines() {
        for output in [
            capture("machine_list_never_deployed_json").stdout.as_str(),
            "null",
            "[]",
        ] {
            assert!(parse(output.as_bytes()).unwrap().is_empty(), "{output}");
        }
    }

    #[test]
    fn standbys_in_the_same_form_from_status() {
        let status: serde_json::Value = serde_json::from_str(&capture("groups_status_json").stdout).unwrap();
        let list = parse(status["Machines"].to_string().as_bytes()).unwrap();
        let standbys: Vec<_> = list.iter().filter(|one| !one.standbys.is_empty()).collect();
        assert_eq!(standbys.len(), 1);
        assert!(!standbys[0].counts(&["app".to_owned(), "worker".to_owned()]));
    }

    #[test]
    fn newer_fields_and_missing_ones() {
        let list = parse(
            json!([
                {"id": "1", "state": "started", "host_status": "unreachable", "cordoned": true, "new": {},
                 "incomplete_config": {"metadata": {"fly_process_group": "web", "fly_release_version": 7, "fly_canary": "true"}},
                 "image_ref": {"registry": "r.io", "repository": "shop", "tag": "v1", "digest": "sha256:ab"},
                 "checks": [{"name": "bg_deployments_compat_x", "status": "critical"}],
                 "events": [
                    {"type": "exit", "timestamp": 5, "request": {"MonitorEvent": {"exit_event": {"exit_code": 137, "oom_killed": true}}}},
                    {"type": "exit", "timestamp": 9}]},
                {"id": "2", "config": {"image": "r.io/shop@sha256:cd", "env": {"FLY_PROCESS_GROUP": "app"}}, "host_status": "ok"},
                {"id": "3", "config": null, "checks": null, "events": null, "state": "dreaming"}
            ])
            .to_string()
            .as_bytes(),
        )
        .unwrap();
        let one = &list[0];
        assert_eq!(
            (one.host_reachable, one.cordoned, one.canary),
            (Some(false), Some(true), true)
        );
        assert_eq!(
            (one.group.as_deref(), one.release),
            (Some("web"), Some(ReleaseNumber(7)))
        );
        assert_eq!(one.image.reference(), "r.io/shop:v1@sha256:ab");
        assert!(one.checks.is_empty());
        let first = one.events[0].exit.unwrap();
        assert!(first.oom_killed && first.is_crash());
        assert_eq!(one.last_exit().unwrap().1.code, 0);
        let two = &list[1];
        assert_eq!(
            (two.group.as_deref(), two.host_reachable),
            (Some("app"), Some(true))
        );
        assert_eq!(two.image.reference(), "r.io/shop@sha256:cd");
        assert_eq!(list[2].state, InstanceState::Other("dreaming".into()));
        assert_eq!(
            (list[2].group.as_deref(), list[2].image.name.as_str()),
            (None, "")
        );
    }

    #[test]
    fn what_is_no_list_of_machines_is_unreadable() {
        for output in [
            "",
            "{}",
            "[{}]",
            "[1]",
            "[{\"id\":\"\"}]",
            "Error: machines could not be retrieved",
        ] {
            assert!(parse(output.as_bytes()).is_err(), "{output}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes in any::<Vec<u8>>()) {
            let _ = parse(&bytes);
        }

        #[test]
        fn no_types_break_it(key in "(id|state|config|image_ref|events|checks|host_status|cordoned)", value in "(null|1|\"x\"|\\[\\]|\\{\\}|\\[1,null\\]|true|-1e300)") {
            let _ = parse(["[{\"id\":\"1\",\"", &key, "\":", &value, "}]"].concat().as_bytes());
        }
    }
}
