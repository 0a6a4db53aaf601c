//! What is added here is kept by a real Kubo, also when that was away for a while.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic")]

#[path = "cli/instance.rs"]
mod instance;
mod kit;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use instance::{Instance, Place};
use kit::{anvil::Chain, equal, kubo::Kubo, left::Left, until};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_mins(1);

/// Adds a file by the API; gives its CID and what is said of its pins.
fn add(place: &Place, up: &Instance, file: &str) -> (String, Value) {
    let token = fs::read_to_string(place.dir().join("token")).unwrap();
    let request = format!(
        "POST /v1/ipfs HTTP/1.0\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{file}",
        token.trim(),
        file.len()
    );
    let (status, _, body) = up.request(&request);
    assert_eq!(status, 200, "{body}");
    let added: Value = serde_json::from_str(&body).unwrap();
    (
        added["cid"].as_str().unwrap().to_owned(),
        added["pins"].clone(),
    )
}

/// What is said of a CID at a store.
fn pin(up: &Instance, cid: &str, store: &str) -> Value {
    let (status, body) = up.get(&format!("/v1/ipfs/{cid}"));
    assert_eq!(status, 200, "{body}");
    let kept: Value = serde_json::from_str(&body).unwrap();
    let pins = kept["pins"].as_array().unwrap();
    pins.iter()
        .find(|pin| pin["store"] == store)
        .cloned()
        .unwrap_or(Value::Null)
}

async fn pin_is(up: &Instance, cid: &str, state: &str) -> Value {
    until(&format!("{cid} is {state} at Kubo"), PATIENCE, || async {
        Some(pin(up, cid, "kubo")).filter(|pin| pin["state"] == state)
    })
    .await
}

/// All entries of an agent's journal, once there are some in this state.
async fn entries(up: &Instance, agent: &str, state: &str) -> Vec<Value> {
    until(
        &format!("an entry of {agent} is {state}"),
        PATIENCE,
        || async {
            let (status, body) = up.get(&format!("/v1/agents/{agent}/entries"));
            assert!(status == 200 || status == 404, "{body}");
            let page: Value = serde_json::from_str(&body).ok()?;
            let entries = page["items"].as_array()?.clone();
            let there = !entries.is_empty() && entries.iter().all(|entry| entry["state"] == state);
            there.then_some(entries)
        },
    )
    .await
}

/// Reads an agent's registration through Kubo, by the journal's name, once that stands for the root that we name;
/// checks the record by `ipfs`. Gives the name.
async fn named(kubo: &Kubo, up: &Instance, db: &store::Db, agent: &str) -> String {
    let (_, body) = up.get(&format!("/v1/agents/{agent}"));
    let shown: Value = serde_json::from_str(&body).unwrap();
    let below = format!(
        "dukenet/agents/{}/registration",
        shown["id"].as_str().unwrap()
    );
    let own = until(&format!("{agent} is in the layout"), PATIENCE, || async {
        let (_, body) = up.get("/ipns");
        let own: Value = serde_json::from_str(&body).ok()?;
        let name = own["name"].as_str()?;
        let (status, _) = up.get(&format!("/ipns/{name}/{below}"));
        let resolved = kubo.try_run(&["name", "resolve", &format!("/ipns/{name}")])?;
        let current = resolved.trim() == format!("/ipfs/{}", own["root"].as_str()?);
        (status == 200 && current).then_some(own)
    })
    .await;
    let (name, root) = (own["name"].as_str().unwrap(), own["root"].as_str().unwrap());
    let (_, ours) = up.get(&format!("/ipns/{name}/{below}"));
    assert_eq!(kubo.run(&["cat", &format!("/ipns/{name}/{below}")]), ours);
    let listed = kubo.run(&["ls", &format!("/ipfs/{root}/dukenet/agents")]);
    assert!(listed.contains(shown["id"].as_str().unwrap()), "{listed}");
    assert!(kubo.lists(root), "the layout's root {root} is pinned");
    let record = kubo.repo.path().join("record");
    let stored = "SELECT encode(record, 'hex') FROM publish.layout";
    let stored = kit::index::list(db.pool(), stored).await;
    fs::write(&record, hex::decode(&stored[0]).unwrap()).unwrap();
    let path = record.to_str().unwrap();
    let told = kubo.run(&["name", "inspect", &format!("--verify={name}"), path]);
    assert!(told.contains(root) && told.contains("Valid:"), "{told}");
    let valid = told.lines().find(|line| line.contains("Valid:")).unwrap();
    assert!(valid.contains("true"), "{told}");
    name.to_owned()
}

