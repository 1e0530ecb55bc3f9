//! Rows in memory, in pieces of one size: several threads may read them, and joining theirs moves none.

use std::ops;

use crate::state::row::Row;

/// How many rows a piece holds; only the last may hold fewer.
pub(crate) const PIECE: usize = 1024;

#[derive(Debug, Default)]
pub(crate) struct Rows {
    pieces: Vec<Vec<Row>>,
}

impl Rows {
    pub(crate) fn len(&self) -> usize {
        match self.pieces.split_last() {
            Some((last, whole)) => whole.len() * PIECE + last.len(),
            None => 0,
        }
    }

    pub(crate) fn push(&mut self, row: Row) {
        match self.pieces.last_mut() {
            Some(last) if last.len() < PIECE => last.push(row),
            _ => {
                let mut piece = Vec::with_capacity(PIECE);
                piece.push(row);
                self.pieces.push(piece);
            }
        }
    }

    /// Adds those of another at the end.
    pub(crate) fn append(&mut self, mut other: Self) {
        if self.len().is_multiple_of(PIECE) {
            self.pieces.append(&mut other.pieces);
        } else {
            other.pieces.into_iter().flatten().for_each(|row| self.push(row));
        }
    }

    /// Those before a place, oldest first, each with its place.
    pub(crate) fn before(&self, end: usize) -> impl DoubleEndedIterator<Item = (usize, &Row)> {
        (0..end.min(self.len())).map(|at| (at, &self[at]))
    }

    /// All of them, oldest first.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (usize, &Row)> {
        self.before(usize::MAX)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Row> {
        self.pieces.iter_mut().flatten()
    }
}

impl ops::Index<usize> for Rows {
    type Output = Row;

    fn index(&self, at: usize) -> &Row {
        &self.pieces[at / PIECE][at % PIECE]
    }
}

#[cfg(test)]
mod tests {
    use super::{PIECE, Rows};
    use crate::state::row::Row;

    fn rows(from: usize, to: usize) -> Rows {
        let mut rows = Rows::default();
        for number in from..to {
            rows.push(Row {
                commit: u32::try_from(number).unwrap(),
                ..Row::default()
            });
        }
        rows
    }

    #[test]
    fn joined_they_stand_in_their_order() {
        for first in [0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE] {
            for second in [0, 1, PIECE, PIECE + 1] {
                let mut all = rows(0, first);
                all.append(rows(first, first + second));
                assert_eq!(all.len(), first + second);
                for (at, row) in all.iter() {
                    assert_eq!(usize::try_from(row.commit), Ok(at), "{first} {second}");
                }
                assert_eq!(all.before(first).count(), first);
                let newest = all.iter().next_back().map(|(at, _)| at);
                assert_eq!(newest, (first + second).checked_sub(1));
            }
        }
    }
}
