//! The chain's side: header, receipt, state.

use chain::{
    Registries, SeenTopics, decode_token,
    layout::{self, Text},
    subject,
    trie::Nodes,
    witness::{Sealed, Storage, WitnessError},
};
use kernel::{B256, Bytes, Token};

use super::{
    super::{
        basis::{Known, Told},
        file::{self, File, Wrong, wrong},
        parts::{Header, Receipt, State},
    },
    Block, Report, Step,
};

/// A URI whose slots are walked is no longer.
pub const LONGEST_URI: usize = 8 << 10;

/// Checks the three parts, as far as they are there.
pub fn check(file: &File, known: &mut Known, report: &mut Report) -> Result<(), Wrong> {
    let header: Option<Header> = file.get(file::HEADER)?;
    let receipt: Option<Receipt> = file.get(file::RECEIPT)?;
    let state: Option<State> = file.get(file::STATE)?;
    let (Some(header), Some(token)) = (header, known.token) else {
        let alone = [
            (file::RECEIPT, receipt.is_some()),
            (file::STATE, state.is_some()),
        ];
        return match alone.into_iter().find(|(_, there)| *there) {
            Some((part, _)) => Err(wrong(part)(&"it stands without a header or a token")),
            None => Ok(()),
        };
    };
    let sealed = read_header(&header, file::HEADER)?;
    say_header(&sealed, file::HEADER, &token, report);
    if let Some(receipt) = receipt {
        known.log = Some(read_receipt(&receipt, &sealed, &token, report)?);
    }
    if let Some(state) = state {
        let at = match &state.header {
            Some(header) => {
                let newer = read_header(header, file::STATE)?;
                if newer.number <= sealed.number {
                    return Err(wrong(file::STATE)(
                        &"its header is not newer than the first",
                    ));
                }
                say_header(&newer, file::STATE, &token, report);
                newer
            }
            None => sealed,
        };
        known.storage = Some(read_state(&state, &at, &token, report)?);
    }
    Ok(())
}

fn read_header(header: &Header, part: &'static str) -> Result<Sealed, Wrong> {
    let sealed = Sealed::read(&header.rlp).map_err(|error| wrong(part)(&error))?;
    if sealed.hash[..] == header.hash[..] {
        Ok(sealed)
    } else {
        Err(wrong(part)(&"the header does not hash to its hash"))
    }
}

fn say_header(sealed: &Sealed, part: &'static str, token: &Token, report: &mut Report) {
    let Sealed { number, hash, .. } = sealed;
    report.steps.push(Step {
        part,
        says: format!("the header of block {number} hashes to {hash}"),
    });
    report.blocks.push(Block {
        chain: token.chain,
        number: *number,
        hash: *hash,
    });
}

fn read_receipt(
    receipt: &Receipt,
    sealed: &Sealed,
    token: &Token,
    report: &mut Report,
) -> Result<Told, Wrong> {
    let wrong = wrong(file::RECEIPT);
    let nodes = Nodes::new(&receipt.nodes);
    let logs = sealed.logs(token.chain, receipt.tx, &nodes);
    let logs = logs.map_err(|error| wrong(&error))?;
    all_used(&nodes, &receipt.nodes).map_err(|why| wrong(&why))?;
    let place = usize::try_from(receipt.log).ok();
    let log = place.and_then(|place| logs.get(place));
    let log = log.ok_or(wrong(&"it has no log at that place"))?;
    // The registry is part of the agent's name. Another contract is one that speaks of statuses.
    let mut believed = Registries {
        identity: vec![token.registry],
        ..Registries::default()
    };
    let mut by = String::new();
    if log.address != token.registry {
        believed.status.push(log.address);
        report.contract = Some(log.address);
        by = format!(", by the status contract {}", log.address);
    }
    if subject(log, &believed).as_ref() != Some(token) {
        return Err(wrong(&"the log does not speak of the agent"));
    }
    let ours = logs.iter();
    let ours: Vec<_> = ours
        .filter(|log| subject(log, &believed).as_ref() == Some(token))
        .collect();
    let said = decode_token(&ours, SeenTopics::ALL).into_iter();
    let said = said.filter_map(|(_, said)| said.ok());
    report.steps.push(Step {
        part: file::RECEIPT,
        says: format!(
            "transaction {} of block {} emitted log {}{by}, which speaks of the agent",
            receipt.tx, sealed.number, receipt.log
        ),
    });
    Ok(Told::of_logs(sealed.number, said))
}

fn read_state(
    state: &State,
    sealed: &Sealed,
    token: &Token,
    report: &mut Report,
) -> Result<Told, Wrong> {
    let wrong = wrong(file::STATE);
    let nodes = Nodes::new(&state.nodes);
    let told = walk(&nodes, sealed, token, state.uri).map_err(|error| wrong(&error))?;
    all_used(&nodes, &state.nodes).map_err(|why| wrong(&why))?;
    report.steps.push(Step {
        part: file::STATE,
        says: format!(
            "the registry's storage at block {} holds owner, wallet and {}",
            sealed.number,
            if state.uri { "URI" } else { "the URI's length" }
        ),
    });
    Ok(told)
}

/// What the registry's storage holds of a token, with the URI or without.
pub fn walk(
    nodes: &Nodes<'_>,
    sealed: &Sealed,
    token: &Token,
    with_uri: bool,
) -> Result<Told, WitnessError> {
    let storage = sealed.storage(token.registry, nodes)?;
    let malformed = |what| {
        let why = "no compiler writes such a word";
        move || WitnessError::Malformed { what, why }
    };
    let owner = layout::address(storage.word(layout::owner(token.id))?);
    let owner = owner.ok_or_else(malformed("the owner"))?;
    let slot = layout::uri(token.id);
    let uri = if with_uri {
        Some(text(&storage, slot)?.ok_or_else(malformed("the URI"))?)
    } else {
        storage.word(slot)?;
        None
    };
    let wallet = text(&storage, layout::wallet(token.id))?;
    let wallet = wallet.and_then(|wallet| layout::wallet_of(&wallet));
    let wallet = wallet.ok_or_else(malformed("the wallet"))?;
    Ok(Told {
        block: sealed.number,
        owner: Some(owner),
        wallet: Some(wallet),
        uri,
        status: None,
    })
}

/// A `string` or `bytes`; `None`: none is there, or one that is too long.
fn text(storage: &Storage<'_>, slot: B256) -> Result<Option<Bytes>, WitnessError> {
    Ok(match Text::read(slot, storage.word(slot)?, LONGEST_URI) {
        None => None,
        Some(Text::Short(bytes)) => Some(bytes),
        Some(Text::Long(long)) => {
            let words = long.slots().map(|slot| storage.word(slot));
            long.join(&words.collect::<Result<Vec<_>, _>>()?)
        }
    })
}

fn all_used(nodes: &Nodes<'_>, given: &[Bytes]) -> Result<(), &'static str> {
    if nodes.used().len() == given.len() {
        Ok(())
    } else {
        Err("some nodes stand there twice, or for nothing")
    }
}
