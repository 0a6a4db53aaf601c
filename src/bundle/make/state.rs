//! The registry's state, as a node proves it.

use chain::{
    At, Header, Rpc,
    layout::{self, Text},
    state::StateProof,
    trie::Nodes,
    witness::Sealed,
};
use identity::agent::Agent;
use kernel::{B256, Bytes, Token};

use super::{
    super::{
        basis::{shown_address, shown_uri},
        check::{LONGEST_URI, walk},
        parts::State,
    },
    onchain::header_part,
};

/// Slots in one request for a proof.
const SLOTS_AT_ONCE: usize = 64;

/// Whose state, and who is asked.
pub struct Wanted<'a> {
    /// The node.
    pub node: &'a Rpc,
    /// The record.
    pub agent: &'a Agent,
    /// Its token.
    pub token: &'a Token,
    /// Whether all slots of the URI are wanted.
    pub whole: bool,
}

impl Wanted<'_> {
    /// At this block, or where its state is gone, at the newest block of which it is served. An error says why not.
    pub async fn state(&self, header: &Header, rlp: &Bytes) -> Result<State, String> {
        let uri = self.whole;
        let mut whys = match self.at(header, rlp).await {
            Ok(nodes) => {
                let header = None;
                return Ok(State { header, uri, nodes });
            }
            Err(why) => vec![why],
        };
        for at in [At::Finalized, At::Latest] {
            let newer = self.node.block(at).await;
            let newer = newer.map_err(|error| error.to_string())?;
            let newer = newer.filter(|newer| newer.number > header.number);
            let Some((rlp, newer)) = newer.and_then(|newer| Some((newer.rlp()?, newer))) else {
                continue;
            };
            match self.at(&newer, &rlp).await {
                Ok(nodes) => {
                    let header = Some(header_part(&newer, &rlp));
                    return Ok(State { header, uri, nodes });
                }
                Err(why) => whys.push(why),
            }
        }
        whys.dedup();
        Err(whys.join("; "))
    }

    /// The nodes that show owner, URI and wallet, where these are the record's.
    async fn at(&self, header: &Header, rlp: &Bytes) -> Result<Vec<Bytes>, String> {
        let sealed = Sealed::read(rlp).map_err(|error| error.to_string())?;
        let id = self.token.id;
        let slots = [layout::owner(id), layout::uri(id), layout::wallet(id)];
        let mut given = self.prove(header, &slots).await?;
        if self.whole {
            let long = self.slots_of_uri(&sealed, &given)?;
            for slots in long.chunks(SLOTS_AT_ONCE) {
                given.extend(self.prove(header, slots).await?);
            }
        }
        let nodes = Nodes::new(&given);
        let told = walk(&nodes, &sealed, self.token, self.whole);
        let told = told.map_err(|error| error.to_string())?;
        let same_uri = match (&told.uri, &self.agent.agent_uri) {
            (Some(theirs), Some(ours)) => shown_uri(theirs) == shown_uri(ours.as_bytes()),
            _ => true,
        };
        let same = told.owner.and_then(shown_address) == self.agent.owner_address
            && told.wallet.and_then(shown_address) == self.agent.agent_wallet;
        if same && same_uri {
            Ok(nodes.used())
        } else {
            let number = header.number;
            Err(format!(
                "the registry's known slots hold something else at block {number}"
            ))
        }
    }

    /// The slots behind the URI's first.
    fn slots_of_uri(&self, sealed: &Sealed, given: &[Bytes]) -> Result<Vec<B256>, String> {
        let (nodes, slot) = (Nodes::new(given), layout::uri(self.token.id));
        let storage = sealed.storage(self.token.registry, &nodes);
        let word = storage.and_then(|storage| storage.word(slot));
        let word = word.map_err(|error| error.to_string())?;
        match Text::read(slot, word, LONGEST_URI) {
            Some(Text::Long(long)) => Ok(long.slots().collect()),
            Some(Text::Short(_)) => Ok(Vec::new()),
            None => Err(format!(
                "the URI has more than {LONGEST_URI} bytes, or is none"
            )),
        }
    }

    /// The nodes that a node gives for these slots of the registry.
    async fn prove(&self, header: &Header, slots: &[B256]) -> Result<Vec<Bytes>, String> {
        let failed = |error: &dyn std::fmt::Display| {
            format!("no proof of the state at block {}: {error}", header.number)
        };
        let at = At::Number(header.number);
        let raw = self.node.proof(self.token.registry, slots, at).await;
        let raw = raw.map_err(|error| failed(&error))?;
        let proof = StateProof::parse(raw.get()).map_err(|error| failed(&error))?;
        Ok(proof.into_nodes())
    }
}
