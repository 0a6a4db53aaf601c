//! Against a real Kubo, offline on loopback. `CHANCERY_KUBO` names the binary
//! (`scripts/setup --print-kubo`); without it this is skipped, but never in CI.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use content::{
    Config, Content, Error, Kubo, Layout, State, Verification, build, car,
    directory::{self, Growth, Target},
    pin,
};
use kernel::{Bytes, Cid};
use net::Fetcher;
use store::{Cause, Clock, Db};
use tempfile::TempDir;

/// A running Kubo; it ends with the value.
struct Node {
    url: String,
    gateway: String,
    child: Child,
    _repo: TempDir,
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test finds its binary by the environment"
)]
fn binary() -> Option<String> {
    let binary = std::env::var("CHANCERY_KUBO").ok();
    assert!(
        binary.is_some() || std::env::var_os("CI").is_none(),
        "CHANCERY_KUBO is not set, and this must not be skipped in CI"
    );
    binary
}

fn command(binary: &str, repo: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(binary);
    command
        .args(args)
        .env("IPFS_PATH", repo)
        .env("IPFS_TELEMETRY", "off")
        .stdin(Stdio::null());
    command
}

/// Starts a node on free ports that knows nobody.
fn start() -> Option<Node> {
    let binary = binary()?;
    let repo = tempfile::tempdir().expect("a directory");
    let run = |args: &[&str]| {
        let output = command(&binary, repo.path(), args)
            .output()
            .expect("the binary runs");
        assert!(
            output.status.success(),
            "{args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    run(&["init", "--profile=test"]);
    for (key, value) in [
        ("AutoConf.Enabled", "false"),
        ("Bootstrap", "[]"),
        ("Addresses.Swarm", "[]"),
        ("DNS.Resolvers", "{}"),
        ("Routing.DelegatedRouters", "[]"),
        ("Ipns.DelegatedPublishers", "[]"),
        ("Addresses.API", r#""/ip4/127.0.0.1/tcp/0""#),
        ("Addresses.Gateway", r#""/ip4/127.0.0.1/tcp/0""#),
    ] {
        run(&["config", "--json", key, value]);
    }
    let mut child = command(&binary, repo.path(), &["daemon", "--offline"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the daemon starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let (mut url, mut gateway) = (None, None);
    for line in lines.by_ref() {
        let line = line.expect("text");
        let address = || {
            line.split("/tcp/")
                .nth(1)
                .map(|port| format!("http://127.0.0.1:{}", port.trim()))
        };
        if line.starts_with("RPC API server listening on") {
            url = address();
        } else if line.starts_with("Gateway server listening on") {
            gateway = address();
        } else if line.contains("Daemon is ready") {
            break;
        }
    }
    // Its output is read on, so that it never waits for us.
    std::thread::spawn(move || lines.for_each(drop));
    let (url, gateway) = (url.expect("an RPC"), gateway.expect("a gateway"));
    Some(Node {
        url,
        gateway,
        child,
        _repo: repo,
    })
}

fn client(node: &Node) -> Kubo {
    Kubo::new(&node.url, None, Duration::from_secs(5)).expect("valid")
}

fn open(config: &Config) -> (Content, TempDir) {
    let dir = tempfile::tempdir().expect("a directory");
    let fetcher = Fetcher::new(&net::Config::default()).expect("valid");
    (
        Content::open(config, dir.path(), fetcher).expect("opens").0,
        dir,
    )
}

#[tokio::test]
async fn our_cids_are_kubos() {
    let Some(node) = start() else { return };
    let kubo = client(&node);
    assert!(kubo.version().await.expect("answers").starts_with("0."));
    let bytes: Vec<u8> = (0..2_500_000_u32)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let many = Layout {
        chunk: 1000,
        width: 3,
    };
    for (layout, sizes) in [
        (
            Layout::OURS,
            &[0, 1, 262_144, 262_145, 1 << 20, (1 << 20) + 1, 2_500_000][..],
        ),
        (Layout::KUBO, &[0, 262_144, 262_145, 600_000]),
        (many, &[999, 1001, 3000, 3001, 9001, 10_000, 28_000]),
    ] {
        for size in sizes {
            // `add` fails unless Kubo names what we name.
            let added = kubo.add(bytes[..*size].to_vec(), layout).await;
            let cid = added.unwrap_or_else(|error| panic!("{layout:?} {size}: {error}"));
            assert!(
                kubo.is_pinned(&cid).await.expect("answers"),
                "{layout:?} {size}"
            );
        }
    }
}

/// What `ipfs add -r` makes of empty files of these names in one directory, sharded beyond so many bytes.
fn kubos_directory(names: &[String], sharded_above: &str) -> Option<String> {
    let binary = binary()?;
    let (repo, files) = (tempfile::tempdir(), tempfile::tempdir());
    let (repo, files) = (repo.expect("a directory"), files.expect("a directory"));
    for name in names {
        std::fs::write(files.path().join(name), name).expect("writable");
    }
    let run = |args: &[&str]| {
        let output = command(&binary, repo.path(), args).output();
        let output = output.expect("the binary runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{args:?}: {said}");
        String::from_utf8(output.stdout).expect("text")
    };
    run(&["init", "--profile=test"]);
    let key = "Import.UnixFSHAMTDirectorySizeThreshold";
    run(&["config", key, sharded_above]);
    let folder = files.path().to_str().expect("text");
    let added = run(&["add", "-rQn", "--cid-version=1", "--raw-leaves", folder]);
    Some(added.trim().to_owned())
}

fn our_directory(names: &[String], plain_at_most: usize) -> String {
    let entries = names.iter().map(|name| {
        let target = Target {
            cid: kernel::cid_of_raw(name.as_bytes()),
            size: name.len() as u64,
        };
        (name.clone(), target)
    });
    let none = std::collections::HashMap::<Cid, Bytes>::new();
    match directory::grow(None, &entries.collect(), &none, plain_at_most) {
        Ok(Growth::Done(grown)) => grown.root.cid.to_string(),
        other => panic!("{other:?}"),
    }
}

/// Names in pairs whose hashes are the same in their first 40 bits, so that they meet five levels down.
const MEETING: [&str; 6] = [
    "464870", "1241711", "366662", "1549431", "952661", "1900390",
];

#[test]
fn our_directories_are_kubos() {
    let number = |count: u32| (0..count).map(|number| format!("agent {number}")).collect();
    let cases: Vec<Vec<String>> = vec![
        number(1),
        number(2),
        number(256),
        number(5_000),
        MEETING.map(str::to_owned).to_vec(),
    ];
    for names in &cases {
        for (sharded_above, plain_at_most) in [("1B", 1), ("1TiB", usize::MAX)] {
            let Some(kubos) = kubos_directory(names, sharded_above) else {
                return;
            };
            let ours = our_directory(names, plain_at_most);
            assert_eq!(ours, kubos, "{} names, {sharded_above}", names.len());
        }
    }
    // Exactly at the threshold, and one name beyond it: 36 bytes for each CID.
    let most = directory::PLAIN_AT_MOST;
    let mut names: Vec<String> = (1..most / 44).map(|at| format!("a {at:06}")).collect();
    let rest = most - names.len() * 44 - 36;
    names.push("x".repeat(rest));
    for count in [names.len(), names.len() + 1] {
        names.resize(count, "one more".to_owned());
        let Some(kubos) = kubos_directory(&names, "16KiB") else {
            return;
        };
        assert_eq!(our_directory(&names, most), kubos, "{count} names");
    }
}

#[tokio::test]
async fn blocks_and_pins_come_and_go() {
    let Some(node) = start() else { return };
    let kubo = client(&node);
    let dag = build(&vec![7; 3 << 20], Layout::OURS);
    let car = car::write(&[dag.root], &dag.blocks).expect("writes");
    let imported = kubo.import(car).await.expect("imported");
    assert_eq!(imported.len(), 1);
    assert_eq!(
        (imported[0].root, &imported[0].pin_error),
        (dag.root, &None)
    );
    assert!(kubo.is_pinned(&dag.root).await.expect("answers"));
    assert_eq!(
        kubo.block(&dag.root).await.expect("there"),
        dag.blocks.last().expect("a root").1
    );
    kubo.unpin(&dag.root).await.expect("unpinned");
    kubo.unpin(&dag.root).await.expect("unpinned already");
    assert!(!kubo.is_pinned(&dag.root).await.expect("answers"));
    kubo.pin(&dag.root).await.expect("pinned");
    assert!(kubo.is_pinned(&dag.root).await.expect("answers"));

    let cbor = kernel::to_dag_cbor(&[dag.root]).expect("encodes");
    let cid = kernel::cid_of_dag_cbor(&cbor);
    kubo.put_block(&cid, &cbor).await.expect("stored");
    assert_eq!(kubo.block(&cid).await.expect("there"), Bytes::from(cbor));
    let v0 = Cid::new_v0(*dag.root.hash()).expect("sha2-256");
    assert!(
        kubo.block(&v0).await.is_ok(),
        "under the other version of its CID"
    );
}

#[tokio::test]
async fn a_file_under_a_name_is_there_whole_or_not_at_all() {
    let Some(node) = start() else { return };
    let kubo = client(&node);
    let read = async |path: &str| kubo.read_file(path, 100).await;
    assert_eq!(read("/below/one").await.expect("answers"), None);
    for text in ["longer than what comes next", "short"] {
        let bytes = text.as_bytes().to_vec();
        kubo.write_file("/below/one", bytes.clone())
            .await
            .expect("written");
        assert_eq!(read("/below/one").await.expect("answers"), Some(bytes));
    }
    assert_eq!(read("/below").await.expect("a directory"), None);
    assert_eq!(read("/below/two").await.expect("answers"), None);
    kubo.write_file("/below/two", vec![b'x'; 101])
        .await
        .expect("written");
    let error = read("/below/two").await.expect_err("too long");
    assert!(!error.kind().is_transient(), "{error}");
}

#[tokio::test]
async fn an_incomplete_car_is_stored_and_not_pinned_and_what_is_nowhere_is_unavailable() {
    let Some(node) = start() else { return };
    let kubo = client(&node);
    let dag = build(&vec![8; 3 << 20], Layout::OURS);
    let root = dag.blocks.last().expect("a root").clone();
    let imported = kubo
        .import(car::write(&[dag.root], [&root]).expect("writes"))
        .await;
    let imported = imported.expect("a 200 answer");
    assert!(imported[0].pin_error.is_some(), "{imported:?}");
    assert!(!kubo.is_pinned(&dag.root).await.expect("answers"));
    for error in [
        kubo.pin(&dag.root).await.expect_err("a block is missing"),
        kubo.block(&kernel::cid_of_raw(b"nowhere"))
            .await
            .map(drop)
            .expect_err("nowhere"),
    ] {
        assert!(matches!(error, Error::Kubo { .. }), "{error:?}");
        assert_eq!(error.kind(), kernel::Kind::Unavailable, "{error}");
    }
    let closed = Kubo::new("http://127.0.0.1:1", None, Duration::from_secs(1)).expect("valid");
    assert_eq!(
        closed.version().await.expect_err("down").kind(),
        kernel::Kind::Unavailable
    );
}

#[tokio::test]
async fn files_are_found_through_the_rpc_and_through_the_gateway() {
    let Some(node) = start() else { return };
    let fixture = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/dir-with-files.car"
    );
    let car = std::fs::read(fixture).expect("a fixture");
    let root = client(&node).import(car).await.expect("imported")[0].root;
    let uri = format!("ipfs://{root}/multiblock.txt");
    let rpc = Config {
        kubo_url: Some(node.url.clone()),
        ..Config::default()
    };
    let gateway = Config {
        gateways: vec![node.gateway.clone()],
        ..Config::default()
    };
    for config in [rpc, gateway] {
        let (content, _dir) = open(&config);
        let fetched = content.fetch(uri.as_bytes()).await;
        assert_eq!(fetched.state, State::Fetched, "{fetched:?}");
        assert_eq!(fetched.verification, Verification::Verified);
        assert_eq!(fetched.bytes.map(|bytes| bytes.len()), Some(1026));
        let missing = format!("ipfs://{}", kernel::cid_of_raw(b"nowhere"));
        let fetched = content.fetch(missing.as_bytes()).await;
        assert_eq!(
            (fetched.state, fetched.retry),
            (State::Unavailable, true),
            "{fetched:?}"
        );
        assert_eq!(fetched.verification, Verification::Unverified);
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_is_wanted_is_pinned(pool: sqlx::PgPool) {
    let Some(node) = start() else { return };
    let (content, _dir) = open(&Config {
        kubo_url: Some(node.url.clone()),
        ..Config::default()
    });
    let db = Db::from_pool(pool, Clock::System);
    let mut roots = vec![
        content
            .fetch(b"data:application/json,{}")
            .await
            .root()
            .expect("stored"),
    ];
    let dag = build(&vec![9; 2 << 20], Layout::OURS);
    content
        .blocks()
        .put_many(&dag.blocks)
        .await
        .expect("stored");
    // A manifest that links to both, as the journal's mirror has.
    let manifest = kernel::to_dag_cbor(&[roots[0], dag.root]).expect("encodes");
    let cid = kernel::cid_of_dag_cbor(&manifest);
    content
        .blocks()
        .put_many(&[(cid, manifest)])
        .await
        .expect("stored");
    roots.push(cid);
    let mut tx = db.begin(Cause::Job("test")).await.expect("begins");
    pin::want(&mut tx, &content, &roots).await.expect("wanted");
    tx.commit().await.expect("commits");
    pin::pin_due(&db, &content, 10).await.expect("a round");
    for root in &roots {
        let pins = pin::find(&db, root).await.expect("found");
        assert_eq!(pins[0].state, "pinned", "{pins:?}");
        assert!(client(&node).is_pinned(root).await.expect("answers"));
    }
    assert!(
        client(&node).block(&dag.root).await.is_ok(),
        "what a manifest links to came along"
    );
}
