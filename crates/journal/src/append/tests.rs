use super::*;
use crate::{read, testing::*};
use kernel::Kind;
use sqlx::PgPool;

#[sqlx::test(migrations = "../../migrations")]
async fn entries_of_an_agent_form_a_chain(pool: PgPool) -> anyhow::Result<()> {
    let db = db(pool);
    let first = say(&db, [1, 2, 1], "a").await;
    let second = say(&db, [2, 1], "b").await;
    assert!(
        first
            .iter()
            .chain(&second)
            .map(|entry| entry.seq)
            .is_sorted_by(|a, b| a < b)
    );
    let prev = async |entry: &Appended| read::get(&db, &entry.cid).await.expect("there").entry.prev;
    assert_eq!(prev(&first[0]).await, None);
    assert_eq!(prev(&first[1]).await, None);
    assert_eq!(prev(&first[2]).await.as_ref(), Some(&first[0].cid));
    assert_eq!(prev(&second[0]).await.as_ref(), Some(&first[1].cid));
    assert_eq!(prev(&second[1]).await.as_ref(), Some(&first[2].cid));
    let record = read::get(&db, &first[0].cid).await?;
    assert_eq!(record.entry.time, db.clock().now());
    assert_eq!(record.entry.changes, [change(1, "a")]);
    assert!(append(&mut begin(&db).await, vec![]).await?.is_empty());
    Ok(())
}

#[sqlx::test(migrations = "../../migrations")]
async fn acts_and_incidents_form_one_chain_and_wait_for_each_other(
    pool: PgPool,
) -> anyhow::Result<()> {
    let db = db(pool);
    let act = |text: &str| NewEntry::act(vec![change(text, "psql")]);
    let mut one = begin(&db).await;
    let first = append(
        &mut one,
        vec![act("a"), NewEntry::incident(vec![change("b", "job")])],
    )
    .await?;
    let second = {
        let db = db.clone();
        tokio::spawn(async move {
            let mut two = begin(&db).await;
            let appended = append(&mut two, vec![act("c")]).await?;
            two.commit().await?;
            Ok::<_, Error>(appended)
        })
    };
    until_blocked(&db).await;
    one.commit().await?;
    let second = second.await??;
    assert_eq!(
        read::get(&db, &first[1].cid).await?.entry.prev.as_ref(),
        Some(&first[0].cid)
    );
    assert_eq!(
        read::get(&db, &second[0].cid).await?.entry.prev.as_ref(),
        Some(&first[1].cid)
    );
    Ok(())
}

#[sqlx::test(migrations = "../../migrations")]
async fn who_appends_without_the_lock_clashes_and_tries_again(pool: PgPool) -> anyhow::Result<()> {
    let db = db(pool);
    let entry = |cause: &str| vec![NewEntry::agent(agent(1), vec![change("x", cause)])];
    let (mut one, mut two) = (begin(&db).await, begin(&db).await);
    append(&mut one, entry("one")).await?;
    let second = tokio::spawn(async move { append(&mut two, entry("two")).await });
    until_blocked(&db).await;
    one.commit().await?;
    let clash = second.await?.expect_err("not the same chain end twice");
    assert!(matches!(clash, Error::Clash), "{clash}");
    assert_eq!(clash.kind(), Kind::Unavailable);
    let again = commit(&db, entry("two")).await;
    assert!(read::get(&db, &again[0].cid).await?.entry.prev.is_some());
    Ok(())
}

#[sqlx::test(migrations = "../../migrations")]
async fn large_entries_are_split_into_a_chain(pool: PgPool) -> anyhow::Result<()> {
    let db = db(pool);
    let changes: Vec<_> = (0..5)
        .map(|n| change("x".repeat(20_000), &format!("c{n}")))
        .collect();
    let parts = commit(&db, vec![NewEntry::agent(agent(1), changes.clone())]).await;
    assert_eq!(parts.len(), 2);
    let last = read::get(&db, &parts[1].cid).await?;
    assert_eq!(last.entry.prev.as_ref(), Some(&parts[0].cid));
    let net = crate::said::net(&db, &[agent(1)]).await?;
    let said: Vec<_> = net[&agent(1)]
        .iter()
        .map(|said| said.change.clone())
        .collect();
    assert_eq!(said, changes);
    let too_large = vec![NewEntry::agent(
        agent(1),
        vec![change("x".repeat(70_000), "c")],
    )];
    let error = append(&mut begin(&db).await, too_large)
        .await
        .expect_err("too large");
    assert!(error.to_string().contains("column name"), "{error}");
    assert_eq!(error.kind(), Kind::Invalid);
    Ok(())
}

