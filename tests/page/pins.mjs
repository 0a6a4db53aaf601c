// A registration file on IPFS: where the operator says that the world reads his pins it goes there by itself, and
// nothing is asked of the chain before the file is pinned. What the instance says of pins is made up here.
//
//   CHANCERY_PAGE=http://... ANVIL=http://... node pins.mjs

import assert from "node:assert/strict";
import { node, open, wallet } from "./browser.mjs";

const { CHANCERY_PAGE: base, ANVIL: anvil } = process.env;
const CID = "bafkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am";

const rpc = node(anvil);
const { context, close } = await open();
await wallet(context, rpc, [(await rpc("eth_accounts"))[3]]);
const page = await context.newPage();
page.setDefaultTimeout(60_000);

const asked = [];
page.on("request", (request) => asked.push(`${request.method()} ${new URL(request.url()).pathname}`));
const hasPrepared = () => asked.includes("POST /v1/transactions/prepare");

const pin = (state, attempts = 0, last_error = null) => ({ store: "kubo", state, attempts, last_error });
/** What is said of the file's pins, one after the other; the first when it is stored. */
let said = [];
const next = () => ({ cid: CID, size: 1, local: true, pins: [said.length > 1 ? said.shift() : said[0]].filter(Boolean) });
await page.route("**/v1/ipfs", (route) => route.fulfill({ json: next() }));
await page.route(`**/v1/ipfs/${CID}`, (route) => route.fulfill({ json: next() }));

const onChain = page.getByRole("radio", { name: /^On the chain, in the URI/ });
const onIpfs = page.getByRole("radio", { name: /^On IPFS/ });
const cost = page.getByRole("button", { name: "Register: see the cost" });

// A pin that nobody calls public is no reason to leave the chain.
await page.goto(`${base}/register`);
await onChain.waitFor();
assert.ok(await onChain.isChecked());

await page.route("**/v1/sync", async (route) => {
  const response = await route.fetch();
  await route.fulfill({ response, json: { ...(await response.json()), public_pin: true } });
});
await page.goto(`${base}/register`);
await onIpfs.waitFor();
assert.ok(await onIpfs.isChecked());
await page.getByRole("button", { name: "Connect wallet" }).click();
await page.getByRole("dialog").getByRole("button", { name: "Test wallet" }).click();
await page.getByRole("dialog").waitFor({ state: "hidden" });
await page.getByLabel("Name", { exact: true }).fill("Pia");
await page.getByLabel("Description").fill("Keeps files.");
await page.getByLabel("Service 1: endpoint").fill("https://pia.example.com/card.json");

// No node at all.
await cost.click();
await page.getByRole("alert").getByText("Nobody but this instance would keep the file").waitFor();

// A node that fails.
said = [pin("queued"), pin("queued"), pin("failed", 1, "no room")];
await cost.click();
await page.getByRole("alert").getByText("did not pin the file (no room). Nothing was paid.").waitFor();
assert.ok(!hasPrepared(), "nothing is prepared for a file that nobody keeps");

// One that failed before, and keeps it now.
said = [pin("failed", 1, "no room"), pin("failed", 1, "no room"), pin("pinned", 1)];
await cost.click();
await page.getByText("At most", { exact: true }).waitFor();
assert.equal(said[0].state, "pinned");
assert.ok(hasPrepared());
await page.getByText("Pinned by this instance's IPFS node").waitFor();
await page.getByRole("button", { name: "Back" }).click();

// Whoever wants that goes on without.
said = [];
await page.getByLabel("Go on although this instance alone keeps it").check();
await cost.click();
await page.getByText("At most", { exact: true }).waitFor();
await page.getByText("Stored in this instance alone").waitFor();

await close();
