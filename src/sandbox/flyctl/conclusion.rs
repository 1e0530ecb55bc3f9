//! How a deployment ends: the last status of its release, its leases, the question about DNS names, its last word.

use super::deploy::{Deployment, Strategy};
use super::failure::Failure;
use super::shipping::write_status;

/// How long the question about a DNS name goes on in vain.
const DNS: f64 = 60.0;
/// What Go prints when flyctl asks a client that its cancelled context no longer holds.
const PANIC: &str = "panic: interface conversion: interface {} is nil, not *client.Client [recovered, repanicked]\n\ngoroutine 1 [running]:\nmain.main()\n\t/home/runner/work/flyctl/flyctl/main.go:26 +0x18";

impl Deployment<'_> {
    /// Writes the last status, gives leases back, asks for DNS names, and says the last word.
    pub(super) async fn conclude(&self, result: Result<(), Failure>) -> Result<(), Failure> {
        let canceled = self.session.is_canceled() && self.strategy != Strategy::Bluegreen;
        let status = match &result {
            Ok(()) => "complete",
            Err(_) if canceled => "interrupted",
            Err(_) => "failed",
        };
        if canceled && result.is_err() {
            return Err(self.interrupted());
        }
        if self.session.is_canceled() {
            self.write_anyway(status);
        } else if let Err(error) = self.set_status(status).await {
            if result.is_ok() {
                self.release_leases();
                return Err(error.within("failed to set final release status"));
            }
            let text = error.text();
            self.session.log(
                "WARN",
                &format!("failed to set final release status after deployment failure: {text}\n"),
            );
        }
        self.release_leases();
        self.ask_dns().await?;
        result?;
        if self.restart {
            return Ok(());
        }
        self.session.out(&format!(
            "\nVisit your newly deployed app at https://{}.fly.dev/",
            self.app
        ));
        Ok(())
    }

    /// Writes a status though we were told to end.
    fn write_anyway(&self, status: &str) {
        let id = self.release.borrow().0.clone();
        let _ = self
            .session
            .world
            .change(|world, _| write_status(world, &self.app, &id, status));
    }

    /// Told to end: the release is `interrupted`, the leases stay, and flyctl panics (capture `deploy_sigint_health`).
    fn interrupted(&self) -> Failure {
        self.write_anyway("interrupted");
        let leases = self.leases.borrow();
        if !leases.is_empty() {
            let info = "detected canceled context and allowing 500ms to release machine";
            self.session.log("INFO", &format!("{info} leases\n"));
            for machine in self
                .machines
                .iter()
                .filter(|machine| leases.contains_key(&machine.id))
            {
                let name = format!("{} [{}]", machine.id, machine.group());
                self.session.log("INFO", &format!("{info} {name} lease\n"));
            }
        }
        self.remark();
        self.session.err(PANIC);
        Failure::exit(2)
    }

    /// Two empty lines where the signal came in (captures `deploy_sigint_smoke`, `deploy_sigint_health`).
    pub(super) fn remark(&self) {
        if !self.remarked.replace(true) {
            self.session.err("\n");
        }
    }

    /// The question about public names that this version asks whatever its flags say, and that can fail a good
    /// deployment (capture `deploy_dns_question_flag`).
    async fn ask_dns(&self) -> Result<(), Failure> {
        let asks = self
            .session
            .world
            .look(|world, _| {
                let public = world
                    .apps
                    .get(&self.app)
                    .is_some_and(|app| !app.addresses.is_empty());
                public && !world.settings.hide_ips_after_deploy
            })
            .unwrap_or(false);
        if !asks {
            return Ok(());
        }
        self.session
            .err(&format!("Checking DNS configuration for {}.fly.dev", self.app));
        self.session.pause(DNS).await;
        Err(Failure::new(format!(
            "expected 1 A records for {}.fly.dev., got 0",
            self.app
        )))
    }
}
