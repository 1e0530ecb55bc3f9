//! From the first addresses to the last machine: the steps of a deployment that change the platform.

use std::collections::BTreeMap;

use super::super::machine::Machine;
use super::super::world::World;
use super::deploy::{Deployment, Strategy};
use super::failure::{CallError, Failure};
use super::session::Call;
use super::{bluegreen, canary, launch, release_command, rolling};

impl Deployment<'_> {
    /// From the first addresses to the last word.
    pub(super) async fn carry_out(&self) -> Result<(), Failure> {
        let first = self.is_first()?;
        if first && !self.session.arguments.switch("no-public-ips", false) {
            self.provision_addresses().await?;
        }
        self.create_release().await?;
        self.set_status("running")
            .await
            .map_err(|error| error.within(""))?;
        let result = self.ship(first).await;
        self.conclude(result).await
    }

    /// Nothing was ever completed here.
    fn is_first(&self) -> Result<bool, Failure> {
        self.session
            .world
            .look(|world, _| world.apps.get(&self.app).is_some_and(|app| !app.deployed()))
            .map_err(Failure::from)
    }

    async fn provision_addresses(&self) -> Result<(), Failure> {
        let public = self
            .config
            .groups()
            .iter()
            .any(|group| self.config.has_services(group));
        if !public {
            return Ok(());
        }
        self.session.out(&format!("Provisioning ips for {}", self.app));
        for (kind, words) in [("v6", "Dedicated ipv6"), ("shared_v4", "Shared ipv4")] {
            let call = Call::generated("mutation allocateIpAddress", &self.app);
            let address = self
                .session
                .call(call, |world, now| {
                    Ok(world.allocate(&self.app, kind, "global", now))
                })
                .await
                .map_err(|error| error.within(""))?;
            if let Some(address) = address {
                self.session.out(&format!("  {words}: {}", address.ip));
            }
        }
        self.session
            .out("  Add a dedicated ipv4 with: fly ips allocate-v4\n");
        Ok(())
    }

    async fn create_release(&self) -> Result<(), Failure> {
        let call = Call::generated("mutation createRelease", &self.app);
        let made = self
            .session
            .call(call, |world, now| {
                let definition = self.config.definition.clone();
                let index = world.add_release(&self.app, &self.image, definition, "pending", now);
                let release = index.and_then(|index| world.apps.get(&self.app)?.releases.get(index));
                Ok(release.map(|release| (release.id.clone(), release.version)))
            })
            .await
            .map_err(|error| error.within(""))?;
        self.release.replace(made.unwrap_or_default());
        Ok(())
    }

    pub(super) async fn set_status(&self, status: &str) -> Result<(), CallError> {
        let id = self.release.borrow().0.clone();
        let call = Call::generated("mutation updateRelease", &self.app);
        self.session
            .call(call, |world, _| {
                write_status(world, &self.app, &id, status);
                Ok(())
            })
            .await
    }

    /// Everything that happens under a running release.
    async fn ship(&self, first: bool) -> Result<(), Failure> {
        if !self.restart {
            self.announce(first);
            release_command::run(self).await?;
            if self.strategy == Strategy::Canary && !self.machines.is_empty() {
                canary::run(self).await?;
            }
            self.destroy_removed_groups().await?;
            if !self.session.arguments.switch("update-only", false) && !self.new_groups.is_empty() {
                launch::new_groups(self, &self.new_groups).await?;
            }
        }
        let machines: Vec<&Machine> = self
            .machines
            .iter()
            .filter(|machine| self.is_configured(machine))
            .collect();
        if machines.is_empty() {
            return Ok(());
        }
        self.acquire_leases(&machines).await?;
        self.session.out(&format!(
            "Updating existing machines in '{}' with {} strategy",
            self.app,
            self.strategy.word()
        ));
        match self.strategy {
            Strategy::Bluegreen => bluegreen::run(self, &machines).await,
            _ => rolling::run(self, &machines).await,
        }
    }

    fn is_configured(&self, machine: &Machine) -> bool {
        self.config.groups().iter().any(|group| group == machine.group())
    }

    /// What this deployment makes and removes.
    fn announce(&self, first: bool) {
        let removed: Vec<_> = self
            .machines
            .iter()
            .filter(|machine| !self.is_configured(machine))
            .collect();
        let makes = !self.session.arguments.switch("update-only", false) && !self.new_groups.is_empty();
        if !makes && removed.is_empty() {
            return;
        }
        if first || self.machines.is_empty() {
            self.session.out("This deployment will:");
        } else {
            self.session.out("Process groups have changed. This will:");
        }
        let mut groups: BTreeMap<&str, usize> = BTreeMap::new();
        for machine in removed {
            *groups.entry(machine.group()).or_default() += 1;
        }
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        for (group, count) in groups {
            self.session.out(&format!(
                " * destroy {count} \"{group}\" machine{}",
                plural(count)
            ));
        }
        for group in self.new_groups.iter().filter(|_| makes) {
            let (count, standby) = launch::count(self, group);
            let standby = if standby {
                " and 1 standby machine for it"
            } else {
                ""
            };
            self.session.out(&format!(
                " * create {count} \"{group}\" machine{}{standby}",
                plural(count)
            ));
        }
        self.session.out("");
    }

    async fn destroy_removed_groups(&self) -> Result<(), Failure> {
        for machine in self
            .machines
            .iter()
            .filter(|machine| !self.is_configured(machine))
        {
            let path = self.path(&format!("/{}", machine.id));
            self.session
                .call(self.machines_call("DELETE", &path), |world, now| {
                    world.destroy_machine(&self.app, &machine.id, None, now)
                })
                .await
                .map_err(|error| error.within(&format!("failed to destroy VM {}", machine.id)))?;
        }
        Ok(())
    }
}

pub(super) fn write_status(world: &mut World, app: &str, id: &str, status: &str) {
    let releases = world.apps.get_mut(app).map(|app| &mut app.releases);
    let release = releases.into_iter().flatten().find(|release| release.id == id);
    if let Some(release) = release {
        status.clone_into(&mut release.status);
    }
}