/// Bodies leave the database only where what they will be read from has them now, whatever it was once said to have.
async fn archived_while_it_is_kept(kubo: &Kubo, place: &Place, config: &Path, db: &store::Db) {
    let archive = async |at_least: &str| {
        let config = config.to_str().unwrap();
        let output = place.run(&[
            "--config",
            config,
            "audit",
            "archive",
            "1",
            "--at-least",
            at_least,
        ]);
        let gone = "SELECT count(*)::text FROM journal.entries WHERE body IS NULL";
        let gone = kit::index::list(db.pool(), gone).await.remove(0);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), gone, said)
    };
    let manifest =
        "SELECT reference FROM journal.publications WHERE state = 'pinned' ORDER BY size LIMIT 1";
    let manifest = kit::index::list(db.pool(), manifest).await.remove(0);
    kubo.run(&["pin", "rm", &manifest]);
    let (code, gone, said) = archive("pinned").await;
    assert_eq!((code, gone.as_str()), (Some(5), "0"), "{said}");
    assert!(
        said.contains(&manifest) && said.contains("nothing was archived"),
        "{said}"
    );
    kubo.run(&["pin", "add", &manifest]);
    let (code, gone, said) = archive("pinned").await;
    assert_eq!((code, gone.as_str()), (Some(0), "1"), "{said}");
    let (code, gone, said) = archive("stored").await;
    assert_eq!((code, gone.as_str()), (Some(0), "1"), "{said}");

    // The blocks of an own blockstore that is not what it was.
    let packs = fs::read_dir(place.dir().join("blocks")).unwrap();
    let packs: Vec<_> = packs.map(|pack| pack.unwrap().path()).collect();
    let packs = packs
        .into_iter()
        .filter(|pack| pack.extension().is_some_and(|kind| kind == "pack"));
    let whole: Vec<(PathBuf, Vec<u8>)> = packs
        .map(|pack| (pack.clone(), fs::read(pack).unwrap()))
        .collect();
    let write = |change: u8| {
        for (pack, bytes) in &whole {
            let bytes: Vec<u8> = bytes.iter().map(|byte| byte ^ change).collect();
            let file = fs::OpenOptions::new().write(true).open(pack).unwrap();
            std::os::unix::fs::FileExt::write_all_at(&file, &bytes, 0).unwrap();
        }
    };
    write(1);
    let (code, gone, said) = archive("stored").await;
    write(0);
    assert_eq!((code, gone.as_str()), (Some(5), "1"), "{said}");
    assert!(said.contains("nothing was archived"), "{said}");
}

fn file(name: &str) -> String {
    json!({
        "type": "https://eips.ethereum.org/EIPS/eip-8004#registration-v1",
        "name": name, "description": "kept by Kubo", "image": "",
        "services": [{ "name": "A2A", "endpoint": "https://agent.example/card.json" }],
    })
    .to_string()
}

