//! From a URI to a document, through servers that help and servers that lie.

use content::{Block, Config, Content, Layout, State, Verification, build, car};
use kernel::Cid;
use net::Fetcher;
use tempfile::TempDir;

use crate::server::{Request, Server, answer};

const JSON: &[u8] = br#"{"name":"Agent","active":true}"#;

/// Content with a fresh blockstore, these gateways, and these servers on the allow-list.
fn content(gateways: &[&Server], allow: &[&Server]) -> (Content, TempDir) {
    let dir = tempfile::tempdir().expect("a directory");
    let config = Config {
        gateways: gateways.iter().map(|server| server.url.clone()).collect(),
        gateway_timeout_seconds: 1,
        ..Config::default()
    };
    (open(&config, allow, &dir), dir)
}

fn open(config: &Config, allow: &[&Server], dir: &TempDir) -> Content {
    let allow = allow
        .iter()
        .map(|server| server.address.to_string())
        .collect();
    let net = net::Config {
        allow,
        timeout_seconds: 1,
        ..net::Config::default()
    };
    let fetcher = Fetcher::new(&net).expect("valid");
    Content::open(config, dir.path(), fetcher).expect("opens").0
}

/// A trustless gateway of these blocks: raw blocks one by one, and CARs where `with_car`.
async fn gateway(blocks: Vec<Block>, with_car: bool) -> Server {
    Server::start(move |request| serve(&blocks, with_car, request)).await
}

fn serve(blocks: &[Block], with_car: bool, request: &Request) -> Option<Vec<u8>> {
    let (path, query) = request
        .target
        .split_once('?')
        .unwrap_or((&request.target, ""));
    let mut names = path.trim_start_matches("/ipfs/").split('/');
    let cid: Cid = names
        .next()
        .and_then(|name| name.parse().ok())
        .expect("a CID");
    if query.contains("format=car") {
        if !with_car {
            return answer(501, "", b"");
        }
        let car = car::write(&[cid], blocks).expect("writes");
        return answer(200, "content-type: application/vnd.ipld.car\r\n", &car);
    }
    match blocks.iter().find(|(known, _)| *known == cid) {
        Some((_, bytes)) => answer(200, "", bytes),
        None => answer(404, "", b""),
    }
}

fn raw(bytes: &'static [u8]) -> (Cid, Vec<Block>) {
    let cid = kernel::cid_of_raw(bytes);
    (cid, vec![(cid, bytes.into())])
}

/// A directory with files of one and of many blocks.
fn fixture() -> (Cid, Vec<Block>) {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/dir-with-files.car"
    );
    let bytes = std::fs::read(path).expect("a fixture");
    let reader = car::Reader::new(&bytes, "fixture").expect("a CAR");
    (
        reader.roots()[0],
        reader.collect::<content::Result<_>>().expect("verified"),
    )
}

#[tokio::test]
async fn documents_in_the_uri_are_verified_by_the_chain_and_kept() {
    let (content, _dir) = content(&[], &[]);
    let cid = kernel::cid_of_raw(JSON).to_string();
    let text = String::from_utf8_lossy(JSON);
    for uri in [format!("data:application/json,{text}"), text.to_string()] {
        let fetched = content.fetch(uri.as_bytes()).await;
        assert_eq!(
            (fetched.state, fetched.verification),
            (State::Fetched, Verification::Verified)
        );
        assert_eq!(fetched.bytes.as_deref(), Some(JSON));
        assert_eq!(fetched.cid.as_ref(), Some(&cid));
        assert_eq!(fetched.content_type.as_deref(), Some("application/json"));
        assert!(content.blocks().has(&fetched.root().expect("a CID")));
    }
    let again = content.fetch(format!("ipfs://{cid}").as_bytes()).await;
    assert_eq!(again.bytes.as_deref(), Some(JSON), "from our own blocks");
}

