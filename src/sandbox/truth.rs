//! The truth about a world, for tests: what really runs, whatever flyctl or shipctl say.

use serde_json::{Map, Value, json};

use super::machine::Machine;
use super::world::{App, Millis, World, short_stamp, stamp};

/// Everything that a test may assert on.
pub(super) fn state(world: &World, now: Millis) -> Value {
    let apps: Map<_, _> = world
        .apps
        .values()
        .map(|app| (app.name.clone(), app_state(world, app, now)))
        .collect();
    json!({
        "settings": world.settings,
        "faults": world.faults,
        "scheduled": world.scheduled.len(),
        "tokens": world.tokens,
        "route": world.route,
        "apps": apps,
    })
}

fn app_state(world: &World, app: &App, now: Millis) -> Value {
    let releases: Vec<_> = app
        .releases
        .iter()
        .map(|release| {
            json!({
                "version": release.version, "id": release.id, "status": release.status, "image": release.image,
                "user": release.user, "created_at": stamp(release.created_at), "definition": release.definition,
            })
        })
        .collect();
    let leases: Map<_, _> = app
        .machines
        .iter()
        .filter(|machine| machine.is_live())
        .filter_map(|machine| {
            let lease = machine.live_lease(now)?;
            Some((
                machine.id.clone(),
                json!({"owner": lease.owner, "expires_at": stamp(lease.expires_at)}),
            ))
        })
        .collect();
    let machines: Vec<_> = app
        .machines
        .iter()
        .map(|machine| machine_state(world, app, machine, now))
        .collect();
    let addresses: Vec<_> = app
        .addresses
        .iter()
        .map(|address| json!({"kind": address.kind, "address": address.ip}))
        .collect();
    json!({
        "org": app.org, "status": app.status(), "deployed": app.deployed(), "behaviour": app.behaviour,
        "releases": releases, "machines": machines, "leases": leases, "addresses": addresses,
        "secrets": app.secrets.keys().collect::<Vec<_>>(), "rules": app.rules.len(),
    })
}

fn machine_state(world: &World, app: &App, machine: &Machine, now: Millis) -> Value {
    let checks: Map<_, _> = world
        .checks(app, machine, now)
        .into_iter()
        .map(|check| (check.name, json!(check.status)))
        .collect();
    json!({
        "id": machine.id, "name": machine.name, "region": machine.region, "group": machine.group(),
        "state": machine.state, "release": machine.release_version(), "tag": machine.image_ref.tag,
        "image": machine.image(), "digest": machine.image_ref.digest, "reference": machine.config["image"],
        "healthy": world.is_well(app, machine, now), "checks": checks, "standby": machine.is_standby(),
        "cordoned": machine.cordoned, "reachable": machine.reachable, "restarts": machine.exits,
        "answered": machine.answered, "instance_id": machine.instance_id, "env": machine.config["env"],
        "guest": machine.config["guest"],
        "started_at": machine.started_at.map(short_stamp),
        "events": machine.events.iter().map(super::machine::Event::to_json).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::control::obey;
    use super::super::world::World;

    fn order(world: &mut World, order: serde_json::Value) -> serde_json::Value {
        obey(world, order, 1_000_000).unwrap()
    }

    #[test]
    fn a_seeded_app_runs_its_last_complete_image() {
        let mut world = World::default();
        let images = ["registry.fly.io/shop:v1", "registry.fly.io/shop:v2-bad"];
        order(
            &mut world,
            json!({"do": "seed", "app": "shop", "images": images, "statuses": ["complete", "failed"], "per_region": 2}),
        );
        let state = order(&mut world, json!({"do": "state"}));
        let machines = state["apps"]["shop"]["machines"].as_array().unwrap();
        assert_eq!(machines.len(), 2);
        assert!(
            machines
                .iter()
                .all(|machine| machine["tag"] == "v1" && machine["healthy"] == true)
        );
        assert_eq!(machines[0]["release"], 1);
    }

    #[test]
    fn orders_wait_for_their_time_and_for_their_call() {
        let mut world = World::default();
        order(&mut world, json!({"do": "seed", "app": "shop"}));
        let foreign = json!({"do": "new_release", "app": "shop", "image": "registry.fly.io/shop:v9", "after_seconds": 2});
        order(&mut world, foreign);
        world.advance(1_001_999);
        assert_eq!(world.apps["shop"].releases.len(), 1);
        world.advance(1_002_000);
        assert_eq!(world.apps["shop"].releases.len(), 2);
        let on_call = json!({"do": "route", "up": false, "on_call": "createRelease", "skip": 1});
        order(&mut world, on_call);
        super::super::control::after_call(&mut world, "graphql mutation createRelease", 1_003_000);
        assert!(world.route);
        super::super::control::after_call(&mut world, "graphql mutation createRelease", 1_003_000);
        assert!(!world.route);
    }

    #[test]
    fn an_unknown_order_field_or_setting_is_refused() {
        let mut world = World::default();
        for wrong in [
            json!({"do": "nothing"}),
            json!({"do": "route", "up": true, "extra": 1}),
            json!({"do": "settings", "sped": 1}),
            json!({"do": "fault", "kind": "418"}),
            json!({"do": "rule", "app": "shop", "statos": 200}),
        ] {
            assert!(obey(&mut world, wrong.clone(), 0).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_crashing_machine_starts_again_until_it_is_left_stopped() {
        let mut world = World::default();
        order(
            &mut world,
            json!({"do": "seed", "app": "shop", "images": ["registry.fly.io/shop:crash"]}),
        );
        world.advance(1_000_000 + 60_000);
        let machine = &world.apps["shop"].machines[0];
        assert_eq!((machine.state.as_str(), machine.exits), ("stopped", 10));
        assert!(machine.next.is_none());
    }

    #[test]
    fn idle_machines_sleep_but_the_minimum_stays() {
        let mut world = World::default();
        order(
            &mut world,
            json!({"do": "seed", "app": "shop", "per_region": 3, "autostop": true, "min_running": 1}),
        );
        world.advance(1_000_000 + 60_000);
        let running = world.apps["shop"]
            .machines
            .iter()
            .filter(|machine| machine.state == "started");
        assert_eq!(running.count(), 1);
    }
}
