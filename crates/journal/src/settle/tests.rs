use super::*;
use crate::{
    append::append,
    said::{self, digest_set},
    testing::*,
};
use sqlx::PgPool;
use std::{collections::HashMap, sync::Mutex};
use store::{Archive, Db, Reach};

async fn settle_and_append(db: &Db, agents: &[(u64, &[Change])]) -> Vec<NewEntry> {
    let mut tx = begin(db).await;
    let owed: Vec<Owed> = agents
        .iter()
        .map(|(n, changes)| Owed {
            agent: agent(*n),
            changes,
        })
        .collect();
    let Settling { entries, put_off } = settle(&mut tx, &owed).await.expect("settles");
    assert!(put_off.is_empty(), "{put_off:?}");
    append(&mut tx, entries.clone()).await.expect("appends");
    tx.commit().await.expect("commits");
    entries
}

#[sqlx::test(migrations = "../../migrations")]
async fn the_journal_says_what_is_owed_and_nothing_else(pool: PgPool) -> anyhow::Result<()> {
    let db = db(pool);
    let (a, b, c) = (
        change("a", "log1"),
        change("b", "log2"),
        change("c", "log3"),
    );
    let first = settle_and_append(&db, &[(1, &[a.clone(), b.clone(), a.clone()]), (2, &[])]).await;
    assert_eq!(
        first,
        [NewEntry::agent(agent(1), vec![a.clone(), b.clone()])],
        "owed once"
    );
    assert_eq!(
        settle_and_append(&db, &[(1, &[b.clone(), a.clone()])]).await,
        [],
        "settled"
    );

    // A reorg drops b and brings c: first the retraction, then what is new.
    let second = settle_and_append(&db, &[(1, &[a.clone(), c.clone()])]).await;
    let net = said::net(&db, &[agent(1), agent(2)]).await?;
    assert_eq!(second.len(), 2);
    assert_eq!(
        (second[0].kind, &second[0].changes),
        (EntryKind::Retracted, &vec![b.clone()])
    );
    assert_eq!(second[1], NewEntry::agent(agent(1), vec![c.clone()]));
    let said: Vec<_> = net[&agent(1)]
        .iter()
        .map(|said| said.change.clone())
        .collect();
    assert_eq!(said, [a.clone(), c.clone()]);
    assert_eq!(second[0].said, [net[&agent(1)][0].cid.clone()]);
    assert!(!net.contains_key(&agent(2)));

    // b is included again: a new entry, and a third retraction names that one.
    settle_and_append(&db, &[(1, &[a.clone(), b.clone(), c.clone()])]).await;
    let again = said::net(&db, &[agent(1)]).await?[&agent(1)][2].clone();
    assert_eq!(again.change, b);
    let third = settle_and_append(&db, &[(1, &[])]).await;
    assert_eq!(third[0].changes, [a, c, b]);
    assert_eq!(third[0].said[2], again.cid);
    assert!(said::net(&db, &[agent(1)]).await?.is_empty());
    Ok(())
}

#[sqlx::test(migrations = "../../migrations")]
async fn the_same_set_has_the_same_digest_however_it_came_to_be_said(
    pool: PgPool,
) -> anyhow::Result<()> {
    let db = db(pool);
    let empty = digest_set(&db).await?;
    assert_eq!((empty.digest, empty.changes), (kernel::sha256(b""), 0));
    let (a, b) = (change("a", "log1"), change("b", "log2"));
    settle_and_append(&db, &[(1, std::slice::from_ref(&a))]).await;
    settle_and_append(
        &db,
        &[(1, std::slice::from_ref(&b)), (2, std::slice::from_ref(&a))],
    )
    .await;
    let other = digest_set(&db).await?;
    settle_and_append(&db, &[(1, &[a.clone(), b.clone()])]).await;
    let long_way = digest_set(&db).await?;
    assert_eq!(long_way.changes, 3);
    assert_ne!(other, long_way);
    let mut parts = [
        a.digest(agent(1))?,
        b.digest(agent(1))?,
        a.digest(agent(2))?,
    ];
    parts.sort_unstable();
    assert_eq!(long_way.digest, kernel::sha256(&parts.concat()));
    Ok(())
}

