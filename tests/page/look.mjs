// Every page at two widths in light and dark: axe-core finds nothing, nothing overflows, and a picture is kept in OUT.
//
//   CHANCERY_PAGE=http://... ANVIL=http://... OUT=dir node look.mjs

import assert from "node:assert/strict";
import { join } from "node:path";
import { node, open, violations, wallet } from "./browser.mjs";

const { CHANCERY_PAGE: base, ANVIL: anvil, OUT: out } = process.env;
const rpc = node(anvil);
const accounts = (await rpc("eth_accounts")).slice(0, 3);

// The demo's agents belong to anvil's accounts: one whose file was read, of somebody who is connected.
const { items } = await (await fetch(`${base}/v1/agents?limit=200`)).json();
const owner = (agent) => accounts.find((account) => account.toLowerCase() === agent.owner_address?.toLowerCase());
const agent = items.find((one) => owner(one) && one.metadata_state === "fetched" && one.runtime_status === "ACTIVE") ?? items.find(owner);
assert.ok(agent, "an agent of a connected account");
const place = `/agents/${agent.chain}:${agent.agent_id}`;
const mine = [owner(agent), ...accounts.filter((account) => account !== owner(agent))];

const PAGES = {
  agents: ["/", (page) => page.locator("table.ledger tbody tr").first()],
  register: ["/register", (page) => page.locator(".warnings li").first(), fill],
  statement: ["/register?way=statement", (page) => page.getByRole("button", { name: "Save the key file" }), makeKey],
  agent: [place, (page) => page.locator(".history li").first()],
  edit: [`${place}/edit`, (page) => page.locator("pre.file")],
  wallet: [`${place}/wallet`, (page) => page.getByLabel("New wallet")],
  transfer: [`${place}/transfer`, (page) => page.getByLabel("New owner")],
  status: [`${place}/status`, (page) => page.getByLabel("SLEEP")],
  deregister: [`${place}/deregister`, (page) => page.getByLabel("Why")],
  mine: [`/owners/${mine[0]}`, (page) => page.locator("table.ledger tbody tr").first()],
  transaction: [`/transactions/${agent.chain}/${agent.last_tx}`, (page) => page.getByRole("heading", { name: "It is done" })],
  office: ["/office", (page) => page.locator("table.ledger tbody tr").first()],
  nobody: ["/agents/31337:999999", (page) => page.getByRole("heading", { name: "No agent has this name" })],
};

async function fill(page) {
  await page.getByLabel("Name", { exact: true }).fill("Ada");
  await page.getByLabel("Description").fill("Files reports.");
  await page.getByLabel("Service 1: endpoint").fill("https://ada.example.com/.well-known/agent-card.json");
}

async function makeKey(page) {
  await page.getByLabel("Name", { exact: true }).fill("Grace");
  await page.getByLabel("Description").fill("Compiles.");
  await page.getByRole("button", { name: "Make a key" }).click();
}

const wrong = [];
for (const size of ["desktop", "phone"]) {
  for (const scheme of ["light", "dark"]) {
    const { context, close } = await open({ size, scheme });
    await wallet(context, rpc, mine);
    const page = await context.newPage();
    page.on("pageerror", (error) => wrong.push(`${size} ${scheme}: ${error.message}`));
    page.on("console", (line) => line.text().includes("Content Security Policy") && wrong.push(line.text()));
    await page.goto(base);
    await page.evaluate(() => localStorage.setItem("chancery-wallet", "test.chancery.wallet"));
    for (const [name, [path, ready, act]] of Object.entries(PAGES)) {
      const where = `${name} (${size}, ${scheme})`;
      await page.goto(base + path);
      await act?.(page);
      await ready(page).waitFor();
      await page.locator(".pulse[data-pulse=live]").waitFor();
      await judge(page, where);
      await page.screenshot({ path: join(out, `${name}-${size}-${scheme}.png`), fullPage: true, caret: "initial" });
    }
    await dialogs(page, `${size}-${scheme}`);
    await watches(page, `${size}-${scheme}`);
    // The narrowest width that WCAG asks for (1.4.10).
    await page.setViewportSize({ width: 320, height: 640 });
    for (const path of ["/", place, "/register", "/register?way=statement", "/watches", "/office"]) {
      await page.goto(base + path);
      await page.locator("main h1").waitFor();
      await fits(page, `${path} at 320 px`);
    }
    await close();
  }
}
assert.deepEqual(wrong, []);
await slow();

/** A wallet that answers while a part of the page is drawn and does not listen yet is shown there all the same. */
async function slow() {
  const { context, close } = await open();
  // Effects come behind the next frame and a timer, here two seconds after a drawing: those of the masthead and the
  // session's question first, then those of the sign-in, which that answer brings. The wallet answers before the latter.
  await wallet(context, rpc, mine, { after: 3_000 });
  await context.addInitScript(() => {
    const later = globalThis.setTimeout.bind(globalThis);
    globalThis.setTimeout = (work, ms, ...rest) => later(work, Math.max(ms ?? 0, 1_000), ...rest);
    globalThis.requestAnimationFrame = (work) => later(work, 1_000);
  });
  const page = await context.newPage();
  await page.goto(base);
  await page.evaluate(() => localStorage.setItem("chancery-wallet", "test.chancery.wallet"));
  await page.goto(`${base}/watches`);
  await page.getByRole("button", { name: "Sign in with Test wallet" }).waitFor();
  await close();
}

async function dialogs(page, suffix) {
  await page.goto(base + place);
  await page.getByRole("button", { name: "Share" }).click();
  await page.getByRole("img", { name: /Code that leads to/ }).waitFor();
  await judge(page, `share (${suffix})`);
  await page.screenshot({ path: join(out, `share-${suffix}.png`), caret: "initial" });
  await page.keyboard.press("Escape");
  await page.locator(".wallet button").first().click();
  await page.getByRole("dialog").getByText("Speak as").waitFor();
  await judge(page, `account (${suffix})`);
  await page.screenshot({ path: join(out, `account-${suffix}.png`), caret: "initial" });
}

/** Signed out, and signed in with somebody to watch. */
async function watches(page, suffix) {
  await page.goto(`${base}/watches`);
  const sign = page.getByRole("button", { name: "Sign in with Test wallet" });
  await sign.waitFor();
  await judge(page, `watches, signed out (${suffix})`);
  await page.screenshot({ path: join(out, `signed-out-${suffix}.png`), fullPage: true, caret: "initial" });
  await sign.click();
  await page.getByText("Signed in as").waitFor();
  await page.getByLabel("An owner's address").fill(mine[0]);
  await page.getByRole("main").getByRole("button", { name: "Watch", exact: true }).click();
  await page.getByRole("button", { name: `Stop watching ${mine[0]}` }).waitFor();
  await page.getByRole("heading", { name: "What happened" }).waitFor();
  await judge(page, `watches, signed in (${suffix})`);
  await page.screenshot({ path: join(out, `watches-${suffix}.png`), fullPage: true, caret: "initial" });
}

async function judge(page, where) {
  for (const found of await violations(page)) wrong.push(`${where}: ${found}`);
  await fits(page, where);
}

async function fits(page, where) {
  const { wide, room } = await page.evaluate(() => ({ wide: document.documentElement.scrollWidth, room: document.documentElement.clientWidth }));
  if (wide > room) wrong.push(`${where}: ${wide} px do not fit into ${room}`);
}
