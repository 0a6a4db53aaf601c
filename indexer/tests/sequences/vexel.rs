//! VEXEL's contracts: what they say of a DID counts only where it is the agent's own word, and finds its agent whichever
//! of both is known first.

use identity::{
    statement::Action,
    vexel::{Filter, list},
};
use kernel::{AgentId, Limit};
use serde_json::json;
use sqlx::PgPool;

use crate::kit::{ALICE, BOB, By, CAROL, Script, World, did as did_of, owner, say, start};

const DID: &str = "did:vexel:agent1";

/// A time that comes after everything that plain SQL says, which takes the machine's clock: the year 2100.
const FAR: i64 = 4_102_444_800;

/// `event attributed` of each event about a DID, oldest first.
async fn events(world: &World, did: &str) -> Vec<String> {
    let filter = Filter {
        did: Some(did.to_owned()),
        ..Filter::default()
    };
    let page = list(&world.db, &filter, None, Limit::new(200).expect("a limit"))
        .await
        .expect("listed");
    let shown = page.items.iter().rev();
    shown
        .map(|event| format!("{} {}", event.event, event.attributed))
        .collect()
}

/// Runtime status and liveness of the agent with a DID.
async fn state(world: &World, did: &str) -> String {
    let query = format!(
        "SELECT runtime_status || ' ' || liveness || CASE WHEN status_final THEN ' final' ELSE '' END
           FROM identity.agents WHERE did = '{did}'"
    );
    world.list(&query).await.join(",")
}

async fn insert(world: &World, did: &str, owner: &str) -> anyhow::Result<()> {
    let insert = format!(
        "INSERT INTO identity.agents (did, name, owner_address) VALUES ('{did}', 'One', '{owner}')"
    );
    world.sql(&insert).await?;
    world.sweep().await;
    Ok(())
}

/// Rows of agents, without what refreshing them aside may change.
const AGENTS: &str = "SELECT (to_jsonb(t) - 'updated_at')::text FROM identity.agents t ORDER BY id";

