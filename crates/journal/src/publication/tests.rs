use super::*;
use crate::{NewEntry, read, testing::*};
use kernel::{Kind, Limit};
use sqlx::PgPool;

#[sqlx::test(migrations = "../../migrations")]
async fn an_entry_has_the_highest_state_that_covers_it(pool: PgPool) -> anyhow::Result<()> {
    let db = db(pool);
    let sealer = sealer();
    let first = say(&db, 0..2, "a").await;
    seal_all(&db, &sealer).await;
    let second = say(&db, 2..4, "a").await;
    let state = async |cid: &str| read::get(&db, cid).await.expect("there").state;
    assert_eq!(state(&second[1].cid).await, State::Queued);
    seal_all(&db, &sealer).await;
    assert_eq!(state(&second[1].cid).await, State::Sealed);
    for (size, to) in [
        (2, State::Stored),
        (4, State::Stored),
        (2, State::Pinned),
        (2, State::Anchored),
    ] {
        let mut tx = begin(&db).await;
        let publication = Publication {
            size,
            state: to,
            reference: format!("ref-{size}"),
        };
        record(&mut tx, &publication).await?;
        record(
            &mut tx,
            &Publication {
                reference: "later".to_owned(),
                ..publication
            },
        )
        .await?;
        tx.commit().await?;
    }
    assert_eq!(state(&first[1].cid).await, State::Anchored);
    assert_eq!(state(&second[0].cid).await, State::Stored);
    let newest = latest(&db, State::Stored).await?.expect("recorded");
    assert_eq!((newest.size, newest.reference.as_str()), (4, "ref-4"));
    assert_eq!(latest(&db, State::Sealed).await?, None);
    let way: Vec<_> = of_leaf(&db, 1)
        .await?
        .into_iter()
        .map(|p| (p.state, p.size))
        .collect();
    assert_eq!(
        way,
        [(State::Stored, 2), (State::Pinned, 2), (State::Anchored, 2)]
    );
    let sealed = Publication {
        size: 2,
        state: State::Sealed,
        reference: String::new(),
    };
    assert_eq!(
        record(&mut begin(&db).await, &sealed)
            .await
            .expect_err("no")
            .kind(),
        Kind::Invalid
    );
    Ok(())
}

#[sqlx::test(migrations = "../../migrations")]
async fn lists_are_paged(pool: PgPool) -> anyhow::Result<()> {
    let db = db(pool);
    let said = say(&db, [1, 2, 1, 1], "a").await;
    seal_all(&db, &sealer()).await;
    let act = commit(&db, vec![NewEntry::act(vec![change("x", "psql")])]).await;
    let limit = Limit::new(3)?;
    let cids = |page: &kernel::Page<read::Record>| {
        page.items
            .iter()
            .map(|record| record.cid.clone())
            .collect::<Vec<_>>()
    };
    let mine = read::by_agent(&db, agent(1), None, Limit::new(2)?).await?;
    assert_eq!(cids(&mine), [said[3].cid.clone(), said[2].cid.clone()]);
    let rest = read::by_agent(&db, agent(1), mine.next_cursor.as_deref(), limit).await?;
    assert_eq!(cids(&rest), [said[0].cid.clone()]);
    let newest = read::newest(&db, None, limit).await?;
    assert_eq!(
        (newest.items[0].state, &newest.items[0].cid),
        (State::Queued, &act[0].cid)
    );
    assert_eq!(newest.items[0].leaf_index, None);
    let rest = read::newest(&db, newest.next_cursor.as_deref(), limit).await?;
    assert_eq!(rest.items.len(), 2);
    let wrong = read::newest(&db, Some("x"), limit).await;
    assert_eq!(wrong.expect_err("no").kind(), Kind::Invalid);
    assert_eq!(
        read::get(&db, "none").await.expect_err("no").kind(),
        Kind::NotFound
    );
    Ok(())
}

#[test]
fn states_are_in_their_order() {
    assert!(State::Queued < State::Sealed && State::Pinned < State::Anchored);
    assert_eq!(State::parse("pinned"), Some(State::Pinned));
    assert_eq!(State::parse("immutable"), None);
}
