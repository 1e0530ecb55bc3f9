//! The leases that a deployment holds on the machines it updates.

use super::super::machine::Machine;
use super::deploy::Deployment;
use super::failure::Failure;

impl Deployment<'_> {
    /// All or none: each conflict is warned of, then the deployment fails (capture `deploy_lease_conflict`).
    pub(super) async fn acquire_leases(&self, machines: &[&Machine]) -> Result<(), Failure> {
        let mut failed = false;
        for machine in machines {
            let id = &machine.id;
            let path = self.path(&format!("/{id}/lease"));
            let call = self.machines_call("POST", &path);
            let taken = self
                .session
                .call(call, |world, now| {
                    world.lease(&self.app, id, None, None, self.lease, now)
                })
                .await;
            match taken {
                Ok(nonce) => {
                    self.leases.borrow_mut().insert(id.clone(), nonce);
                }
                Err(error) => {
                    failed = true;
                    let text = error.text();
                    self.session.log(
                        "WARN",
                        &format!("failed to acquire lease: failed to get lease on VM {id}: {text}\n"),
                    );
                }
            }
        }
        if failed {
            return Err(Failure::new("error acquiring leases on all machines"));
        }
        Ok(())
    }

    pub(super) fn nonce(&self, id: &str) -> Option<String> {
        self.leases.borrow().get(id).cloned()
    }

    /// Remembers the lease of a machine that was made with one.
    pub(super) fn holds(&self, id: &str, nonce: String) {
        self.leases.borrow_mut().insert(id.to_owned(), nonce);
    }

    /// Lengthens our leases where a third of their time is over.
    pub(super) fn renew_leases(&self) {
        let leases = self.leases.borrow().clone();
        if leases.is_empty() {
            return;
        }
        let _ = self.session.world.touch(|world, now| {
            if now - self.renewed.get() < world.span((self.lease - 1.0) / 3.0) {
                return ((), false);
            }
            self.renewed.set(now);
            for (id, nonce) in &leases {
                let renewed = world.lease(&self.app, id, Some(nonce), None, self.lease, now);
                if let Ok(nonce) = renewed {
                    self.leases.borrow_mut().insert(id.clone(), nonce);
                }
            }
            ((), true)
        });
    }

    pub(super) fn release_leases(&self) {
        let leases = std::mem::take(&mut *self.leases.borrow_mut());
        if leases.is_empty() {
            return;
        }
        let _ = self.session.world.change(|world, now| {
            for (id, nonce) in &leases {
                world.drop_lease(&self.app, id, nonce, now);
            }
        });
    }
}
