use super::*;
use crate::testing::*;
use sqlx::PgPool;

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
