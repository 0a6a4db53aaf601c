//! A chain of the test's own: anvil on a free port with our contracts, and what people do on it.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    num::NonZeroU32,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use chain::{
    At, Call, Limits, PrivateKeySigner, Registries, Rpc, SendError, Sender, SenderConfig, deploy,
    registry,
};
use futures::future::join_all;
use kernel::{Address, Bytes, U256, clean_text, sha256};
use serde_json::{Value, json};

use super::calls::{Arg, call};

/// anvil's first well-known account.
const DEPLOYER: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

/// Enough for every transaction of a test; naming it spares the node an estimate, which would be
/// wrong for what waits in one block with others.
const GAS: &str = "0x200000";

/// The metadata that tests write, and look for.
pub const METADATA: [&str; 3] = ["early", "model", "region"];

/// anvil, which ends with the value.
pub struct Anvil {
    child: Child,
    url: String,
}

impl Anvil {
    /// Starts it on a free port.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with further flags.
    pub fn start_with(flags: &[&str]) -> Self {
        let mut child = Command::new(binary())
            .args(["--port", "0"])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("anvil: run scripts/setup");
        let mut lines = BufReader::new(child.stdout.take().expect("stdout")).lines();
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("Listening on ").map(str::to_owned));
        let url = address.map(|address| format!("http://{address}"));
        // Nobody reads on, and a full pipe would stop it.
        std::thread::spawn(move || lines.for_each(drop));
        let anvil = Self {
            child,
            url: url.unwrap_or_default(),
        };
        assert!(!anvil.url.is_empty(), "anvil says where it listens");
        anvil
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn binary() -> PathBuf {
    let os = if cfg!(target_os = "macos") {
        "darwin"
    } else {
        "linux"
    };
    let machine = if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "amd64"
    };
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("contracts/node_modules/@foundry-rs")
        .join(format!("anvil-{os}-{machine}/bin/anvil"))
}

/// A chain with our contracts on it.
pub struct Chain {
    /// Its node.
    pub rpc: Rpc,
    /// The identity registry.
    pub registry: Address,
    /// The `AgentStatus` contract.
    pub status: Address,
    /// VEXEL's contracts, or what stands in for them.
    pub vexel: Vec<Address>,
    /// Accounts that anvil signs for.
    pub people: Vec<Address>,
    anvil: Option<Anvil>,
}

/// So many questions are asked at once.
const AT_ONCE: u64 = 32;

/// What a contract says of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// Its number.
    pub id: u64,
    /// `ownerOf`.
    pub owner: Option<Address>,
    /// `getAgentWallet`.
    pub wallet: Option<Address>,
    /// `tokenURI`, as a text may hold it.
    pub uri: String,
    /// sha2-256 of its bytes, where there are some.
    pub uri_hash: Option<String>,
    /// `getApproved`.
    pub approved: Option<Address>,
    /// `getMetadata` of [`METADATA`], as hex, where it is not empty.
    pub metadata: BTreeMap<String, String>,
}

/// A transaction that somebody wants.
pub type Wanted = (Address, Address, Bytes);

impl Chain {
    /// Starts anvil and deploys.
    pub async fn start() -> Self {
        Self::on(Anvil::start()).await
    }

    /// Deploys on an anvil that runs.
    pub async fn on(anvil: Anvil) -> Self {
        let rpc = Rpc::connect(anvil.url.parse().expect("a URL"), Limits::default())
            .await
            .expect("anvil answers");
        let people = rpc.ask("eth_accounts", json!([])).await.expect("accounts");
        let mut chain = Self::without_contracts(rpc, people);
        let deployer = DEPLOYER.parse().expect("a key");
        (chain.registry, chain.status) = chain.deployed(deployer).await.expect("deployed");
        chain.anvil = Some(anvil);
        chain
    }

    /// A chain that has no contract of ours yet.
    pub fn without_contracts(rpc: Rpc, people: Vec<Address>) -> Self {
        Self {
            rpc,
            registry: Address::ZERO,
            status: Address::ZERO,
            vexel: Vec::new(),
            people,
            anvil: None,
        }
    }

    /// Deploys both contracts; gives their addresses.
    pub async fn deployed(
        &self,
        deployer: PrivateKeySigner,
    ) -> Result<(Address, Address), SendError> {
        let sender = sender(&self.rpc, deployer);
        let registry = deploy::identity_registry(&sender).await?;
        let status = deploy::agent_status(&sender).await?;
        Ok((registry.address, status.address))
    }

    /// The dev chain of a running instance.
    pub async fn of_instance(url: &str, contracts: &Registries) -> Self {
        let rpc = Rpc::connect(url.parse().expect("a URL"), Limits::default())
            .await
            .expect("anvil answers");
        let people = rpc.ask("eth_accounts", json!([])).await.expect("accounts");
        let (registry, status) = (contracts.identity[0], contracts.status[0]);
        Self {
            rpc,
            registry,
            status,
            vexel: contracts.vexel.clone(),
            people,
            anvil: None,
        }
    }

