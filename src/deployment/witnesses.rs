//! What a verification looks through: flyctl and the app's own address.

use crate::effect::http::{Answer, Http};
use crate::instance::Instance;
use crate::project::VerifySettings;
use crate::provider::fly::Flyctl;
use crate::session::Session;
use crate::verification::probe;
use crate::verification::watch::Witnesses;

/// Where an app is asked for its health.
#[derive(Clone, Debug)]
pub(crate) struct HealthUrl {
    /// Scheme, host and what stands before the path.
    pub(crate) base: String,
    /// `SHIPCTL_HEALTH_URL` says so: no public address is needed.
    pub(crate) forced: bool,
}

impl HealthUrl {
    /// For commands that never send a request to an app: addresses need not be listed either.
    pub(crate) fn unasked(mut self) -> Self {
        self.forced = true;
        self
    }
}

/// The machines of one app and its answers.
#[derive(Clone, Debug)]
pub(crate) struct FlyWitnesses {
    pub(crate) app: String,
    pub(crate) flyctl: Flyctl,
    pub(crate) http: Http,
    pub(crate) health: HealthUrl,
    pub(crate) verify: VerifySettings,
}

impl FlyWitnesses {
    pub(crate) fn new(
        session: &Session,
        app: &str,
        flyctl: &Flyctl,
        health: HealthUrl,
        verify: VerifySettings,
    ) -> Self {
        Self {
            app: app.to_owned(),
            flyctl: flyctl.clone(),
            http: session.http.clone(),
            health,
            verify,
        }
    }
}

impl Witnesses for FlyWitnesses {
    async fn machines(&self) -> Result<Vec<Instance>, String> {
        self.flyctl
            .machines(&self.app)
            .await
            .map_err(|failure| failure.to_string())
    }

    async fn probe(&self, instance: Option<&str>) -> Answer {
        self.http
            .send(&probe::request(&self.health.base, &self.verify, instance))
            .await
    }

    async fn start(&self, instance: &str) -> Result<(), String> {
        self.flyctl
            .start_machine(&self.app, instance)
            .await
            .map_err(|failure| failure.to_string())
    }
}