#[sqlx::test(migrations = "../migrations")]
async fn s18_a_stranger_deactivates_or_registers_a_one_day_threshold_for_somebodys_did(
    pool: PgPool,
) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(31337));
    let token = script.agent(1);
    let token_did = format!("did:nft:eip155:31337_erc721:{:#x}_1", crate::kit::REGISTRY);
    script.block(start(), |b| b.register(1, ALICE, ""));
    world.follow(&script).await?;
    insert(&world, DID, &format!("{ALICE:#x}")).await?;
    for did in [DID, token_did.as_str()] {
        // A stranger with an address of his own.
        script.block(FAR + 100, |b| {
            b.tx("his")
                .enrol(did, BOB)
                .beat(did)
                .tx("later")
                .beat(did)
                .inactive(did)
                .deactivate(did, BOB)
        });
        world.follow(&script).await?;
        assert_eq!(state(&world, did).await, "ACTIVE unknown", "{did}");
        let said = events(&world, did).await;
        assert!(
            said.len() == 5 && said.iter().all(|event| event.ends_with("false")),
            "{said:?}"
        );
    }
    assert_eq!(world.history(token).await, [">ACTIVE"]);

    // Another contract would be asked anew; in this one the place is taken. With Alice's own address, registered by
    // somebody, and a day later:
    let other = "did:vexel:agent2";
    insert(&world, other, &format!("{ALICE:#x}")).await?;
    script.block(FAR + 200, |b| {
        b.tx("for her").enrol(other, ALICE).beat(other)
    });
    script.block(FAR + 86_700, |b| b.inactive(other).deactivate(other, ALICE));
    world.follow(&script).await?;
    assert_eq!(
        state(&world, other).await,
        "ACTIVE active",
        "she never beat herself"
    );
    let said = events(&world, other).await;
    assert_eq!(
        said,
        [
            "AgentRegistered true",
            "HeartbeatRecorded true",
            "InactivityDetected false",
            "AgentDeactivated false"
        ]
    );

    // Once she beats, the contract has her word.
    script.block(FAR + 86_800, |b| b.beat(other));
    script.block(FAR + 186_800, |b| b.inactive(other));
    world.follow(&script).await?;
    assert_eq!(state(&world, other).await, "SLEEP inactive");
    script.block(FAR + 186_900, |b| b.beat(other));
    world.follow(&script).await?;
    assert_eq!(state(&world, other).await, "ACTIVE active");
    script.block(FAR + 187_000, |b| b.deactivate(other, ALICE));
    script.block(FAR + 187_100, |b| b.beat(other));
    world.follow(&script).await?;
    assert_eq!(state(&world, other).await, "TERMINATED active final");
    let before = world.list(AGENTS).await;
    world
        .sql("INSERT INTO identity.dirty (agent_id, refold) SELECT id, true FROM identity.agents")
        .await?;
    world.sweep().await;
    assert_eq!(
        world.list(AGENTS).await,
        before,
        "from the first fact it is the same"
    );
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn s18_whoever_sold_a_token_has_no_say_in_its_heartbeat_contract(
    pool: PgPool,
) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(31337));
    let did = format!("did:nft:eip155:31337_erc721:{:#x}_1", crate::kit::REGISTRY);
    script.block(start(), |b| b.register(1, ALICE, ""));
    script.block(start() + 10, |b| {
        b.tx("enrolled").enrol(&did, ALICE).tx("beat").beat(&did)
    });
    world.follow(&script).await?;
    assert_eq!(state(&world, &did).await, "ACTIVE active");
    let before = script.tip();
    // A sale takes the wallet away, too.
    script.block(start() + 20, |b| {
        b.tx("sale")
            .transfer(1, ALICE, BOB)
            .metadata(1, "agentWallet", b"")
    });
    script.block(start() + 30, |b| b.inactive(&did).beat(&did));
    script.block(start() + 40, |b| b.deactivate(&did, ALICE));
    world.follow(&script).await?;
    assert_eq!(state(&world, &did).await, "ACTIVE active", "it is Bob's");
    let said = ["true", "true", "false", "false", "false"];
    let heard = events(&world, &did).await;
    let attributed = heard
        .iter()
        .map(|event| event.split(' ').nth(1).unwrap_or_default());
    assert_eq!(attributed.collect::<Vec<_>>(), said, "{heard:?}");
    world.assert_fresh(&[&script]).await;

    // He sells it back: the contract speaks for it again, of what comes from now on.
    script.block(start() + 50, |b| b.transfer(1, BOB, ALICE).inactive(&did));
    world.follow(&script).await?;
    assert_eq!(state(&world, &did).await, "SLEEP inactive");

    // A reorganisation takes the sale back, and the deactivation counts.
    world.rewind(&script, before).await?;
    script.fork(before);
    assert_eq!(state(&world, &did).await, "ACTIVE active");
    script.block(start() + 42, |b| b.deactivate(&did, ALICE));
    world.follow(&script).await?;
    assert_eq!(state(&world, &did).await, "TERMINATED active final");
    world.assert_fresh(&[&script]).await;
    Ok(())
}

/// The same where the agent is handed over by a statement.
#[sqlx::test(migrations = "../migrations")]
async fn s18_whoever_signed_an_agent_over_has_no_say_in_vexels_contracts(
    pool: PgPool,
) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(31337));
    world.open(&script).await?;
    world.at(start() + 10);
    let (key, registered) = (did_of(1), "did:vexel:registered");
    let named = json!({ "name": "Ada" });
    let both = [By::Key(1), By::Wallet(1)];
    say(&world, Action::Register, &key, named, &both).await?;
    script.block(start() + 20, |b| {
        b.tx("enrolled")
            .enrol(&key, owner(1))
            .register_did(registered, owner(1), "Hers")
            .tx("beat")
            .beat(&key)
    });
    world.at(start() + 20);
    world.follow(&script).await?;
    assert_eq!(state(&world, &key).await, "ACTIVE active");
    world.at(start() + 30);
    let buyer = json!({ "owner": format!("{:#x}", owner(2)) });
    for did in [key.as_str(), registered] {
        let by = [By::Wallet(1)];
        say(&world, Action::Transfer, did, buyer.clone(), &by).await?;
    }
    script.block(start() + 40, |b| {
        b.inactive(&key)
            .deactivate(&key, owner(1))
            .status_of_did(registered, 2)
            .update_did(registered, "Stolen", "")
    });
    world.at(start() + 40);
    world.follow(&script).await?;
    assert_eq!(state(&world, &key).await, "ACTIVE active");
    let names = "SELECT name || ' ' || runtime_status FROM identity.agents ORDER BY name";
    assert_eq!(world.list(names).await, ["Ada ACTIVE", "Hers ACTIVE"]);
    world.assert_fresh(&[&script]).await;
    Ok(())
}

