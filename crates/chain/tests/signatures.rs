//! Signatures of wallets that are contracts, asked on a real chain: anvil, as npm brings it.

#[path = "kit/node.rs"]
mod node;

use alloy::{
    signers::SignerSync,
    sol_types::{SolCall, SolConstructor, SolValue},
};
use chain::{
    At, Call, Rpc, Sender,
    contract_signature::{Checked, SignatureError, verify},
};
use kernel::{Address, B256, Bytes, Kind, keccak256};
use node::{ALICE, Anvil, BOB, sender, signer};
use serde_json::{Value, json};

mod wallets {
    alloy::sol! {
        contract ContractWallet {
            constructor(address keeper);
        }
        interface ContractWalletFactory {
            function create(address keeper) external returns (address wallet);
            function addressOf(address keeper) external view returns (address wallet);
        }
    }
}
use wallets::{ContractWallet, ContractWalletFactory as Factory};

const WALLET: &str = include_str!("../../../contracts/artifacts/ContractWallet.json");
const FACTORY: &str = include_str!("../../../contracts/artifacts/ContractWalletFactory.json");

struct World {
    _anvil: Anvil,
    rpc: Rpc,
    alice: Sender,
    digest: B256,
}

impl World {
    async fn start() -> Self {
        let anvil = Anvil::start(&[]);
        let rpc = anvil.rpc().await;
        let alice = sender(&rpc, ALICE);
        Self {
            _anvil: anvil,
            alice,
            digest: keccak256("what is signed"),
            rpc,
        }
    }

    async fn deploy(&self, artifact: &str, arguments: &[u8]) -> Address {
        let artifact: Value = serde_json::from_str(artifact).expect("an artifact");
        let code: Bytes = serde_json::from_value(artifact["bytecode"].clone()).expect("code");
        let call = Call {
            data: [code.as_ref(), arguments].concat().into(),
            ..Call::default()
        };
        let receipt = self.alice.send(call).await.expect("deployed");
        receipt.created.expect("a contract")
    }

    async fn wallet_of(&self, keeper: Address) -> Address {
        let arguments = ContractWallet::constructorCall { keeper };
        self.deploy(WALLET, &arguments.abi_encode()).await
    }

    async fn verify(&self, account: Address, signature: &[u8]) -> Result<Checked, SignatureError> {
        verify(Some(&self.rpc), account, self.digest, signature).await
    }

    async fn set_code(&self, at: Address, code: &[u8]) {
        let code = Bytes::copy_from_slice(code);
        let _: Value = self
            .rpc
            .ask("anvil_setCode", json!([at, code]))
            .await
            .expect("set");
    }

    async fn head(&self) -> (u64, B256) {
        let head = self.rpc.block(At::Latest).await.expect("answered");
        let head = head.expect("a head");
        (head.number, head.hash)
    }
}

fn signed(key: &str, digest: B256) -> Vec<u8> {
    let signature = signer(key).sign_hash_sync(&digest).expect("signed");
    signature.as_bytes().to_vec()
}

fn denied(answer: Result<Checked, SignatureError>) {
    let error = answer.expect_err("refused");
    assert_eq!(error.kind(), Kind::Denied, "{error}");
}

#[tokio::test]
async fn keys_and_contracts_sign() {
    let world = World::start().await;
    let (alice, bob) = (signer(ALICE).address(), signer(BOB).address());
    let by_bob = signed(BOB, world.digest);
    assert_eq!(
        world.verify(bob, &by_bob).await.expect("his"),
        Checked::ByKey
    );
    denied(world.verify(alice, &by_bob).await);

    let wallet = world.wallet_of(bob).await;
    let (block, hash) = world.head().await;
    assert_eq!(
        world.verify(wallet, &by_bob).await.expect("the wallet's"),
        Checked::ByContract { block, hash }
    );
    denied(world.verify(wallet, &signed(ALICE, world.digest)).await);
    denied(
        world
            .verify(wallet, &signed(BOB, keccak256("something else")))
            .await,
    );
    denied(world.verify(wallet, b"of another form").await);
}

