//! One agent: from what was loaded to what is to be written.

use super::{
    assemble,
    load::{ChainInfo, Logs, Saved, Spoken, Subject, Versions},
};
use crate::{
    fact::{ActKind, ChainWord, Fact, What},
    fold::{Delta, State},
    window::Window,
};

/// One agent between loading and folding.
pub(super) struct Work {
    pub subject: Subject,
    pub chain: Option<ChainInfo>,
    pub saved: Option<Saved>,
    /// What its logs say.
    pub facts: Vec<Fact>,
    /// The last settled block that holds one of them.
    last_settled: Option<i64>,
    spoken: Spoken,
}

impl Work {
    pub fn new(
        subject: Subject,
        chain: Option<ChainInfo>,
        saved: Option<Saved>,
        logs: &Logs,
        spoken: Spoken,
    ) -> Self {
        let after = saved.as_ref().map_or(0, |saved| saved.state.chain_time);
        let facts = chain.map_or_else(Vec::new, |info| {
            assemble::chain_facts(logs, &info, after, &subject.did)
        });
        let settled = chain.map_or(i64::MAX, |info| info.settled);
        let last_settled = logs
            .logs
            .iter()
            .rev()
            .map(|log| log.block_number.cast_signed())
            .find(|block| *block <= settled);
        Self {
            subject,
            chain,
            saved,
            facts,
            last_settled,
            spoken,
        }
    }
}

impl Work {
    /// The same with the logs of a window instead of stored ones; all of it is settled.
    pub fn of_window(
        subject: Subject,
        chain: ChainInfo,
        saved: Option<Saved>,
        (window, place): (&Window, u32),
        spoken: Spoken,
    ) -> Self {
        let after = saved.as_ref().map_or(0, |saved| saved.state.chain_time);
        let (facts, last_settled) = assemble::window_facts(window, place, after);
        Self {
            subject,
            chain: Some(chain),
            saved,
            facts,
            last_settled,
            spoken,
        }
    }
}

/// One agent, folded.
pub(super) struct Folded {
    pub subject: Subject,
    pub chain: Option<ChainInfo>,
    /// Whether the fold began at the first fact.
    pub scratch: bool,
    /// Who owned it before what was folded now.
    pub owner_before: Option<String>,
    /// Over settled ground, where that is less than everything.
    settled: Option<State>,
    /// What settled ground owes the journal beyond the saved state, or in all when from scratch.
    pub owed: Vec<journal::Change>,
    /// What everything changed, where that is not the same.
    pub at_head: Option<Vec<journal::Change>>,
    pub through_block: i64,
    pub through_serial: i64,
    /// Over everything: what rows show.
    pub head: State,
    /// Rows of histories with an ordinal from here on are written anew.
    pub base: Base,
    /// What changed at the head; its changes are in `owed` or `at_head`.
    pub delta: Delta,
    /// Whether how long its beats last was set.
    pub termed: bool,
}

impl Folded {
    /// State over settled ground.
    pub fn settled(&self) -> &State {
        self.settled.as_ref().unwrap_or(&self.head)
    }
}

/// Ordinals at which the incremental part of the histories begins.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Base {
    pub history: i32,
    pub liveness: i32,
    pub admin: i32,
    pub load: i32,
}

impl Base {
    fn of(state: &State) -> Self {
        let status = &state.status;
        Self {
            history: status.history,
            liveness: status.liveness.0,
            admin: status.admin.0,
            load: status.load.0,
        }
    }
}

/// Folds one agent; `Err` gives the subject back where the saved state cannot be continued.
pub(super) fn fold(work: Work, versions: &Versions) -> Result<Box<Folded>, Box<Subject>> {
    let Work {
        subject,
        chain,
        saved,
        facts: ground,
        last_settled,
        spoken,
    } = work;
    let scratch = saved.is_none();
    let (state, through_block, through_serial) = saved.map_or((State::default(), -1, 0), |s| {
        (s.state, s.through_block, s.through_serial)
    });
    let of_token = subject.token.is_some();
    let ordered = |state: &State, ground: Vec<Fact>| {
        let documents = assemble::document_facts(state, &ground, versions, subject.chain);
        let acts = assemble::act_facts(&spoken.acts, state, &ground);
        let statements = assemble::statement_facts(&spoken.statements, state, &ground);
        let mut all = ground;
        if !(documents.is_empty() && acts.is_empty() && statements.is_empty()) {
            all.extend(documents);
            all.extend(acts);
            all.extend(statements);
            all.sort_by_key(|fact| fact.place);
        }
        all
    };
    let settled_block = chain.map_or(i64::MAX, |info| info.settled);
    let settled_ground = ground
        .iter()
        .any(|fact| fact.place.major > settled_block)
        .then(|| {
            ground
                .iter()
                .filter(|fact| fact.place.major <= settled_block)
                .cloned()
                .collect()
        });
    let facts = ordered(&state, ground);
    if !scratch && !continues(&state, &facts) {
        return Err(Box::new(subject));
    }
    let base = Base::of(&state);
    let owner_before = state.owner(of_token);
    let settled = settled_ground.map(|ground| {
        let mut settled = state.clone();
        let owed = settled.fold(&ordered(&state, ground)).changes;
        (settled, owed)
    });
    let mut head = state;
    let mut delta = head.fold(&facts);
    let changes = std::mem::take(&mut delta.changes);
    let termed = changes.iter().any(|change| change.column == "ttl");
    let (settled, owed, at_head) = match settled {
        Some((settled, owed)) => (Some(settled), owed, Some(changes)),
        None => (None, changes, None),
    };
    Ok(Box::new(Folded {
        scratch,
        owner_before,
        settled,
        owed,
        at_head,
        through_block: last_settled.unwrap_or(through_block),
        through_serial: spoken.last_serial().unwrap_or(through_serial),
        base,
        head,
        delta,
        termed,
        subject,
        chain,
    }))
}

/// Whether `facts` go on from `state`: all stand after its end, no mint or transfer wakes or ends what
/// was said off chain before, and no rows come back that a deletion took.
fn continues(state: &State, facts: &[Fact]) -> bool {
    facts
        .first()
        .is_none_or(|fact| Some(fact.place) > state.end)
        && !facts.iter().any(|fact| match &fact.what {
            What::Chain(chain) => {
                state.off_chain && matches!(chain.said, ChainWord::Founded { .. })
                    || state.stated && matches!(chain.said, ChainWord::OwnerMoved { .. })
            }
            What::Act(act) => matches!(act.kind, ActKind::Insert | ActKind::Restore),
            What::Document(_) | What::Statement(_) => false,
        })
}