    /// Where the anvil that was started for it answers.
    pub fn url(&self) -> &str {
        &self.anvil.as_ref().expect("one of our own").url
    }

    /// What is read of it.
    pub fn contracts(&self) -> Registries {
        Registries {
            identity: vec![self.registry],
            status: vec![self.status],
            vexel: self.vexel.clone(),
        }
    }

    /// Deploys bytecode; gives its address.
    pub async fn deploy(&self, code: Bytes) -> Address {
        let call = Call {
            data: code,
            ..Call::default()
        };
        let deployer = DEPLOYER.parse().expect("a key");
        let receipt = sender(&self.rpc, deployer)
            .send(call)
            .await
            .expect("deployed");
        receipt.created.expect("a contract")
    }

    /// Puts a transaction in the pool.
    pub async fn submit(&self, (from, to, data): &Wanted) -> String {
        let transaction = json!([{ "from": from, "to": to, "data": data, "gas": GAS }]);
        self.rpc
            .ask("eth_sendTransaction", transaction)
            .await
            .expect("taken")
    }

    /// Sends a transaction, which is mined at once and must succeed.
    pub async fn send(&self, wanted: Wanted) {
        let hash = self.submit(&wanted).await;
        self.succeeded(&hash).await;
    }

    /// Mines one block that holds all of these.
    pub async fn block(&self, wanted: &[Wanted]) {
        self.automine(false).await;
        let mut hashes = Vec::new();
        for one in wanted {
            hashes.push(self.submit(one).await);
        }
        self.mine(1).await;
        self.automine(true).await;
        for hash in &hashes {
            self.succeeded(hash).await;
        }
    }

    async fn automine(&self, on: bool) {
        let _: Value = self
            .rpc
            .ask("evm_setAutomine", json!([on]))
            .await
            .expect("set");
    }

    async fn succeeded(&self, hash: &str) {
        let ask = || async {
            let receipt: Option<Value> = self
                .rpc
                .ask("eth_getTransactionReceipt", json!([hash]))
                .await
                .expect("answered");
            receipt
        };
        let receipt = super::until("a receipt", Duration::from_secs(10), ask).await;
        assert_eq!(receipt["status"], "0x1", "{receipt}");
    }

    /// Mines empty blocks.
    pub async fn mine(&self, blocks: u64) {
        let _: Value = self
            .rpc
            .ask("anvil_mine", json!([blocks]))
            .await
            .expect("mined");
    }

    /// Replaces the last blocks by others that hold these transactions, each in the block with this
    /// place among the new ones.
    pub async fn reorg(&self, depth: u64, wanted: &[(Wanted, u64)]) {
        let pairs: Vec<Value> = wanted
            .iter()
            .map(|((from, to, data), block)| {
                json!([{ "from": from, "to": to, "input": data, "gas": GAS }, block])
            })
            .collect();
        let _: Value = self
            .rpc
            .ask("anvil_reorg", json!([depth, pairs]))
            .await
            .expect("reorganised");
    }

    /// The newest block.
    pub async fn height(&self) -> i64 {
        let head = self
            .rpc
            .block(At::Latest)
            .await
            .expect("answered")
            .expect("a head");
        i64::try_from(head.number).expect("small")
    }

    /// Numbers and owners of all agents.
    pub async fn owners(&self) -> Vec<(u64, Address)> {
        let mut owners = Vec::new();
        loop {
            let first = owners.len() as u64;
            let asked = (first..first + AT_ONCE).map(|id| async move {
                let token = U256::from(id);
                let owner = registry::owner_of(&self.rpc, self.registry, token, At::Latest).await;
                owner.expect("answered").map(|owner| (id, owner))
            });
            owners.extend(join_all(asked).await.into_iter().flatten());
            if owners.len() as u64 != first + AT_ONCE {
                return owners;
            }
        }
    }

    /// What the contract says of all agents.
    pub async fn agents(&self) -> Vec<Agent> {
        let owners = self.owners().await;
        let mut agents = Vec::new();
        for some in owners.chunks(usize::try_from(AT_ONCE).expect("small")) {
            let asked = some.iter().map(|(id, owner)| self.agent(*id, *owner));
            agents.extend(join_all(asked).await);
        }
        agents
    }