/// A heartbeat that knows only keccak(did), and the DID: in either order the rows are the same.
#[sqlx::test(migrations = "../migrations")]
async fn a_heartbeat_finds_its_agent_when_the_did_becomes_known(
    pool: PgPool,
) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(31337));
    let lower = format!("did:vexel:{ALICE:#x}");
    // The contract hashed the DID in EIP-55.
    let eip55 = format!("did:vexel:{ALICE}");
    let (known, unknown) = (DID, "did:vexel:nobody");
    script.block(start() + 10, |b| {
        b.tx("a").enrol(&eip55, ALICE).beat(&eip55)
    });
    script.block(start() + 20, |b| {
        b.enrol(unknown, CAROL).beat(unknown).beat(&eip55)
    });
    world.follow(&script).await?;
    assert_eq!(state(&world, &lower).await, "", "nobody knows it yet");
    let unheard = [
        "AgentRegistered false",
        "HeartbeatRecorded false",
        "HeartbeatRecorded false",
    ];
    assert_eq!(events(&world, &eip55).await, unheard);

    insert(&world, &eip55, &format!("{CAROL:#x}")).await?;
    assert_eq!(
        state(&world, &lower).await,
        "ACTIVE active",
        "before: its DID is of the address that was registered"
    );
    let heard = [
        "AgentRegistered true",
        "HeartbeatRecorded false",
        "HeartbeatRecorded true",
    ];
    assert_eq!(events(&world, &eip55).await, heard);
    let last = format!(
        "SELECT extract(epoch FROM last_heartbeat)::bigint FROM identity.agents WHERE did = '{lower}'"
    );
    assert_eq!(world.one(&last).await, (start() + 20).to_string());

    insert(&world, known, &format!("{BOB:#x}")).await?;
    script.block(FAR, |b| b.tx("b").enrol(known, BOB).beat(known));
    world.follow(&script).await?;
    assert_eq!(state(&world, known).await, "ACTIVE active", "after");

    // What comes now counts as it comes; a reorganisation takes it back.
    script.block(FAR + 40, |b| b.beat(&eip55));
    world.follow(&script).await?;
    assert_eq!(world.one(&last).await, (FAR + 40).to_string());
    let tip = script.tip();
    script.fork(tip - 1);
    world.rewind(&script, tip - 1).await?;
    assert_eq!(world.one(&last).await, (start() + 20).to_string());
    assert_eq!(
        events(&world, unknown).await,
        ["AgentRegistered false", "HeartbeatRecorded false"],
        "kept and shown"
    );
    world.assert_fresh(&[&script]).await;
    Ok(())
}

/// The same where it becomes known by a rotation: nothing else need come of the agent.
#[sqlx::test(migrations = "../migrations")]
async fn a_heartbeat_finds_its_agent_when_its_key_is_rotated_to_that_of_the_did(
    pool: PgPool,
) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(31337));
    world.open(&script).await?;
    world.at(start() + 10);
    let named = json!({ "name": "Ada" });
    let both = [By::Key(1), By::Wallet(1)];
    say(&world, Action::Register, &did_of(1), named, &both).await?;
    script.block(start() + 20, |b| {
        b.tx("enrolled")
            .enrol(&did_of(2), owner(1))
            .tx("beat")
            .beat(&did_of(2))
    });
    world.follow(&script).await?;
    assert_eq!(state(&world, &did_of(1)).await, "ACTIVE unknown");
    world.at(start() + 30);
    let new = json!({ "key": did_of(2) });
    let keys = [By::Key(1), By::Key(2)];
    say(&world, Action::Rotate, &did_of(1), new, &keys).await?;
    assert_eq!(state(&world, &did_of(2)).await, "ACTIVE active");
    world.assert_fresh(&[&script]).await;

    // What comes after is heard as it comes; and of a key that comes after, also while the row shows the old one.
    let new = json!({ "key": did_of(3) });
    let keys = [By::Key(2), By::Key(3)];
    say(&world, Action::Rotate, &did_of(2), new, &keys).await?;
    script.block(start() + 40, |b| b.tx("again").beat(&did_of(3)));
    script.block(start() + 50, |b| b.inactive(&did_of(3)));
    world.follow(&script).await?;
    assert_eq!(
        events(&world, &did_of(3)).await,
        ["HeartbeatRecorded true", "InactivityDetected true"]
    );
    assert_eq!(state(&world, &did_of(3)).await, "SLEEP inactive");
    world.assert_fresh(&[&script]).await;
    Ok(())
}

