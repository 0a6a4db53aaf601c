//! `chancery sync` against instances of its own.

#![allow(clippy::unwrap_used, reason = "a test's helpers may panic")]

#[path = "cli/instance.rs"]
mod instance;

use instance::{Instance, Place};
use serde_json::Value;

const RECORDED: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/corpus/erc8004/mainnet-logs.json"
);

fn text(output: &std::process::Output) -> String {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn the_status_tells_how_far_and_how_sure_everything_is() {
    let place = Place::new("data");
    let _instance = place.up_with(&["--replay", RECORDED]);
    let status = (0..1_000)
        .map(|_| text(&place.run(&["sync", "status"])))
        // The answer is of several moments: chains, then agents.
        .find(|status| status.contains("92 agents") && status.contains("  0%  "));
    let status = status.unwrap();
    let mut lines = status.lines();
    let heads: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    let words = "CHAIN NAME STATE HEAD READ LAG SETTLED PROVEN SYNCED INCIDENTS";
    assert_eq!(heads.join(" "), words);
    let row = lines.next().unwrap();
    assert!(
        row.starts_with("1 ") && row.ends_with("0%      no      0"),
        "{row}"
    );
    assert!(
        status.contains("blocks reported, in 24339925..24359761"),
        "a file proves nothing: {status}"
    );
    let json: Value =
        serde_json::from_str(&text(&place.run(&["sync", "status", "-o", "json"]))).unwrap();
    assert_eq!(json["chains"][0]["levels"][0]["level"], "reported");
}

#[test]
fn the_digest_is_printed_in_full() {
    let place = Place::new("data");
    let _instance = place.up_with(&["--replay", RECORDED]);
    let json = text(&place.run(&["sync", "verify", "--digest", "-o", "json"]));
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["journal"]["digest"].as_str().unwrap().len(), 64);
    let human = text(&place.run(&["sync", "verify", "--digest"]));
    assert!(human.contains("  chain.logs ("), "{human}");
    assert!(human.ends_with("  everything\n"), "{human}");
}

#[test]
fn what_is_stored_is_proven_again_and_put_right() {
    let place = Place::new("data");
    let instance = place.up_with(&["--demo"]);
    let registered = (0..1_000).any(|_| {
        let sync: Value = serde_json::from_str(&instance.get("/v1/sync").1).unwrap();
        let chain = &sync["chains"][0];
        chain["complete"] == true && chain["lag"] == 0 && sync["agents"].as_u64() > Some(2)
    });
    assert!(registered, "{}", instance.log());
    let sync: Value = serde_json::from_str(&instance.get("/v1/sync").1).unwrap();
    let provider = &sync["chains"][0]["providers"][0];
    assert_eq!(provider["standing"], "agrees", "{provider}");
    assert!(provider["calls"].as_u64() > Some(0), "{provider}");
    let status = text(&place.run(&["sync", "status"]));
    let shown = format!(
        "{}: its newest block is ",
        provider["place"].as_str().unwrap()
    );
    assert!(status.contains(&shown), "{status}");
    let sample = text(&place.run(&["sync", "verify"]));
    assert!(
        sample.starts_with("chain 31337: ") && sample.contains("proven"),
        "{sample}"
    );
    // Of ground alone: documents are still being judged meanwhile.
    let digest = || {
        let json = text(&place.run(&["sync", "verify", "--digest", "-o", "json"]));
        let digests: Value = serde_json::from_str(&json).unwrap();
        let mut tables = digests["tables"].as_array().unwrap().clone();
        tables.retain(|table| table["name"].as_str().unwrap().starts_with("chain."));
        assert_eq!(tables.len(), 2);
        tables
    };
    let right = digest();

    place
        .sql(
            "SET chancery.cause = 'test'; DELETE FROM chain.logs WHERE (block_number, log_index) =
                 (SELECT block_number, log_index FROM chain.logs ORDER BY 1 DESC, 2 DESC LIMIT 1)",
        )
        .unwrap();
    assert_ne!(digest(), right);
    let head = place.sql("SELECT head_number FROM chain.chains").unwrap();
    let found = place.run(&["sync", "verify", &format!("0..{head}"), "-o", "json"]);
    assert_eq!(found.status.code(), Some(6));
    let report: Value = serde_json::from_slice(&found.stdout).unwrap();
    assert_eq!(report[0]["incidents"][0]["kind"], "lost_log", "{report}");
    assert_eq!(digest(), right, "it is there again");
    let again = place.run(&["sync", "verify", &format!("0..{head}")]);
    assert_eq!(again.status.code(), Some(0));

    for (args, code) in [
        (&["sync", "verify", "9..5"][..], 2),
        (&["sync", "verify", "0..99999999"], 2),
        (&["sync", "verify", "--chain", "1"], 3),
        (&["sync", "verify", "--digest", "5"], 2),
    ] {
        assert_eq!(place.run(args).status.code(), Some(code), "{args:?}");
    }
}

