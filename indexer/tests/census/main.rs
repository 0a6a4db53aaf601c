//! The census at a made-up registry: large, with providers that keep little state or none, and with a
//! state that its events do not tell.

mod registry;

use chain::{Registries, RpcError, SeenTopics};
use chrono::TimeDelta;
use indexer::{
    Anchor, Census, Chain, ChainConfig, Config, Error, Follower, Origin, Providers, RpcSource,
    Settling,
    census::{self, StateLevel},
    view,
};
use kernel::Address;
use registry::{CHAIN, MadeUp, REGISTRY};
use replay_rpc::node::{Faults, Network, Provider};
use sqlx::PgPool;
use store::{Clock, Db, Outcome};
use uuid::Uuid;

struct Index {
    db: Db,
    clock: Clock,
    network: Network,
    contracts: Registries,
    follower: Follower<RpcSource>,
    census: Census,
    _providers: Vec<Provider>,
}

impl Index {
    async fn new(pool: PgPool, network: Network, faults: Faults) -> anyhow::Result<Self> {
        Self::behind(pool, network, vec![faults]).await
    }

    /// With a provider for each of these.
    async fn behind(pool: PgPool, network: Network, faults: Vec<Faults>) -> anyhow::Result<Self> {
        let clock = Clock::manual(chrono::DateTime::UNIX_EPOCH + TimeDelta::days(20_000));
        let db = Db::from_pool(pool, clock.clone());
        let faults = faults.into_iter();
        let nodes: Vec<Provider> = faults
            .map(|faults| network.provider(faults))
            .collect::<Result<_, _>>()?;
        let hash = network.chain().canonical()[0].hash;
        let contracts = Registries {
            identity: vec![REGISTRY],
            ..Registries::default()
        };
        let chain = Chain {
            id: CHAIN,
            name: "made up".to_owned(),
            origin: Origin::Rpc,
            anchor: Anchor { number: 0, hash },
            start: 0,
            topics: SeenTopics::ALL,
            contracts: contracts.clone(),
        };
        indexer::open(&db, &chain).await?;
        let config = Config::default();
        let urls = ChainConfig {
            rpc: nodes.iter().map(Provider::url).collect(),
            ..ChainConfig::default()
        };
        let providers = Providers::connect(&config, &urls).await?;
        let settling = Settling::Depth(0);
        let source = RpcSource::new(providers.clone(), &contracts, settling, &config);
        let holder = Uuid::from_u128(1);
        Ok(Self {
            follower: Follower::new(db.clone(), CHAIN, contracts.clone(), source, holder),
            census: Census::new(db.clone(), CHAIN, contracts.clone(), providers, holder),
            db,
            clock,
            network,
            contracts,
            _providers: nodes,
        })
    }

    async fn follow(&mut self) -> indexer::Result<()> {
        while self.follower.round().await? == Outcome::Busy {}
        Ok(())
    }

