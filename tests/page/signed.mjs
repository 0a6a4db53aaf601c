// What needs no gas: signing in (EIP-4361), watching, and agents that live by statements of their key and their owner.
//
//   CHANCERY_PAGE=http://... ANVIL=http://... OUT=dir node signed.mjs

import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { node, open, violations, wallet } from "./browser.mjs";

const { CHANCERY_PAGE: base, ANVIL: anvil, OUT: out } = process.env;

const rpc = node(anvil);
const accounts = (await rpc("eth_accounts")).slice(6, 8);
const chain = Number(await rpc("eth_chainId"));
const contract = await contractOf(accounts[1]);
const { context, close } = await open();
const told = await wallet(context, rpc, [...accounts, contract], { keepers: { [contract]: accounts[1] } });
const page = await context.newPage();
page.setDefaultTimeout(60_000);
const wrong = [];
page.on("pageerror", (error) => wrong.push(error.message));

const button = (name) => page.getByRole("button", { name, exact: false });
const api = async (path) => {
  const response = await fetch(base + path);
  assert.equal(response.status, 200, path);
  return response.json();
};

async function connect() {
  await button("Connect wallet").click();
  await page.getByRole("dialog").getByRole("button", { name: "Test wallet" }).click();
  await page.getByRole("dialog").waitFor({ state: "hidden" });
}

// An agent with a key and an owner, without gas.
await page.goto(`${base}/register`);
await connect();
await page.getByRole("radio", { name: /^Without gas/ }).check();
await page.getByLabel("Name", { exact: true }).fill("Grace");
await page.getByLabel("Description").fill("Compiles.");
await page.getByLabel("Skills").fill("compiling");
await button("Make a key").click();
assert.ok(await button("Sign and register").isDisabled(), "a key that is not kept is lost");
await page.getByText("chmod 600 agent.key").waitFor();
const saving = page.waitForEvent("download");
await button("Save the key file").click();
const file = await saving;
assert.equal(file.suggestedFilename(), "agent.key");
assert.match(await readFile(await file.path(), "utf8"), /^0x[0-9a-f]{64}\n$/);
// As browsers call it where there is one already.
await file.saveAs(join(out, "agent (1).key"));
await button("Sign and register").click();
await page.getByRole("heading", { name: "Grace", level: 1 }).waitFor();
const id = new URL(page.url()).pathname.split("/")[2];
const record = await api(`/v1/agents/${id}`);
assert.match(record.did, /^did:key:z6Mk/);
assert.equal(record.owner_address.toLowerCase(), accounts[0].toLowerCase());
await entry("founded", "name");

// Its owner says something about it.
await page.getByRole("link", { name: "Status", exact: true }).click();
await page.getByLabel("SLEEP").check();
await page.getByLabel("Why").fill("compiling");
await button("Set status: sign in Test wallet").click();
await page.getByRole("heading", { name: "Grace", level: 1 }).waitFor();
await page.getByText("SLEEP").first().waitFor();
assert.equal((await api(`/v1/agents/${id}`)).runtime_status, "SLEEP");
await entry("slept", "runtime_status");

// Watching needs a session: one message is signed.
await button("Watch").click();
await button("Sign in with Test wallet").click();
await page.getByText("Signed in as").waitFor();
assert.ok(told.asked.some(({ method }) => method === "personal_sign"));
await page.getByLabel("An owner's address").fill(accounts[1]);
await page.getByRole("main").getByRole("button", { name: "Watch", exact: true }).click();
await page.getByRole("button", { name: `Stop watching ${accounts[1]}` }).waitFor();
await page.getByLabel("An owner's address").fill(record.did);
await page.getByRole("main").getByRole("button", { name: "Watch", exact: true }).click();
await page.getByRole("heading", { name: "What happened" }).waitFor();
await page.locator(".changes li", { hasText: "Grace" }).first().waitFor();
await page.screenshot({ path: join(out, "watches-desktop-light.png"), fullPage: true, caret: "initial" });
// The cookie is not for scripts.
assert.equal(await page.evaluate(() => document.cookie), "");

