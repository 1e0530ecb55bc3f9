//! The first look: what runs, what was released, where the app is reached, and how it answers. Changes nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;
use tokio::time::sleep;

use crate::deployment::witnesses::HealthUrl;
use crate::effect::http::{Answer, Http};
use crate::instance::{Instance, InstanceState};
use crate::project::fly_toml::FlyToml;
use crate::project::{Environment, Service, Variables, VerifySettings, VersionField};
use crate::provider::fly::Flyctl;
use crate::provider::fly::call::CallFailure;
use crate::provider::fly::output::ips::Address;
use crate::release::Release;
use crate::session::Session;
use crate::verification::expectation::PathAuthority;
use crate::verification::probe::{self, Word};

/// So often an instance is asked that answers badly, with a pause in between.
const TRIES: usize = 3;
const PAUSE: Duration = Duration::from_millis(250);

/// What was seen of one app at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) machines: Vec<Instance>,
    /// Newest first.
    pub(crate) releases: Vec<Release>,
    /// Empty where nothing public could lead to the app; `None` where something could, and the list could not be had.
    pub(crate) addresses: Option<Vec<Address>>,
    /// `config show`, where it was asked for and answered.
    pub(crate) remote: Option<Value>,
    /// By instance; only those that were awake and that something public leads to were asked.
    pub(crate) answers: BTreeMap<String, Answer>,
}

/// What to look for.
pub(crate) struct Look<'a> {
    pub(crate) service: &'a Service,
    pub(crate) flyctl: &'a Flyctl,
    pub(crate) http: &'a Http,
    pub(crate) health: &'a HealthUrl,
    /// Of the environment.
    pub(crate) variables: &'a Variables,
    /// Whether flyctl's own configuration of the app is needed.
    pub(crate) remote: bool,
    /// Whether instances are asked for their health.
    pub(crate) ask: bool,
}

impl Facts {
    /// Whether the app is asked: something public leads to it, a URL was given, or nobody knows. What is asked in vain
    /// then is no witness; what is not asked is never seen to be bad.
    pub(crate) fn has_address(&self, health: &HealthUrl) -> bool {
        let public = |list: &Vec<Address>| list.iter().any(Address::is_public);
        health.forced || self.addresses.as_ref().is_none_or(public)
    }

    /// What a person should know of this look.
    pub(crate) fn warning(&self) -> Option<&'static str> {
        let unknown = "the app's addresses could not be listed; it is asked as if it had a public one";
        self.addresses.is_none().then_some(unknown)
    }
}

impl<'a> Look<'a> {
    /// Asks neither instances nor for flyctl's own configuration.
    pub(crate) fn at(
        session: &'a Session,
        environment: &'a Environment,
        service: &'a Service,
        flyctl: &'a Flyctl,
        health: &'a HealthUrl,
    ) -> Self {
        Self {
            service,
            flyctl,
            http: &session.http,
            health,
            variables: &environment.variables,
            remote: false,
            ask: false,
        }
    }

    /// All calls side by side, then all answers side by side.
    ///
    /// # Errors
    /// Where machines or releases cannot be listed; addresses and configuration are done without.
    pub(crate) async fn take(&self) -> Result<Facts, CallFailure> {
        let app = &self.service.app;
        let file = self.service.file.as_ref().map(|file| &file.toml);
        let public = file.is_none_or(has_public_handler) && !self.health.forced;
        let (machines, releases, addresses, remote) = tokio::join!(
            self.flyctl.machines(app),
            self.flyctl.releases(app),
            async {
                if public {
                    self.flyctl.ips(app).await.ok()
                } else {
                    Some(Vec::new())
                }
            },
            async {
                if self.remote {
                    self.flyctl.config_show(app).await.ok()
                } else {
                    None
                }
            },
        );
        let machines = machines?;
        let mut facts = Facts {
            machines,
            releases: releases?,
            addresses,
            remote,
            answers: BTreeMap::new(),
        };
        if self.ask {
            facts.answers = self.answers(&facts).await;
        }
        Ok(facts)
    }

    /// Asks each instance that is awake and that the proxy leads to today; nothing is woken (DESIGN 5).
    async fn answers(&self, facts: &Facts) -> BTreeMap<String, Answer> {
        let parsed = facts.remote.as_ref().map(FlyToml::from_json);
        let Some(file) = self
            .service
            .file
            .as_ref()
            .map(|file| &file.toml)
            .or(parsed.as_ref())
        else {
            return BTreeMap::new();
        };
        if !facts.has_address(self.health) {
            return BTreeMap::new();
        }
        let groups = public_groups(file, self.health.forced, &facts.machines);
        let verify = &settings(self.service, self.variables, facts.remote.as_ref());
        let is_led_to = |machine: &Instance| machine.config.is_null() || machine.has_services();
        let asked = facts.machines.iter().filter(|machine| {
            machine.counts(&groups) && machine.state == InstanceState::Started && is_led_to(machine)
        });
        let calls = asked.map(|machine| async {
            let request = probe::request(&self.health.base, verify, Some(&machine.id));
            let mut answer = self.http.send(&request).await;
            for _ in 1..TRIES {
                if !is_worth_asking_again(&answer, &verify.version_field) {
                    break;
                }
                sleep(PAUSE).await;
                answer = self.http.send(&request).await;
            }
            (machine.id.clone(), answer)
        });
        join_all(calls).await.into_iter().collect()
    }
}

