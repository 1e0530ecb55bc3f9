//! What serves, as one release or as none.

use serde_json::Value;

use crate::error::Result;
use crate::instance::Instance;
use crate::release::{Image, ReleaseNumber};
use crate::state::history::History;
use crate::state::keys::{Identity, ImageKey, Key};

/// A counted instance, as a rollback sees it.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    pub(crate) image: Image,
    pub(crate) group: String,
    pub(crate) release: Option<ReleaseNumber>,
    /// The machine's whole `config`.
    pub(crate) config: Value,
    /// Judged good, or asleep legitimately.
    pub(crate) good: bool,
}

impl Running {
    pub(crate) fn of(instance: &Instance, good: bool) -> Self {
        Self {
            image: instance.image.clone(),
            group: instance.group.clone().unwrap_or_default(),
            release: instance.release,
            config: instance.config.clone(),
            good,
        }
    }
}

/// All counted instances taken together.
pub(crate) struct Serving {
    /// The one image that all of them run; `None` where there are several, or no instance at all.
    pub(crate) image: Option<Image>,
    /// All of them are good, and there is one.
    pub(crate) good: bool,
    /// Where the ledger knows that release.
    pub(crate) place: Option<usize>,
    /// That release; its configuration is only known from the ledger.
    pub(crate) identity: Option<Identity>,
}

impl Serving {
    pub(crate) fn of(history: &History, app: &str, running: &[Running]) -> Result<Self> {
        let mut serving = Self {
            image: None,
            good: !running.is_empty() && running.iter().all(|it| it.good),
            place: None,
            identity: None,
        };
        let Some(first) = running.first() else {
            return Ok(serving);
        };
        let is_one_image = running.iter().all(|it| it.image.is_same_as(&first.image));
        if !is_one_image || has_several_configurations(history, app, running) {
            return Ok(serving);
        }
        // An instance that names a digest tells more than one that does not.
        let image = running
            .iter()
            .map(|it| &it.image)
            .find(|image| image.digest.is_some())
            .unwrap_or(&first.image);
        let configs: Vec<(&str, &Value)> = running.iter().map(|it| (it.group.as_str(), &it.config)).collect();
        serving.place = history.place_of(app, image, &configs)?;
        serving.identity = Some(serving.place.map_or(
            Identity {
                image: ImageKey::of(image),
                configuration: Key::NONE,
            },
            |at| history.row(at).shipped,
        ));
        serving.image = Some(image.clone());
        Ok(serving)
    }

    /// Whether all instances run this one.
    pub(crate) fn is(&self, identity: Identity) -> bool {
        self.identity.is_some_and(|own| own.is_same_as(identity))
    }
}

/// Whether the instances' release numbers belong to entries with different configurations: half of an update that
/// changed nothing but the configuration.
fn has_several_configurations(history: &History, app: &str, running: &[Running]) -> bool {
    let is_one_release = running.iter().all(|it| it.release == running[0].release);
    if is_one_release {
        return false;
    }
    let mut configurations = running.iter().filter_map(|it| {
        let number = it.release?;
        history
            .rows_with(app, ImageKey::of(&it.image))
            .find(|(_, row)| row.release.is(number))
            .map(|(_, row)| row.shipped.configuration)
            .filter(|configuration| !configuration.is_none())
    });
    let first = configurations.next();
    configurations.any(|it| Some(it) != first)
}