#[tokio::test]
async fn every_other_outcome_is_a_state_with_its_reason() {
    let (content, _dir) = content(&[], &[]);
    let huge = vec![b'x'; 10 << 20];
    for (uri, state, retry) in [
        (&b""[..], State::None, false),
        (b"cd", State::Unsupported, false),
        (b"mailto:a@b", State::Unsupported, false),
        (b"ar://x", State::Unsupported, false),
        (b"ipns://k51", State::Unsupported, false),
        (
            b"data:application/json;enc=br;base64,AAAA",
            State::Unsupported,
            false,
        ),
        (b"data:application/json;base64,#", State::Malformed, false),
        (b"ipfs://cd", State::Malformed, false),
        (b"https://127.0.0.1/x", State::Blocked, false),
        (b"https://localhost/x", State::Blocked, false),
        (b"http://example.com/", State::Blocked, false),
        (
            b"https://169.254.169.254/latest/meta-data",
            State::Blocked,
            false,
        ),
        (&huge, State::TooLarge, false),
        (
            b"ipfs://bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4",
            State::Unavailable,
            true,
        ),
    ] {
        let fetched = content.fetch(uri).await;
        let name = String::from_utf8_lossy(&uri[..uri.len().min(60)]);
        assert_eq!(
            (fetched.state, fetched.retry),
            (state, retry),
            "{name}: {fetched:?}"
        );
        assert_eq!(fetched.verification, Verification::Unverified, "{name}");
        assert_eq!(fetched.error.is_some(), state != State::None, "{name}");
        assert_eq!((fetched.bytes, fetched.cid), (None, None), "{name}");
    }
    let inline = content.fetch(b"ipfs://bafkqaaa").await;
    assert_eq!(
        inline.bytes.as_deref(),
        Some(&b""[..]),
        "an identity CID holds its own bytes"
    );
}