    async fn view(&self) -> view::CensusView {
        let mut all = view::census(&self.db).await.expect("rows");
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    async fn is_due(&self) -> bool {
        let due = census::due(&self.db, CHAIN, &self.contracts).await;
        due.expect("answered").is_some()
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn many_agents_are_compared_in_parts(pool: PgPool) -> anyhow::Result<()> {
    let mut registry = MadeUp::new();
    for _ in 0..3 {
        registry.register(400, |id| format!("ipfs://{id}/{}", "long".repeat(id % 40)));
    }
    let mut index = Index::new(pool, registry.network(), Faults::default()).await?;
    index.follow().await?;
    assert!(index.is_due().await);
    let mut compared = Vec::new();
    loop {
        let report = index.census.take().await?.remove(0);
        assert_eq!(report.mismatches, []);
        compared.push(report.agents);
        if !report.more {
            break;
        }
    }
    assert_eq!(compared, [500, 500, 200]);
    let view = index.view().await;
    assert!(view.holds && view.through, "{view:?}");
    assert_eq!(
        (view.agents, view.counted.as_deref()),
        (Some(1200), Some("1200"))
    );
    // The count is one slot, and proven; values of so many are what the node says.
    assert_eq!(view.count_level, "proven");
    assert_eq!(view.values_level.as_deref(), Some("reported"));
    assert!(!index.is_due().await);
    assert_eq!(index.census.round().await?, Outcome::Idle);
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn a_state_that_no_event_tells_is_proven_before_it_is_told(
    pool: PgPool,
) -> anyhow::Result<()> {
    let mut registry = MadeUp::new();
    registry.register(300, |_| "ipfs://one".to_owned());
    let thief = Address::repeat_byte(0x66);
    registry.silently(|state| state.own(170, thief));
    let mut index = Index::new(pool, registry.network(), Faults::default()).await?;
    index.follow().await?;
    let report = index.census.take().await?.remove(0);
    assert_eq!((report.agents, report.level), (300, StateLevel::Reported));
    assert_eq!(report.mismatches.len(), 1);
    let one = &report.mismatches[0];
    assert_eq!(
        one.level,
        StateLevel::Proven,
        "read a second time, with a proof"
    );
    let text = one.to_string();
    assert!(text.starts_with("agent 170: owner is 0x"), "{text}");
    assert!(text.contains(&format!(
        "and {thief} there (rule: owner = receiver of the mint)"
    )));
    let view = index.view().await;
    assert_eq!((view.holds, view.mismatches), (false, 1));
    let shown = view::mismatches(&index.db, CHAIN, 10).await?;
    assert_eq!(shown[0].token.as_deref(), Some("170"));
    assert_eq!(shown[0].log, Some((1, 170 * 4)));
    assert_eq!((shown[0].level.as_str(), shown[0].block), ("proven", 2));
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn a_registration_that_was_lost_is_missing_from_the_count(
    pool: PgPool,
) -> anyhow::Result<()> {
    let mut registry = MadeUp::new();
    registry.register(5, |_| String::new());
    registry.silently(|state| state.count(7));
    let mut index = Index::new(pool, registry.network(), Faults::default()).await?;
    index.follow().await?;
    let report = index.census.take().await?.remove(0);
    let text = report.mismatches[0].to_string();
    let expected = "agents is 5 here and 7, among them 5, 6 there (rule: agents = mints)";
    assert_eq!((text.as_str(), report.mismatches.len()), (expected, 1));
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn a_state_that_is_gone_is_read_at_a_newer_block(pool: PgPool) -> anyhow::Result<()> {
    let mut registry = MadeUp::new();
    registry.register(3, |_| String::new());
    let faults = Faults {
        state_window: 4,
        ..Faults::default()
    };
    let mut index = Index::new(pool, registry.network(), faults).await?;
    index.follow().await?;
    let mine = |registry: &mut MadeUp, network: &Network| {
        for _ in 0..5 {
            let draft = registry.empty();
            network.change(|chain| chain.extend(draft));
        }
    };
    mine(&mut registry, &index.network);
    for _ in 0..2 {
        let error = index.census.take().await.expect_err("gone");
        let Error::Rpc { error, .. } = error else {
            panic!("{error}")
        };
        assert!(matches!(error, RpcError::Pruned { .. }), "{error}");
    }
    index.follow().await?;
    assert_eq!(index.census.take().await?.len(), 1);
    assert!(index.view().await.holds);

    // A node that keeps not even the newest block's is one without.
    mine(&mut registry, &index.network);
    for _ in 0..2 {
        index.census.take().await.expect_err("gone");
    }
    assert_eq!(index.census.take().await?, []);
    let view = index.view().await;
    assert_eq!(
        (view.holds, view.count_level.as_str()),
        (false, "unavailable")
    );
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn without_state_the_level_says_so_and_it_is_tried_again_later(
    pool: PgPool,
) -> anyhow::Result<()> {
    let mut registry = MadeUp::without_state();
    registry.register(3, |_| String::new());
    let mut index = Index::new(pool, registry.network(), Faults::default()).await?;
    index.follow().await?;
    assert!(index.is_due().await);
    assert_eq!(index.census.take().await?, []);
    let view = index.view().await;
    assert_eq!(view.count_level, "unavailable");
    assert_eq!(view.values_level.as_deref(), Some("unavailable"));
    assert!(view.obstacle.is_some() && !view.holds, "{view:?}");
    assert!(!index.is_due().await);
    index.clock.advance(TimeDelta::hours(1));
    assert!(index.is_due().await);
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn whoever_serves_state_is_found_among_those_who_do_not(pool: PgPool) -> anyhow::Result<()> {
    let mut registry = MadeUp::new();
    registry.register(3, |_| String::new());
    let without = Faults {
        no_state: true,
        ..Faults::default()
    };
    let faults = vec![without.clone(), without.clone(), Faults::default(), without];
    let mut index = Index::behind(pool, registry.network(), faults).await?;
    index.follow().await?;
    for _ in 0..4 {
        let report = index.census.take().await?.remove(0);
        assert_eq!(report.count_level, StateLevel::Proven);
    }
    assert!(index.view().await.holds);
    Ok(())
}
