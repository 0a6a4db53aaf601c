use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use did::methods::key::KeyType;
use ed25519_dalek::{Signer as _, SigningKey};

use super::*;

const NOW: i64 = 1_800_000_000;

fn origin() -> Origin {
    Origin::parse("https://office.example").unwrap()
}

/// RFC 9421, B.2.6: the message of B.2 as it stands there.
#[test]
fn the_published_vector_verifies() {
    let x = URL_SAFE_NO_PAD
        .decode("JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs")
        .unwrap();
    let key = PublicKey::new(KeyType::Ed25519, &x).unwrap();
    let input = r#"sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519""#;
    let signature = "sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:";
    let origin = Origin::parse("https://example.com").unwrap();
    let headers = |name: &str| match name {
        "date" => vec!["Tue, 20 Apr 2021 02:07:55 GMT".to_owned()],
        "content-type" => vec!["application/json".to_owned()],
        "content-length" => vec!["18".to_owned()],
        _ => vec![],
    };
    let message = Message {
        method: "POST",
        origin: &origin,
        path: "/foo",
        query: Some("param=Value&Pet=dog"),
        headers: &headers,
    };
    let read = MessageSignature::parse(input, signature).unwrap();
    assert!(
        read.base(&message)
            .unwrap()
            .starts_with("\"date\": Tue, 20 Apr 2021 02:07:55 GMT\n\"@method\": POST\n")
    );
    assert!(read.is_by(&key, &message).unwrap());
    let other = Message {
        path: "/bar",
        ..message
    };
    assert!(!read.is_by(&key, &other).unwrap());
    // As a proof here it lacks nearly everything.
    let refused = read.verify(&other, b"", freshness::time(NOW).unwrap());
    assert!(refused.unwrap_err().is_unproven());
}

struct Request {
    method: &'static str,
    path: &'static str,
    query: Option<&'static str>,
    body: &'static [u8],
    digest: String,
}

impl Request {
    fn post() -> Self {
        let body = b"{\"a\": 1}";
        Self {
            method: "POST",
            path: "/v1/keys",
            query: None,
            body,
            digest: format!("sha-256=:{}:", STANDARD.encode(sha256(body))),
        }
    }

