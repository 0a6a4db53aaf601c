//! Reorganisations under the running indexer, with what people and documents say in between.

use content::Content;
use indexer::{Error, Settling, State};
use net::Fetcher;
use sqlx::PgPool;
use store::Outcome;

use crate::kit::{
    anvil::{Chain, Wanted},
    calls::{approve, operator},
    index::Index,
};

/// What is not settled yet on somebody's chain.
const DEPTH: u64 = 64;

fn content() -> (Content, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let fetcher = Fetcher::new(&net::Config::default()).unwrap();
    let opened = Content::open(&content::Config::default(), dir.path(), fetcher).unwrap();
    (opened.0, dir)
}

/// A registration file in its own URI.
fn file(name: &str, more: &str) -> String {
    format!("data:application/json,{{\"name\":\"{name}\",\"description\":\"of {name}\"{more}}}")
}

/// What happens in the blocks that a reorganisation takes: agents are born, sold and renamed. `first`
/// is the number of an agent of Alice, `next` that of the next one to be born.
async fn events(chain: &Chain, first: u64, next: u64) -> Vec<Wanted> {
    let [alice, bob, carol] = [chain.people[1], chain.people[2], chain.people[3]];
    let born = format!("Born {next}");
    vec![
        chain.register(bob, &file(&born, ",\"active\":false")),
        chain.uri(alice, first, &file(&format!("Renamed {first}"), "")),
        chain.wallet(alice, first, carol).await,
        chain.says(alice, first, 1, "to be forgotten"),
        (
            alice,
            chain.registry,
            approve(carol, kernel::U256::from(first)),
        ),
        chain.transfer(alice, bob, first),
        (bob, chain.registry, operator(carol, true)),
        chain.beats(bob, first),
        chain.register(
            alice,
            "ipfs://bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy",
        ),
        chain.says(bob, next, 2, "ended"),
        chain.uri(bob, next, &file(&format!("Late {next}"), "")),
    ]
}

/// Mines `blocks` blocks that hold all of these in order, early ones first.
async fn spread(chain: &Chain, wanted: &[Wanted], blocks: u64) {
    let blocks = usize::try_from(blocks).unwrap();
    let per_block = wanted.len().div_ceil(blocks);
    let mut mined = 0;
    for part in wanted.chunks(per_block) {
        chain.block(part).await;
        mined += 1;
    }
    if mined < blocks {
        chain.mine((blocks - mined) as u64).await;
    }
}

