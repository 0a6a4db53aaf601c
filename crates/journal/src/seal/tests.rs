use super::*;
use crate::{
    NewEntry, append,
    checkpoint::Checkpoint,
    follow, log,
    note::Note,
    proof::{verify_consistency, verify_inclusion},
    testing::*,
    tile::{TilePath, decode_bundle},
    tree::{leaf_hash, root},
};
use chrono::TimeDelta;
use sqlx::PgPool;

async fn bodies(db: &Db) -> Vec<Vec<u8>> {
    follow::sealed(db, 0, i64::MAX)
        .await
        .expect("reads")
        .into_iter()
        .map(|e| e.body)
        .collect()
}

/// Many seals of all sizes around the borders of tiles, held against a tree in memory.
#[sqlx::test(migrations = "../../migrations")]
async fn every_head_is_consistent_with_all_before(pool: PgPool) -> anyhow::Result<()> {
    let db = db(pool);
    let sealer = sealer();
    let mut said = 0_u64;
    for (round, count) in [1_u64, 1, 2, 100, 151, 1, 1, 255, 256, 257, 513, 700]
        .into_iter()
        .enumerate()
    {
        say(&db, said..said + count, "a").await;
        said += count;
        // Every other round by a fresh process, which knows nothing.
        let fresh = crate::testing::sealer();
        assert_eq!(
            seal_all(&db, if round % 2 == 0 { &sealer } else { &fresh }).await as u64,
            count
        );
    }
    let leaves: Vec<Hash> = bodies(&db)
        .await
        .iter()
        .map(|body| leaf_hash(body))
        .collect();
    assert_eq!(leaves.len() as u64, said);
    let root_of = |size: u64| root(&leaves[..usize::try_from(size).expect("small")]);
    let heads = log::checkpoints_after(&db, 0, 100).await?;
    assert_eq!(heads.len(), 12);
    for (older, newer) in heads.iter().zip(&heads[1..]) {
        assert!(
            older.signed_at < newer.signed_at,
            "time advances though the clock stands still"
        );
        let proof = log::consistency(&db, older.size, newer.size).await?;
        assert_eq!(
            verify_consistency(older.size, newer.size, &proof, &older.root, &newer.root),
            Ok(())
        );
    }
    for head in &heads {
        assert_eq!(head.root, root_of(head.size));
        assert_eq!(log::root(&db, head.size).await?, head.root);
        let note = Note::parse(&head.note).expect("a note");
        note.verify(std::slice::from_ref(sealer.vkey()))
            .expect("signed");
        let checkpoint = Checkpoint::parse(note.text()).expect("a checkpoint");
        assert_eq!((checkpoint.size, checkpoint.root), (head.size, head.root));
        for index in [0, 1, head.size / 2, head.size - 1] {
            if index < head.size {
                let proof = log::inclusion(&db, index, head.size).await?;
                let leaf = leaves[usize::try_from(index).expect("small")];
                assert_eq!(
                    verify_inclusion(&leaf, index, head.size, &proof, &head.root),
                    Ok(())
                );
            }
        }
    }
    // Sizes that no head had are proven as well.
    for (old, new) in [
        (3, 7),
        (255, 2000),
        (256, 2001),
        (1000, 1023),
        (0, 5),
        (9, 9),
    ] {
        let proof = log::consistency(&db, old, new).await?;
        assert_eq!(
            verify_consistency(old, new, &proof, &root_of(old), &root_of(new)),
            Ok(())
        );
    }
    assert_eq!(
        log::inclusion(&db, 0, said + 1)
            .await
            .expect_err("not yet")
            .kind(),
        kernel::Kind::Invalid
    );
    assert!(log::inclusion(&db, 5, 5).await.is_err());
    Ok(())
}