    fn with<T>(&self, origin: &Origin, run: impl FnOnce(&Message<'_>) -> T) -> T {
        let headers = |name: &str| match name {
            "content-digest" => vec![self.digest.clone()],
            _ => vec![],
        };
        run(&Message {
            method: self.method,
            origin,
            path: self.path,
            query: self.query,
            headers: &headers,
        })
    }
}

fn signing_key() -> (SigningKey, String) {
    let secret = SigningKey::from_bytes(&[7; 32]);
    let public = PublicKey::new(KeyType::Ed25519, secret.verifying_key().as_bytes()).unwrap();
    (secret, public.did())
}

fn parameters(did: &str) -> String {
    format!(
        ";created={NOW};expires={};keyid=\"{did}\";nonce=\"0123456789abcdef\"",
        NOW + 60
    )
}

const COVERED: &str = r#"("@method" "@target-uri" "content-digest")"#;

/// Signs what `input` covers of the request, as sent to `origin`.
fn sign(input: &str, request: &Request, origin: &Origin) -> Result<MessageSignature> {
    let input = format!("sig1={input}");
    let empty = format!("sig1=:{}:", STANDARD.encode([0; 64]));
    let draft = MessageSignature::parse(&input, &empty)?;
    let base = request.with(origin, |message| draft.base(message))?;
    let made = signing_key().0.sign(base.as_bytes()).to_bytes();
    MessageSignature::parse(&input, &format!("sig1=:{}:", STANDARD.encode(made)))
}

fn verify(signature: &MessageSignature, request: &Request, at: &Origin) -> Result<Signer> {
    let now = freshness::time(NOW)?;
    request.with(at, |message| signature.verify(message, request.body, now))
}

#[test]
fn a_request_is_its_signers() {
    let (_, did) = signing_key();
    let request = Request::post();
    for covered in [
        COVERED,
        r#"("@method" "@authority" "@path" "content-digest")"#,
        r#"("content-digest" "@request-target" "@authority" "@method")"#,
    ] {
        let input = format!("{covered}{}", parameters(&did));
        let signature = sign(&input, &request, &origin()).unwrap();
        let signer = verify(&signature, &request, &origin()).unwrap();
        assert_eq!(signer.did, did);
        assert_eq!(signer.nonce, "0123456789abcdef");
        assert_eq!(signer.expires_at.timestamp(), NOW + 60);
    }
    let with_fragment = format!("{did}#{}", did.trim_start_matches("did:key:"));
    let input = format!("{COVERED}{}", parameters(&with_fragment));
    let signature = sign(&input, &request, &origin()).unwrap();
    assert_eq!(verify(&signature, &request, &origin()).unwrap().did, did);
}

#[test]
fn another_request_is_not() {
    let (_, did) = signing_key();
    let input = format!("{COVERED}{}", parameters(&did));
    let signature = sign(&input, &Request::post(), &origin()).unwrap();
    let other = |change: &dyn Fn(&mut Request)| {
        let mut request = Request::post();
        change(&mut request);
        verify(&signature, &request, &origin())
            .unwrap_err()
            .to_string()
    };
    assert!(other(&|request| request.method = "PUT").contains("not this key's"));
    assert!(other(&|request| request.path = "/v1/keys/x").contains("not this key's"));
    assert!(other(&|request| request.query = Some("a")).contains("not this key's"));
    assert!(other(&|request| request.body = b"{}").contains("content-digest"));
    assert!(other(&|request| request.body = b"").contains("content-digest"));
    assert!(
        other(&|request| request.digest = "sha-256=:AA==:".to_owned()).contains("content-digest")
    );
    let elsewhere = Origin::parse("https://other.example").unwrap();
    let refused = verify(&signature, &Request::post(), &elsewhere).unwrap_err();
    assert!(refused.to_string().contains("not this key's"), "{refused}");
}

#[test]
fn what_a_signature_lacks_is_named() {
    let (_, did) = signing_key();
    let usual = parameters(&did);
    let without = |name: &str| {
        let parts = usual.split(';').filter(|part| !part.starts_with(name));
        parts.collect::<Vec<_>>().join(";")
    };
    let stranger = "did:key:z6LSbysY2xFMRpGMhb7tFTLMpeuPRaqaWM1yECx2AtzE3KCc";
    for (covered, parameters, word) in [
        (COVERED, without("created"), "created"),
        (COVERED, without("expires"), "expires"),
        (COVERED, without("keyid"), "keyid"),
        (COVERED, without("nonce"), "nonce"),
        (
            COVERED,
            usual.replace("0123456789abcdef", "0123456"),
            "nonce",
        ),
        (
            COVERED,
            usual.replace("0123456789abcdef", &"0".repeat(65)),
            "nonce",
        ),
        (
            COVERED,
            format!("{usual};alg=\"rsa-v1_5-sha256\""),
            "ed25519",
        ),
        (COVERED, usual.replace(&did, "did:key:z6Mk"), "keyid"),
        (COVERED, usual.replace(&did, stranger), "keyid"),
        (COVERED, usual.replace(&did, "did:web:a.example"), "keyid"),
        (
            COVERED,
            usual.replace(&did, &format!("{did}#other")),
            "keyid",
        ),
        (
            COVERED,
            usual.replace(
                &format!("expires={}", NOW + 60),
                &format!("expires={}", NOW + 301),
            ),
            "300",
        ),
        (
            r#"("@method" "@target-uri")"#,
            usual.clone(),
            "content-digest",
        ),
        (
            r#"("@target-uri" "content-digest")"#,
            usual.clone(),
            "@method",
        ),
        (
            r#"("@method" "@path" "content-digest")"#,
            usual.clone(),
            "@authority",
        ),
        (
            r#"("@method" "@authority" "content-digest")"#,
            usual.clone(),
            "@path",
        ),
    ] {
        let signature = sign(
            &format!("{covered}{parameters}"),
            &Request::post(),
            &origin(),
        )
        .unwrap();
        let why = verify(&signature, &Request::post(), &origin()).unwrap_err();
        assert!(
            why.is_unproven() && why.to_string().contains(word),
            "{word}: {why}"
        );
    }
    // A query is covered, too, where there is one.
    let mut asks = Request::post();
    asks.query = Some("limit=1");
    let input = format!(r#"("@method" "@authority" "@path" "content-digest"){usual}"#);
    let signature = sign(&input, &asks, &origin()).unwrap();
    assert!(verify(&signature, &asks, &origin()).is_err());
    for unknown in [r#"("@status")"#, r#"("x-missing")"#] {
        let refused = sign(&format!("{unknown}{usual}"), &asks, &origin()).unwrap_err();
        assert!(refused.is_unproven());
    }
}

#[test]
fn signatures_of_no_form_are_refused() {
    let (_, did) = signing_key();
    let input = format!("sig1={COVERED}{}", parameters(&did));
    for wrong in [
        String::new(),
        "sig1".to_owned(),
        "sig1=::".to_owned(),
        "sig1=:AAAA:".to_owned(),
        format!("sig2=:{}:", STANDARD.encode([0; 64])),
        format!("sig1=:{}:", STANDARD.encode([0; 63])),
        format!("sig1=:{}:", STANDARD.encode([0; 65])),
        format!("sig1=:{}:, sig2=:AA==:", STANDARD.encode([0; 64])),
        format!("sig1=:{}", STANDARD.encode([0; 64])),
        "sig1=:".repeat(1000),
    ] {
        assert!(MessageSignature::parse(&input, &wrong).is_err(), "{wrong}");
    }
    let zero = format!("sig1=:{}:", STANDARD.encode([0; 64]));
    let signature = MessageSignature::parse(&input, &zero).unwrap();
    assert!(verify(&signature, &Request::post(), &origin()).is_err());
}

/// Of small order: it verifies signatures that nobody made.
#[test]
fn a_weak_key_is_nobodys() {
    let mut weak = vec![0xed, 0x01, 1];
    weak.resize(34, 0);
    let did = format!("did:key:z{}", bs58::encode(weak).into_string());
    let input = format!("{COVERED}{}", parameters(&did));
    let signature = sign(&input, &Request::post(), &origin()).unwrap();
    let refused = verify(&signature, &Request::post(), &origin()).unwrap_err();
    assert!(refused.to_string().contains("keyid"), "{refused}");
}

#[test]
fn what_a_client_signs_is_his() {
    let key = SecretKey::from_seed(&[7; 32]);
    let at = origin();
    let now = freshness::time(NOW).unwrap();
    for body in [&b"{\"a\": 1}"[..], b""] {
        let request = Outgoing {
            origin: &at,
            method: "DELETE",
            path: "/v1/watches/mine",
            query: Some("target=a%20b"),
            body,
        };
        let stamp = Stamp::new(now).unwrap();
        let sent = super::sign(&key, &request, &stamp).unwrap();
        let header = |name: &str| -> Vec<String> {
            let found = sent.iter().filter(|(known, _)| *known == name);
            found.map(|(_, value)| value.clone()).collect()
        };
        let read = MessageSignature::parse(&header("signature-input")[0], &header("signature")[0]);
        let message = Message {
            method: "DELETE",
            origin: &at,
            path: "/v1/watches/mine",
            query: Some("target=a%20b"),
            headers: &header,
        };
        let signer = read.unwrap().verify(&message, body, now).unwrap();
        assert_eq!(signer.did, key.public().did());
        assert_eq!(signer.nonce, hex::encode(stamp.nonce));
    }
}