#[tokio::test]
async fn registrations_and_journal_are_pinned_also_after_kubo_was_away() {
    let mut kubo = Kubo::start();
    let place = Place::new("data");
    let _left = Left::on(place.dir());
    let config = place.dir().with_file_name("chancery.toml");
    fs::write(
        &config,
        format!("[content]\nkubo_url = \"{}\"\n", kubo.url()),
    )
    .unwrap();
    let up = place.up_with(&["--config", config.to_str().unwrap()]);
    let db = equal::of_instance(place.dir()).await;

    // Kubo is there: it keeps what is added, and says so itself.
    let (first, _) = add(&place, &up, &file("First"));
    pin_is(&up, &first, "pinned").await;
    assert!(kubo.lists(&first), "ipfs pin ls");
    assert_eq!(kubo.run(&["cat", &first]), file("First"));

    // The agent that names it, and the journal that tells of it.
    let contracts = indexer::stored_contracts(&db, 31_337).await.unwrap();
    let chain = Chain::of_instance(up.ready["rpc"].as_str().unwrap(), &contracts).await;
    chain
        .send(chain.register(chain.people[1], &format!("ipfs://{first}")))
        .await;
    let pinned = entries(&up, "31337:0", "pinned").await;
    let entry = pinned[0]["cid"].as_str().unwrap();
    let (_, body) = up.get(&format!("/v1/entries/{entry}"));
    let published: Value = serde_json::from_str(&body).unwrap();
    let publications = published["publications"].as_array().unwrap();
    let manifest = publications
        .iter()
        .find(|published| published["state"] == "pinned")
        .unwrap();
    let manifest = manifest["reference"].as_str().unwrap();
    assert!(kubo.lists(manifest), "the journal's manifest {manifest}");
    // The manifest links its entries: Kubo keeps them with it.
    assert!(
        kubo.run(&["refs", "-r", manifest])
            .lines()
            .any(|line| line == entry),
        "{entry}"
    );

    let name = named(&kubo, &up, &db, "31337:0").await;
    archived_while_it_is_kept(&kubo, &place, &config, &db).await;

    // Kubo is away: we say so, and lose nothing.
    kubo.stop();
    let (second, pins) = add(&place, &up, &file("Second"));
    let states = |pins: &Value| {
        let pins = pins.as_array().unwrap().iter();
        pins.map(|pin| format!("{} {}", pin["store"], pin["state"]))
            .collect::<Vec<_>>()
    };
    assert_eq!(states(&pins), [r#""kubo" "queued""#, r#""local" "stored""#]);
    chain
        .send(chain.register(chain.people[2], &format!("ipfs://{second}")))
        .await;
    let failed = pin_is(&up, &second, "failed").await;
    let why = failed["last_error"].as_str().unwrap();
    assert!(why.to_lowercase().contains("kubo"), "{why}");
    assert_eq!(pin(&up, &second, "local")["state"], "stored");
    assert_eq!(
        up.get(&format!("/ipfs/{second}")),
        (200, file("Second")),
        "served from our own"
    );
    entries(&up, "31337:1", "stored").await;
    until(
        "the file is judged from our own blocks",
        PATIENCE,
        || async {
            let (_, shown) = up.get("/v1/agents/31337:1");
            shown.contains("\"Second\"").then_some(())
        },
    )
    .await;
    assert_eq!(
        pin(&up, &first, "kubo")["state"],
        "pinned",
        "what was confirmed stays so"
    );

    // Kubo is back: everything is pinned without anybody's doing.
    kubo.resume();
    pin_is(&up, &second, "pinned").await;
    assert!(kubo.lists(&second) && kubo.lists(&first), "ipfs pin ls");
    entries(&up, "31337:1", "pinned").await;
    assert_eq!(named(&kubo, &up, &db, "31337:1").await, name);
    let jobs = "SELECT count(*) FROM store.jobs WHERE kind = 'pin'";
    until("no pin is owed", PATIENCE, || async {
        (kit::index::list(db.pool(), jobs).await == ["0"]).then_some(())
    })
    .await;
    whole_log_is_read_from(&kubo, &place, &up, &db).await;
    db.close().await;
    assert!(up.stop(Signal::SIGTERM).success());
    assert_eq!(place.processes(), Vec::<String>::new());
}

/// From the newest manifest that Kubo keeps a stranger reads all entries, tiles and the checkpoint by their CIDs, from
/// Kubo alone, and they verify.
async fn whole_log_is_read_from(kubo: &Kubo, place: &Place, up: &Instance, db: &store::Db) {
    let newest = "SELECT reference FROM journal.publications WHERE state = 'pinned' ORDER BY size DESC LIMIT 1";
    let newest = kit::index::list(db.pool(), newest).await.remove(0);
    let (_, vkey) = up.get("/audit/vkey");
    let verified = place.run(&[
        "audit",
        "verify",
        &newest,
        "--vkey",
        vkey.trim(),
        "--gateway",
        &kubo.gateway,
        "-o",
        "json",
    ]);
    let why = String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success(), "{why}");
    let verified: Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert!(verified["entries"].as_u64().unwrap() > 1, "{verified}");
    assert!(verified["tiles"].as_u64().unwrap() > 0, "{verified}");
}

/// Kubo is killed while it takes the journal's entries, again and again: what it said to have pinned, it has.
#[tokio::test]
async fn what_is_imported_while_kubo_is_killed_is_there_in_the_end() {
    let mut kubo = Kubo::start();
    let place = Place::new("data");
    let _left = Left::on(place.dir());
    let config = place.dir().with_file_name("chancery.toml");
    let url = kubo.url();
    fs::write(&config, format!("[content]\nkubo_url = \"{url}\"\n")).unwrap();
    let up = place.up_with(&["--config", config.to_str().unwrap()]);
    let db = equal::of_instance(place.dir()).await;
    let number = |query: &'static str| {
        let pool = db.pool();
        async move {
            kit::index::list(pool, query).await[0]
                .parse::<u64>()
                .unwrap_or(0)
        }
    };
    let stored = "SELECT max(size) FROM journal.publications WHERE state = 'stored'";
    let pinned = "SELECT max(size) FROM journal.publications WHERE state = 'pinned'";
    for kill in 0..4_u64 {
        let insert = format!(
            "INSERT INTO identity.agents (did, name)
             SELECT 'did:vexel:' || n, 'Agent ' || n FROM generate_series({}, {}) AS n",
            kill * 500,
            kill * 500 + 499
        );
        sqlx::query(sqlx::AssertSqlSafe(insert))
            .execute(db.pool())
            .await
            .unwrap();
        let before = number(stored).await;
        until("some of it is stored, and sent", PATIENCE, || async {
            (number(stored).await > before).then_some(())
        })
        .await;
        // Once as soon as it is sent, once when some of it is pinned.
        if kill % 2 == 1 {
            until("some of it is pinned", PATIENCE, || async {
                (number(pinned).await > before).then_some(())
            })
            .await;
        }
        kubo.kill();
        kubo.resume();
    }
    let sealed = "SELECT count(*) FROM journal.leaves";
    until("everything is pinned", Duration::from_mins(2), || async {
        let size = number(sealed).await;
        (size >= 2_000 && number(pinned).await == size).then_some(())
    })
    .await;
    let there = content::Kubo::new(&kubo.url(), None, PATIENCE).unwrap();
    let entries = kit::index::list(db.pool(), "SELECT cid FROM journal.entries").await;
    for cid in entries {
        // Its bytes are held against the CID.
        let block = there.block(&cid.parse().unwrap()).await;
        assert!(block.is_ok(), "{cid}: {block:?}");
    }
    db.close().await;
    assert!(up.stop(Signal::SIGTERM).success());
}