/// The same where a person gives the DID with SQL; and it is heard on when the agent is called otherwise.
#[sqlx::test(migrations = "../migrations")]
async fn a_heartbeat_finds_its_agent_when_sql_gives_it_the_did(pool: PgPool) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(31337));
    let (second, third) = ("did:vexel:second", "did:vexel:third");
    world.open(&script).await?;
    insert(&world, DID, &format!("{ALICE:#x}")).await?;
    script.block(FAR, |b| {
        b.tx("enrolled")
            .enrol(second, ALICE)
            .tx("beat")
            .beat(second)
    });
    world.follow(&script).await?;
    assert_eq!(state(&world, DID).await, "ACTIVE unknown");
    for did in [second, third] {
        let rename = format!("UPDATE identity.agents SET did = '{did}'");
        world.sql(&rename).await?;
        world.sweep().await;
        assert_eq!(state(&world, did).await, "ACTIVE active");
        world.assert_fresh(&[&script]).await;
    }
    script.block(FAR + 10, |b| b.inactive(second));
    world.follow(&script).await?;
    assert_eq!(state(&world, third).await, "SLEEP inactive");
    world.assert_fresh(&[&script]).await;
    Ok(())
}

/// Of two agents that have had one DID it is the word of whoever had it first, whichever id is the smaller one.
#[sqlx::test(migrations = "../migrations")]
async fn a_did_that_two_agents_had_is_heard_of_the_first(pool: PgPool) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(31337));
    world.open(&script).await?;
    let id = |number: u8| format!("00000000-0000-4000-8000-00000000000{number}");
    for (did, first, heir) in [("did:vexel:a", 1, 2), ("did:vexel:b", 4, 3)] {
        let insert = |number| {
            format!(
                "INSERT INTO identity.agents (id, did, name, owner_address)
                 VALUES ('{}', '{did}', 'One', '{ALICE:#x}')",
                id(number)
            )
        };
        let rename = format!(
            "UPDATE identity.agents SET did = '{did}-former' WHERE id = '{}'",
            id(first)
        );
        world.sql(&insert(first)).await?;
        world.sweep().await;
        world.sql(&rename).await?;
        world.sql(&insert(heir)).await?;
        world.sweep().await;
        script.block(FAR + i64::from(first), |b| {
            b.tx(did).enrol(did, ALICE).beat(did)
        });
        world.follow(&script).await?;
        assert_eq!(
            state(&world, &format!("{did}-former")).await,
            "ACTIVE active"
        );
        assert_eq!(state(&world, did).await, "ACTIVE unknown");
    }
    world.assert_fresh(&[&script]).await;
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn a_registry_founds_agents_by_did_once_and_others_are_shown_by_owner(
    pool: PgPool,
) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(31337));
    let id = AgentId::of_did(DID);
    let hash = "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKHCnA";
    script.block(start(), |b| b.beat(DID).status_of_did(DID, 1));
    script.block(start() + 10, |b| {
        b.register_did(DID, ALICE, "One")
            .status_of_did(DID, 1)
            .update_did(DID, "Uno", hash)
            .capability_of_did(DID, "chat", "1")
            .status_of_did(DID, 9)
    });
    // Somebody else takes the DID again, and those of a token and a key.
    script.block(start() + 20, |b| {
        b.register_did(DID, BOB, "Thief")
            .register_did(
                "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK",
                BOB,
                "Key",
            )
            .register_did(
                "did:nft:eip155:31337_erc721:0x1111111111111111111111111111111111111111_9",
                BOB,
                "Token",
            )
            .status_of_address(BOB, 2)
    });
    world.follow(&script).await?;
    let row = "SELECT name || ' ' || name_source || ' ' || owner_address || ' ' || runtime_status || ' ' || ipfs_metadata_hash
                 FROM identity.agents";
    assert_eq!(
        world.list(row).await,
        [format!("Uno chain {ALICE:#x} SLEEP {hash}")]
    );
    assert_eq!(world.history(id).await, [">ACTIVE", "ACTIVE>SLEEP"]);
    let capability =
        "SELECT capability_name || '=' || capability_value::text FROM identity.capability_vectors";
    assert_eq!(world.list(capability).await, ["chat=\"1\""]);
    let shown = |account| Filter {
        account: Some(account),
        ..Filter::default()
    };
    let limit = Limit::new(200)?;
    let his = list(&world.db, &shown(BOB), None, limit).await?.items;
    assert_eq!(his.len(), 4);
    assert!(his.iter().all(|event| !event.attributed), "{his:?}");
    let hers = list(&world.db, &shown(ALICE), None, limit).await?.items;
    assert!(hers.len() == 1 && hers[0].attributed, "{hers:?}");
    assert_eq!(hers[0].agent, Some(id.0));

    // A reorganisation takes the registration, and the agent with it; then it comes back.
    let said = world.said(id).await;
    assert!(!said.is_empty());
    script.fork(1);
    world.rewind(&script, 1).await?;
    assert_eq!(world.list(row).await, [] as [String; 0]);
    script.block(start() + 12, |b| b.register_did(DID, BOB, "His"));
    world.follow(&script).await?;
    let owner = world.one("SELECT owner_address FROM identity.agents").await;
    assert_eq!(owner, format!("{BOB:#x}"));
    world.assert_fresh(&[&script]).await;
    Ok(())
}

