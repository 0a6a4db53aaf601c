//! Bytes in pieces: growing copies nothing, and never holds twice of what is there.

/// Bytes of a piece.
const PIECE: usize = 1 << 20;

/// Where something stands in an [`Arena`]: its piece, and the place in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link([u8; Link::BYTES]);

impl Link {
    /// Bytes of a link.
    pub const BYTES: usize = 5;

    /// No place: a piece has fewer bytes.
    pub const NONE: Self = Self([0xff; Self::BYTES]);

    /// A link as it was written.
    pub fn of(bytes: [u8; Self::BYTES]) -> Option<Self> {
        (Self(bytes) != Self::NONE).then_some(Self(bytes))
    }

    /// Its bytes.
    pub fn bytes(self) -> [u8; Self::BYTES] {
        self.0
    }

    /// A place behind this one, in the same record.
    pub fn plus(self, offset: usize) -> Self {
        let (piece, place) = self.parts();
        Self::new(piece, place + offset)
    }

    fn new(piece: usize, place: usize) -> Self {
        let [.., high, low] = piece.to_be_bytes();
        let [.., first, second, third] = place.to_be_bytes();
        Self([high, low, first, second, third])
    }

    fn parts(self) -> (usize, usize) {
        let number = |bytes: &[u8]| bytes.iter().fold(0, |n, byte| n << 8 | usize::from(*byte));
        let (piece, place) = self.0.split_at(2);
        (number(piece), number(place))
    }
}

/// Records one after the other. Each begins with a link to another one, which alone may be changed.
#[derive(Debug, Default)]
pub(super) struct Arena {
    pieces: Vec<Vec<u8>>,
}

impl Arena {
    /// Puts a record. One that is larger than a piece has a piece of its own.
    pub fn put(&mut self, record: &[u8]) -> Link {
        let fits = |piece: &Vec<u8>| piece.capacity() - piece.len() >= record.len();
        if !self.pieces.last().is_some_and(fits) {
            self.pieces
                .push(Vec::with_capacity(PIECE.max(record.len())));
        }
        let number = self.pieces.len() - 1;
        let piece = &mut self.pieces[number];
        let link = Link::new(number, piece.len());
        piece.extend_from_slice(record);
        link
    }

    /// What stands from a place on; a record knows its own end.
    pub fn get(&self, at: Link) -> &[u8] {
        let (piece, place) = at.parts();
        &self.pieces[piece][place..]
    }

    /// Changes the link that a record begins with.
    pub fn set(&mut self, at: Link, to: Link) {
        let (piece, place) = at.parts();
        self.pieces[piece][place..place + Link::BYTES].copy_from_slice(&to.bytes());
    }

    /// Bytes taken, used or not.
    pub fn bytes(&self) -> usize {
        self.pieces.iter().map(Vec::capacity).sum::<usize>()
            + self.pieces.capacity() * size_of::<Vec<u8>>()
    }
}
