//! `chancery audit verify` as a stranger uses it: a file, and nothing of ours around it.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic")]

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Command, Output, Stdio},
    thread,
};

use serde_json::Value;

/// Of leaf 101 in a journal of 144 entries; `tests/vectors/audit/README.md`.
const PROOF: &str = include_str!("vectors/audit/agent.tlog-proof");
const CID: &str = "bafyreieiksihbleyv55aesc4p4fkqpthnrarhpvgkxoud7jvjcngv6zra4";
const VKEY: &str =
    "chancery.local/827f1f6e7f9b5918+b1f3d805+AXylCT8Hgfg/NAmkIdZykApYXE7+TQS6RlQDTbzybho/";
/// A right key, but of another log.
const OTHER: &str = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";

/// Runs it in an empty folder, with no home, no data directory and no instance.
fn audit(folder: &Path, args: &[&str], stdin: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_chancery"))
        .arg("audit")
        .args(args)
        .env_clear()
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Who needs nothing from stdin may have ended before it was written.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    child.wait_with_output().unwrap()
}

fn verify(bytes: &[u8], args: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    audit(folder.path(), &[&["verify", "-"], args].concat(), bytes)
}

fn refused(bytes: &[u8], what: &str) -> String {
    for args in [&[][..], &["--vkey", VKEY][..]] {
        let output = verify(bytes, args);
        assert_eq!(output.status.code(), Some(6), "{what}");
        assert!(output.stdout.is_empty(), "{what}");
    }
    String::from_utf8(verify(bytes, &[]).stderr).unwrap()
}

#[test]
fn a_file_is_enough_and_says_whom_to_trust() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("p");
    fs::write(&file, PROOF).unwrap();
    let output = audit(folder.path(), &["verify", "p"], b"");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    for part in [
        CID,
        "leaf      101 of 144",
        VKEY,
        "you have to trust",
        "runtime_status = ACTIVE",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "nothing was made beside it: {left:?}");

    let output = audit(folder.path(), &["verify", "p", "--vkey", VKEY], b"");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success() && text.contains("the key that you gave"),
        "{text}"
    );
}

#[test]
fn programs_get_all_of_it() {
    let output = verify(PROOF.as_bytes(), &["-o", "json"]);
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["cid"], CID);
    assert_eq!((&said["index"], &said["size"]), (&101.into(), &144.into()));
    assert_eq!(
        (&said["trusted"], &said["vkey"]),
        (&false.into(), &VKEY.into())
    );
    assert_eq!(said["entry"]["changes"][1]["column"], "runtime_status");
    let output = verify(PROOF.as_bytes(), &["-o", "jsonl", "--vkey", VKEY]);
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["trusted"], true);
}

/// A bit in every thirteenth byte; the journal's own tests flip every one.
#[test]
fn flipped_bits_show() {
    for at in (0..PROOF.len()).step_by(13) {
        let mut bytes = PROOF.as_bytes().to_vec();
        bytes[at] ^= 1 << (at % 8);
        let output = verify(&bytes, &[]);
        assert_eq!(output.status.code(), Some(6), "byte {at}");
        assert!(output.stdout.is_empty(), "byte {at}");
    }
}

#[test]
fn a_cut_or_lengthened_file_is_refused() {
    let bytes = PROOF.as_bytes();
    for length in [
        0,
        1,
        22,
        200,
        bytes.len() / 2,
        bytes.len() - 100,
        bytes.len() - 1,
    ] {
        refused(&bytes[..length], &format!("{length} bytes"));
    }
    refused(&[bytes, b"\n"].concat(), "a line more");
    refused(&PROOF.replace('\n', "\r\n").into_bytes(), "other line ends");
    assert!(refused(b"", "nothing").contains("NOT verified: not a proof file"));
    assert!(refused(b"\xff\xfe", "no text").contains("UTF-8"));
}

#[test]
fn another_key_is_named() {
    let output = verify(PROOF.as_bytes(), &["--vkey", OTHER]);
    assert_eq!(output.status.code(), Some(6));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.contains(OTHER) && text.contains("did not sign"),
        "{text}"
    );
}