/// What is served is enough for a stranger to rebuild the log: all tiles, all bundles, the same root.
#[sqlx::test(migrations = "../../migrations")]
async fn tiles_and_bundles_are_those_of_the_specification(pool: PgPool) -> anyhow::Result<()> {
    let db = db(pool);
    say(&db, 0..1_000, "a").await;
    seal_all(&db, &sealer()).await;
    let bodies = bodies(&db).await;
    let leaves: Vec<Hash> = bodies.iter().map(|body| leaf_hash(body)).collect();
    for index in 0..4_u64 {
        let width = if index < 3 { 256 } else { 1_000 - 3 * 256 };
        let first = usize::try_from(index * 256).expect("small");
        let range = first..first + usize::from(width);
        assert_eq!(
            log::tile(&db, 0, index, width).await?,
            leaves[range.clone()].concat()
        );
        assert_eq!(
            log::tile(&db, 0, index, 7).await?,
            leaves[first..first + 7].concat()
        );
        let bundle = log::entry_bundle(&db, index, width).await?;
        assert_eq!(decode_bundle(&bundle).expect("whole"), bodies[range]);
    }
    let roots: Vec<Hash> = leaves[..768].chunks(256).map(root).collect();
    assert_eq!(log::tile(&db, 1, 0, 3).await?, roots.concat());
    for (level, index, width) in [
        (0, 3, 233),
        (0, 3, 256),
        (0, 4, 1),
        (1, 0, 4),
        (1, 1, 1),
        (2, 0, 1),
        (9, 0, 1),
        (0, 0, 0),
        (0, u64::MAX, 9),
    ] {
        let error = log::tile(&db, level, index, width)
            .await
            .expect_err("not there");
        assert_eq!(
            error.kind(),
            kernel::Kind::NotFound,
            "{}",
            TilePath::Hashes {
                level,
                index,
                width
            }
        );
    }
    assert!(log::entry_bundle(&db, 3, 233).await.is_err());
    assert!(log::entry_bundle(&db, u64::MAX, 1).await.is_err());
    Ok(())
}

#[sqlx::test(migrations = "../../migrations")]
async fn late_commits_with_lower_numbers_are_not_missed(pool: PgPool) -> anyhow::Result<()> {
    let db = db(pool);
    let sealer = sealer();
    let mut late = begin(&db).await;
    let lower = append(
        &mut late,
        vec![NewEntry::agent(agent(1), vec![change("late", "x")])],
    )
    .await?;
    let higher = say(&db, [2, 3], "a").await;
    assert!(lower[0].seq < higher[0].seq);
    // Twice, so that it is known that all that was seen is sealed.
    assert_eq!(seal_all(&db, &sealer).await, 2);
    assert_eq!(seal_all(&db, &sealer).await, 0);
    say(&db, [4], "a").await;
    assert_eq!(seal_all(&db, &sealer).await, 1);
    late.commit().await?;
    assert_eq!(seal_all(&db, &sealer).await, 1);
    let order: Vec<String> = follow::sealed(&db, 0, 9)
        .await?
        .into_iter()
        .map(|e| e.cid)
        .collect();
    assert_eq!(order[3], lower[0].cid);
    // What was rolled back is never sealed, and holds nothing up.
    let mut gone = begin(&db).await;
    append(
        &mut gone,
        vec![NewEntry::agent(agent(9), vec![change("gone", "x")])],
    )
    .await?;
    gone.rollback().await?;
    say(&db, [5], "a").await;
    assert_eq!(seal_all(&db, &sealer).await, 1);
    // Looks that found nothing while it was open do not hide a commit.
    let mut open = begin(&db).await;
    append(
        &mut open,
        vec![NewEntry::agent(agent(10), vec![change("open", "x")])],
    )
    .await?;
    assert_eq!(seal_all(&db, &sealer).await, 0);
    assert_eq!(seal_all(&db, &sealer).await, 0);
    open.commit().await?;
    assert_eq!(seal_all(&db, &sealer).await, 1);
    Ok(())
}

/// Whoever had ended was seen then, also where one that began earlier is open still.
#[sqlx::test(migrations = "../../migrations")]
async fn a_scan_leaves_out_whoever_had_ended_before(pool: PgPool) -> anyhow::Result<()> {
    let db = db(pool);
    let mut open = begin(&db).await;
    let entry = vec![NewEntry::agent(agent(9), vec![change("open", "x")])];
    append(&mut open, entry).await?;
    say(&db, [1, 2], "a").await;
    let mut conn = db.pool().acquire().await?;
    let before = snapshot(&mut conn).await?;
    say(&db, [3], "a").await;
    open.commit().await?;
    let after = snapshot(&mut conn).await?;
    for (all_sealed, found) in [(None, 4), (Some(&before), 2), (Some(&after), 0)] {
        let now = snapshot(&mut conn).await?;
        let scanned = scan(&mut conn, all_sealed, None, now).await?;
        assert_eq!(scanned.seqs.len(), found, "behind {all_sealed:?}");
    }
    Ok(())
}

/// After a dump and a restore, entries name transactions of another server.
#[sqlx::test(migrations = "../../migrations")]
async fn what_was_restored_is_looked_at_once(pool: PgPool) -> anyhow::Result<()> {
    let db = db(pool);
    say(&db, [1, 2], "a").await;
    let mut restored = db.pool().begin().await?;
    sqlx::raw_sql(
        "SET LOCAL session_replication_role = replica;
         UPDATE journal.entries SET xid = (xid::text::bigint + (1::bigint << 40))::text::xid8",
    )
    .execute(&mut *restored)
    .await?;
    restored.commit().await?;
    let mut conn = db.pool().acquire().await?;
    let early = Snapshot {
        text: "3:3:".to_owned(),
        xmin: "3".to_owned(),
    };
    for (all_sealed, found) in [(None, 2), (Some(&early), 0)] {
        let now = snapshot(&mut conn).await?;
        let scanned = scan(&mut conn, all_sealed, None, now).await?;
        assert_eq!(scanned.seqs.len(), found, "behind {all_sealed:?}");
    }
    let sealer = sealer();
    assert_eq!(seal_all(&db, &sealer).await, 2);
    say(&db, [3], "b").await;
    assert_eq!(seal_all(&db, &sealer).await, 1, "it goes on");
    Ok(())
}

