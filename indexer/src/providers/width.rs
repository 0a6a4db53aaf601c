//! How many blocks a provider is asked about at once (`indexing.md` §8): its hints are obeyed at once and
//! remembered, and a refused width is not tried again before many narrower ones went well.

/// Answers on end after which a range below the ceiling grows.
const BEFORE_GROWING: u32 = 4;

/// Answers on end after which a refused width is tried again: at first, and at the most.
const BEFORE_TRYING: (u32, u32) = (16, 1_024);

/// Blocks of one question, learned.
#[derive(Debug, Clone)]
pub struct Width {
    blocks: u64,
    /// The widest question that was answered since one like it was refused; 0: none.
    fine: u64,
    /// What was not refused lately; `None`: nothing was.
    ceiling: Option<u64>,
    /// Answers on end to questions of the full width.
    good: u32,
    /// So many of them until the ceiling is tried.
    patience: u32,
}

impl Width {
    /// Begins with `blocks`.
    pub fn new(blocks: u64) -> Self {
        Self {
            blocks: blocks.max(1),
            fine: 0,
            ceiling: None,
            good: 0,
            patience: BEFORE_TRYING.0,
        }
    }

    /// The width of the next question.
    pub fn blocks(&self) -> u64 {
        self.blocks
    }

    /// A question of `asked` blocks was answered.
    pub fn answered(&mut self, asked: u64) {
        if asked < self.blocks {
            return;
        }
        self.fine = self.fine.max(asked);
        self.good += 1;
        let wider = match self.ceiling {
            None if self.good >= BEFORE_GROWING => grown(self.blocks, 2),
            // Half of what is left, until that is too little to matter.
            Some(ceiling) if ceiling.saturating_sub(self.blocks) > self.blocks / 8 => {
                if self.good < BEFORE_GROWING {
                    return;
                }
                self.blocks + (ceiling - self.blocks).div_ceil(2)
            }
            Some(_) if self.good >= self.patience => {
                let beyond = grown(self.blocks, 4);
                self.ceiling = Some(beyond);
                beyond
            }
            _ => return,
        };
        self.blocks = wider;
        self.good = 0;
    }

    /// A question of `asked` blocks was refused, perhaps with the number of blocks that would do.
    pub fn refused(&mut self, asked: u64, hint: Option<u64>) {
        let hint = hint.filter(|hint| (1..asked).contains(hint));
        // Of several questions under way together only the first teaches patience.
        if asked <= self.blocks && self.ceiling.is_some() {
            self.patience = (self.patience * 2).min(BEFORE_TRYING.1);
        }
        if self.fine >= asked {
            self.fine = 0;
        }
        let known = if self.fine > 0 { self.fine } else { asked / 2 };
        self.blocks = self.blocks.min(hint.unwrap_or(known)).max(1);
        let ceiling = hint.unwrap_or(asked - 1).max(1);
        self.ceiling = Some(self.ceiling.map_or(ceiling, |known| known.min(ceiling)));
        self.good = 0;
    }

    /// A question of `asked` blocks took so long that it failed: narrower for now.
    pub fn slow(&mut self, asked: u64) {
        self.blocks = self.blocks.min(asked / 2).max(1);
        self.good = 0;
    }
}

/// More by one part of so many, and at least by one.
fn grown(blocks: u64, part: u64) -> u64 {
    blocks.saturating_add((blocks / part).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers questions of the full width until the width changes; `None` if it does not.
    fn answers_until_change(width: &mut Width) -> Option<u32> {
        let before = width.blocks();
        (1..=5_000).find(|_| {
            width.answered(width.blocks());
            width.blocks() != before
        })
    }

    #[test]
    fn a_hint_is_obeyed_at_once_and_held_for_many_answers() {
        let mut width = Width::new(2_000);
        width.refused(2_000, Some(490));
        assert_eq!(width.blocks(), 490);
        assert_eq!(answers_until_change(&mut width), Some(16));
        assert_eq!(width.blocks(), 612, "a quarter more, carefully");
        width.refused(612, Some(490));
        assert_eq!(width.blocks(), 490);
        assert_eq!(answers_until_change(&mut width), Some(32), "more patience");
    }

    #[test]
    fn without_a_hint_it_is_halved_and_grows_again_below_what_was_refused() {
        let mut width = Width::new(2_000);
        for (refused, then) in [(2_000, 1_000), (1_000, 500), (500, 250)] {
            width.refused(refused, None);
            assert_eq!(width.blocks(), then);
        }
        let mut seen = Vec::new();
        for _ in 0..3 {
            assert!(answers_until_change(&mut width).is_some());
            seen.push(width.blocks());
        }
        assert_eq!(seen, [375, 437, 468]);
        width.refused(468, None);
        assert_eq!(width.blocks(), 437, "what went well last");
        width.refused(437, None);
        assert_eq!(width.blocks(), 218, "the logs lie denser now");
    }

    #[test]
    fn nonsense_does_not_move_it_out_of_bounds() {
        let mut width = Width::new(0);
        assert_eq!(width.blocks(), 1);
        width.refused(1, None);
        assert_eq!(width.blocks(), 1);
        for hint in [Some(0), Some(100), Some(u64::MAX)] {
            let mut width = Width::new(100);
            width.refused(100, hint);
            assert_eq!(width.blocks(), 50, "{hint:?}");
        }
        let mut width = Width::new(u64::MAX);
        assert_eq!(answers_until_change(&mut width), None);
        assert_eq!(width.blocks(), u64::MAX);
        width.refused(u64::MAX, Some(7));
        assert_eq!(width.blocks(), 7);
    }

    #[test]
    fn refusals_of_questions_that_were_under_way_together_are_one() {
        let mut width = Width::new(2_000);
        for _ in 0..4 {
            width.refused(2_000, None);
        }
        assert_eq!(width.blocks(), 1_000);
        width.answered(500);
        assert_eq!(width.good, 0, "a short question proves nothing");
    }

    #[test]
    fn a_slow_answer_narrows_it_for_a_while() {
        let mut width = Width::new(1_000);
        width.slow(1_000);
        assert_eq!(width.blocks(), 500);
        assert_eq!(answers_until_change(&mut width), Some(4));
        assert_eq!(width.blocks(), 750);
    }
}
