use super::*;

/// VEXEL's events and their topics, computed with Python's keccak.
const VECTOR: [(B256, &str); 14] = [
    (
        topics::REGISTERED,
        "6054c1c53f51c68fd6a5221be39b6060a47666f8773d065cbf723f6c52230b38",
    ),
    (
        topics::RECORDED,
        "3e919d2e1b69ffff4c4ec7b0f8a8458457ebe560ad9214995260087505d89e4c",
    ),
    (
        topics::INACTIVE,
        "20315a64aeafff6ddff9ae85d63983167bea606c25ebcec6d2901b6c291deb20",
    ),
    (
        topics::DEACTIVATED,
        "91934f0b1f0a6921a5fe3717b6e58911ec51866ebe14f17b60fde90d91bce3fe",
    ),
    (
        topics::THRESHOLD,
        "b75a85683a4e4ad8349660164c390cb633ee20f69f3e33eb3774cfe9f20a943e",
    ),
    (
        topics::OWNERSHIP,
        "8be0079c531659141344cd1fd0a4f28419497f9722a3daafe3b4186f6b6457e0",
    ),
    (
        topics::DID_REGISTERED,
        "53c446a7912478711ee31107861cc7724b2bcf5a2a79b61e718f8372112c3cd4",
    ),
    (
        topics::ADDRESS_REGISTERED,
        "7771fdb42cd4f4d653152f52b0c12e2ffedfa34c325696966737576242ed810d",
    ),
    (
        topics::DID_UPDATED,
        "cc495127ac462ef2ae4a1d9dd66812b086d94af2fb21bfa28ca2acfe08ec4690",
    ),
    (
        topics::ADDRESS_UPDATED,
        "a2c9530e3d0bc4c899db52361ec84bcc1c9f87a5b7d1b584b3de374f36d7a189",
    ),
    (
        topics::DID_STATUS,
        "bec7f40cd1b756b8b948f7843c16f7035e336ba963d7c26b53c98681a3a11d24",
    ),
    (
        topics::ADDRESS_STATUS,
        "618b78a8918b9c4ea0ba1d536d95aa64efb54925e7559eb0a38eb509e7a99f55",
    ),
    (
        topics::DID_CAPABILITY,
        "5216bbe52b28f3cb220f4eb817acdbac804c0fc355651b42635836ad53d003e7",
    ),
    (
        topics::ADDRESS_CAPABILITY,
        "68475087e8bcbbc4e772ababe17ac18ab6c208c91a6082008d0fbc1fc29be6e9",
    ),
];

#[test]
fn topics_are_those_of_both_event_sets() {
    for (topic, expected) in VECTOR {
        assert_eq!(alloy::hex::encode(topic), expected);
    }
}

fn log(topics: Vec<B256>, data: Vec<u8>) -> Log {
    Log {
        chain: 1,
        block_number: 1,
        block_hash: B256::ZERO,
        block_time: None,
        tx_hash: B256::ZERO,
        tx_index: 0,
        log_index: 0,
        address: Address::ZERO,
        topics,
        data: data.into(),
    }
}

fn encoded(event: &impl alloy::sol_types::SolEvent) -> Log {
    let data = event.encode_log_data();
    log(data.topics().to_vec(), data.data.to_vec())
}

const DID: &str = "did:vexel:agent1";

