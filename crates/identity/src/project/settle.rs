//! What the journal is owed: the changes folded from facts on settled ground (`model.md` §5).

use journal::{NewEntry, Owed};
use store::Tx;
use uuid::Uuid;

use super::Folded;
use crate::Result;

/// Appends owed − said and retracts said − owed; gives the number of entries.
///
/// An agent that was folded on from its saved state owes just what the new facts changed. One that
/// was folded from its first fact is compared with everything that its entries say.
pub(super) async fn settle(tx: &mut Tx, folded: &[Folded]) -> Result<usize> {
    let mut entries = Vec::new();
    let (compared, forward): (Vec<&Folded>, Vec<&Folded>) =
        folded.iter().partition(|one| one.scratch);
    for one in forward {
        if !one.owed.is_empty() {
            entries.push(NewEntry::agent(one.subject.id, one.owed.clone()));
        }
    }
    let owed: Vec<_> =
        compared.iter().map(|one| Owed { agent: one.subject.id, changes: &one.owed }).collect();
    entries.extend(journal::settle(tx, &owed).await?);
    Ok(journal::append(tx, entries).await?.len())
}

/// Saves the state over settled ground, from which the next fold goes on.
pub(super) async fn save(tx: &mut Tx, folded: &[Folded]) -> Result<()> {
    let (kept, gone): (Vec<&Folded>, Vec<&Folded>) =
        folded.iter().partition(|one| one.settled.end.is_some());
    let ids: Vec<Uuid> = kept.iter().map(|one| one.subject.id.0).collect();
    let blocks: Vec<i64> = kept.iter().map(|one| one.through_block).collect();
    let serials: Vec<i64> = kept.iter().map(|one| one.through_serial).collect();
    let states = kept
        .iter()
        .map(|one| serde_json::to_vec(&one.settled))
        .collect::<Result<Vec<_>, _>>()
        .map_err(crate::Error::State)?;
    sqlx::query!(
        "INSERT INTO identity.folds (agent_id, through_block, through_serial, state)
         SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bytea[])
         ON CONFLICT (agent_id) DO UPDATE
            SET through_block = EXCLUDED.through_block, through_serial = EXCLUDED.through_serial,
                state = EXCLUDED.state",
        &ids,
        &blocks,
        &serials,
        &states,
    )
    .execute(tx.conn())
    .await?;
    let gone: Vec<Uuid> = gone.iter().map(|one| one.subject.id.0).collect();
    if !gone.is_empty() {
        sqlx::query!("DELETE FROM identity.folds WHERE agent_id = ANY($1)", &gone)
            .execute(tx.conn())
            .await?;
    }
    Ok(())
}