/// A stranger takes nobody's DID: neither that of an account, nor that of a domain.
#[sqlx::test(migrations = "../migrations")]
async fn a_registry_founds_the_did_of_an_account_for_that_account_alone(
    pool: PgPool,
) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(31337));
    let of_alice = format!("did:vexel:{ALICE}");
    let elsewhere = format!("did:pkh:eip155:1:{ALICE}");
    let here = format!("did:pkh:eip155:31337:{ALICE}");
    let domain = "did:web:example.com";
    script.block(start(), |b| {
        b.register_did(&of_alice, BOB, "Thief")
            .register_did(&elsewhere, BOB, "Thief")
            .register_did(domain, BOB, "Thief")
    });
    world.follow(&script).await?;
    let rows =
        "SELECT name || ' ' || did || ' ' || owner_address FROM identity.agents ORDER BY did";
    assert_eq!(world.list(rows).await, [] as [String; 0]);
    assert_eq!(events(&world, &of_alice).await, ["AgentRegistered false"]);

    script.block(start() + 10, |b| {
        b.register_did(&of_alice, ALICE, "Hers")
            .register_did(&of_alice, BOB, "Thief")
            .register_did(domain, ALICE, "Domain")
            // Whoever has her address on this chain, need not be her on another one.
            .register_did(&elsewhere, ALICE, "Elsewhere")
            .register_did(&here, ALICE, "Here")
    });
    world.follow(&script).await?;
    let hers = format!("Hers did:vexel:{ALICE:#x} {ALICE:#x}");
    let on_this_chain = format!("Here did:pkh:eip155:31337:{ALICE:#x} {ALICE:#x}");
    assert_eq!(world.list(rows).await, [on_this_chain, hers]);
    let said = ["false", "true", "false"].map(|spoke| format!("AgentRegistered {spoke}"));
    assert_eq!(events(&world, &of_alice).await, said);
    world.assert_fresh(&[&script]).await;
    Ok(())
}

