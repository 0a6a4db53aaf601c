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

#[test]
fn each_event_says_what_was_emitted() {
    use events::{ByAddress, Heartbeat, Registry};
    let (hash, account) = (keccak256(b"did:vexel:agent1"), Address::repeat_byte(7));
    assert_eq!(
        alloy::hex::encode(hash),
        "beb56bdbc46d3f159f48c27c50fa8514e0989b904d0bd7922af0ac7477b8e548"
    );
    let did = "did:vexel:agent1".to_owned();
    let number = kernel::U256::from(86_400);
    let said = |log: &Log| vexel(log).expect("one of theirs").expect("well-formed");
    for (log, expected) in [
        (
            encoded(&Heartbeat::AgentRegistered {
                did: hash,
                agent: account,
                threshold: number,
            }),
            Vexel::Enrolled { hash, account },
        ),
        (
            encoded(&Heartbeat::HeartbeatRecorded {
                did: hash,
                time: number,
            }),
            Vexel::Beat { hash },
        ),
        (
            encoded(&Heartbeat::InactivityDetected {
                did: hash,
                last: number,
                time: number,
            }),
            Vexel::Inactive { hash },
        ),
        (
            encoded(&Heartbeat::AgentDeactivated {
                did: hash,
                agent: account,
            }),
            Vexel::Deactivated { hash, account },
        ),
        (
            encoded(&Registry::AgentStatusChanged {
                did: did.clone(),
                previous: 0,
                current: 2,
            }),
            Vexel::Status {
                did: did.clone(),
                status: 2,
            },
        ),
        (
            encoded(&Registry::AgentUpdated {
                did: did.clone(),
                name: "N".to_owned(),
                ipfsHash: "Qm".to_owned(),
            }),
            Vexel::Updated {
                did: did.clone(),
                name: "N".into(),
                ipfs_hash: "Qm".into(),
            },
        ),
        (
            encoded(&Registry::CapabilityAdded {
                did: did.clone(),
                name: "N".to_owned(),
                value: "v".to_owned(),
            }),
            Vexel::Capability {
                did,
                name: "N".into(),
                value: "v".into(),
            },
        ),
        (
            encoded(&ByAddress::AgentStatusChanged {
                agent: account,
                previous: 0,
                current: 1,
            }),
            Vexel::Of { account },
        ),
    ] {
        assert_eq!(said(&log), expected);
        assert!(shown(&log).is_some());
    }
    let registered = encoded(&Registry::AgentRegistered {
        owner: account,
        did: "did:vexel:agent1".to_owned(),
        name: "N".to_owned(),
        description: "D".to_owned(),
        ipfsHash: keccak256(b"Qm"),
    });
    assert_eq!(said(&registered).hash(), Some(hash));
    assert_eq!(said(&registered).account(), Some(account));
}

#[test]
fn what_is_not_so_encoded_is_malformed_and_never_guessed_at() {
    let short = |topic0: B256| log(vec![topic0], vec![]);
    for (topic, _) in VECTOR {
        if topic != topics::OWNERSHIP {
            assert!(vexel(&short(topic)).expect("one of theirs").is_err());
        }
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