#[sqlx::test(migrations = "../../migrations")]
async fn nothing_in_the_journal_can_be_changed(pool: PgPool) -> anyhow::Result<()> {
    let db = db(pool.clone());
    // A full tile and more.
    say(&db, 0..300, "a").await;
    seal_all(&db, &sealer()).await;
    for table in [
        "entries",
        "said",
        "leaves",
        "tiles",
        "checkpoints",
        "publications",
        "identity",
    ] {
        let column = match table {
            "entries" | "said" => "agent_id = agent_id",
            "leaves" => "leaf_hash = leaf_hash",
            "identity" => "origin = 'mine'",
            "publications" => "reference = 'x'",
            _ => "root = root",
        };
        for statement in [
            format!("UPDATE journal.{table} SET {column}"),
            format!("DELETE FROM journal.{table}"),
            format!("DELETE FROM journal.{table} WHERE false"),
            format!("TRUNCATE journal.{table} CASCADE"),
        ] {
            let error = sqlx::raw_sql(sqlx::AssertSqlSafe(statement.clone()))
                .execute(&pool)
                .await;
            let error = store::Error::from(error.expect_err(&statement));
            assert!(
                matches!(&error, store::Error::Refused(why) if why.contains("insert-only")),
                "{error}"
            );
        }
    }
    Ok(())
}

/// The application's role can append, seal and read with nothing but SELECT and INSERT.
#[sqlx::test(migrations = "../../migrations")]
async fn select_and_insert_are_enough(pool: PgPool) -> anyhow::Result<()> {
    let role = "journal_test_app";
    let grants = format!(
        "DO $$ BEGIN CREATE ROLE {role}; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
         GRANT USAGE ON SCHEMA journal, store TO {role};
         GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA journal TO {role};
         GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA journal TO {role};
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA store TO {role}"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(grants))
        .execute(&pool)
        .await?;
    let options = (*pool.connect_options()).clone().options([("role", role)]);
    let app = sqlx::postgres::PgPoolOptions::new()
        .max_connections(4)
        .connect_with(options)
        .await?;
    let db = db(app);
    say(&db, 0..300, "a").await;
    commit(&db, vec![NewEntry::act(vec![change("b", "psql")])]).await;
    assert_eq!(seal_all(&db, &sealer()).await, 301);
    say(&db, 0..300, "b").await;
    assert_eq!(seal_all(&db, &sealer()).await, 300);
    assert_eq!(crate::log::head(&db).await?.expect("sealed").size, 601);
    let mut tx = begin(&db).await;
    let (state, reference) = (crate::publication::State::Stored, "cid".to_owned());
    let publication = crate::publication::Publication {
        size: 601,
        state,
        reference,
    };
    crate::publication::record(&mut tx, &publication).await?;
    tx.commit().await?;
    let denied = sqlx::raw_sql("DELETE FROM journal.entries")
        .execute(db.pool())
        .await;
    assert!(
        denied
            .expect_err("no right")
            .to_string()
            .contains("permission denied")
    );
    db.close().await;
    Ok(())
}

#[sqlx::test(migrations = "../../migrations")]
async fn five_thousand_entries_in_one_call(pool: PgPool) -> anyhow::Result<()> {
    let db = db(pool);
    for cause in ["a", "b"] {
        let entries = (0..5_000)
            .map(|n| {
                let changes = (0..3).map(|c| change(n, &format!("{cause}{c}"))).collect();
                NewEntry::agent(agent(n), changes)
            })
            .collect();
        let mut tx = begin(&db).await;
        let appended = append(&mut tx, entries).await?;
        tx.commit().await?;
        assert_eq!(appended.len(), 5_000);
    }
    assert_eq!(crate::said::digest_set(&db).await?.changes, 30_000);
    Ok(())
}