/// `AgentHeartbeat`'s events, what they say, and how their fields are shown.
fn heartbeats(hash: B256, account: Address) -> Vec<(Log, Vexel, Value)> {
    use events::Heartbeat as H;
    let number = kernel::U256::from(86_400);
    let address = account.to_string();
    let enrolled = H::AgentRegistered {
        did: hash,
        agent: account,
        threshold: number,
    };
    let beat = H::HeartbeatRecorded {
        did: hash,
        time: number,
    };
    let inactive = H::InactivityDetected {
        did: hash,
        last: number,
        time: number,
    };
    let deactivated = H::AgentDeactivated {
        did: hash,
        agent: account,
    };
    let threshold = H::InactivityThresholdUpdated {
        did: hash,
        threshold: number,
    };
    let other = Address::repeat_byte(8);
    let ownership = H::OwnershipTransferred {
        previousOwner: account,
        newOwner: other,
    };
    vec![
        (
            encoded(&enrolled),
            Vexel::Enrolled { hash, account },
            json!({ "address": address }),
        ),
        (encoded(&beat), Vexel::Beat { hash }, json!({})),
        (encoded(&inactive), Vexel::Inactive { hash }, json!({})),
        (
            encoded(&deactivated),
            Vexel::Deactivated { hash, account },
            json!({ "address": address }),
        ),
        (encoded(&threshold), Vexel::Threshold { hash }, json!({})),
        (
            encoded(&ownership),
            Vexel::Ownership {
                previous: account,
                owner: other,
            },
            json!({ "previous_owner": address, "owner": other.to_string() }),
        ),
    ]
}

/// The same of `AgentRegistry`, by DID.
fn by_did(account: Address) -> Vec<(Log, Vexel, Value)> {
    use events::Registry as R;
    let (did, name) = (DID.to_owned(), "N".to_owned());
    let registered = R::AgentRegistered {
        owner: account,
        did: did.clone(),
        name: name.clone(),
        description: "D".to_owned(),
        ipfsHash: keccak256(b"Qm"),
    };
    let updated = R::AgentUpdated {
        did: did.clone(),
        name: name.clone(),
        ipfsHash: "Qm".to_owned(),
    };
    let status = R::AgentStatusChanged {
        did: did.clone(),
        previous: 1,
        current: 2,
    };
    let capability = R::CapabilityAdded {
        did: did.clone(),
        name,
        value: "v".to_owned(),
    };
    vec![
        (
            encoded(&registered),
            Vexel::Registered {
                did: did.clone(),
                owner: account,
                name: "N".into(),
                description: "D".into(),
            },
            json!({ "did": DID, "owner": account.to_string(), "name": "N", "description": "D" }),
        ),
        (
            encoded(&updated),
            Vexel::Updated {
                did: did.clone(),
                name: "N".into(),
                ipfs_hash: "Qm".into(),
            },
            json!({ "did": DID, "name": "N", "ipfs_hash": "Qm" }),
        ),
        (
            encoded(&status),
            Vexel::Status {
                did: did.clone(),
                previous: 1,
                status: 2,
            },
            json!({ "did": DID, "previous": 1, "status": 2 }),
        ),
        (
            encoded(&capability),
            Vexel::Capability {
                did,
                name: "N".into(),
                value: "v".into(),
            },
            json!({ "did": DID, "name": "N", "value": "v" }),
        ),
    ]
}

/// The same by address.
fn by_address(account: Address) -> Vec<(Log, Vexel, Value)> {
    use events::ByAddress as A;
    let address = account.to_string();
    let name = "N".to_owned();
    let registered = A::AgentRegistered {
        agent: account,
        did: DID.to_owned(),
        name: name.clone(),
        ipfsHash: "Qm".to_owned(),
    };
    let updated = A::AgentUpdated {
        agent: account,
        name: name.clone(),
        ipfsHash: "Qm".to_owned(),
    };
    let status = A::AgentStatusChanged {
        agent: account,
        previous: 1,
        current: 2,
    };
    let capability = A::CapabilityAdded {
        agent: account,
        name,
        value: "v".to_owned(),
    };
    let of = |said: OfAddress| Vexel::Of { account, said };
    vec![
        (
            encoded(&registered),
            of(OfAddress::Registered {
                did: DID.to_owned(),
                name: "N".into(),
                ipfs_hash: "Qm".into(),
            }),
            json!({ "address": address, "did": DID, "name": "N", "ipfs_hash": "Qm" }),
        ),
        (
            encoded(&updated),
            of(OfAddress::Updated {
                name: "N".into(),
                ipfs_hash: "Qm".into(),
            }),
            json!({ "address": address, "name": "N", "ipfs_hash": "Qm" }),
        ),
        (
            encoded(&status),
            of(OfAddress::Status {
                previous: 1,
                status: 2,
            }),
            json!({ "address": address, "previous": 1, "status": 2 }),
        ),
        (
            encoded(&capability),
            of(OfAddress::Capability {
                name: "N".into(),
                value: "v".into(),
            }),
            json!({ "address": address, "name": "N", "value": "v" }),
        ),
    ]
}