// A sale that costs nothing, to an account without code: it needs no chain.
const home = page.getByLabel("Chain of the new owner");
await page.goto(`${base}/agents/${id}/transfer`);
const owner = page.getByLabel("New owner", { exact: true });
// A slip in its address is told in the form before the wallet is asked: nobody may be there to have the agent.
const slip = "0xF39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
const signed = () => told.asked.filter(({ method }) => method === "eth_signTypedData_v4").length;
const before = signed();
await owner.fill(slip);
await home.selectOption(String(chain));
await button("Transfer: sign in Test wallet").click();
await page.locator("form", { has: owner }).getByRole("alert").getByText("checksum").waitFor();
assert.equal(await owner.inputValue(), slip, "it can be mended");
assert.equal(signed(), before, "nothing was signed");
assert.equal((await api(`/v1/agents/${id}`)).owner_address.toLowerCase(), accounts[0].toLowerCase());
await owner.fill(accounts[1]);
await home.selectOption({ label: "Any chain: an account without code" });
await sell();
assert.equal((await api(`/v1/agents/${id}`)).owner_address.toLowerCase(), accounts[1].toLowerCase());
assert.deepEqual((await lastSaid()).content, { owner: accounts[1].toLowerCase() });

// The next one is a contract. Its chain is that of the wallet that sells, unless somebody names another one.
await speakAs(accounts[1]);
await page.getByRole("link", { name: "Transfer", exact: true }).click();
await owner.fill(contract);
await page.waitForFunction((id) => document.querySelector("#f-home").value === id, String(chain));
assert.deepEqual(await violations(page), []);
await page.screenshot({ path: join(out, "transfer-free-desktop-light.png"), fullPage: true, caret: "initial" });
await sell();
assert.deepEqual((await lastSaid()).content, { owner: `eip155:${chain}:${contract.toLowerCase()}` });

// So it speaks for the agent afterwards.
await speakAs(contract);
await page.getByRole("link", { name: "Status", exact: true }).click();
await page.getByLabel("ACTIVE").check();
await button("Set status: sign in Test wallet").click();
await page.getByRole("heading", { name: "Grace", level: 1 }).waitFor();
assert.equal((await api(`/v1/agents/${id}`)).runtime_status, "ACTIVE");
const [signature] = (await lastSaid()).signatures;
assert.equal(signature.by, `eip155:${chain}:${contract.toLowerCase()}`);
assert.equal(signature.checked.by, "contract");

assert.deepEqual(wrong, []);
await close();

/** Deploys a wallet that is a contract: what its keeper signs counts as signed by it (ERC-1271). */
async function contractOf(keeper) {
  const artifact = new URL("../../contracts/artifacts/ContractWallet.json", import.meta.url);
  const { bytecode } = JSON.parse(await readFile(artifact, "utf8"));
  const tx = await rpc("eth_sendTransaction", [{ from: keeper, data: bytecode + keeper.slice(2).padStart(64, "0") }]);
  await rpc("anvil_mine", [1]);
  const { contractAddress } = await rpc("eth_getTransactionReceipt", [tx]);
  return contractAddress;
}

async function speakAs(account) {
  await page.locator(".wallet button").first().click();
  await page.getByRole("dialog").getByLabel(account, { exact: false }).check();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "hidden" });
}

async function sell() {
  await button("Transfer: sign in Test wallet").click();
  await page.getByRole("heading", { name: "Grace", level: 1 }).waitFor();
}

/** The newest statement about the agent: what it says, and who signed. */
async function lastSaid() {
  const { items } = await api(`/v1/agents/${id}/statements?limit=1`);
  return { content: JSON.parse(items[0].statement.content), signatures: items[0].signatures };
}

/** Keeps the proof of the newest entry that says something of this column, once there is one. */
async function entry(name, column) {
  const find = async () => {
    const { items } = await api(`/v1/agents/${id}/entries?limit=10`);
    return items.find((one) => one.state !== "queued" && one.entry.changes.some(([what]) => what === column));
  };
  await page.getByRole("link", { name: /^(sealed|stored|pinned|anchored)$/ }).first().waitFor();
  const found = await find();
  assert.ok(found, `${column} is journaled`);
  const proof = await fetch(`${base}/v1/entries/${found.cid}/proof`);
  await writeFile(join(out, `${name}.tlog-proof`), Buffer.from(await proof.arrayBuffer()));
  console.log(JSON.stringify({ step: name, cid: found.cid, agent: id }));
}