#[tokio::test]
async fn a_wallet_signs_before_it_is_deployed() {
    let world = World::start().await;
    let bob = signer(BOB).address();
    let factory = world.deploy(FACTORY, &[]).await;
    let where_to = Factory::addressOfCall { keeper: bob };
    let wallet = world
        .rpc
        .call(
            &Call::new(factory, where_to.abi_encode().into()),
            At::Latest,
        )
        .await
        .expect("computed");
    let wallet = Address::from_slice(&wallet[12..]);
    let create = Factory::createCall { keeper: bob }.abi_encode();
    let wrapped = |create: &[u8], inner: Vec<u8>| {
        let parts = (factory, Bytes::copy_from_slice(create), Bytes::from(inner));
        [parts.abi_encode_params(), [0x64, 0x92].repeat(16)].concat()
    };
    let signature = wrapped(&create, signed(BOB, world.digest));

    let (block, hash) = world.head().await;
    assert_eq!(
        world
            .verify(wallet, &signature)
            .await
            .expect("the wallet's"),
        Checked::BeforeDeployment { block, hash }
    );
    let code = world.rpc.code(wallet, At::Latest).await.expect("code");
    assert!(code.is_empty(), "the trial left nothing behind");
    denied(
        world
            .verify(wallet, &wrapped(&create, signed(ALICE, world.digest)))
            .await,
    );
    denied(
        world
            .verify(wallet, &wrapped(b"nothing", signed(BOB, world.digest)))
            .await,
    );
    denied(world.verify(Address::repeat_byte(5), &signature).await);
    denied(world.verify(wallet, &signed(BOB, world.digest)).await);

    world
        .alice
        .send(Call::new(factory, create.clone().into()))
        .await
        .expect("deployed");
    let (block, hash) = world.head().await;
    assert_eq!(
        world
            .verify(wallet, &signature)
            .await
            .expect("the wallet's"),
        Checked::ByContract { block, hash },
        "the same signature goes on to count"
    );
}

#[tokio::test]
async fn a_hostile_contract_has_not_signed() {
    let world = World::start().await;
    let contract = Address::repeat_byte(0x77);
    let signature = signed(BOB, world.digest);
    for (what, code) in [
        ("runs for ever", &[0x5b, 0x60, 0x00, 0x56][..]),
        ("reverts", &[0x60, 0x00, 0x60, 0x00, 0xfd]),
        ("is no code", &[0xfe]),
        ("answers nothing", &[0x00]),
        // mstore(0, true); return(0, 32)
        (
            "answers true",
            &[0x60, 1, 0x60, 0, 0x52, 0x60, 0x20, 0x60, 0, 0xf3],
        ),
        // mstore(0, magic << 224); return(0, 4)
        (
            "answers four bytes",
            &[
                0x63, 0x16, 0x26, 0xba, 0x7e, 0x60, 0xe0, 0x1b, 0x60, 0, 0x52, 0x60, 0x04, 0x60, 0,
                0xf3,
            ],
        ),
        // mstore(0, not(0)); return(0, 32)
        (
            "answers all ones",
            &[0x60, 0, 0x19, 0x60, 0, 0x52, 0x60, 0x20, 0x60, 0, 0xf3],
        ),
    ] {
        world.set_code(contract, code).await;
        let answer = world.verify(contract, &signature).await;
        let error = answer.expect_err(what);
        assert_eq!(error.kind(), Kind::Denied, "{what}: {error}");
    }
}

#[tokio::test]
async fn a_node_that_is_gone_has_said_nothing() {
    let world = World::start().await;
    let World {
        _anvil: anvil,
        rpc,
        digest,
        ..
    } = world;
    drop(anvil);
    let answer = verify(
        Some(&rpc),
        Address::repeat_byte(1),
        digest,
        &signed(BOB, digest),
    )
    .await;
    let error = answer.expect_err("nobody answers");
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(!error.to_string().contains("127.0.0.1"), "{error}");
    let by_key = verify(
        Some(&rpc),
        signer(BOB).address(),
        digest,
        &signed(BOB, digest),
    )
    .await;
    assert_eq!(by_key.expect("needs no node"), Checked::ByKey);
}