/// Entries that are committed while a long scan goes on, below and behind what it has sealed.
#[sqlx::test(migrations = "../../migrations")]
async fn what_is_committed_between_two_batches_is_sealed_after_them(
    pool: PgPool,
) -> anyhow::Result<()> {
    let (db, sealer) = (db(pool), sealer());
    let lease = lease(&db).await;
    let mut late = begin(&db).await;
    let entry = |n| vec![NewEntry::agent(agent(n), vec![change("late", "x")])];
    append(&mut late, entry(100_000)).await?;
    let batch = u64::try_from(BATCH)?;
    say(&db, 0..2 * batch + 7, "a").await;
    let sealed = async || sealer.seal_once(&db, &lease).await.expect("seals");
    let of = |entries, size| Sealed::Batch {
        entries,
        size,
        more: entries == BATCH,
    };
    assert_eq!(sealed().await, of(BATCH, batch));
    late.commit().await?;
    say(&db, [200_000], "b").await;
    assert_eq!(sealed().await, of(BATCH, 2 * batch));
    assert_eq!(sealed().await, of(7, 2 * batch + 7));
    assert_eq!(sealed().await, of(2, 2 * batch + 9), "late and new");
    assert_eq!(sealed().await, Sealed::Nothing);
    let head = log::head(&db).await?.expect("sealed");
    assert_eq!(head.root, log::root(&db, head.size).await?);
    Ok(())
}

/// What a scan found is not tried again where another process sealed it meanwhile.
#[sqlx::test(migrations = "../../migrations")]
async fn who_leads_again_looks_again(pool: PgPool) -> anyhow::Result<()> {
    let (db, one, two) = (db(pool), sealer(), sealer());
    let lease = lease(&db).await;
    say(&db, 0..u64::try_from(BATCH)? + 5, "a").await;
    let more = |sealed| matches!(sealed, Sealed::Batch { more: true, .. });
    assert!(more(one.seal_once(&db, &lease).await?));
    assert_eq!(seal_all(&db, &two).await, 5);
    assert_eq!(one.seal_once(&db, &lease).await?, Sealed::Nothing);
    say(&db, [100_000], "b").await;
    assert_eq!(seal_all(&db, &one).await, 1);
    Ok(())
}

