// An owner does on the page all that can be done with an agent. Of each step, the journal's entries and their proofs are
// written into OUT for whoever started this, and a line on stdout says what the step was to change.
//
//   CHANCERY_PAGE=http://... ANVIL=http://... OUT=dir node walk.mjs

import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { node, open, wallet } from "./browser.mjs";

const { CHANCERY_PAGE: base, ANVIL: anvil, OUT: out } = process.env;
const PATIENCE = 60_000;

const rpc = node(anvil);
const [, ada, bob, eve] = await rpc("eth_accounts");
const { context, close } = await open();
const told = await wallet(context, rpc, [ada, bob, eve]);
const page = await context.newPage();
page.setDefaultTimeout(PATIENCE);

const wrong = [];
page.on("pageerror", (error) => wrong.push(error.message));
page.on("console", (line) => line.type() === "error" && !line.text().startsWith("Failed to load resource") && wrong.push(line.text()));
page.on("request", (request) => {
  if (!request.url().startsWith(`${base}/`) && !request.url().startsWith("data:")) wrong.push(`asked ${request.url()}`);
});

const api = async (path) => {
  const response = await fetch(base + path);
  assert.equal(response.status, 200, path);
  return response.json();
};
const button = (name) => page.getByRole("button", { name, exact: false });

/** What became of a transaction, once all of its entries are sealed: a file that is read later adds another one. */
async function journaled(path) {
  for (const end = Date.now() + PATIENCE; ; ) {
    const outcome = await api(path);
    if (outcome.entries.length > 0 && outcome.entries.every((entry) => entry.state !== "queued")) return outcome;
    assert.ok(Date.now() < end, `sealed: ${JSON.stringify(outcome)}`);
    await page.waitForTimeout(100);
  }
}

/** Sees the cost, signs, waits until all is done; keeps the entries' proofs. */
async function signed(step, label, changed) {
  await button(`${label}: see the cost`).click();
  await page.getByText("At most", { exact: true }).waitFor();
  await button(`${label}: sign in Test wallet`).click();
  await page.getByRole("heading", { name: "It is done" }).waitFor();
  const [, , chain, tx] = new URL(page.url()).pathname.split("/");
  const outcome = await journaled(`/v1/transactions/${chain}/${tx}`);
  assert.equal(outcome.state, "mined");
  for (const [at, entry] of outcome.entries.entries()) {
    const proof = await fetch(`${base}/v1/entries/${entry.cid}/proof`);
    assert.equal(proof.status, 200, `a proof of ${entry.cid}`);
    await writeFile(join(out, `${step}-${at}.tlog-proof`), Buffer.from(await proof.arrayBuffer()));
  }
  const [agent] = outcome.agents;
  console.log(JSON.stringify({ step, agent: agent.id, cids: outcome.entries.map((entry) => entry.cid), changed }));
  return agent;
}

// Connecting.
await page.goto(`${base}/register`);
await button("Connect wallet").click();
await page.getByRole("dialog").getByRole("button", { name: "Test wallet" }).click();
await page.getByRole("dialog").waitFor({ state: "hidden" });

// Registering: what the server's parser misses is said at once, and what is declined is not done.
await page.getByLabel("Name", { exact: true }).fill("Ada");
await page.getByLabel("Description").fill("Files reports.\nEvery night.");
await page.getByLabel("Service 1: endpoint").fill("https://ada.example.com/.well-known/agent-card.json");
await page.getByLabel("Skills").fill("analysis/reports, translation");
await page.getByLabel("Reputation").check();
await page.locator(".warnings li", { hasText: "image" }).waitFor();
await page.getByLabel("Image").fill("https://ada.example.com/ada.png");
await page.getByText("Follows ERC-8004 to the letter").waitFor();
await button("Register: see the cost").click();
told.refuse = "eth_sendTransaction";
await button("Register: sign in Test wallet").click();
await page.getByRole("alert").getByText("You declined").waitFor();
await button("Back").click();
const agent = await signed("register", "Register", [["owner_address", ada], ["runtime_status", "ACTIVE"]]);
const name = `${agent.chain}:${agent.agent_id}`;
await page.getByRole("link", { name: "Go to Ada" }).click();
await page.getByRole("heading", { name: "Ada", level: 1 }).waitFor();
await page.getByText("these are its bytes").waitFor();
let record = await api(`/v1/agents/${name}`);
assert.equal(record.name, "Ada");
assert.equal(record.description, "Files reports.\nEvery night.");
assert.equal(record.metadata_verification, "verified");

