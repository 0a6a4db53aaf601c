//! Opening a chain that is stored: what differs from it is refused before anything is written.

use chain::{Registries, SeenTopics};
use indexer::{Anchor, Chain, Error, Origin};
use kernel::{Address, B256, Kind};
use sqlx::PgPool;
use store::{Clock, Db};

const ONE: Address = Address::repeat_byte(1);
const TWO: Address = Address::repeat_byte(2);
const STATUS: Address = Address::repeat_byte(3);

fn chain(origin: Origin, identity: &[Address], status: &[Address]) -> Chain {
    Chain {
        id: 7,
        name: "made up".to_owned(),
        origin,
        anchor: Anchor {
            number: 0,
            hash: B256::repeat_byte(9),
        },
        start: 0,
        topics: SeenTopics::ALL,
        contracts: Registries {
            identity: identity.to_vec(),
            status: status.to_vec(),
        },
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn other_contracts_than_the_stored_ones_are_named_and_not_written(
    pool: PgPool,
) -> anyhow::Result<()> {
    let db = Db::from_pool(pool, Clock::System);
    let rpc = |identity: &[Address], status: &[Address]| chain(Origin::Rpc, identity, status);
    indexer::open(&db, &rpc(&[ONE], &[STATUS])).await?;
    let identity = |address| format!("identity {address}");
    let status = |address| format!("status {address}");
    for (asked, new, gone) in [
        (rpc(&[ONE, TWO], &[STATUS]), vec![identity(TWO)], vec![]),
        (rpc(&[ONE], &[STATUS, TWO]), vec![status(TWO)], vec![]),
        (rpc(&[ONE], &[]), vec![], vec![status(STATUS)]),
        (
            rpc(&[TWO], &[STATUS]),
            vec![identity(TWO)],
            vec![identity(ONE)],
        ),
        (
            rpc(&[ONE, STATUS], &[]),
            vec![identity(STATUS)],
            vec![status(STATUS)],
        ),
    ] {
        let error = indexer::open(&db, &asked).await.expect_err("refused");
        let Error::OtherContracts { added, removed, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!((added, removed), (&new, &gone));
        assert_eq!(error.kind(), Kind::Conflict);
        let text = error.to_string();
        for word in new.iter().chain(&gone).map(String::as_str) {
            assert!(text.contains(word), "{text}");
        }
        assert!(text.contains("another data directory"), "{text}");
        let kept = indexer::stored_contracts(&db, 7).await?;
        assert_eq!((kept.identity, kept.status), (vec![ONE], vec![STATUS]));
    }
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn the_order_of_contracts_may_change(pool: PgPool) -> anyhow::Result<()> {
    let db = Db::from_pool(pool, Clock::System);
    indexer::open(&db, &chain(Origin::Rpc, &[ONE, TWO], &[STATUS])).await?;
    indexer::open(&db, &chain(Origin::Rpc, &[TWO, ONE], &[STATUS])).await?;
    let kept = indexer::stored_contracts(&db, 7).await?;
    assert_eq!(kept.identity, [TWO, ONE], "short names are the first one's");
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn a_dev_chain_that_lost_its_contracts_gets_new_ones(pool: PgPool) -> anyhow::Result<()> {
    let db = Db::from_pool(pool, Clock::System);
    indexer::open(&db, &chain(Origin::Started, &[ONE], &[STATUS])).await?;
    indexer::open(&db, &chain(Origin::Started, &[TWO], &[STATUS])).await?;
    let kept = indexer::stored_contracts(&db, 7).await?;
    assert!(kept.identity.contains(&TWO));
    Ok(())
}