#[test]
fn what_was_typed_wrong_is_no_failed_proof() {
    let folder = tempfile::tempdir().unwrap();
    let code = |args: &[&str]| audit(folder.path(), args, PROOF.as_bytes()).status.code();
    assert_eq!(code(&["verify", "-", "--vkey", "nonsense"]), Some(2));
    assert_eq!(code(&["verify", "missing"]), Some(2));
    assert_eq!(code(&["verify", "."]), Some(2));
    assert_eq!(code(&["verify"]), Some(2));
}

/// Each says what could be meant.
#[test]
fn what_is_no_proof_and_no_log_is_told_what_may_be_given() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = format!("{TESSERA}/tile/entries/000.p/15");
    std::fs::write(folder.path().join("entries"), [0, 2, 0xff, 0xfe]).unwrap();
    let gateway = ["--gateway", "http://127.0.0.1:1"];
    let log = &["its directory", "its URL", ".car", "CID"][..];
    for (what, more, code, word, says) in [
        ("missing", &[][..], 2, "cannot read missing", log),
        ("entries", &[], 6, "not UTF-8", log),
        ("-", &["--from", "3"], 2, "--from", log),
        // Who names a gateway wants it asked, and only blocks of a CID are got there.
        (&bundle[..], &gateway, 2, "--gateway", &["CID"]),
        (TESSERA, &gateway, 2, "--gateway", &["CID"]),
        (
            "http://127.0.0.1:1/audit",
            &gateway,
            2,
            "--gateway",
            &["CID"],
        ),
        ("-", &gateway, 2, "--gateway", &["CID"]),
    ] {
        let args = [&["verify", what], more].concat();
        let output = audit(folder.path(), &args, PROOF.as_bytes());
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{what}: {text}");
        for words in says.iter().chain([&word]) {
            assert!(text.contains(words), "{what}: {text}");
        }
    }
}

/// Tessera's log of fifteen entries, which are words.
const TESSERA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/journal/tessera");
const TESSERA_KEY: &str =
    "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx";
const FILES: [&str; 3] = ["checkpoint", "tile/0/000.p/15", "tile/entries/000.p/15"];

/// A copy of that log that a test may damage.
fn tessera() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in FILES {
        let to = folder.path().join("log").join(file);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(Path::new(TESSERA).join(file), to).unwrap();
    }
    folder
}

/// Verifies the folder's log: the exit code and what was said.
fn log(folder: &Path, args: &[&str]) -> (Option<i32>, String) {
    let args = [
        &["verify", "log", "-o", "json", "--vkey", TESSERA_KEY],
        args,
    ]
    .concat();
    let output = audit(folder, &args, b"");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[test]
fn a_strangers_log_verifies_from_its_directory() {
    let folder = tessera();
    let (code, said) = log(folder.path(), &[]);
    assert_eq!(code, Some(0), "{said}");
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&said["entries"], &said["size"]), (&15.into(), &15.into()));
    assert_eq!(
        (&said["chains"], &said["trusted"]),
        (&Value::Null, &true.into())
    );
    let (code, said) = log(folder.path(), &["--from", "3", "--to", "5"]);
    assert_eq!(code, Some(0), "{said}");
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["entries"], 3);
    for wrong in [
        &["--from", "15", "--to", "15"][..],
        &["--to", "99"],
        &["--from", "3", "--to", "1"],
    ] {
        let (code, said) = log(folder.path(), wrong);
        assert_eq!(code, Some(2), "{said}");
    }
    // Whose it is stands in no file of it.
    let output = audit(folder.path(), &["verify", "log"], b"");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("--vkey"));
    // A full tile serves for the partial one that was deleted.
    let tiles = folder.path().join("log/tile/0");
    let mut tile = fs::read(tiles.join("000.p/15")).unwrap();
    tile.resize(8192, 7);
    fs::remove_dir_all(tiles.join("000.p")).unwrap();
    fs::write(tiles.join("000"), tile).unwrap();
    assert_eq!(log(folder.path(), &[]).0, Some(0));
}