#[tokio::test]
async fn the_web_is_fetched_unverified_with_its_headers() {
    let web = Server::start(|request| match request.target.as_str() {
        "/agent.json" => answer(
            200,
            "etag: \"7\"\r\ncontent-type: application/json\r\n",
            JSON,
        ),
        "/moved" => answer(302, "location: /agent.json\r\n", b""),
        "/private" => answer(302, "location: https://10.0.0.1/\r\n", b""),
        "/large" => answer(200, "", &vec![b' '; 2 << 20]),
        "/gone" => answer(410, "", b""),
        "/busy" => answer(429, "retry-after: 60\r\n", b""),
        "/cut" => Some(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{".to_vec()),
        _ => None,
    })
    .await;
    let (content, _dir) = content(&[], &[&web]);
    for path in ["/agent.json", "/moved"] {
        let fetched = content.fetch(format!("{}{path}", web.url).as_bytes()).await;
        assert_eq!(
            (fetched.state, fetched.verification),
            (State::Fetched, Verification::Unverified)
        );
        assert_eq!(fetched.cid, Some(kernel::cid_of_raw(JSON).to_string()));
        assert_eq!(fetched.etag.as_deref(), Some("\"7\""));
        assert_eq!(fetched.content_type.as_deref(), Some("application/json"));
        assert_eq!(fetched.final_url, Some(format!("{}/agent.json", web.url)));
    }
    for (path, state) in [
        ("/private", State::Blocked),
        ("/large", State::TooLarge),
        ("/gone", State::Unavailable),
        ("/busy", State::Unavailable),
        ("/cut", State::Unavailable),
        ("/slow", State::Unavailable),
    ] {
        let fetched = content.fetch(format!("{}{path}", web.url).as_bytes()).await;
        assert_eq!(fetched.state, state, "{path}: {fetched:?}");
        assert_eq!(fetched.retry, state == State::Unavailable, "{path}");
    }
}

#[tokio::test]
async fn a_file_in_many_blocks_comes_from_a_gateway_as_a_car_or_block_by_block() {
    let (root, blocks) = fixture();
    let uri = format!("ipfs://{root}/multiblock.txt");
    let file = "bafybeigcisqd7m5nf3qmuvjdbakl5bdnh4ocrmacaqkpuh77qjvggmt2sa";
    for with_car in [true, false] {
        let gateway = gateway(blocks.clone(), with_car).await;
        let (content, _dir) = content(&[&gateway], &[]);
        let fetched = content.fetch(uri.as_bytes()).await;
        assert_eq!(fetched.state, State::Fetched, "{fetched:?}");
        assert_eq!(fetched.verification, Verification::Verified);
        assert_eq!(fetched.cid.as_deref(), Some(file));
        assert_eq!(fetched.bytes.map(|bytes| bytes.len()), Some(1026));
        assert_eq!(gateway.count("format=raw"), if with_car { 0 } else { 7 });
        let asked = gateway.count("");
        let again = content.fetch(uri.as_bytes()).await;
        assert_eq!(
            (again.state, gateway.count("")),
            (State::Fetched, asked),
            "kept"
        );
        assert_eq!(
            content.blocks().len(),
            7,
            "the file, its blocks and the way to it"
        );
    }
}

#[tokio::test]
async fn verdicts_of_verified_blocks_are_final() {
    let (root, blocks) = fixture();
    let gateway = gateway(blocks, true).await;
    let (content, _dir) = content(&[&gateway], &[]);
    for path in ["", "/nothing.json", "/hello.txt/below"] {
        let fetched = content
            .fetch(format!("ipfs://{root}{path}").as_bytes())
            .await;
        assert_eq!(
            (fetched.state, fetched.retry),
            (State::Malformed, false),
            "{path}: {fetched:?}"
        );
        assert_eq!(fetched.verification, Verification::Verified, "{path}");
    }
    let large = build(&vec![7; 3 << 20], Layout::OURS);
    let gateway = gateway_of(large.blocks).await;
    let (content, _dir) = content_of(&gateway);
    let fetched = content
        .fetch(format!("ipfs://{}", large.root).as_bytes())
        .await;
    assert_eq!(
        (fetched.state, fetched.retry),
        (State::TooLarge, false),
        "{fetched:?}"
    );
    let root = large.root.to_string();
    assert_eq!(
        gateway.count("raw"),
        gateway.count(&root) - 1,
        "its leaves were not asked for"
    );
}

async fn gateway_of(blocks: Vec<Block>) -> Server {
    gateway(blocks, false).await
}

fn content_of(gateway: &Server) -> (Content, TempDir) {
    content(&[gateway], &[])
}

#[tokio::test]
async fn wrong_bytes_are_discarded_and_the_next_source_is_asked() {
    let (cid, blocks) = raw(JSON);
    let liar = Server::start(|_| answer(200, "", b"something else")).await;
    let honest = gateway(blocks, true).await;
    let (content, _dir) = content(&[&liar, &honest], &[]);
    let fetched = content.fetch(format!("ipfs://{cid}").as_bytes()).await;
    assert_eq!(
        (fetched.state, fetched.verification),
        (State::Fetched, Verification::Verified)
    );
    assert_eq!(fetched.bytes.as_deref(), Some(JSON));
    assert_eq!((liar.count(""), honest.count("")), (1, 1));
}

#[tokio::test]
async fn only_wrong_bytes_are_a_mismatch_that_names_cid_and_source_and_three_shut_it_out() {
    let liar = Server::start(|_| answer(200, "", b"something else")).await;
    let (content, _dir) = content(&[&liar], &[]);
    for attempt in 0..5_u8 {
        let cid = kernel::cid_of_raw(&[attempt]);
        let fetched = content.fetch(format!("ipfs://{cid}").as_bytes()).await;
        assert_eq!((fetched.state, fetched.retry), (State::Unavailable, true));
        let error = fetched.error.expect("a reason");
        if attempt < 3 {
            assert_eq!(fetched.verification, Verification::Mismatch);
            assert!(error.contains(&cid.to_string()), "{error}");
        } else {
            assert_eq!(fetched.verification, Verification::Unverified);
        }
        assert!(error.contains(&liar.address.to_string()), "{error}");
    }
    assert_eq!(liar.count(""), 3, "then it is left alone");
    assert!(content.blocks().is_empty());
}

#[tokio::test]
async fn an_incomplete_car_and_a_gateway_without_a_block_are_completed_by_others() {
    let (root, blocks) = fixture();
    let half = gateway(blocks[..6].to_vec(), true).await;
    let rest = gateway(blocks[6..].to_vec(), false).await;
    let (content, _dir) = content(&[&half, &rest], &[]);
    let fetched = content
        .fetch(format!("ipfs://{root}/multiblock.txt").as_bytes())
        .await;
    assert_eq!(fetched.state, State::Fetched, "{fetched:?}");
}

#[tokio::test]
async fn a_silent_gateway_is_given_up_and_the_next_one_is_asked() {
    let (cid, blocks) = raw(JSON);
    let silent = Server::start(|_| None).await;
    let honest = gateway(blocks, true).await;
    let (content, _dir) = content(&[&silent, &honest], &[]);
    let fetched = content.fetch(format!("ipfs://{cid}").as_bytes()).await;
    assert_eq!(fetched.state, State::Fetched, "{fetched:?}");
}

#[tokio::test]
async fn a_gateway_url_is_ipfs_and_its_own_gateway_is_the_last_resort() {
    let (cid, blocks) = raw(JSON);
    let named = gateway(blocks, true).await;
    let (content, _dir) = content(&[], &[&named]);
    let uri = format!("{}/ipfs/{cid}", named.url);
    let fetched = content.fetch(uri.as_bytes()).await;
    assert_eq!(
        (fetched.state, fetched.verification),
        (State::Fetched, Verification::Verified)
    );
    assert_eq!(fetched.cid, Some(cid.to_string()));
    let liar = Server::start(|_| answer(200, "", b"<html>")).await;
    let (guarded, _dir) = content_with(&liar);
    let lied = guarded
        .fetch(format!("{}/ipfs/{cid}", liar.url).as_bytes())
        .await;
    assert_eq!(
        (lied.state, lied.verification),
        (State::Unavailable, Verification::Mismatch)
    );
}

fn content_with(allowed: &Server) -> (Content, TempDir) {
    content(&[], &[allowed])
}

/// A gateway that ignores `format` sends the file: from a short one its block can be made.
#[tokio::test]
async fn a_short_file_is_verified_against_a_cid_v0_without_its_block() {
    let plain = Server::start(|_| answer(200, "", b"hello world\n")).await;
    let (content, _dir) = content(&[&plain], &[]);
    let uri = b"ipfs://QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o";
    let fetched = content.fetch(uri).await;
    assert_eq!(
        (fetched.state, fetched.verification),
        (State::Fetched, Verification::Verified)
    );
    assert_eq!(fetched.bytes.as_deref(), Some(&b"hello world\n"[..]));
    assert_eq!(
        fetched.cid.as_deref(),
        Some("QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o")
    );
}

#[tokio::test]
async fn kubo_is_asked_before_gateways_and_its_bytes_are_hashed_too() {
    let (cid, blocks) = raw(JSON);
    let honest = gateway(blocks, true).await;
    for (status, body) in [
        (200, JSON),
        (200, &b"wrong"[..]),
        (
            500,
            br#"{"Message":"context deadline exceeded","Code":0,"Type":"error"}"#,
        ),
    ] {
        let kubo = Server::start(move |request| {
            assert!(
                request
                    .target
                    .starts_with("/api/v0/block/get?timeout=1s&arg=bafk"),
                "{}",
                request.target
            );
            answer(status, "", body)
        })
        .await;
        let dir = tempfile::tempdir().expect("a directory");
        let config = Config {
            kubo_url: Some(kubo.url.clone()),
            kubo_timeout_seconds: 1,
            gateways: vec![honest.url.clone()],
            ..Config::default()
        };
        let before = honest.count("");
        let fetched = open(&config, &[], &dir)
            .fetch(format!("ipfs://{cid}").as_bytes())
            .await;
        assert_eq!(fetched.bytes.as_deref(), Some(JSON), "{fetched:?}");
        assert_eq!(honest.count("") > before, body != JSON);
    }
}

#[tokio::test]
async fn what_the_disk_changed_is_fetched_again() {
    let (cid, blocks) = raw(JSON);
    let gateway = gateway(blocks, true).await;
    let (content, dir) = content(&[&gateway], &[]);
    let uri = format!("ipfs://{cid}");
    assert_eq!(content.fetch(uri.as_bytes()).await.state, State::Fetched);
    let pack = dir.path().join("blocks/blocks-000001.pack");
    let mut bytes = std::fs::read(&pack).expect("a pack");
    let mut windows = bytes.windows(JSON.len());
    let at = windows.position(|part| part == JSON).expect("its bytes");
    bytes[at + 9] ^= 1;
    std::fs::write(&pack, bytes).expect("writable");
    for asked in [2, 2] {
        let fetched = content.fetch(uri.as_bytes()).await;
        assert_eq!(
            (fetched.bytes.as_deref(), gateway.count("")),
            (Some(JSON), asked)
        );
    }
}

#[tokio::test]
async fn fetching_runs_in_a_task_of_its_own() {
    let (content, _dir) = content(&[], &[]);
    let fetched = tokio::spawn(async move { content.fetch(b"data:,x").await }).await;
    assert_eq!(fetched.expect("no panic").state, State::Fetched);
}

#[test]
fn a_configuration_is_read_strictly() {
    let config: Config =
        serde_json::from_str(r#"{"gateways":["https://ipfs.io"]}"#).expect("valid");
    assert_eq!(config.max_bytes, 1 << 20);
    assert!(serde_json::from_str::<Config>(r#"{"gateway":"https://ipfs.io"}"#).is_err());
    let secret = Config {
        kubo_token: Some("secret".to_owned()),
        ..Config::default()
    };
    assert!(!format!("{secret:?}").contains("secret"));
}

#[tokio::test]
async fn one_block_comes_from_wherever_it_is_and_then_from_our_own() {
    let bytes = b"an archived entry".to_vec();
    let cid = kernel::cid_of_raw(&bytes);
    let (right, wrong) = (
        gateway_of(vec![(cid, bytes.clone().into())]).await,
        gateway_of(vec![(cid, b"another".to_vec().into())]).await,
    );
    let (content, _dir) = content(&[&wrong, &right], &[]);
    for _ in 0..2 {
        let block = content.block(&cid).await.expect("found");
        assert_eq!(block, bytes);
    }
    assert_eq!(right.count(""), 1);
    let nowhere = content.block(&kernel::cid_of_raw(b"nowhere")).await;
    assert!(
        matches!(nowhere, Err(content::Error::Missing(_))),
        "{nowhere:?}"
    );
}

/// Whether each of three attempts in a row says that nobody has the block.
async fn is_missing(content: &Content, cid: &Cid) -> [bool; 3] {
    let mut missing = [false; 3];
    for is_missing in &mut missing {
        let error = content.block(cid).await.expect_err("nobody gives it");
        *is_missing = matches!(error, content::Error::Missing(_));
    }
    missing
}

const NEVER: [bool; 3] = [false; 3];
const AT_ONCE: [bool; 3] = [true; 3];
const THE_THIRD_TIME: [bool; 3] = [false, false, true];

#[tokio::test]
async fn a_block_is_missing_only_where_everybody_says_that_he_has_it_not() {
    let cid = kernel::cid_of_raw(b"a block that is nowhere");
    let saying = async |status: u16, text: &'static [u8]| {
        Server::start(move |_| answer(status, "", text)).await
    };
    let silent = Server::start(|_| None).await;
    let (gone, ended, other) = (
        saying(404, b"").await,
        saying(504, b"").await,
        saying(200, b"another").await,
    );
    let (broken, busy) = (saying(500, b"").await, saying(429, b"").await);
    for (gateways, missing) in [
        (vec![&gone], AT_ONCE),
        // Its own search came to an end.
        (vec![&gone, &ended], THE_THIRD_TIME),
        (vec![&broken, &gone], NEVER),
        (vec![&gone, &busy], NEVER),
        (vec![&gone, &silent], NEVER),
    ] {
        let (content, _dir) = content(&gateways, &[]);
        assert_eq!(is_missing(&content, &cid).await, missing);
    }
    // Who gave something else has it not; who is not asked any more for that has not said so.
    let (content, _dir) = content(&[&other], &[]);
    assert_eq!(is_missing(&content, &cid).await, AT_ONCE);
    assert_eq!(is_missing(&content, &cid).await, NEVER);
    // Kubo tells all of it with one status; another one is that of a proxy before it.
    for (status, says, missing) in [
        (
            500,
            "block was not found locally (offline): ipld: could not find x",
            AT_ONCE,
        ),
        (500, "context deadline exceeded", THE_THIRD_TIME),
        (
            500,
            "lock /repo/repo.lock: someone else has the lock",
            NEVER,
        ),
        (404, "not found", NEVER),
    ] {
        let body = format!(r#"{{"Message":"{says}","Code":0,"Type":"error"}}"#);
        let kubo = Server::start(move |_| answer(status, "", body.as_bytes())).await;
        let dir = tempfile::tempdir().expect("a directory");
        let config = Config {
            kubo_url: Some(kubo.url.clone()),
            ..Config::default()
        };
        let content = open(&config, &[], &dir);
        assert_eq!(is_missing(&content, &cid).await, missing, "{status} {says}");
    }
}

#[tokio::test]
async fn who_gives_wrong_blocks_is_asked_for_three_of_them_and_not_for_a_fourth() {
    let blocks: Vec<Block> = (0..8_u8)
        .map(|n| (kernel::cid_of_raw(&[n]), vec![n].into()))
        .collect();
    let liar = Server::start(|_| answer(200, "", b"something else")).await;
    let honest = gateway(blocks.clone(), false).await;
    let (content, _dir) = content(&[&liar, &honest], &[]);
    for (cid, bytes) in &blocks {
        assert_eq!(&content.block(cid).await.expect("somebody has it"), bytes);
    }
    let asked = |server: &Server| server.asked.lock().expect("no panic").len();
    assert_eq!((asked(&liar), asked(&honest)), (3, blocks.len()));
}