/// The first chain, as soon as it is as wanted.
fn chain_when(instance: &Instance, wanted: impl Fn(&Value) -> bool) -> Value {
    let chain = || {
        let sync: Value = serde_json::from_str(&instance.get("/v1/sync").1).unwrap();
        sync["chains"][0].clone()
    };
    let found = (0..5_000).map(|_| chain()).find(wanted);
    found.unwrap_or_else(|| panic!("{:#}\n{}", chain(), instance.log()))
}

#[test]
fn a_chain_is_synced_where_its_rows_are_the_registrys_state_and_else_says_what_differs() {
    let place = Place::new("data");
    let instance = place.up_with(&["--demo"]);
    // Registrations, transfers, new URIs, wallets, metadata.
    let is_read = (0..20_000).any(|_| instance.has_read_the_demo(&place));
    assert!(is_read, "{}", instance.log());
    let chain = chain_when(&instance, |chain| chain["synced"] == true);
    let census = &chain["census"][0];
    assert_eq!(chain["complete"], true, "{chain}");
    assert_eq!(census["holds"], true, "{chain}");
    assert!(census["agents"].as_u64() > Some(10), "{census}");
    let agents = census["agents"].to_string();
    assert_eq!(census["counted"].as_str(), Some(&*agents), "{census}");
    for level in ["count_level", "values_level"] {
        assert_eq!(census[level], "proven", "{census}");
    }
    let status = text(&place.run(&["sync", "status"]));
    let counted = format!("{agents} agents, {agents} counted (proven)");
    for line in [&*counted, "all compared (proven); equal"] {
        assert!(status.contains(line), "{status}");
    }

    let agent = "(SELECT agent_id FROM identity.tokens WHERE token_id = 3)";
    let again = format!(
        "INSERT INTO chain.census_again (chain_id, agent_id)
         SELECT chain_id, {agent} FROM chain.chains"
    );
    let spoil = format!(
        "SET chancery.cause = 'test';
         UPDATE identity.tokens SET owner = decode(repeat('66', 20), 'hex') WHERE token_id = 3; {again}"
    );
    place.sql(&spoil).unwrap();
    let chain = chain_when(&instance, |chain| chain["census"][0]["mismatches"] == 1);
    assert_eq!(chain["synced"], false, "{chain}");
    assert_eq!(chain["census"][0]["holds"], false, "{chain}");
    let one = &chain["census"][0]["differences"][0];
    let ours = format!("0x{}", "66".repeat(20));
    let (rule, theirs) = ("owner = last Transfer", one["theirs"].as_str().unwrap());
    for (name, value) in [
        ("agent_id", "3"),
        ("what", "owner"),
        ("rule", rule),
        ("ours", &*ours),
        ("level", "proven"),
    ] {
        assert_eq!(one[name], value, "{one}");
    }
    assert!(one["rule_block"].as_u64() > Some(0), "{one}");
    let line = format!("agent 3: owner is {ours} here and {theirs} there, proven (rule: {rule})");
    let status = text(&place.run(&["sync", "status"]));
    assert!(status.contains(&line), "{status}");
    assert!(status.contains("1 NOT EQUAL"), "{status}");
    let metrics = instance.get("/metrics").1;
    for (name, value) in [("synced", "0"), ("census_mismatches", "1")] {
        let of = format!("chancery_{name}{{chain=\"31337\"");
        let line = metrics.lines().find(|line| line.starts_with(&of)).unwrap();
        assert!(line.ends_with(&format!(" {value}")), "{line}");
    }
    let incidents = "SELECT count(*) FROM journal.v_entries WHERE kind = 'incident'";
    assert_eq!(place.sql(incidents).unwrap(), "1");

    let refold = format!(
        "SET chancery.cause = 'test';
         INSERT INTO identity.dirty (agent_id, refold) VALUES ({agent}, true); {again}"
    );
    place.sql(&refold).unwrap();
    let chain = chain_when(&instance, |chain| chain["synced"] == true);
    assert_eq!(chain["census"][0]["mismatches"], 0, "{chain}");
    let owner =
        place.sql("SELECT '0x' || encode(owner, 'hex') FROM identity.tokens WHERE token_id = 3");
    assert_eq!(owner.unwrap(), theirs.to_lowercase());
}

