//! Some agents alone are kept of a real chain, with real transactions and reorganisations: their rows are what their
//! contract has, and there are no others.

use std::collections::BTreeSet;

use indexer::{Settling, Watch};
use kernel::{Address, Token, U256};
use sqlx::PgPool;

use crate::kit::{
    anvil::{Agent, Chain},
    deeds::{Dice, deeds},
    equal::Second,
    index::Index,
};

const DEPTH: u64 = 16;

/// Rounds of deeds and reorganisations.
const ROUNDS: u64 = 40;

/// Those of the contract's agents that are in the scope.
async fn expected(chain: &Chain, ours: &Index) -> Vec<Agent> {
    let scope = ours.list("SELECT token_id FROM chain.watched_tokens").await;
    let scope: BTreeSet<u64> = scope.iter().filter_map(|id| id.parse().ok()).collect();
    let mut agents = chain.agents().await;
    agents.retain(|agent| scope.contains(&agent.id));
    agents
}

/// Numbers of the agents that somebody owns.
fn owned(agents: &[Agent], owner: Address) -> BTreeSet<u64> {
    let theirs = agents.iter().filter(|agent| agent.owner == Some(owner));
    theirs.map(|agent| agent.id).collect()
}

#[sqlx::test(migrations = "./migrations")]
async fn watched_agents_are_what_their_contract_has_whatever_happens_to_the_chain(pool: PgPool) {
    let chain = Chain::start().await;
    let (alice, bob) = (chain.people[1], chain.people[2]);
    let named = Token {
        chain: chain.rpc.chain(),
        registry: chain.registry,
        id: U256::from(0),
    };
    let watch = Watch {
        owners: [alice].into(),
        tokens: [named].into(),
    };
    let settling = Settling::Depth(DEPTH);
    let mut dice = Dice::new(8004);
    // A past that is settled before anybody looks.
    for _ in 0..12 {
        let wanted = deeds(&chain, 3, &mut dice).await;
        chain.block(&wanted).await;
    }
    chain.mine(300).await;
    let mut ours = Index::open_watching(&pool, &chain, settling, watch.clone()).await;
    for number in 1..=ROUNDS {
        let when = format!("round {number}");
        let wanted = deeds(&chain, dice.between(1, 3), &mut dice).await;
        chain.block(&wanted).await;
        if dice.below(3) == 0 {
            chain.mine(dice.between(1, 20)).await;
        }
        ours.catch_up().await;
        if dice.below(2) == 0 {
            let again = dice.below(2) == 0;
            let wanted: Vec<_> = wanted
                .into_iter()
                .filter(|_| again)
                .map(|one| (one, 0))
                .collect();
            chain.reorg(dice.between(1, 4), &wanted).await;
            chain.mine(1).await;
        }
        if dice.below(4) == 0 {
            ours = Index::open_watching(&pool, &chain, settling, watch.clone()).await;
        }
        ours.catch_up().await;
        let agents = ours.agents().await;
        assert_eq!(agents, expected(&chain, &ours).await, "{when}");
        let all = chain.agents().await;
        assert!(owned(&agents, alice) == owned(&all, alice), "{when}");
        assert!(agents.len() < all.len(), "{when}: others are not kept");
    }
    ours.prove().await.expect("proven");
    let levels = ours.list("SELECT DISTINCT level FROM chain.v_ranges").await;
    assert_eq!(levels, ["proven"]);
    assert_eq!(ours.list("SELECT kind FROM chain.incidents").await, [""; 0]);

    // Who is named later, and who begins with the same names now, have the same rows.
    let watch = Watch {
        owners: [alice, bob].into(),
        ..watch
    };
    let mut ours = Index::open_watching(&pool, &chain, settling, watch.clone()).await;
    ours.catch_up().await;
    assert_eq!(ours.agents().await, expected(&chain, &ours).await);
    let second = Second::beside(&pool).await;
    let mut fresh = Index::open_watching(&second.pool, &chain, settling, watch).await;
    fresh.catch_up().await;
    let theirs = expected(&chain, &fresh).await;
    assert_eq!(fresh.agents().await, theirs);
    // What entered by a Transfer that was taken back is there no more for who came later.
    let grown = ours.agents().await;
    assert!(theirs.iter().all(|agent| grown.contains(agent)));
    second.drop(&pool).await;
}
