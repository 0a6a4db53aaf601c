//! Lists are answered in pages.

use serde::Serialize;

/// One page of a list, with the opaque cursor of the next one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Page<T> {
    /// The items, in the list's own order.
    pub items: Vec<T>,
    /// Pass it as `cursor` to get the next page; `None` on the last one.
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// Builds a page from up to `limit + 1` items: the extra one only shows that there is more.
    pub fn from_lookahead(mut items: Vec<T>, limit: Limit, cursor: impl Fn(&T) -> String) -> Self {
        let more = items.len() > limit.get();
        items.truncate(limit.get());
        let next_cursor = if more { items.last().map(cursor) } else { None };
        Self { items, next_cursor }
    }

    /// The same page with other items.
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Page<U> {
        Page {
            items: self.items.into_iter().map(f).collect(),
            next_cursor: self.next_cursor,
        }
    }
}

/// A part of a feed: the places of its items only grow, and what has one keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Items behind this place; 0 is before the first one.
    pub after: u64,
    /// The last place that counts.
    pub until: u64,
    /// The most items.
    pub limit: Limit,
    /// Whether the newest are wanted where there are more, and not the oldest.
    pub newest: bool,
}

impl Span {
    /// Its part of at most so many places, from where it begins.
    #[must_use]
    pub fn at_most(mut self, places: u64) -> Self {
        if self.newest {
            self.after = self.after.max(self.until.saturating_sub(places));
        } else {
            self.until = self.until.min(self.after.saturating_add(places));
        }
        self
    }

    /// How far it is told by items at these places, ascending: all that is wanted up to there, or of the newest all
    /// that is wanted behind it, is among them.
    pub fn reached(
        &self,
        mut places: impl DoubleEndedIterator<Item = u64> + ExactSizeIterator,
    ) -> u64 {
        let is_full = places.len() >= self.limit.get();
        let last = if self.newest {
            places.next().map(|oldest| oldest.saturating_sub(1))
        } else {
            places.next_back()
        };
        let end = if self.newest {
            self.after
        } else {
            self.until.max(self.after)
        };
        last.filter(|_| is_full).unwrap_or(end)
    }
}

/// What was found in a part of a feed. One look is bounded, so it may end before the part does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found<T> {
    /// What is wanted, in its order.
    pub items: Vec<T>,
    /// The place up to which nothing that is wanted was left out; of the newest, behind which.
    pub reached: u64,
}

/// How many items a page may hold: 1 to 200, 50 unless told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(u16);

/// A limit outside 1..=200.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("limit is {0}, but must be between 1 and {max}", max = Limit::MAX)]
pub struct LimitError(pub u32);

impl Limit {
    /// The most that one page holds (`model.md` §6).
    pub const MAX: u16 = 200;

    /// Checks the range.
    pub fn new(limit: u32) -> Result<Self, LimitError> {
        match u16::try_from(limit) {
            Ok(limit) if (1..=Self::MAX).contains(&limit) => Ok(Self(limit)),
            _ => Err(LimitError(limit)),
        }
    }

    /// The number of items.
    pub fn get(self) -> usize {
        usize::from(self.0)
    }

    /// The number of rows to ask the database for: one more shows whether there is a next page.
    pub fn lookahead(self) -> i64 {
        i64::from(self.0) + 1
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(50)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_tells_of_more_only_when_there_is_more() {
        let limit = Limit::new(2).expect("in range");
        let page = Page::from_lookahead(vec![1, 2, 3], limit, ToString::to_string);
        assert_eq!(
            (page.items, page.next_cursor.as_deref()),
            (vec![1, 2], Some("2"))
        );
        let last = Page::from_lookahead(vec![1, 2], limit, ToString::to_string);
        assert_eq!(last.next_cursor, None);
    }

    #[test]
    fn a_look_tells_how_far_it_went() {
        let of = |newest| Span {
            after: 10,
            until: 100,
            limit: Limit::new(2).expect("in range"),
            newest,
        };
        let reached = |span: Span, places: &[u64]| span.reached(places.iter().copied());
        assert_eq!(reached(of(false), &[20, 30]), 30, "the next ones follow");
        assert_eq!(reached(of(false), &[20]), 100, "there is no other");
        assert_eq!(reached(of(true), &[20, 30]), 19);
        assert_eq!(reached(of(true), &[30]), 10);
        let (oldest, newest) = (of(false).at_most(50), of(true).at_most(50));
        assert_eq!((oldest.after, oldest.until), (10, 60));
        assert_eq!((newest.after, newest.until), (50, 100));
        assert_eq!(reached(oldest, &[20]), 60);
        assert_eq!(reached(newest, &[60]), 50);
        assert_eq!(of(false).at_most(u64::MAX), of(false));
    }

    #[test]
    fn limits_outside_the_range_are_refused() {
        for wrong in [0, 201, u32::MAX] {
            assert_eq!(Limit::new(wrong), Err(LimitError(wrong)));
        }
    }
}