    async fn agent(&self, id: u64, owner: Address) -> Agent {
        let (rpc, registry, token) = (&self.rpc, self.registry, U256::from(id));
        let wallet = registry::agent_wallet(rpc, registry, token, At::Latest)
            .await
            .expect("answered");
        let uri = registry::token_uri(rpc, registry, token, At::Latest)
            .await
            .expect("answered");
        let asked = call("getApproved(uint256)", &[Arg::Number(token)]);
        let approved = rpc
            .call(&Call::new(registry, asked), At::Latest)
            .await
            .expect("answered");
        let approved = Address::from_slice(&approved[12..]);
        let approved = (!approved.is_zero()).then_some(approved);
        let raw = uri.expect("an owned token has a URI");
        let uri_hash = (!raw.is_empty()).then(|| hex::encode(sha256(&raw)));
        let mut metadata = BTreeMap::new();
        for key in METADATA {
            let asked = call(
                "getMetadata(uint256,string)",
                &[Arg::Number(token), Arg::Text(key)],
            );
            let answer = rpc.call(&Call::new(registry, asked), At::Latest).await;
            let answer = answer.expect("answered");
            // An offset, the length, the bytes.
            let length = usize::from(u16::from_be_bytes([answer[62], answer[63]]));
            if length > 0 {
                let value = format!("0x{}", hex::encode(&answer[64..64 + length]));
                metadata.insert(key.to_owned(), value);
            }
        }
        Agent {
            id,
            owner: Some(owner),
            wallet,
            uri: clean_text(&raw).value,
            uri_hash,
            approved,
            metadata,
        }
    }

    /// `isApprovedForAll`.
    pub async fn is_operator(&self, owner: Address, operator: Address) -> bool {
        let arguments = [Arg::Account(owner), Arg::Account(operator)];
        let asked = call("isApprovedForAll(address,address)", &arguments);
        let answer = self
            .rpc
            .call(&Call::new(self.registry, asked), At::Latest)
            .await;
        answer.expect("answered")[31] == 1
    }

    /// A new wallet's consent, signed by anvil by EIP-712, as the transaction that brings it.
    pub async fn wallet(&self, from: Address, id: u64, wallet: Address) -> Wanted {
        let token = U256::from(id);
        let owner = registry::owner_of(&self.rpc, self.registry, token, At::Latest).await;
        let owner = owner.expect("answered").expect("a token");
        let head = self
            .rpc
            .block(At::Latest)
            .await
            .expect("answered")
            .expect("a head");
        let deadline = head.time + 200;
        let field = |name: &str, kind: &str| json!({ "name": name, "type": kind });
        let typed = json!({
            "types": {
                "EIP712Domain": [
                    field("name", "string"), field("version", "string"),
                    field("chainId", "uint256"), field("verifyingContract", "address"),
                ],
                "AgentWalletSet": [
                    field("agentId", "uint256"), field("newWallet", "address"),
                    field("owner", "address"), field("deadline", "uint256"),
                ],
            },
            "primaryType": "AgentWalletSet",
            "domain": {
                "name": "ERC8004IdentityRegistry", "version": "1",
                "chainId": self.rpc.chain(), "verifyingContract": self.registry,
            },
            "message": {
                "agentId": id.to_string(), "newWallet": wallet, "owner": owner,
                "deadline": deadline.to_string(),
            },
        });
        let signature: Bytes = self
            .rpc
            .ask("eth_signTypedData_v4", json!([wallet, typed]))
            .await
            .expect("signed");
        let data = registry::set_agent_wallet(token, wallet, U256::from(deadline), signature);
        (from, self.registry, data)
    }

    /// The transaction that registers.
    pub fn register(&self, owner: Address, uri: &str) -> Wanted {
        (owner, self.registry, registry::register_with_uri(uri))
    }

    /// The transaction that names another file.
    pub fn uri(&self, from: Address, id: u64, uri: &str) -> Wanted {
        (
            from,
            self.registry,
            registry::set_agent_uri(U256::from(id), uri),
        )
    }

    /// The transaction that hands over.
    pub fn transfer(&self, from: Address, to: Address, id: u64) -> Wanted {
        (
            from,
            self.registry,
            registry::transfer(from, to, U256::from(id)),
        )
    }

    /// The transaction that says a status.
    pub fn says(&self, from: Address, id: u64, status: u8, reason: &str) -> Wanted {
        let data = registry::set_status(self.registry, U256::from(id), status, reason);
        (from, self.status, data)
    }

    /// The transaction that says that an agent lives.
    pub fn beats(&self, from: Address, id: u64) -> Wanted {
        (
            from,
            self.status,
            registry::heartbeat(self.registry, U256::from(id)),
        )
    }
}

/// A fresh sender: a reorg takes nonces back, which an older one would not know.
fn sender(rpc: &Rpc, key: PrivateKeySigner) -> Sender {
    let config = SenderConfig {
        answer_within: Duration::from_secs(30),
        poll: Duration::from_millis(10),
        replace_after: NonZeroU32::MAX,
        most_replacements: 0,
        gas_margin: 20,
        most_fee: None,
    };
    Sender::new(rpc.clone(), key, config)
}
