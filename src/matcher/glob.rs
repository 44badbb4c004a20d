//! What a path pattern has behind its literal part: wildcards, parameters and the text between them.

use smallvec::SmallVec;

use super::path::Params;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Literal(Box<[u8]>),
    /// Any run of bytes, under its name if it is a segment of its own.
    Any(Option<Box<str>>),
    /// The whole of a segment that is not empty. Stands at the beginning of a segment only.
    Segment(Box<str>),
}

#[derive(Debug)]
pub(super) struct Glob {
    pieces: Box<[Piece]>,
}

/// Where a piece lies in the text.
type Span = (usize, usize);

impl Glob {
    pub(super) fn new(pieces: Vec<Piece>) -> Self {
        Self {
            pieces: pieces.into(),
        }
    }

    pub(super) fn matches(&self, text: &[u8]) -> bool {
        self.place(text, |_, _| {})
    }

    pub(super) fn params<'p>(&self, text: &'p str) -> Params<'_, 'p> {
        let mut spans: SmallVec<[Span; 8]> = SmallVec::from_elem((0, 0), self.pieces.len());
        let matched = self.place(text.as_bytes(), |piece, span| {
            if let Some(place) = spans.get_mut(piece) {
                *place = span;
            }
        });
        if !matched {
            return Params::new();
        }
        let mut params = Params::new();
        for (piece, (start, end)) in self.pieces.iter().zip(spans) {
            if let Piece::Any(Some(name)) | Piece::Segment(name) = piece {
                params.push((name, text.get(start..end).unwrap_or_default()));
            }
        }
        params
    }

    /// Finds a place for every piece, telling `place` where each wildcard and parameter lies; what was told last counts.
    ///
    /// Works from the end, each wildcard taking as little as it can, so that the first one takes as much as it can: what
    /// a regular expression does. Only the wildcard met last has to be tried with more, for whatever fits further left
    /// leaves that one no less to take. So the cost is at most text times pattern.
    fn place(&self, text: &[u8], mut place: impl FnMut(usize, Span)) -> bool {
        let mut open = self.pieces.len();
        let mut end = text.len();
        // The wildcard met last: its index, where it ends, and where it begins so far.
        let mut wildcard: Option<(usize, usize, usize)> = None;
        loop {
            let before = text.get(..end).unwrap_or_default();
            let next = open
                .checked_sub(1)
                .and_then(|index| Some((index, self.pieces.get(index)?)));
            let fits = match next {
                None => {
                    if end == 0 {
                        return true;
                    }
                    None
                }
                Some((index, Piece::Literal(literal))) => before
                    .strip_suffix(&**literal)
                    .map(|rest| (index, rest.len())),
                Some((index, Piece::Segment(_))) => {
                    let start = before
                        .iter()
                        .rposition(|byte| *byte == b'/')
                        .map_or(0, |at| at + 1);
                    (start < end).then(|| {
                        place(index, (start, end));
                        (index, start)
                    })
                }
                Some((index, Piece::Any(_))) => {
                    place(index, (end, end));
                    wildcard = Some((index, end, end));
                    Some((index, end))
                }
            };
            (open, end) = match (fits, wildcard) {
                (Some(position), _) => position,
                (None, Some((index, last, start))) if start > 0 => {
                    place(index, (start - 1, last));
                    wildcard = Some((index, last, start - 1));
                    (index, start - 1)
                }
                (None, _) => return false,
            };
        }
    }
}
