//! anvil forgets what was in old blocks (`--transaction-block-keeper`): their headers stay, and whoever asks
//! for their logs or receipts is told that there are none.

use indexer::{Error, Prove};
use sqlx::PgPool;

use super::{SETTLING, client::Client, config, history, is_complete, levels};
use crate::kit::{equal::Second, index::Index};

#[sqlx::test(migrations = "./migrations")]
async fn what_a_node_forgot_is_a_loss(pool: PgPool) {
    let client = Client::anvil_with(&["--transaction-block-keeper=100"]).await;
    history(&client).await;
    let chain = client.chain();
    assert!(chain.agents().await.len() > 5);

    // A backfill hears of nobody, and calls nothing complete.
    let mut index = Index::open_with(&pool, chain, SETTLING, &config(Prove::Behind)).await;
    index.catch_up().await;
    assert_eq!(index.agents().await, []);
    let error = index.prove().await.unwrap_err();
    assert!(matches!(error, Error::Unproven { .. }), "{error}");
    assert!(error.to_string().contains(&chain.rpc.place()), "{error}");
    assert!(!is_complete(&index).await);
    assert!(levels(&index).await.contains(&"reported".to_owned()));

    // One that proves first does not go past it.
    let other = Second::named("first", &pool).await;
    let mut index = Index::open_with(&other.pool, chain, SETTLING, &config(Prove::First)).await;
    let error = loop {
        if let Err(error) = index.round().await {
            break error;
        }
    };
    assert!(matches!(error, Error::Unproven { .. }), "{error}");
    assert!(index.head().await < 40, "at {}", index.head().await);
    other.drop(&pool).await;
}
