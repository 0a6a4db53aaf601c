//! Whom each log of a range speaks of, and which ones nobody can read: found where a range is read, so that storing
//! does not wait for it.

use std::collections::HashMap;

use chain::{
    Log, OperatorSet, Registries, SeenTopics, decode_token, operator, subject,
    vexel::{Vexel, vexel},
};
use kernel::{AgentId, Token};

/// Logs in chain order, with the agents that they speak of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sorted {
    /// The logs, each with the agent that it speaks of.
    pub logs: Vec<(Log, Option<(AgentId, Token)>)>,
    /// Those agents, once each.
    pub tokens: Vec<(AgentId, Token)>,
    /// What the logs say of operators.
    pub operators: Vec<(identity::operator::Position, OperatorSet)>,
    /// What contracts of VEXEL's say.
    pub vexel: Vec<(identity::vexel::Position, Vexel)>,
    /// Logs that name no agent and cannot be read, by their place in `logs`.
    pub malformed: Vec<(usize, String)>,
}

impl Sorted {
    /// Finds whom each log speaks of.
    pub fn new(logs: Vec<Log>, contracts: &Registries) -> Self {
        let mut agents: HashMap<Token, AgentId> = HashMap::new();
        let mut tokens = Vec::new();
        let (mut operators, mut vexels, mut malformed) = (Vec::new(), Vec::new(), Vec::new());
        let name = |(place, log): (usize, Log)| {
            let named = subject(&log, contracts).map(|token| {
                let agent = agents.entry(token).or_insert_with(|| {
                    let agent = AgentId::of_token(&token);
                    tokens.push((agent, token));
                    agent
                });
                (*agent, token)
            });
            if contracts.vexel.contains(&log.address) {
                let at = (log.block_number.cast_signed(), log.log_index.cast_signed());
                match vexel(&log) {
                    Some(Ok(word)) => vexels.push((at, word)),
                    Some(Err(why)) => malformed.push((place, why.to_string())),
                    None => {}
                }
            } else if named.is_none() {
                let of_registry = contracts.identity.contains(&log.address);
                let at = (log.block_number.cast_signed(), log.log_index.cast_signed());
                match of_registry.then(|| operator(&log)).flatten() {
                    Some(Ok(set)) => operators.push((at, set)),
                    Some(Err(why)) => malformed.push((place, why.to_string())),
                    None => malformed.extend(alone(&log).map(|why| (place, why))),
                }
            }
            (log, named)
        };
        let logs = logs.into_iter().enumerate().map(name).collect();
        Self {
            logs,
            tokens,
            operators,
            vexel: vexels,
            malformed,
        }
    }

    /// Logs that cannot be read, by their place in `logs`.
    pub fn unread(&self) -> Vec<(usize, String)> {
        (0..self.logs.len())
            .filter_map(|index| malformed(&self.logs, index))
            .chain(self.malformed.iter().cloned())
            .collect()
    }
}

/// What is wrong with an agent's log, if anything. That depends at most on the one directly before it.
fn malformed(logs: &[(Log, Option<(AgentId, Token)>)], index: usize) -> Option<(usize, String)> {
    let (log, named) = &logs[index];
    let token = (*named)?;
    let why = alone(log)?;
    let before = index.checked_sub(1).map(|before| &logs[before]);
    match before.filter(|(_, other)| *other == Some(token)) {
        Some((before, _)) => match decode_token(&[before, log], SeenTopics::ALL).pop() {
            Some((1, Err(why))) => Some((index, why.to_string())),
            _ => None,
        },
        None => Some((index, why)),
    }
}

/// What is wrong with a log as it stands by itself.
fn alone(log: &Log) -> Option<String> {
    match decode_token(std::slice::from_ref(log), SeenTopics::ALL).pop() {
        Some((_, Err(why))) => Some(why.to_string()),
        _ => None,
    }
}
