//! The anchor: a beginning of the log that a contract took.

use ::journal::proof::verify_consistency;
use kernel::{Address, B256};
use publish::anchor::journal_id;

use super::{
    super::{
        file::{self, File, Wrong, wrong},
        parts::Anchor,
    },
    Anchored, Report, Step, journal,
};

/// Checks the part, if it is there.
pub fn check(file: &File, report: &mut Report) -> Result<(), Wrong> {
    let wrong = wrong(file::ANCHOR);
    let Some(part) = file.get::<Anchor>(file::ANCHOR)? else {
        return Ok(());
    };
    let Some(log) = &report.log else {
        return Err(wrong(&"there is no checkpoint that goes on from it"));
    };
    let anchored = read(&part, &log.vkey)
        .ok_or_else(|| wrong(&"addresses have 20 bytes, hashes 32, and one of them has not"))?;
    if anchored.size <= log.newest {
        return Err(wrong(&format_args!(
            "it covers {} entries, and leaf {} is not among them",
            anchored.size, log.newest
        )));
    }
    let hashes = journal::hashes(&part.proof).ok_or(wrong(&"a hash has not 32 bytes"))?;
    verify_consistency(
        anchored.size,
        log.size,
        &hashes,
        &anchored.root.0,
        &log.root.0,
    )
    .map_err(|why| {
        wrong(&format_args!(
            "the checkpoint of {} entries does not begin with the {} that it names: {why}",
            log.size, anchored.size
        ))
    })?;
    report.steps.push(Step {
        part: file::ANCHOR,
        says: format!(
            "the checkpoint goes on from {} entries with the root {}",
            anchored.size,
            hex::encode(anchored.root)
        ),
    });
    report.anchor = Some(anchored);
    Ok(())
}

fn read(part: &Anchor, vkey: &str) -> Option<Anchored> {
    Some(Anchored {
        chain: part.chain,
        contract: Address::try_from(part.contract.as_ref()).ok()?,
        keeper: Address::try_from(part.keeper.as_ref()).ok()?,
        journal: journal_id(vkey),
        tx: B256::try_from(part.tx.as_ref()).ok()?,
        size: part.size,
        root: B256::try_from(part.root.as_ref()).ok()?,
    })
}