#[test]
fn what_is_wrong_with_a_log_is_named() {
    let path = |folder: &tempfile::TempDir, file: &str| folder.path().join("log").join(file);
    for file in FILES {
        let name = file.split('/').next_back().unwrap();
        for at in [0, 30, 90] {
            let folder = tessera();
            let mut bytes = fs::read(path(&folder, file)).unwrap();
            bytes[at] ^= 1;
            fs::write(path(&folder, file), bytes).unwrap();
            let (code, said) = log(folder.path(), &[]);
            assert_eq!(code, Some(6), "{file}: {said}");
            assert!(said.contains(name), "{file}: {said}");
        }
        let folder = tessera();
        let whole = fs::read(path(&folder, file)).unwrap();
        fs::write(path(&folder, file), &whole[..whole.len() - 1]).unwrap();
        let (code, said) = log(folder.path(), &[]);
        assert_eq!(code, Some(6), "{file}: {said}");
        fs::write(
            path(&folder, file),
            [&whole[..], &vec![0; 20 << 20]].concat(),
        )
        .unwrap();
        let (code, said) = log(folder.path(), &[]);
        assert_eq!(code, Some(6), "{file}: {said}");
        // Somebody waits at the other end of a pipe for ever.
        fs::remove_file(path(&folder, file)).unwrap();
        let pipe = Command::new("mkfifo").arg(path(&folder, file)).status();
        assert!(pipe.unwrap().success());
        let (code, said) = log(folder.path(), &[]);
        assert_eq!(code, Some(6), "{file}: {said}");
        assert!(said.contains("it is no file"), "{said}");
        fs::remove_file(path(&folder, file)).unwrap();
        let (code, said) = log(folder.path(), &[]);
        let want = if file == "checkpoint" { 2 } else { 6 };
        assert_eq!(code, Some(want), "{file}: {said}");
    }
    let other = ["verify", TESSERA, "--vkey", OTHER];
    let output = audit(tessera().path(), &other, b"");
    assert_eq!(output.status.code(), Some(6));
}

/// Serves that log, but for one file, which `answer` gives; ends with the test.
fn serve(file: &'static str, answer: fn(TcpStream) -> std::io::Result<()>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/some/log", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || -> std::io::Result<()> {
                let mut line = String::new();
                BufReader::new(stream.try_clone()?).read_line(&mut line)?;
                let asked = line.split(' ').nth(1).unwrap_or_default();
                let asked = asked.strip_prefix("/some/log/").unwrap_or_default();
                if asked == file {
                    return answer(stream);
                }
                let Some(name) = FILES.iter().find(|name| **name == asked) else {
                    return stream.write_all(b"HTTP/1.0 404 No\r\n\r\n");
                };
                stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n")?;
                stream.write_all(&fs::read(Path::new(TESSERA).join(name))?)
            });
        }
    });
    url
}

#[test]
fn a_strangers_log_verifies_over_http_and_hostile_servers_end() {
    let verify = |file, answer| {
        let url = serve(file, answer);
        let args = ["verify", &url, "--vkey", TESSERA_KEY];
        let output = audit(tessera().path(), &args, b"");
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    };
    let (code, said) = verify("", |_| Ok(()));
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("all 15"), "{said}");
    assert!(said.contains("not a journal's"), "{said}");
    for file in FILES {
        let (code, said) = verify(file, |mut stream| {
            stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n")?;
            // Until the other side has enough.
            loop {
                stream.write_all(&[b'x'; 8192])?;
            }
        });
        assert_eq!(code, Some(6), "{file}: {said}");
        assert!(said.contains(file), "{said}");
        let (code, said) = verify(file, |mut stream| {
            stream.write_all(b"HTTP/1.0 302 There\r\nlocation: file:///etc/passwd\r\n\r\n")
        });
        assert_eq!(code, Some(1), "{file}: {said}");
        let (code, said) = verify(file, |mut stream| {
            stream.write_all(b"HTTP/1.0 404 No\r\n\r\n")
        });
        let want = if file == "checkpoint" { 3 } else { 6 };
        assert_eq!(code, Some(want), "{file}: {said}");
    }
}