#[test]
fn of_watched_agents_alone_it_is_said_that_no_census_was_taken() {
    let dev = Place::new("dev");
    let node = dev.up_with(&["--demo"]);
    let is_read = (0..20_000).any(|_| node.has_read_the_demo(&dev));
    assert!(is_read, "{}", node.log());
    let whole = chain_when(&node, |chain| chain["complete"] == true);
    let rpc = node.ready["rpc"].as_str().unwrap();
    let registry = whole["contracts"]["identity"][0].as_str().unwrap();
    let owner = "SELECT '0x' || encode(owner, 'hex') FROM identity.tokens
                  WHERE owner IS NOT NULL GROUP BY owner ORDER BY count(*), owner LIMIT 1";
    let owner = dev.sql(owner).unwrap();
    let ever = format!(
        "SELECT count(DISTINCT subject) FROM chain.logs
          WHERE topic0 = decode('ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef', 'hex')
            AND '{owner}' IN ('0x' || encode(substr(topic1, 13), 'hex'), '0x' || encode(substr(topic2, 13), 'hex'))"
    );
    let ever: i64 = dev.sql(&ever).unwrap().parse().unwrap();
    let all: i64 = dev
        .sql("SELECT count(*) FROM identity.tokens")
        .unwrap()
        .parse()
        .unwrap();
    assert!(ever > 0 && ever < all, "{ever} of {all}");

    let place = Place::new("watching");
    std::fs::create_dir(place.dir()).unwrap();
    let file = place.dir().join("chancery.toml");
    let watch = |names: &str| {
        let text = format!("[sync]\nscope = \"watched\"\nwatch = [{names}]\n");
        std::fs::write(&file, text).unwrap();
    };
    let flags = ["--rpc", rpc, "--registry", registry];
    watch(&format!("\"{owner}\""));
    let instance = place.up_with(&flags);
    let chain = chain_when(&instance, |chain| {
        chain["complete"] == true && chain["lag"] == 0
    });
    let watched = &chain["watched"];
    assert_eq!(watched["owners"], 1, "{chain}");
    assert_eq!(watched["tokens"], ever, "{chain}");
    assert_eq!(chain["synced"], false, "{chain}");
    assert_eq!(chain["census"].as_array().map(Vec::len), Some(0), "{chain}");
    assert_eq!(
        place.sql("SELECT count(*) FROM identity.tokens").unwrap(),
        ever.to_string()
    );
    let status = text(&place.run(&["sync", "status"]));
    let line = format!("watched: 1 owners, {ever} tokens; no census");
    assert!(status.contains(&line), "{status}");
    let metrics = instance.get("/metrics").1;
    assert!(!metrics.contains("chancery_synced{"), "it is not asked for");
    drop(instance);

    // With another scope, and with an agent whose registry is not read.
    std::fs::remove_file(&file).unwrap();
    let up = [&["up", "--listen", "127.0.0.1:0"], &flags[..]].concat();
    let refused = place.run(&up);
    assert_eq!(refused.status.code(), Some(5), "{refused:?}");
    let why = String::from_utf8(refused.stderr).unwrap();
    assert!(
        why.contains("sync.scope = \"watched\"") && why.contains("data directory"),
        "{why}"
    );
    watch(&format!(
        "\"eip155:{}:0x{}/1\"",
        whole["chain"],
        "77".repeat(20)
    ));
    let refused = place.run(&up);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    let why = String::from_utf8(refused.stderr).unwrap();
    assert!(why.contains("a registry that is not read"), "{why}");
    let recorded = place.run(&["up", "--listen", "127.0.0.1:0", "--replay", RECORDED]);
    assert_eq!(recorded.status.code(), Some(2), "{recorded:?}");
}