// A second time it is found before anything is paid.
await page.getByRole("link", { name: "Register", exact: true }).click();
await page.getByLabel("Name", { exact: true }).fill("ada");
await page.getByText("You may have registered this already").waitFor();
assert.ok(await button("Register: see the cost").isDisabled());
await page.getByLabel("Register another one all the same").check();
await page.getByLabel("Description").fill("Another one.");
await page.locator("button:enabled", { hasText: "Register: see the cost" }).waitFor();

// Editing keeps what the form does not know.
await page.goto(`${base}/agents/${name}`);
await page.getByRole("link", { name: "Edit" }).click();
await page.getByLabel("Description").fill("Files reports, and reads them out.");
await page.locator("pre.file", { hasText: "registrations" }).waitFor();
await signed("edit", "Save", [["agent_uri", null]]);
await page.getByRole("link", { name: "Go to Ada" }).click();
await page.getByText("Files reports, and reads them out.").first().waitFor();
record = await api(`/v1/agents/${name}`);
assert.equal(record.description, "Files reports, and reads them out.");
assert.equal((await api(`/v1/agents/${name}/metadata`)).document.registrations[0].agentId, Number(agent.agent_id));

// The wallet agrees by EIP-712; the registry checks its signature.
await page.getByRole("link", { name: "Wallet", exact: true }).click();
await page.getByLabel("New wallet").fill(bob);
await button("Sign the consent with it").click();
await page.getByText("The new wallet agreed").waitFor();
assert.ok(told.asked.some(({ method, params }) => method === "eth_signTypedData_v4" && params[0].toLowerCase() === bob.toLowerCase()));
await signed("wallet", "Set wallet", [["agent_wallet", bob]]);
assert.equal((await api(`/v1/agents/${name}`)).agent_wallet.toLowerCase(), bob.toLowerCase());

// Status.
await page.goto(`${base}/agents/${name}/status`);
await page.getByLabel("SLEEP").check();
await page.getByLabel("Why").fill("night");
await signed("status", "Set status", [["runtime_status", "SLEEP"]]);
assert.equal((await api(`/v1/agents/${name}`)).runtime_status, "SLEEP");

// A slip in the address is found before the agent is lost.
await page.goto(`${base}/agents/${name}/transfer`);
await page.getByLabel("New owner").fill("0xF39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
await button("Transfer: see the cost").click();
await page.getByRole("alert").getByText("checksum").waitFor();
await page.getByLabel("New owner").fill(eve);
await signed("transfer", "Transfer", [["owner_address", eve]]);
assert.equal((await api(`/v1/agents/${name}`)).owner_address.toLowerCase(), eve.toLowerCase());

// Its new owner ends it.
await page.getByRole("link", { name: "Go to Ada" }).click();
await page.getByRole("heading", { name: "Ada", level: 1 }).waitFor();
// Who sold it has no say any more.
await page.getByRole("link", { name: "Deregister" }).waitFor({ state: "detached" });
await page.locator(".wallet button").first().click();
await page.getByRole("dialog").getByLabel(eve, { exact: false }).check();
await page.keyboard.press("Escape");
await page.getByRole("link", { name: "Deregister" }).click();
await page.getByLabel("Why").fill("retired");
await page.getByLabel("Yes, Ada has ended").check();
await signed("deregister", "Deregister", [["runtime_status", "TERMINATED"]]);
await page.getByRole("link", { name: "Go to Ada" }).click();
await page.getByText("TERMINATED").first().waitFor();
await page.getByText("retired").first().waitFor();

// Sharing.
await button("Share").click();
await page.getByRole("img", { name: /Code that leads to/ }).waitFor();
await page.keyboard.press("Escape");

assert.deepEqual(wrong, []);
await close();
