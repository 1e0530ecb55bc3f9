//! What a person means with `--to`: a release, an image or a version.

use crate::error::Result;
use crate::release::{Digest, Image, ReleaseNumber, short_image};
use crate::rollback::candidate::Candidate;
use crate::rollback::listed::Listed;
use crate::rollback::serving::Serving;
use crate::state::history::{History, Standing};
use crate::state::keys::ImageKey;
use crate::state::row::Row;

pub(crate) enum Named {
    One(Box<Candidate>),
    /// Each in a form that is not ambiguous, and what it stands for.
    Several(Vec<String>),
    None,
}

pub(crate) fn resolve(
    app: &str,
    history: &History,
    standing: &Standing<'_>,
    listed: &Listed<'_>,
    serving: &Serving,
    to: &str,
) -> Result<Named> {
    let names = Names {
        app,
        history,
        standing,
        listed,
        serving,
    };
    let to = to.trim();
    let one = |found: Option<Candidate>| found.map_or(Named::None, |it| Named::One(Box::new(it)));
    if let Some(number) = to.strip_prefix("release:") {
        return names.release(number).map(one);
    }
    if let Some(image) = to.strip_prefix("image:") {
        let mut shown = names.shown_as(image)?;
        return match shown.len() {
            0 => names.image(image, true).map(one),
            1 => Ok(one(shown.pop())),
            _ => Ok(Named::Several(shown.iter().map(in_full).collect())),
        };
    }
    if let Some(version) = to.strip_prefix("version:") {
        return names.version(version).map(one);
    }
    let mut meanings: Vec<(String, Candidate)> = Vec::new();
    for shown in names.shown_as(to)? {
        meanings.push((in_full(&shown), shown));
    }
    let image = if meanings.is_empty() {
        names.image(to, false)?
    } else {
        None
    };
    for (form, found) in [
        ("release", names.release(to)?),
        ("image", image),
        ("version", names.version(to)?),
    ] {
        if let Some(found) = found {
            let number = to.strip_prefix('v').unwrap_or(to);
            let text = if form == "release" { number } else { to };
            let line = format!("{form}:{text}  {}", found.name());
            meanings.push((line, found));
        }
    }
    let Some((_, first)) = meanings.first() else {
        return Ok(Named::None);
    };
    if meanings
        .iter()
        .all(|(_, other)| other.image.is_same_as(&first.image))
    {
        return Ok(one(meanings.into_iter().next().map(|(_, found)| found)));
    }
    Ok(Named::Several(
        meanings.into_iter().map(|(line, _)| line).collect(),
    ))
}

/// What nothing else is called by.
fn in_full(candidate: &Candidate) -> String {
    format!("image:{}  {}", candidate.image.reference(), candidate.name())
}

struct Names<'a> {
    app: &'a str,
    history: &'a History,
    standing: &'a Standing<'a>,
    listed: &'a Listed<'a>,
    serving: &'a Serving,
}

impl Names<'_> {
    /// `41` or `v41`: of the ledger's entry with that number, else of flyctl's list.
    fn release(&self, text: &str) -> Result<Option<Candidate>> {
        let Ok(number) = text.strip_prefix('v').unwrap_or(text).parse() else {
            return Ok(None);
        };
        let number = ReleaseNumber(number);
        if let Some(listed) = self.listed.numbered(number)? {
            return Ok(Some(listed));
        }
        self.entry(|_, row| Ok(row.release.is(number)))
    }

    /// A reference, a digest, or the tag of a known image. `is_said` where it can be nothing else.
    fn image(&self, text: &str, is_said: bool) -> Result<Option<Candidate>> {
        let own = format!("registry.fly.io/{}", self.app);
        let is_digest = Digest::parse(text).is_some();
        let is_reference = is_digest || text.contains(['/', '@', ':']);
        let images = if is_digest {
            vec![Image::parse(&format!("{own}@{text}"))]
        } else if is_reference {
            vec![Image::parse(text)]
        } else {
            let serving = self.serving.image.as_ref().map(Image::repository);
            [Some(own.as_str()), serving]
                .into_iter()
                .flatten()
                .map(|repository| Image::parse(&format!("{repository}:{text}")))
                .collect()
        };
        for image in &images {
            if let Some(known) = self.known(image)? {
                return Ok(Some(known));
            }
        }
        let is_nothing_else = is_said && is_reference || is_digest || text.contains(['/', '@']);
        let named = images.into_iter().next().filter(|_| is_nothing_else);
        Ok(named.map(Candidate::as_named))
    }

    /// The images that tables print like this: without their registry. One for each image that is known.
    fn shown_as(&self, text: &str) -> Result<Vec<Candidate>> {
        let Image { name, .. } = Image::parse(text);
        if !name.contains(['/', ':']) || short_image(&name) != name {
            return Ok(Vec::new());
        }
        let own = Image::parse(&format!("registry.fly.io/{name}"));
        let listed = self.listed.releases().map(|release| release.image.clone());
        let known = listed.chain(self.serving.image.clone()).chain([own]);
        let mut found: Vec<Candidate> = Vec::new();
        for image in known.filter(|image| image.short() == name) {
            // A digest beside the name is looked up as one.
            let image = image.with_digest(Image::parse(text).digest);
            if found.iter().any(|known| known.image.is_same_as(&image)) {
                continue;
            }
            if let Some(known) = self.known(&image)?
                && !found.iter().any(|other| other.image.is_same_as(&known.image))
            {
                found.push(known);
            }
        }
        Ok(found)
    }

    /// An image that the ledger holds or flyctl lists.
    fn known(&self, image: &Image) -> Result<Option<Candidate>> {
        let key = ImageKey::of(image);
        match self.entry(|_, row| Ok(row.shipped.image.is_same_as(key)))? {
            Some(known) => Ok(Some(known)),
            None => self.listed.newest_of(key),
        }
    }

    /// What a release answered, or the describe or commit it was built from.
    fn version(&self, text: &str) -> Result<Option<Candidate>> {
        if text.is_empty() {
            return Ok(None);
        }
        self.entry(|at, row| self.history.names(at, row, text))
    }

    /// The newest entry that fits: one that the ledger vouches for, else one that stayed, else any.
    fn entry(&self, fits: impl Fn(usize, &Row) -> Result<bool>) -> Result<Option<Candidate>> {
        let mut found: Option<(u8, usize)> = None;
        for (at, row) in self.history.rows_of(self.app) {
            if row.shipped.image.is_none() || !fits(at, row)? {
                continue;
            }
            let rank = if row.is_verified() && !self.standing.refutes(row.shipped) {
                2
            } else {
                u8::from(row.has_stayed())
            };
            if found.is_none_or(|(known, _)| rank > known) {
                found = Some((rank, at));
            }
            if rank == 2 {
                break;
            }
        }
        match found {
            Some((rank, at)) => Candidate::entered(self.history, self.app, at, rank == 2),
            None => Ok(None),
        }
    }
}
