//! The chain's side of a bundle: the block of the last log that spoke of the agent, and what follows from it.

use chain::{At, BlockReceipts, Header, ReceiptFormat, Rpc, trie::Nodes, witness::Sealed};
use identity::agent::Agent;
use kernel::{Bytes, Token};

use super::{
    super::{
        file,
        parts::{self, Receipt},
    },
    Draft, Error,
    state::Wanted,
};
use crate::app::App;

/// What is known of the block.
struct Ground {
    header: Header,
    rlp: Bytes,
    receipts: String,
}

/// Adds header, receipt and state, as far as they are to be had.
///
/// Without the `whole` URI, of the state only the URI's length is taken.
pub async fn add(
    app: &App,
    agent: &Agent,
    token: &Token,
    whole: bool,
    draft: &mut Draft,
) -> Result<(), Error> {
    let node = app.nodes.find(Some(token.chain), &app.config.indexer).await;
    let ground = match ground(app, agent, token, node.as_ref()).await? {
        Ok(ground) => ground,
        Err(why) => {
            draft.lacks(file::RECEIPT, why.clone());
            draft.lacks(file::STATE, why);
            return Ok(());
        }
    };
    draft
        .file
        .put(file::HEADER, &header_part(&ground.header, &ground.rlp));
    match receipt(&ground, agent, token) {
        Ok(receipt) => draft.file.put(file::RECEIPT, &receipt),
        Err(why) => draft.lacks(file::RECEIPT, why),
    }
    let state = match &node {
        Some(node) => {
            let wanted = Wanted {
                node,
                agent,
                token,
                whole,
            };
            wanted.state(&ground.header, &ground.rlp).await
        }
        None => Err("no node of the chain can be asked".to_owned()),
    };
    match state {
        Ok(state) => draft.file.put(file::STATE, &state),
        Err(why) => draft.lacks(file::STATE, why),
    }
    Ok(())
}

/// A header as a bundle has it.
pub fn header_part(header: &Header, rlp: &Bytes) -> parts::Header {
    parts::Header {
        hash: Bytes::copy_from_slice(header.hash.as_slice()),
        rlp: rlp.clone(),
    }
}

/// Header and receipts: as they are kept, else as a node tells them. What is told is not believed here either: a file
/// that does not verify is not given.
async fn ground(
    app: &App,
    agent: &Agent,
    token: &Token,
    node: Option<&Rpc>,
) -> Result<Result<Ground, String>, Error> {
    let Some(number) = agent.last_block else {
        return Ok(Err("no log of the agent is kept".to_owned()));
    };
    let kept = indexer::kept_block(&app.db, token.chain, number).await?;
    let told = match (kept, node) {
        (Some(kept), _) => Ok((kept.header, kept.receipts)),
        (None, Some(node)) => told(node, number.unsigned_abs()).await,
        (None, None) => Err(format!(
            "the receipts of block {number} are not kept, and no node of the chain can be asked"
        )),
    };
    Ok(told.and_then(|(header, receipts)| {
        let header: Option<Header> = serde_json::from_str(&header).ok();
        let sealed = header.and_then(|header| Some((header.rlp()?, header)));
        let (rlp, header) = sealed.ok_or(format!(
            "the header of block {number} does not hash as Ethereum's do"
        ))?;
        Ok(Ground {
            header,
            rlp,
            receipts,
        })
    }))
}

async fn told(node: &Rpc, number: u64) -> Result<(String, String), String> {
    let failed = |error| format!("block {number}: {error}");
    let header = node.block(At::Number(number)).await.map_err(failed)?;
    let header = header.ok_or(format!("the node does not know block {number}"))?;
    let receipts = node.block_receipts(&[header.hash]).await.map_err(failed)?;
    let receipts = receipts.into_iter().next().flatten();
    let receipts = receipts.ok_or(format!("the node has no receipts of block {number}"))?;
    let header = serde_json::to_string(&header).map_err(|error| error.to_string())?;
    Ok((header, receipts.get().to_owned()))
}

fn receipt(ground: &Ground, agent: &Agent, token: &Token) -> Result<Receipt, String> {
    let told = BlockReceipts::parse(token.chain, &ground.receipts);
    let told = told.map_err(|error| error.to_string())?;
    let told = told.ok_or("the block has no receipts")?;
    let index = agent.last_log.map(i32::unsigned_abs);
    let log = told.logs().iter().find(|log| Some(log.log_index) == index);
    let log = log.ok_or("the block's receipts lack the agent's last log")?;
    let mut before = told.logs().iter();
    let first = before.find(|other| other.tx_index == log.tx_index);
    let first = first.map_or(log.log_index, |first| first.log_index);
    let proof = usize::try_from(log.tx_index)
        .ok()
        .and_then(|tx| told.proof(ReceiptFormat::of_chain(token.chain), tx));
    let proof = proof.ok_or("the receipts of this chain cannot be recomputed")?;
    let sealed = Sealed::read(&ground.rlp).map_err(|error| error.to_string())?;
    let nodes = Nodes::new(&proof.nodes);
    let shown = sealed.logs(token.chain, log.tx_index, &nodes);
    shown.map_err(|error| format!("the kept receipts are not the header's: {error}"))?;
    Ok(Receipt {
        tx: log.tx_index,
        log: log.log_index - first,
        nodes: nodes.used(),
    })
}
