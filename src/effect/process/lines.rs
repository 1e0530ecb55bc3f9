//! Bytes in pieces, lines out: each at most 8 KiB long, whatever is printed.

/// The longest line that is passed on; what follows up to the next line's start is left out.
pub(super) const LONGEST: usize = 8 << 10;

/// Splits an output at its line ends.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    line: Vec<u8>,
    /// The line was passed on when it grew too long; its rest is skipped.
    skipping: bool,
}

impl Splitter {
    /// The next line that ends, or grows too long, in `rest`, which shrinks by what was taken.
    pub(super) fn next(&mut self, rest: &mut &[u8]) -> Option<String> {
        while !rest.is_empty() {
            let end = rest.iter().position(|byte| *byte == b'\n');
            let (piece, after) = match end {
                Some(end) => (&rest[..end], &rest[end + 1..]),
                None => (*rest, &rest[rest.len()..]),
            };
            *rest = after;
            if self.skipping {
                self.skipping = end.is_none();
                continue;
            }
            let room = LONGEST - self.line.len();
            self.line.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.len() > room {
                self.skipping = end.is_none();
                self.drop_half_character();
                return Some(self.take());
            }
            if end.is_some() {
                return Some(self.take());
            }
        }
        None
    }

    /// What stood after the last line end.
    pub(super) fn last(mut self) -> Option<String> {
        (!self.line.is_empty()).then(|| self.take())
    }

    fn take(&mut self) -> String {
        if self.line.last() == Some(&b'\r') {
            self.line.pop();
        }
        let text = String::from_utf8_lossy(&self.line).into_owned();
        self.line.clear();
        text
    }

    /// A cut may have gone through a character, which would else turn up as a replacement character.
    fn drop_half_character(&mut self) {
        if let Err(error) = std::str::from_utf8(&self.line)
            && error.error_len().is_none()
        {
            self.line.truncate(error.valid_up_to());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::{LONGEST, Splitter};

    fn split(pieces: &[&[u8]]) -> Vec<String> {
        let mut splitter = Splitter::default();
        let mut lines = Vec::new();
        for piece in pieces {
            let mut rest = *piece;
            while let Some(line) = splitter.next(&mut rest) {
                lines.push(line);
            }
        }
        lines.extend(splitter.last());
        lines
    }

    #[test]
    fn lines_are_put_together_across_pieces() {
        assert_eq!(split(&[b"a\nb", b"c\r\n", b"\n", b"d"]), ["a", "bc", "", "d"]);
        assert!(split(&[b"", b""]).is_empty());
    }

    #[test]
    fn a_long_line_is_cut_once_and_the_next_one_is_whole() {
        let long = vec![b'x'; 3 * LONGEST];
        let lines = split(&[&long, &long, b"\nnext\n"]);
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].len(), LONGEST);
        assert_eq!(lines[1], "next");
        let exact = vec![b'x'; LONGEST];
        assert_eq!(
            split(&[&exact, b"\n", b"y\n"]),
            [String::from_utf8(exact.clone()).unwrap(), "y".into()]
        );
    }

    #[test]
    fn foreign_bytes_are_replaced_and_a_cut_never_halves_a_character() {
        assert_eq!(split(&[b"a\xff\xfeb\n"]), ["a\u{fffd}\u{fffd}b"]);
        let mut long = vec![b'x'; LONGEST - 1];
        long.extend_from_slice("\u{20ac} more".as_bytes());
        assert_eq!(split(&[&long])[0], "x".repeat(LONGEST - 1));
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(bytes in any::<Vec<u8>>(), at in any::<usize>()) {
            let at = if bytes.is_empty() { 0 } else { at % bytes.len() };
            let whole = split(&[&bytes]);
            prop_assert_eq!(&whole, &split(&[&bytes[..at], &bytes[at..]]));
            prop_assert!(whole.iter().all(|line| !line.contains('\n')));
        }
    }
}
