//! Rows by the images that they name, so that the word on one of a hundred thousand is found at once.

use crate::state::history::History;
use crate::state::keys::{ImageKey, Key};
use crate::state::row::Row;
use crate::state::rows::Rows;

/// The rows of all apps by what they say of an image.
#[derive(Debug)]
pub(super) struct Images {
    shipped: ByImage,
    /// Rollbacks that left a release, by what they left.
    left: ByImage,
    /// Returns that verified what they went back to.
    returned: ByImage,
}

impl Images {
    pub(super) fn of(rows: &Rows) -> Self {
        let mut images = Self {
            shipped: ByImage::with_capacity(rows.len()),
            left: ByImage::with_capacity(rows.len() / 4),
            returned: ByImage::with_capacity(rows.len() / 4),
        };
        for (at, row) in rows.iter() {
            images.shipped.push(at, row.shipped.image);
            if row.leaves_previous() {
                images.left.push(at, row.previous.image);
            }
            if row.is_verified_return() {
                images.returned.push(at, row.serving.image);
            }
        }
        images
    }
}

impl History {
    /// The rows of an app that shipped an image, or looked at it, newest first.
    pub(crate) fn rows_with(&self, app: &str, image: ImageKey) -> impl Iterator<Item = (usize, &Row)> {
        self.chosen(&self.images().shipped, app, image, |row| row.shipped.image)
    }

    /// The rollbacks of an app that left an image, newest first.
    pub(super) fn rows_leaving(&self, app: &str, image: ImageKey) -> impl Iterator<Item = (usize, &Row)> {
        self.chosen(&self.images().left, app, image, |row| row.previous.image)
    }

    /// The attempts of an app that returned to an image and verified it, newest first.
    pub(super) fn rows_returning(&self, app: &str, image: ImageKey) -> impl Iterator<Item = (usize, &Row)> {
        self.chosen(&self.images().returned, app, image, |row| row.serving.image)
    }

    /// The rows of an app that shipped an image, looked at it or returned to it, newest first. One that shipped it and
    /// returned to it stands there twice.
    pub(super) fn rows_about(&self, app: &str, image: ImageKey) -> impl Iterator<Item = (usize, &Row)> {
        let (shipped, returned) = (self.rows_with(app, image), self.rows_returning(app, image));
        merged(shipped, returned, |(at, _)| *at)
    }

    fn chosen<'h>(
        &'h self,
        by_image: &'h ByImage,
        app: &str,
        image: ImageKey,
        named: fn(&Row) -> ImageKey,
    ) -> impl Iterator<Item = (usize, &'h Row)> {
        let app = self.place_of_name(app);
        by_image
            .places(image)
            .map(|at| (at, self.row(at)))
            .filter(move |(_, row)| Some(row.app) == app && named(row).is_same_as(image))
    }
}

/// Where a chain ends.
const NOWHERE: u32 = 0;

/// Three hash tables made for being filled once, in few allocations: places by digest, by name, and by name where no
/// digest is known. What has a digest is in the first two, as either may be what an image is asked for by.
#[derive(Debug)]
struct ByImage {
    by_digest: Vec<u32>,
    by_name: Vec<u32>,
    digestless: Vec<u32>,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    at: u32,
    /// The entries before it in its buckets, counted from one: of the digest and the name, or of the name alone.
    before: [u32; 2],
}

impl ByImage {
    /// Filled with more than this it gets slower, not wrong.
    fn with_capacity(places: usize) -> Self {
        let heads = || vec![NOWHERE; places.next_power_of_two().max(1024)];
        Self {
            by_digest: heads(),
            by_name: heads(),
            digestless: heads(),
            entries: Vec::with_capacity(places),
        }
    }

    /// Takes places from the oldest to the newest.
    fn push(&mut self, at: usize, image: ImageKey) {
        let own = u32::try_from(self.entries.len() + 1).unwrap_or(NOWHERE);
        let hang = |heads: &mut [u32], key: Key| {
            let bucket = bucket(heads, key);
            std::mem::replace(&mut heads[bucket], own)
        };
        let before = match (image.digest.is_none(), image.name.is_none()) {
            (true, true) => return,
            (true, false) => [hang(&mut self.digestless, image.name), NOWHERE],
            (false, true) => [hang(&mut self.by_digest, image.digest), NOWHERE],
            (false, false) => [
                hang(&mut self.by_digest, image.digest),
                hang(&mut self.by_name, image.name),
            ],
        };
        self.entries.push(Entry {
            at: u32::try_from(at).unwrap_or(u32::MAX),
            before,
        });
    }

    /// The places that may hold an image, newest first; to be compared.
    fn places(&self, image: ImageKey) -> impl Iterator<Item = usize> {
        let with_digest = if image.digest.is_none() {
            self.chain(&self.by_name, image.name, 1)
        } else {
            self.chain(&self.by_digest, image.digest, 0)
        };
        let digestless = self.chain(&self.digestless, image.name, 0);
        merged(with_digest, digestless, |at| *at).map(|at| usize::try_from(at).unwrap_or_default())
    }

    fn chain(&self, heads: &[u32], key: Key, slot: usize) -> impl Iterator<Item = u32> {
        let mut next = if key.is_none() {
            NOWHERE
        } else {
            heads[bucket(heads, key)]
        };
        std::iter::from_fn(move || {
            let entry = self.entries.get(usize::try_from(next.checked_sub(1)?).ok()?)?;
            next = entry.before[slot];
            Some(entry.at)
        })
    }
}

/// Keys are hashes already.
fn bucket(heads: &[u32], key: Key) -> usize {
    usize::try_from(key.0).unwrap_or_default() & (heads.len() - 1)
}

/// Two sequences that descend by `place` as one.
fn merged<T, P: Ord>(
    one: impl Iterator<Item = T>,
    other: impl Iterator<Item = T>,
    place: impl Fn(&T) -> P,
) -> impl Iterator<Item = T> {
    let (mut one, mut other) = (one.peekable(), other.peekable());
    std::iter::from_fn(move || match (one.peek(), other.peek()) {
        (Some(left), Some(right)) if place(left) < place(right) => other.next(),
        (Some(_), _) => one.next(),
        (None, _) => other.next(),
    })
}

#[cfg(test)]
mod tests {
    use super::ByImage;
    use crate::state::keys::{ImageKey, Key};

    /// Few keys, so that buckets and names are shared.
    fn images() -> Vec<ImageKey> {
        let names = [0, 1, 2, 1025];
        let digests = [0, 3, 4, 1027];
        let image = |name, digest| ImageKey {
            name: Key(name),
            digest: Key(digest),
        };
        let all = digests
            .iter()
            .flat_map(|digest| names.map(|name| image(name, *digest)));
        let all: Vec<ImageKey> = all.collect();
        all.iter().chain(all.iter().rev()).copied().collect()
    }

    #[test]
    fn an_image_is_found_wherever_comparing_all_would_find_it() {
        let images = images();
        let mut found = ByImage::with_capacity(1);
        for (at, image) in images.iter().enumerate() {
            found.push(at, *image);
        }
        for asked in &images {
            let places: Vec<usize> = found
                .places(*asked)
                .filter(|at| images[*at].is_same_as(*asked))
                .collect();
            let compared: Vec<usize> = (0..images.len())
                .rev()
                .filter(|at| images[*at].is_same_as(*asked))
                .collect();
            assert_eq!(places, compared, "{asked:?}");
        }
    }
}