/// All events, what they say, and how their fields are shown.
fn all() -> Vec<(Log, Vexel, Value)> {
    let (hash, account) = (keccak256(DID.as_bytes()), Address::repeat_byte(7));
    let mut all = heartbeats(hash, account);
    all.extend(by_did(account));
    all.extend(by_address(account));
    all
}

#[test]
fn each_event_says_what_was_emitted() {
    let hash = keccak256(DID.as_bytes());
    assert_eq!(
        alloy::hex::encode(hash),
        "beb56bdbc46d3f159f48c27c50fa8514e0989b904d0bd7922af0ac7477b8e548"
    );
    let mut seen = std::collections::HashSet::new();
    for (log, expected, fields) in all() {
        seen.insert(log.topics[0]);
        let said = vexel(&log).expect("one of theirs").expect("well-formed");
        assert_eq!(said, expected);
        assert_eq!(shown(&log).expect("one of theirs").1, fields);
        let names_did = !matches!(said, Vexel::Of { .. } | Vexel::Ownership { .. });
        assert_eq!(said.hash(), names_did.then_some(hash));
        let account = fields.get("address").or(fields.get("owner"));
        let account = account.filter(|_| !matches!(said, Vexel::Ownership { .. }));
        let named = said.account().map(|account| json!(account.to_string()));
        assert_eq!(named.as_ref(), account);
    }
    assert_eq!(seen.len(), VECTOR.len());
}

#[test]
fn what_is_cut_off_is_malformed() {
    for (whole, said, _) in all() {
        let size = whole.data.len();
        for cut in 0..size {
            let log = log(whole.topics.clone(), whole.data[..cut].to_vec());
            let read = vexel(&log).expect("one of theirs");
            // The padding of the last text says nothing.
            let padded = cut + 32 > size && read.as_ref() == Ok(&said);
            assert!(padded || read.is_err(), "{said:?}: {cut} of {size} bytes");
            if read.is_err() {
                let shown = shown(&log).expect("one of theirs").1;
                assert!(shown["malformed"].is_string(), "{shown}");
            }
        }
        let fewer = &whole.topics[..whole.topics.len() - 1];
        let more = [whole.topics[0]; 4];
        for topics in [fewer, more.as_slice()] {
            if topics.is_empty() {
                continue;
            }
            let log = log(topics.to_vec(), whole.data.to_vec());
            let read = vexel(&log).expect("one of theirs");
            assert!(read.is_err(), "{said:?} with {} topics", topics.len());
        }
    }
}

#[test]
fn what_is_not_so_encoded_is_malformed_and_never_guessed_at() {
    let short = |topic0: B256| log(vec![topic0], vec![]);
    for (topic, _) in VECTOR {
        assert!(vexel(&short(topic)).expect("one of theirs").is_err());
    }
    let long = format!("did:x:{}", "a".repeat(300));
    for did in ["", "agent1", "did:x:\n", &long] {
        let changed = encoded(&events::Registry::AgentStatusChanged {
            did: did.to_owned(),
            previous: 0,
            current: 1,
        });
        assert!(vexel(&changed).expect("one of theirs").is_err(), "{did}");
    }
    assert!(vexel(&log(vec![B256::ZERO], vec![])).is_none());
    assert!(vexel(&log(vec![], vec![])).is_none());
}
