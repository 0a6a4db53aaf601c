use super::*;
use crate::testing::*;
use sqlx::PgPool;

/// The next entries for a follower, from where it stands.
async fn next(db: &Db, follower: &str, limit: i64) -> Result<Vec<SealedEntry>> {
    sealed(db, position(db, follower).await?, limit).await
}

/// Moves it behind what it was given.
async fn advance(tx: &mut Tx, follower: &str, done: &[SealedEntry]) -> Result<()> {
    let (Some(first), Some(last)) = (done.first(), done.last()) else {
        return Ok(());
    };
    advance_to(tx, follower, first.leaf_index, last.leaf_index + 1).await
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_follower_sees_each_sealed_entry_once(pool: PgPool) -> anyhow::Result<()> {
    let db = db(pool);
    let said = say(&db, 0..5, "a").await;
    assert!(
        next(&db, "publish", 10).await?.is_empty(),
        "nothing is sealed"
    );
    seal_all(&db, &sealer()).await;
    say(&db, [9], "b").await;
    let first = next(&db, "publish", 3).await?;
    assert_eq!(
        first.iter().map(|e| &e.cid).collect::<Vec<_>>(),
        [&said[0].cid, &said[1].cid, &said[2].cid]
    );
    // Undone work is given again.
    let mut tx = begin(&db).await;
    advance(&mut tx, "publish", &first).await?;
    tx.rollback().await?;
    assert_eq!(next(&db, "publish", 3).await?, first);
    let mut tx = begin(&db).await;
    advance(&mut tx, "publish", &first[..2]).await?;
    tx.commit().await?;
    let second = next(&db, "publish", 10).await?;
    assert_eq!(
        second.iter().map(|e| e.leaf_index).collect::<Vec<_>>(),
        [2, 3, 4]
    );
    assert_eq!(
        (
            position(&db, "publish").await?,
            position(&db, "other").await?
        ),
        (2, 0)
    );
    // Another process of the same follower did that part already.
    let mut tx = begin(&db).await;
    let error = advance(&mut tx, "publish", &first)
        .await
        .expect_err("moved");
    assert_eq!(error.kind(), kernel::Kind::Conflict);
    advance(&mut tx, "publish", &[]).await?;
    Ok(())
}

/// Two processes of one follower that do the same work at once, and die before the end of every third transaction.
#[sqlx::test(migrations = "../../migrations")]
async fn work_is_done_once_by_however_many_and_however_often_they_die(
    pool: PgPool,
) -> anyhow::Result<()> {
    let db = db(pool);
    say(&db, 0..50, "a").await;
    seal_all(&db, &sealer()).await;
    sqlx::query("CREATE TABLE done (nth bigserial, leaf bigint)")
        .execute(db.pool())
        .await?;
    let process = |batch: i64, dies_at: usize| {
        let db = &db;
        async move {
            let mut rounds = 0;
            loop {
                let entries = next(db, "webhooks", batch).await.expect("reads");
                if entries.is_empty() {
                    return rounds;
                }
                rounds += 1;
                let mut tx = begin(db).await;
                for entry in &entries {
                    sqlx::query("INSERT INTO done (leaf) VALUES ($1)")
                        .bind(entry.leaf_index.cast_signed())
                        .execute(tx.conn())
                        .await
                        .expect("works");
                }
                if rounds % 3 == dies_at {
                    continue;
                }
                match advance(&mut tx, "webhooks", &entries).await {
                    Ok(()) if rounds % 5 == dies_at => {}
                    Ok(()) => tx.commit().await.expect("commits"),
                    Err(error) => assert_eq!(error.kind(), kernel::Kind::Conflict, "{error}"),
                }
            }
        }
    };
    tokio::join!(process(3, 0), process(4, 1), process(1, 2));
    let done: Vec<i64> = sqlx::query_scalar("SELECT leaf FROM done ORDER BY nth")
        .fetch_all(db.pool())
        .await?;
    assert_eq!(
        done,
        (0..50).collect::<Vec<_>>(),
        "each once, in the order of the leaves"
    );
    assert_eq!(position(&db, "webhooks").await?, 50);
    Ok(())
}

/// Entries of 60 KB each: the database counts what lies in it, and who reads the archive counts what it gives.
#[sqlx::test(migrations = "../../migrations")]
async fn an_answer_ends_where_it_is_large_and_the_next_goes_on(pool: PgPool) -> anyhow::Result<()> {
    let db = db(pool);
    let large = |n: u64| {
        let change = change(format!("{n:>60000}"), "a");
        crate::NewEntry::agent(agent(n), vec![change])
    };
    commit(&db, (0..300).map(large).collect()).await;
    seal_all(&db, &sealer()).await;
    let mut all = Vec::new();
    loop {
        let next = sealed(&db, all.len() as u64, 4_096).await?;
        let bytes: usize = next.iter().map(|entry| entry.body.len()).sum();
        assert!(bytes < BYTES + 65_536, "{bytes}");
        if next.is_empty() {
            break;
        }
        all.extend(next);
    }
    let leaves: Vec<u64> = all.iter().map(|entry| entry.leaf_index).collect();
    assert_eq!(leaves, (0..300).collect::<Vec<u64>>());
    assert_eq!(sealed(&db, 0, 3).await?, all[..3]);

    let first = sealed(&db, 0, 4_096).await?.len();
    let mut tx = begin(&db).await;
    let stored = crate::publication::Publication {
        size: 300,
        state: crate::publication::State::Stored,
        reference: "a manifest".to_owned(),
    };
    crate::publication::record(&mut tx, &stored).await?;
    tx.commit().await?;
    sqlx::query("SELECT journal.archive(200, 'stored')")
        .execute(db.pool())
        .await?;
    let bodies = all
        .iter()
        .map(|entry| (entry.cid.clone(), entry.body.clone()));
    let bodies: std::collections::HashMap<_, _> = bodies.collect();
    let db = db.with_archive(store::Archive::new(move |cid: String, _| {
        let body = bodies.get(&cid).cloned();
        async move { body.ok_or_else(|| "it is not here".to_owned()) }
    }));
    let archived = sealed(&db, 0, 4_096).await?;
    assert_eq!(archived, all[..archived.len()]);
    assert!((first..first + body::AT_ONCE).contains(&archived.len()));
    let over_the_end = sealed(&db, 150, 4_096).await?;
    assert_eq!(over_the_end, all[150..150 + over_the_end.len()]);
    assert!(over_the_end.len() > 50);
    Ok(())
}