/// Two processes that both believe that they lead, at the same head.
#[sqlx::test(migrations = "../../migrations")]
async fn two_sealers_cannot_fork(pool: PgPool) -> anyhow::Result<()> {
    let db = db(pool);
    let one = sealer();
    for first in [true, false] {
        let sealed_before = log::head(&db).await?.map_or(0, |head| head.size);
        assert_eq!(sealed_before == 0, first);
        say(&db, [1, 2], if first { "a" } else { "b" }).await;
        let mut tx_one = begin(&db).await;
        let mut tx_two = begin(&db).await;
        let now = snapshot(tx_one.conn()).await?;
        let found = scan(tx_one.conn(), None, None, now).await?;
        let head = head_on(tx_one.conn()).await?;
        let done = seal(&mut tx_one, &one.key, &one.vkey, head, None, found).await?;
        assert_eq!(done.edge.size(), sealed_before + 2);
        // The second sees the same head and more entries, so it would sign another tree.
        say(&db, [3], if first { "a" } else { "b" }).await;
        let two = tokio::spawn(async move {
            let two = sealer();
            let now = snapshot(tx_two.conn()).await?;
            let found = scan(tx_two.conn(), None, None, now).await?;
            let head = head_on(tx_two.conn()).await?;
            seal(&mut tx_two, &two.key, &two.vkey, head, None, found)
                .await
                .map(|_| ())
        });
        until_blocked(&db).await;
        tx_one.commit().await?;
        let error = two.await?.expect_err("one head follows a head");
        assert!(matches!(error, Error::Raced), "{error}");
        assert_eq!(error.kind(), kernel::Kind::Unavailable);
        assert_eq!(seal_all(&db, &sealer()).await, 1);
    }
    let heads: i64 = sqlx::query_scalar("SELECT count(*) FROM journal.checkpoints")
        .fetch_one(db.pool())
        .await?;
    assert_eq!(heads, 4);
    Ok(())
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_former_leader_is_fenced(pool: PgPool) -> anyhow::Result<()> {
    let db = db(pool);
    let (sealer, ttl) = (sealer(), Duration::from_secs(10));
    let old = lease::acquire(&db, "journal.seal", Uuid::from_u128(1), ttl)
        .await?
        .expect("free");
    say(&db, [1], "a").await;
    assert_eq!(sealer.round(&db, Uuid::from_u128(2)).await?, Outcome::Idle);
    assert!(log::head(&db).await?.is_none(), "another one leads");
    db.clock().advance(TimeDelta::seconds(11));
    assert_eq!(sealer.round(&db, Uuid::from_u128(2)).await?, Outcome::Idle);
    assert_eq!(log::head(&db).await?.expect("sealed").size, 1);
    say(&db, [2], "a").await;
    let error = sealer.seal_once(&db, &old).await.expect_err("fenced");
    assert_eq!(error.kind(), kernel::Kind::Conflict);
    Ok(())
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_crash_before_the_commit_loses_nothing(pool: PgPool) -> anyhow::Result<()> {
    let db = db(pool);
    let sealer = sealer();
    say(&db, 0..300, "a").await;
    let mut crashed = begin(&db).await;
    let now = snapshot(crashed.conn()).await?;
    let found = scan(crashed.conn(), None, None, now).await?;
    seal(&mut crashed, &sealer.key, &sealer.vkey, None, None, found).await?;
    drop(crashed);
    assert!(log::head(&db).await?.is_none());
    assert_eq!(seal_all(&db, &sealer).await, 300);
    assert_eq!(
        log::head(&db).await?.expect("sealed").root,
        log::root(&db, 300).await?
    );
    Ok(())
}

#[sqlx::test(migrations = "../../migrations")]
async fn batches_are_bounded(pool: PgPool) -> anyhow::Result<()> {
    let db = db(pool);
    let (sealer, lease) = (sealer(), lease(&db).await);
    assert_eq!(sealer.seal_once(&db, &lease).await?, Sealed::Nothing);
    say(&db, 0..5_000, "a").await;
    let first = sealer.seal_once(&db, &lease).await?;
    assert_eq!(
        first,
        Sealed::Batch {
            entries: BATCH,
            size: 4_096,
            more: true
        }
    );
    let second = sealer.seal_once(&db, &lease).await?;
    assert_eq!(
        second,
        Sealed::Batch {
            entries: 904,
            size: 5_000,
            more: false
        }
    );
    assert_eq!(sealer.seal_once(&db, &lease).await?, Sealed::Nothing);
    Ok(())
}

#[sqlx::test(migrations = "../../migrations")]
async fn another_key_or_origin_is_refused_with_the_way_out(pool: PgPool) -> anyhow::Result<()> {
    let db = db(pool);
    say(&db, [1], "a").await;
    let named = sealer();
    identity::check(&db, named.vkey()).await?;
    seal_all(&db, &named).await;
    identity::check(&db, named.vkey()).await?;
    let lease = lease(&db).await;
    say(&db, [2], "a").await;
    for other in [
        Sealer::new(LogKey::from_seed(&[8; 32]), Some("example.com/log"))?,
        Sealer::new(LogKey::from_seed(&[7; 32]), None)?,
    ] {
        assert!(identity::check(&db, other.vkey()).await.is_err());
        let error = other
            .seal_once(&db, &lease)
            .await
            .expect_err("another identity");
        assert!(error.to_string().contains("journal.key_file"), "{error}");
        assert_eq!(error.kind(), kernel::Kind::Invalid);
    }
    assert_eq!(
        identity::find(&db).await?.expect("fixed").origin,
        "example.com/log"
    );
    assert!(Sealer::new(LogKey::from_seed(&[7; 32]), Some("has space")).is_err());
    Ok(())
}

/// A disk or a person altered a leaf: nothing is signed over it.
#[sqlx::test(migrations = "../../migrations")]
async fn a_damaged_tree_is_not_signed_on(pool: PgPool) -> anyhow::Result<()> {
    let db = db(pool);
    say(&db, [1, 2, 3], "a").await;
    seal_all(&db, &sealer()).await;
    sqlx::raw_sql(
        "ALTER TABLE journal.leaves DISABLE TRIGGER check_leaf;
         UPDATE journal.leaves SET leaf_hash = sha256('x') WHERE leaf_index = 1",
    )
    .execute(db.pool())
    .await?;
    say(&db, [4], "a").await;
    let lease = lease(&db).await;
    let error = sealer().seal_once(&db, &lease).await.expect_err("damaged");
    assert!(matches!(error, Error::Damaged(_)), "{error}");
    Ok(())
}