/// Which of two chains is read first decides nothing, nor does a stranger who has contracts on another one.
#[sqlx::test(migrations = "../migrations")]
async fn an_agent_follows_the_chain_on_which_it_was_heard_first(
    pool: PgPool,
) -> anyhow::Result<()> {
    let world = World::new(pool);
    let (mut strangers, mut hers) = (Script::new(1), Script::new(31337));
    let (enrolled, founded) = ("did:vexel:agent2", "did:vexel:founded");
    // He registers himself, and has her address beat, before she comes; and takes a DID that she has by then.
    strangers.block(FAR, |b| {
        b.tx("himself").enrol(DID, BOB).tx("beats").beat(DID);
        b.tx("her address").enrol(enrolled, ALICE).beat(enrolled)
    });
    strangers.block(FAR + 300, |b| b.register_did(founded, BOB, "His"));
    hers.block(FAR + 50, |b| b.register(9, CAROL, ""));
    hers.block(FAR + 100, |b| {
        b.tx("hers").enrol(DID, ALICE).enrol(enrolled, ALICE);
        b.register_did(founded, ALICE, "Hers");
        b.tx("she beats").beat(DID).beat(enrolled)
    });
    for script in [&strangers, &hers] {
        world.open(script).await?;
    }
    for did in [DID, enrolled] {
        insert(&world, did, &format!("{ALICE:#x}")).await?;
    }
    let owner = "SELECT owner_address FROM identity.agents WHERE did = 'did:vexel:founded'";
    let followed = "SELECT DISTINCT chain_id FROM identity.subjects WHERE kind = 'did'";
    let strange = "SELECT count(*) FROM identity.did_logs WHERE chain_id = 1 AND attributed";

    world.follow(&strangers).await?;
    assert_eq!(state(&world, DID).await, "ACTIVE unknown");
    assert_eq!(state(&world, enrolled).await, "ACTIVE active");
    assert_eq!(world.one(owner).await, format!("{BOB:#x}"));
    assert_eq!(world.list(followed).await, ["1"]);
    world.follow(&hers).await?;
    for did in [DID, enrolled] {
        assert_eq!(state(&world, did).await, "ACTIVE active", "{did}");
    }
    assert_eq!(world.one(owner).await, format!("{ALICE:#x}"));
    assert_eq!(world.list(followed).await, ["31337"]);
    assert_eq!(world.one(strange).await, "0");
    world.assert_fresh(&[&strangers, &hers]).await;
    world.assert_fresh(&[&hers, &strangers]).await;

    // Where her blocks go, what is said elsewhere is all that there is.
    world.rewind(&hers, 1).await?;
    hers.fork(1);
    assert_eq!(state(&world, DID).await, "ACTIVE unknown");
    assert_eq!(world.one(owner).await, format!("{BOB:#x}"));
    assert_eq!(world.list(followed).await, ["1"]);
    world.assert_fresh(&[&hers, &strangers]).await;
    Ok(())
}

/// Who has a DID keeps it, also while nobody has swept since he came: a registry founds no other agent of it, to whom all
/// that is said of the DID would go.
#[sqlx::test(migrations = "../migrations")]
async fn a_registry_founds_nobody_whose_did_has_an_agent_that_waits_for_the_sweep(
    pool: PgPool,
) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(31337));
    world.open(&script).await?;
    world
        .sql(&format!(
            "INSERT INTO identity.agents (did, name, owner_address) VALUES ('{DID}', 'Hers', '{ALICE:#x}')"
        ))
        .await?;
    script.block(FAR, |b| b.register_did(DID, BOB, "Thief"));
    world.follow(&script).await?;
    world.sweep().await;
    script.block(FAR + 10, |b| b.tx("hers").enrol(DID, ALICE).beat(DID));
    world.follow(&script).await?;
    assert_eq!(state(&world, DID).await, "ACTIVE active");
    let said = [
        "AgentRegistered false",
        "AgentRegistered true",
        "HeartbeatRecorded true",
    ];
    assert_eq!(events(&world, DID).await, said);
    let row = "SELECT name || ' ' || owner_address FROM identity.agents";
    assert_eq!(world.list(row).await, [format!("Hers {ALICE:#x}")]);
    let subjects = "SELECT count(*) FROM identity.subjects";
    assert_eq!(world.one(subjects).await, "1");
    Ok(())
}

/// What a backfill stores ahead of its projection is found by the sweep.
#[sqlx::test(migrations = "../migrations")]
async fn a_window_leaves_what_is_said_of_dids_to_the_sweep(pool: PgPool) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(31337));
    script.block(start(), |b| {
        b.register(1, ALICE, "").register_did(DID, ALICE, "One")
    });
    world.follow(&script).await?;
    let mut tx = world.db.begin(store::Cause::Job("test")).await?;
    sqlx::query("DELETE FROM identity.dirty")
        .execute(tx.conn())
        .await?;
    identity::vexel::mark(&mut tx, 31337, 0, script.tip()).await?;
    tx.commit().await?;
    assert_eq!(
        world
            .one("SELECT count(*) FROM identity.dirty WHERE refold")
            .await,
        "1"
    );
    let before = world.list(AGENTS).await;
    world.sweep().await;
    assert_eq!(world.list(AGENTS).await, before);
    Ok(())
}
