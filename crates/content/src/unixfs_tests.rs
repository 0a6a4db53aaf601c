//! Real DAGs of the public conformance suite, and DAGs that nobody honest would make.

use super::*;
use crate::{
    Layout, build, car,
    dag_pb::{Link, put},
};

const LIMITS: Limits = Limits {
    max_bytes: 1 << 20,
    max_blocks: 100,
    max_depth: 8,
};

fn fixture(name: &str) -> (Cid, HashMap<Cid, Bytes>) {
    let path = format!("{}/tests/fixtures/{name}.car", env!("CARGO_MANIFEST_DIR"));
    let bytes = std::fs::read(path).expect("a fixture");
    let reader = car::Reader::new(&bytes, "fixture").expect("a CAR");
    let root = reader.roots()[0];
    (root, reader.collect::<Result<_>>().expect("verified"))
}

fn at(path: &str) -> Vec<String> {
    path.split('/')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

fn file(fixture: &(Cid, HashMap<Cid, Bytes>), path: &str) -> Result<File> {
    match read(&fixture.0, &at(path), &fixture.1, LIMITS)? {
        Step::File(file) => Ok(file),
        Step::Missing(cids) => panic!("{cids:?} are missing"),
    }
}

/// Adds a dag-pb node.
fn node(blocks: &mut HashMap<Cid, Bytes>, links: &[(Cid, &str)], data: &[(u64, u64)]) -> Cid {
    let mut message = Vec::new();
    for (number, value) in data {
        put(&mut message, *number, Value::Int(*value));
    }
    let link = |(cid, name): &'_ (Cid, _)| (*cid, *name);
    let named: Vec<(Cid, &str)> = links.iter().map(link).collect();
    let links = named.iter().map(|(cid, name)| Link {
        cid: *cid,
        name: name.as_bytes(),
        size: 0,
    });
    let bytes = dag_pb::encode(&Node {
        links: links.collect(),
        data: &message,
    });
    let cid = Cid::new_v1(DAG_PB, *kernel::cid_of_raw(&bytes).hash());
    blocks.insert(cid, bytes.into());
    cid
}

#[test]
fn files_of_one_and_of_many_blocks_are_read_through_directories() {
    let dir = fixture("dir-with-files");
    assert_eq!(
        file(&dir, "hello.txt").expect("a file").bytes,
        b"hello world\n"
    );
    let many = file(&dir, "/multiblock.txt").expect("a file");
    assert_eq!(many.bytes.len(), 1026);
    assert!(many.bytes.starts_with(b"Lorem ipsum") && many.bytes.ends_with(b"t."));
    assert_eq!(
        many.cid.to_string(),
        "bafybeigcisqd7m5nf3qmuvjdbakl5bdnh4ocrmacaqkpuh77qjvggmt2sa"
    );
    assert_eq!(many.blocks.len(), 1 + 1 + 5);
    let deep = fixture("subdir-with-mixed-block-files");
    assert_eq!(
        file(&deep, "subdir/multiblock.txt").expect("a file").bytes,
        many.bytes
    );
    let raw = fixture("gateway-raw-block");
    let text = b"hello application/vnd.ipld.raw\n";
    assert_eq!(file(&raw, "dir/ascii.txt").expect("a file").bytes, text);
    let pb = fixture("dag-pb");
    assert_eq!(
        file(&pb, "foo/bar.txt").expect("a file").bytes,
        b"Hello, world!\n"
    );
}

#[test]
fn files_are_found_in_sharded_directories() {
    let dir = fixture("single-layer-hamt-with-multi-block-files");
    for name in ["1.txt", "500.txt", "1000.txt"] {
        let found = file(&dir, name).expect("a file");
        assert_eq!(found.bytes.len(), 1026, "{name}");
        assert!(
            found.blocks.len() <= 3 + 6,
            "{name}: {}",
            found.blocks.len()
        );
    }
    for name in ["1001.txt", "", "F4", "1.txt/x"] {
        let error = file(&dir, name).expect_err("no file");
        let nothing = matches!(error, Error::NoSuchPath { .. });
        assert!(nothing || name.is_empty(), "{name}: {error}");
    }
    let mut blocks = dir.1.clone();
    blocks.retain(|cid, _| *cid == dir.0);
    let step = read(&dir.0, &at("1.txt"), &blocks, LIMITS).expect("a step");
    assert!(matches!(step, Step::Missing(missing) if missing.len() == 1));
}

/// A node that lies below itself would lead on for ever; a hash has eight bytes.
#[test]
fn a_trie_ends_where_the_hash_of_a_name_does() {
    let mut blocks = HashMap::new();
    let shard = [(1, 5), (5, 0x22), (6, 256)];
    let name = "x";
    let hash = crate::murmur::murmur3(name.as_bytes()).to_be_bytes();
    let mut at_node = node(&mut blocks, &[], &shard);
    for depth in (0..9).rev() {
        let place = format!("{:02X}", hash.get(depth).unwrap_or(&0));
        at_node = node(&mut blocks, &[(at_node, &place)], &shard);
    }
    let error = read(&at_node, &at(name), &blocks, LIMITS).expect_err("too deep");
    assert!(matches!(error, Error::Malformed(_)), "{error}");
}

#[test]
fn names_are_compared_as_bytes() {
    let dir = fixture("dir-with-percent-encoded-filename");
    let name = "Portugal%2C+España=Peninsula Ibérica.txt";
    let bytes = file(&dir, name).expect("a file").bytes;
    assert_eq!(bytes, b"hello from a percent encoded filename\n");
}

#[test]
fn cid_v0_is_read_and_a_missing_block_is_named() {
    let (root, mut blocks) = fixture("file-3k-and-3-blocks-missing-block");
    let Ok(Step::Missing(missing)) = read(&root, &[], &blocks, LIMITS) else {
        panic!("missing")
    };
    assert_eq!(missing.len(), 1);
    assert!(missing[0].to_string().starts_with("Qm"));
    blocks.remove(&root);
    assert_eq!(
        read(&root, &[], &blocks, LIMITS).expect("a step"),
        Step::Missing(vec![root])
    );
    let link = fixture("symlink");
    assert_eq!(file(&link, "foo").expect("a file").bytes, b"content\n");
    assert!(matches!(file(&link, "bar"), Err(Error::Unsupported(_))));
}

#[test]
fn what_is_no_file_is_told() {
    let dir = fixture("dir-with-files");
    assert!(matches!(file(&dir, ""), Err(Error::Malformed(_))));
    assert!(matches!(
        file(&dir, "nothing"),
        Err(Error::NoSuchPath { .. })
    ));
    assert!(matches!(
        file(&dir, "hello.txt/below"),
        Err(Error::NoSuchPath { .. })
    ));
    assert!(matches!(
        file(&dir, "multiblock.txt/below"),
        Err(Error::NoSuchPath { .. })
    ));
    let mut blocks = HashMap::new();
    for odd in [
        &[(1, 5), (5, 0x22), (6, 64)][..],
        &[(1, 5), (5, 0x12), (6, 256)],
        &[(1, 5)],
    ] {
        let hamt = node(&mut blocks, &[], odd);
        let error = read(&hamt, &at("x"), &blocks, LIMITS).expect_err("not Kubo's");
        assert!(matches!(error, Error::Unsupported(_)), "{odd:?}: {error}");
    }
    let bare = node(&mut blocks, &[], &[]);
    assert!(matches!(
        read(&bare, &[], &blocks, LIMITS),
        Err(Error::Malformed(_))
    ));
}

#[test]
fn our_own_layouts_are_read_back() {
    let bytes: Vec<u8> = (0..700_000_u32).map(|at| (at % 251) as u8).collect();
    for layout in [
        Layout::OURS,
        Layout::KUBO,
        Layout {
            chunk: 10_000,
            width: 3,
        },
    ] {
        let dag = build(&bytes, layout);
        let blocks: HashMap<_, _> = dag.blocks.into_iter().collect();
        let Ok(Step::File(file)) = read(
            &dag.root,
            &[],
            &blocks,
            Limits {
                max_blocks: 200,
                ..LIMITS
            },
        ) else {
            panic!("{layout:?}")
        };
        assert!(file.bytes == bytes, "{layout:?}");
    }
}

#[test]
fn a_dag_that_multiplies_itself_is_given_up() {
    // 8 levels of 10 links to the same node: 10^8 visits, from 9 blocks.
    let mut blocks = HashMap::new();
    let mut at = node(&mut blocks, &[], &[(1, 2)]);
    for _ in 0..8 {
        let sizes = [(1, 2)].into_iter().chain([(4, 0); 10]).collect::<Vec<_>>();
        at = node(&mut blocks, &[(at, ""); 10], &sizes);
    }
    assert!(matches!(
        read(&at, &[], &blocks, LIMITS),
        Err(Error::TooLarge { .. })
    ));
}

#[test]
fn too_long_too_deep_and_lying_files_are_refused() {
    let mut blocks = HashMap::new();
    let leaf = kernel::cid_of_raw(b"12345");
    blocks.insert(leaf, Bytes::from_static(b"12345"));
    let honest = node(
        &mut blocks,
        &[(leaf, ""), (leaf, "")],
        &[(1, 2), (3, 10), (4, 5), (4, 5)],
    );
    let Ok(Step::File(found)) = read(&honest, &[], &blocks, LIMITS) else {
        panic!("honest")
    };
    assert_eq!(found.bytes, b"1234512345");
    let small = Limits {
        max_bytes: 9,
        ..LIMITS
    };
    assert!(matches!(
        read(&honest, &[], &blocks, small),
        Err(Error::TooLarge { .. })
    ));
    assert!(matches!(
        read(
            &leaf,
            &[],
            &blocks,
            Limits {
                max_bytes: 4,
                ..LIMITS
            }
        ),
        Err(Error::TooLarge { .. })
    ));
    for lie in [
        &[(1, 2), (3, 11), (4, 5), (4, 5)][..],
        &[(1, 2), (3, 10), (4, 4), (4, 6)],
        &[(1, 2), (3, 10), (4, 10)],
    ] {
        let liar = node(&mut blocks, &[(leaf, ""), (leaf, "")], lie);
        assert!(
            matches!(read(&liar, &[], &blocks, LIMITS), Err(Error::Malformed(_))),
            "{lie:?}"
        );
    }
    let gigabytes = node(
        &mut blocks,
        &[(kernel::cid_of_raw(b"?"), "")],
        &[(1, 2), (3, 1 << 40), (4, 1 << 40)],
    );
    assert!(
        matches!(
            read(&gigabytes, &[], &blocks, LIMITS),
            Err(Error::TooLarge { .. })
        ),
        "told by its root, before anything of it is fetched"
    );
    let mut deep = leaf;
    for _ in 0..10 {
        deep = node(&mut blocks, &[(deep, "")], &[(1, 2), (3, 5), (4, 5)]);
    }
    assert!(matches!(
        read(&deep, &[], &blocks, LIMITS),
        Err(Error::TooLarge { .. })
    ));
}