async fn reorganised(pool: PgPool, settling: Settling) {
    let chain = Chain::start().await;
    let (content, _dir) = content();
    let [alice, carol] = [chain.people[1], chain.people[3]];
    let mut index = Index::open(&pool, &chain, settling).await;
    for depth in [1, 5, 30] {
        let when = |what: &str| format!("reorg of {depth}: {what}");
        let first = chain.agents().await.len() as u64;
        let next = first + 2;
        let (aged, born) = (format!("token_id = {first}"), format!("token_id = {next}"));
        let set = |which: &str, columns: &str| {
            format!(
                "UPDATE identity.agents SET {columns}
                  WHERE id = (SELECT agent_id FROM identity.tokens WHERE {which})"
            )
        };

        // Ground that stays, on somebody's chain deep enough to be settled, and some that is not.
        chain
            .send(chain.register(alice, &file(&format!("Aged {first}"), ",\"active\":true")))
            .await;
        chain.mine(DEPTH + 1).await;
        chain
            .send(chain.register(carol, &file(&format!("Young {first}"), "")))
            .await;
        index.catch_up().await;
        index.judge(&content).await;

        // Blocks that go, indexed as they come.
        let wanted = events(&chain, first, next).await;
        let common = chain.height().await;
        spread(&chain, &wanted, depth).await;
        assert_eq!(chain.height().await - common, i64::try_from(depth).unwrap());
        index.catch_up().await;
        assert_eq!(
            index.agents().await,
            chain.agents().await,
            "{}",
            when("before")
        );

        // A person and documents speak about agents of which some will never have been.
        assert_eq!(
            index
                .sql(&set(&aged, "runtime_status = 'TERMINATED'"))
                .await,
            1
        );
        assert_eq!(
            index
                .sql(&set(
                    &born,
                    "runtime_status = 'ACTIVE', category = 'doomed'"
                ))
                .await,
            1
        );
        index.judge(&content).await;
        let names = format!(
            "SELECT a.name FROM identity.agents a JOIN identity.tokens t ON t.agent_id = a.id
              WHERE {aged} OR {born} ORDER BY token_id"
        );
        assert_eq!(
            index.list(&names).await,
            [format!("Renamed {first}"), format!("Late {next}")]
        );

        // Other blocks: somebody else gets the number of the agent that was born. The shallowest is
        // replaced by an empty one.
        let other = file(&format!("Other {next}"), "");
        let replaced = [
            (chain.register(carol, &other), 0),
            (chain.uri(alice, first, "ipfs://elsewhere"), depth - 1),
        ];
        chain
            .reorg(depth, if depth == 1 { &[] } else { &replaced })
            .await;
        assert_eq!(chain.height().await - common, i64::try_from(depth).unwrap());
        let before = index.head().await;
        assert_eq!(index.round().await.unwrap(), Outcome::Busy);
        assert!(
            index.head().await < before && index.head().await <= common,
            "{}",
            when("taken back")
        );

        // In the moment between, the same again.
        assert_eq!(
            index
                .sql(&set(
                    &aged,
                    "runtime_status = 'SLEEP', summary = 'meanwhile'"
                ))
                .await,
            1
        );
        index.judge(&content).await;
        index.catch_up().await;
        index.judge(&content).await;
        assert_eq!(index.head().await, chain.height().await);
        assert_eq!(
            index.agents().await,
            chain.agents().await,
            "{}",
            when("after")
        );
        index.assert_fresh(&chain, &when("after")).await;

        // What was taken back happens once more, in other blocks.
        let next = chain.agents().await.len() as u64;
        for transaction in events(&chain, first, next).await {
            chain.send(transaction).await;
        }
        index.catch_up().await;
        index.judge(&content).await;
        assert_eq!(
            index.agents().await,
            chain.agents().await,
            "{}",
            when("again")
        );
        index.assert_fresh(&chain, &when("again")).await;
    }
    if settling == Settling::Depth(DEPTH) {
        too_deep(&chain, &mut index).await;
    } else {
        let retracted = index
            .list("SELECT count(*) FROM journal.entries WHERE kind = 'retracted'")
            .await;
        assert_ne!(
            retracted,
            ["0"],
            "all was settled at once, and is retracted"
        );
    }
}

/// What was told as settled never changes on a chain that we did not start.
async fn too_deep(chain: &Chain, index: &mut Index) {
    let said = journal::said::digest_set(&index.db).await.unwrap();
    let rows = index.agents().await;
    // Something else in the first of the new blocks: anvil makes an empty one again as it was.
    let other = chain.register(chain.people[1], "ipfs://rewritten");
    chain.reorg(DEPTH + 30, &[(other, 0)]).await;
    let error = index.round().await.unwrap_err();
    assert!(matches!(error, Error::DeepReorg { .. }), "{error}");
    assert!(error.to_string().contains("below settled block"), "{error}");
    assert_eq!(index.status().state, State::Halted);
    assert_eq!(
        index.round().await.unwrap(),
        Outcome::Idle,
        "it stays halted"
    );
    assert_eq!(index.agents().await, rows);
    assert_eq!(journal::said::digest_set(&index.db).await.unwrap(), said);
}

#[sqlx::test(migrations = "./migrations")]
async fn somebodys_chain_is_reorganised_by_1_5_and_30_blocks(pool: PgPool) {
    reorganised(pool, Settling::Depth(DEPTH)).await;
}

#[sqlx::test(migrations = "./migrations")]
async fn our_own_chain_is_reorganised_by_1_5_and_30_blocks(pool: PgPool) {
    reorganised(pool, Settling::Depth(0)).await;
}
