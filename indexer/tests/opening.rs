//! Opening a chain that is stored: what differs from it is refused before anything is written.

#[path = "../../crates/chain/tests/kit/server.rs"]
#[allow(dead_code, reason = "each test file uses its part")]
mod server;

use chain::{Registries, SeenTopics};
use indexer::{
    Anchor, Chain, ChainConfig, Config, Discovered, Error, Origin, Providers, Stored, discover,
};
use kernel::{Address, B256, Kind};
use serde_json::{Value, json};
use server::{Server, error, honest, result};
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
            ..Registries::default()
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

#[sqlx::test(migrations = "../migrations")]
async fn contracts_of_vexel_are_named_when_a_chain_is_first_read_also_a_dev_chain(
    pool: PgPool,
) -> anyhow::Result<()> {
    let db = Db::from_pool(pool, Clock::System);
    for (id, origin) in [(7, Origin::Rpc), (8, Origin::Started)] {
        let with = |vexel: &[Address]| {
            let mut chain = chain(origin, &[ONE], &[STATUS]);
            chain.id = id;
            chain.contracts.vexel = vexel.to_vec();
            chain
        };
        indexer::open(&db, &with(&[TWO])).await?;
        indexer::open(&db, &with(&[TWO])).await?;
        let another = Address::repeat_byte(4);
        for (asked, new, gone) in [
            (vec![TWO, another], vec![another], vec![]),
            (vec![another], vec![another], vec![TWO]),
            (vec![], vec![], vec![TWO]),
        ] {
            let opened = indexer::open(&db, &with(&asked)).await;
            let Err(Error::OtherContracts { added, removed, .. }) = &opened else {
                panic!("{origin:?} {asked:?}: {opened:?}");
            };
            let names = |of: Vec<Address>| {
                let names = of.iter().map(|address| format!("vexel {address}"));
                names.collect::<Vec<String>>()
            };
            assert_eq!((added, removed), (&names(new), &names(gone)));
            assert_eq!(indexer::stored_contracts(&db, id).await?.vexel, [TWO]);
        }
    }
    Ok(())
}

/// What a node says of code in blocks before its head.
#[derive(Debug, Clone, Copy)]
enum Past {
    /// Everything; the contracts came with block 300.
    Archive,
    /// Nothing, in these words.
    No(i64, &'static str),
}

/// A node of chain 7 at block 1,000.
async fn node(past: Past) -> Server {
    let tell = move |call: &Value| match call["method"].as_str() {
        Some("eth_chainId") => result(call, "0x7"),
        Some("eth_getBlockByNumber") => result(
            call,
            json!({
                "number": "0x3e8", "hash": B256::repeat_byte(1), "parentHash": B256::ZERO,
                "timestamp": "0x1", "receiptsRoot": B256::ZERO, "stateRoot": B256::ZERO,
                "logsBloom": "0x",
            }),
        ),
        Some("eth_getCode") => {
            let at = call["params"][1].as_str().expect("a block");
            let block = at.strip_prefix("0x");
            let block = block.map(|hex| u64::from_str_radix(hex, 16).expect("hex"));
            match (block, past) {
                (None, _) => result(call, "0x01"),
                (Some(block), Past::Archive) => {
                    result(call, if block < 300 { "0x" } else { "0x01" })
                }
                (Some(_), Past::No(code, words)) => error(call, code, words),
            }
        }
        _ => error(call, -32601, "method not found"),
    };
    Server::start(move |body| honest(body, tell)).await
}

async fn discovered(
    server: &Server,
    from_block: Option<u64>,
    stored: Option<&Stored>,
) -> indexer::Result<Discovered> {
    let config = ChainConfig {
        rpc: vec![server.url.clone()],
        registries: vec![ONE.to_string()],
        from_block,
        ..ChainConfig::default()
    };
    let providers = Providers::connect(&Config::default(), &config).await?;
    discover(&providers, &config, stored).await
}

#[tokio::test]
async fn the_first_block_is_searched_and_only_a_node_without_history_means_block_0() {
    for (past, found) in [
        (Past::Archive, Some(300)),
        (Past::No(-32000, "missing trie node 00"), Some(0)),
        (Past::No(4444, "history expired"), Some(0)),
        (Past::No(-32601, "method not found"), Some(0)),
        // Some node behind the address is not that far.
        (Past::No(-32000, "header not found"), None),
        (Past::No(-32000, "what is that"), None),
    ] {
        let found_out = discovered(&node(past).await, None, None).await;
        assert_eq!(found_out.ok().map(|found| found.start), found, "{past:?}");
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn the_stored_first_block_is_used_and_no_history_is_asked_for(
    pool: PgPool,
) -> anyhow::Result<()> {
    let db = Db::from_pool(pool, Clock::System);
    assert_eq!(indexer::stored(&db, 7).await?, None);
    let mut row = chain(Origin::Rpc, &[ONE], &[]);
    (row.start, row.anchor.number) = (300, 300);
    indexer::open(&db, &row).await?;
    let stored = indexer::stored(&db, 7).await?;
    assert_eq!(stored.as_ref().map(|stored| stored.start), Some(300));
    let full = node(Past::No(-32000, "missing trie node 00")).await;
    for from_block in [None, Some(300)] {
        let found = discovered(&full, from_block, stored.as_ref()).await?;
        assert_eq!(found.start, 300);
    }
    assert!(full.batches("eth_getCode").is_empty());
    let error = discovered(&full, Some(500), stored.as_ref()).await;
    let error = error.expect_err("another first block");
    assert!(matches!(error, Error::OtherStart { .. }), "{error}");
    assert_eq!(error.kind(), Kind::Conflict);
    let text = error.to_string();
    for word in ["300", "500", "--from-block"] {
        assert!(text.contains(word), "{text}");
    }
    Ok(())
}