/// A step that was applied twice, or a fold that sets a value twice, is still retracted once.
#[sqlx::test(migrations = "../../migrations")]
async fn what_was_said_twice_is_taken_back_by_one_retraction(pool: PgPool) -> anyhow::Result<()> {
    let db = db(pool);
    let a = change("a", "log1");
    for changes in [vec![a.clone(), a.clone()], vec![a.clone()]] {
        commit(&db, vec![NewEntry::agent(agent(1), changes)]).await;
    }
    assert_eq!(said::net(&db, &[agent(1)]).await?[&agent(1)].len(), 1);
    assert_eq!(digest_set(&db).await?.changes, 1);
    let retraction = settle_and_append(&db, &[(1, &[])]).await;
    assert_eq!(retraction[0].changes, [a]);
    assert_eq!(digest_set(&db).await?.changes, 0);
    assert_eq!(settle_and_append(&db, &[(1, &[])]).await, []);
    Ok(())
}

/// Sequence 20 of model.md §7: one more change of an agent with many reads digests, not bodies.
#[sqlx::test(migrations = "../../migrations")]
async fn thousands_of_changes_and_one_more(pool: PgPool) -> anyhow::Result<()> {
    let db = db(pool);
    let mut owed: Vec<Change> = (0..4_000).map(|n| change(n, &format!("log{n}"))).collect();
    let entries = settle_and_append(&db, &[(1, &owed)]).await;
    assert_eq!(entries.len(), 1);
    owed.push(change("last", "log4000"));
    let entries = settle_and_append(&db, &[(1, &owed)]).await;
    assert_eq!(
        entries,
        [NewEntry::agent(agent(1), vec![owed[4_000].clone()])]
    );
    let one_less = settle_and_append(&db, &[(1, &owed[1..])]).await;
    assert_eq!(
        (one_less.len(), &one_less[0].changes),
        (1, &vec![owed[0].clone()])
    );
    Ok(())
}

/// Bodies that only another node has: a transaction does not wait for them, says what it can say without them, and the
/// next one has them.
#[sqlx::test(migrations = "../../migrations")]
async fn a_transaction_waits_for_no_network(pool: PgPool) -> anyhow::Result<()> {
    let db = db(pool);
    let (a, b, c) = (
        change("a", "log1"),
        change("b", "log2"),
        change("c", "log3"),
    );
    settle_and_append(
        &db,
        &[(1, std::slice::from_ref(&a)), (2, std::slice::from_ref(&b))],
    )
    .await;
    seal_all(&db, &sealer()).await;
    let elsewhere: HashMap<String, Vec<u8>> = crate::follow::sealed(&db, 0, 9)
        .await?
        .into_iter()
        .map(|entry| (entry.cid, entry.body))
        .collect();
    let mut tx = begin(&db).await;
    let stored = crate::publication::Publication {
        size: 2,
        state: crate::publication::State::Stored,
        reference: "a manifest".to_owned(),
    };
    crate::publication::record(&mut tx, &stored).await?;
    tx.commit().await?;
    sqlx::query("SELECT journal.archive(2, 'stored')")
        .execute(db.pool())
        .await?;
    settle_and_append(&db, &[(3, std::slice::from_ref(&c))]).await;

    let kept = Mutex::new(HashMap::new());
    let (fetched, mut news) = tokio::sync::mpsc::unbounded_channel();
    let db = db.with_archive(Archive::new(move |cid: String, reach| {
        let mut kept = kept.lock().expect("no panic");
        if reach == Reach::Anywhere {
            kept.insert(cid.clone(), elsewhere[&cid].clone());
            fetched.send(()).expect("somebody waits");
        }
        let body = kept.get(&cid).cloned();
        async move { body.ok_or_else(|| "it is not here".to_owned()) }
    }));
    let owed = [1, 2, 3].map(|n| Owed {
        agent: agent(n),
        changes: &[],
    });
    let mut tx = begin(&db).await;
    let settling = settle(&mut tx, &owed).await?;
    let put_off = settling.put_off.iter();
    let put_off: Vec<_> = put_off.map(|(who, why)| (*who, why.kind())).collect();
    let unavailable = kernel::Kind::Unavailable;
    assert_eq!(
        put_off,
        [(agent(1), unavailable), (agent(2), unavailable)],
        "they are not here"
    );
    let retracted: Vec<_> = settling
        .entries
        .iter()
        .map(|entry| &entry.changes)
        .collect();
    assert_eq!(retracted, [std::slice::from_ref(&c)], "and hold up nobody");
    drop(tx);
    for _ in 0..2 {
        news.recv().await.expect("both are fetched");
    }
    let mut tx = begin(&db).await;
    let settling = settle(&mut tx, &owed).await?;
    assert!(settling.put_off.is_empty());
    let retracted = settling.entries.into_iter().map(|entry| entry.changes);
    assert_eq!(retracted.collect::<Vec<_>>(), [[a], [b], [c]]);
    Ok(())
}
