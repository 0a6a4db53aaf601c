//! `chancery audit verify` as a stranger uses it: a file, and nothing of ours around it.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic")]

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
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