/// What serves is nothing to return to where it answers badly: one blip must not decide that. What took as long as an
/// answer may take is not waited for again.
fn is_worth_asking_again(answer: &Answer, field: &VersionField) -> bool {
    let read = probe::read(answer, PathAuthority::Root, field);
    matches!(read.word, Word::Bad(_)) && !matches!(answer, Answer::Slow)
}

/// How the app is asked: by its file; without a checkout by the checks of the configuration that flyctl has.
pub(crate) fn settings(service: &Service, variables: &Variables, remote: Option<&Value>) -> VerifySettings {
    let remote = remote.filter(|_| service.file.is_none()).map(FlyToml::from_json);
    let Some(toml) = remote else {
        return service.verify.clone();
    };
    let bare = Environment::bare(
        &service.name,
        &service.app,
        &service.context,
        Some(&toml),
        variables,
    );
    bare.services
        .into_iter()
        .next()
        .map_or_else(|| service.verify.clone(), |bare| bare.verify)
}

/// Whether any group of the file has a public handler.
pub(crate) fn has_public_handler(file: &FlyToml) -> bool {
    file.groups().iter().any(|group| file.group(group).public_http)
}

/// The groups that are asked over HTTP: those with a public handler. With a given URL and no such group the first one,
/// where the proxy leads to its instances and goes on to; a worker without a service answers nobody.
pub(crate) fn public_groups(file: &FlyToml, forced: bool, instances: &[Instance]) -> Vec<String> {
    let groups = file.groups();
    let public: Vec<String> = groups
        .iter()
        .filter(|group| file.group(group).public_http)
        .cloned()
        .collect();
    if public.is_empty() && forced {
        let leads_to = |group: &String| {
            file.group(group).served
                && instances
                    .iter()
                    .any(|instance| instance.group.as_ref() == Some(group) && instance.has_services())
        };
        groups.into_iter().take(1).filter(leads_to).collect()
    } else {
        public
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::{Facts, is_worth_asking_again, public_groups};
    use crate::deployment::witnesses::HealthUrl;
    use crate::effect::http::Answer;
    use crate::project::VersionField;
    use crate::project::fly_toml::FlyToml;
    use crate::provider::fly::output::{ips, machines};

    #[test]
    fn an_app_is_asked_where_nobody_knows_whether_something_leads_to_it() {
        let public = br#"[{"ID": "1", "Address": "2a09::1", "Type": "v6", "Region": "global"}]"#;
        for (listed, forced, asked, warned) in [
            (Some(&public[..]), false, true, false),
            (Some(&b"[]"[..]), false, false, false),
            (Some(&b"[]"[..]), true, true, false),
            (None, false, true, true),
        ] {
            let facts = Facts {
                machines: Vec::new(),
                releases: Vec::new(),
                addresses: listed.map(|list| ips::parse(list).unwrap()),
                remote: None,
                answers: BTreeMap::new(),
            };
            let health = HealthUrl {
                base: String::new(),
                forced,
            };
            assert_eq!(facts.has_address(&health), asked, "{listed:?} {forced}");
            assert_eq!(facts.warning().is_some(), warned, "{listed:?}");
        }
    }

    #[test]
    fn a_group_is_asked_where_the_proxy_leads_to_it_and_goes_on_to() {
        let machine = |services: Value| json!([{"id": "a", "state": "started", "config": {"services": services, "metadata": {"fly_process_group": "app"}}}]);
        let list = |services| machines::parse(machine(services).to_string().as_bytes()).unwrap();
        let (led_to, alone) = (list(json!([{"internal_port": 8080}])), list(json!([])));
        let tcp = "app = \"a\"\n[[services]]\ninternal_port = 8080\n";
        let web = "app = \"a\"\n[http_service]\ninternal_port = 8080\n";
        for (text, forced, instances, asked) in [
            (tcp, true, &led_to, true),
            (tcp, false, &led_to, false),
            (tcp, true, &alone, false),
            // Its services are taken away by this file.
            ("app = \"a\"\n", true, &led_to, false),
            // They come with this file.
            (web, true, &alone, true),
            (web, false, &alone, true),
        ] {
            let groups = public_groups(&FlyToml::parse(text), forced, instances);
            assert_eq!(!groups.is_empty(), asked, "{text} {forced}");
        }
    }

    #[test]
    fn only_a_bad_answer_that_came_soon_is_asked_for_again() {
        let response = |status| Answer::Response {
            status,
            headers: Vec::new(),
            body: Vec::new(),
            latency: Duration::ZERO,
        };
        let field = VersionField::Pointer("/version".into());
        for (answer, again) in [
            (response(200), false),
            (response(404), false),
            (response(503), true),
            (Answer::Cut("reset".into()), true),
            (Answer::Slow, false),
            (Answer::NoConnection("refused".into()), false),
        ] {
            assert_eq!(is_worth_asking_again(&answer, &field), again, "{answer:?}");
        }
    }
}