#[test]
fn an_estimate_needs_no_instance_and_refuses_unknown_chains() {
    let place = Place::new("data");
    let instance = place.up_with(&["--demo"]);
    let rpc = instance.ready["rpc"].as_str().unwrap();
    let sync: Value = serde_json::from_str(&instance.get("/v1/sync").1).unwrap();
    let registry = sync["chains"][0]["contracts"]["identity"][0]
        .as_str()
        .unwrap();
    let other = Place::new("other");
    let estimate = ["sync", "estimate", "--rpc", rpc, "--registry", registry];
    let human = text(&other.run(&estimate));
    for label in [
        "chain ",
        "provider ",
        "blocks ",
        "logs ",
        "read ",
        "prove ",
        "disk ",
    ] {
        assert!(human.contains(label), "{label}: {human}");
    }
    let json: Value = serde_json::from_str(&text(
        &other.run(&[&estimate[..], &["-o", "json"]].concat()),
    ))
    .unwrap();
    assert!(json["estimate"]["logs"].as_u64() > Some(0), "{json}");
    let above = other.run(&[&estimate[..], &["--from-block", "99999999"]].concat());
    assert_eq!(above.status.code(), Some(2));
    let why = String::from_utf8(above.stderr).unwrap();
    assert!(
        why.contains("99999999") && why.contains("head, block "),
        "{why}"
    );
    let unknown = other.run(&["sync", "estimate", "--rpc", rpc]);
    assert_eq!(unknown.status.code(), Some(2));
    let why = String::from_utf8(unknown.stderr).unwrap();
    assert!(why.contains("--registry"), "{why}");
}

#[test]
fn every_metric_that_the_manual_names_is_there() {
    let place = Place::that_anchors("data");
    let instance = place.up_with(&["--demo"]);
    let manual = include_str!("../docs/operations.md");
    let mut named: Vec<&str> = manual
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| word.starts_with("chancery_"))
        .map(|word| word.strip_suffix("_bucket").unwrap_or(word))
        .collect();
    named.sort_unstable();
    named.dedup();
    assert!(named.len() > 30, "{named:?}");
    // They come when something happens for the first time, which here nothing makes happen.
    let rare = [
        "chancery_audit_events_lost_total",
        "chancery_limits_alone_total",
        "chancery_requests_limited_total",
        "chancery_census_mismatches_total",
        "chancery_damage_total",
        "chancery_incidents_total",
        "chancery_provider_errors_total",
        "chancery_reorgs_total",
        "chancery_reorg_depth_blocks",
        "chancery_restored_blocks_total",
    ];
    let shown = |metrics: &str, name: &str| {
        metrics.lines().any(|line| {
            let of = line.split(['{', ' ']).next().unwrap_or_default();
            let of = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| of.strip_suffix(end))
                .unwrap_or(of);
            of == name
        })
    };
    let missing = |metrics: &str| -> Vec<&str> {
        let there = |name: &&&str| !rare.contains(*name) && !shown(metrics, name);
        named.iter().filter(there).copied().collect()
    };
    let complete = (0..20_000).any(|_| missing(&instance.get("/metrics").1).is_empty());
    let metrics = instance.get("/metrics").1;
    assert!(complete, "missing: {:?}\n{metrics}", missing(&metrics));
    for name in rare {
        let code = [
            include_str!("../crates/access/src/audit_log.rs"),
            include_str!("../crates/access/src/limit/shared.rs"),
            include_str!("../crates/publish/src/scrub/blocks.rs"),
            include_str!("../crates/publish/src/scrub/incident.rs"),
            include_str!("../indexer/src/census/mismatch.rs"),
            include_str!("../indexer/src/incident.rs"),
            include_str!("../indexer/src/stage.rs"),
            include_str!("../src/http/guard/limits.rs"),
            include_str!("../src/http/metrics/chains.rs"),
        ];
        assert!(
            code.iter()
                .any(|code| code.contains(&format!("\"{name}\""))),
            "{name}"
        );
    }
    let undocumented: Vec<&str> = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .filter_map(|line| line.split(' ').next())
        .filter(|name| name.starts_with("chancery_") && !named.contains(name))
        .collect();
    assert_eq!(
        undocumented, [""; 0],
        "docs/operations.md names every metric"
    );
}
