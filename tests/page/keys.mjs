// An agent is registered with the keyboard alone; wherever the focus is, it can be seen.
//
//   CHANCERY_PAGE=http://... ANVIL=http://... node keys.mjs

import assert from "node:assert/strict";
import { node, open, wallet } from "./browser.mjs";

const { CHANCERY_PAGE: base, ANVIL: anvil } = process.env;
const MOST = 60;

const rpc = node(anvil);
const accounts = (await rpc("eth_accounts")).slice(4, 6);
const { context, close } = await open();
await wallet(context, rpc, accounts);
const page = await context.newPage();
page.setDefaultTimeout(60_000);

/** What has the focus, as it is called, and whether that can be seen. */
const focused = () =>
  page.evaluate(() => {
    const element = document.activeElement;
    const style = getComputedStyle(element);
    // Behind the last element the focus is nowhere.
    if (element === document.body) return { name: "", isSeen: false, inDialog: false };
    const label = element.labels?.[0]?.textContent ?? "";
    return {
      name: (element.getAttribute("aria-label") ?? (label || element.textContent) ?? "").trim(),
      isSeen: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0,
      inDialog: element.closest("dialog") !== null,
    };
  });

async function tabTo(name) {
  const passed = [];
  for (let at = 0; at < MOST; at++) {
    await page.keyboard.press("Tab");
    const now = await focused();
    passed.push(now.name);
    if (now.name !== "") assert.ok(now.isSeen, `the focus on "${now.name}" can be seen`);
    if (now.name.startsWith(name)) return now;
  }
  throw new Error(`no "${name}" among ${passed.join(", ")}`);
}

await page.goto(`${base}/register`);
await page.getByRole("heading", { name: "Register an agent" }).waitFor();
assert.equal((await tabTo("Skip")).name, "Skip to the content");
await tabTo("Connect wallet");
await page.keyboard.press("Enter");
await page.getByRole("dialog").waitFor();
const chosen = await tabTo("Test wallet");
assert.ok(chosen.inDialog, "the dialog has the focus");
await page.keyboard.press("Enter");
await page.getByRole("dialog").waitFor({ state: "hidden" });
assert.ok(!(await focused()).inDialog);

await tabTo("Name");
await page.keyboard.type("Keys");
await tabTo("Description");
await page.keyboard.type("Registered without a mouse.");
await tabTo("Service 1: endpoint");
await page.keyboard.type("https://keys.example.com/card.json");
await tabTo("Reputation");
await page.keyboard.press("Space");
await page.locator(".warnings li", { hasText: "image" }).waitFor();
await page.getByText("Nothing is signed yet").waitFor();
await tabTo("Register: see the cost");
await page.keyboard.press("Enter");
await page.getByText("At most", { exact: true }).waitFor();
// The focus came along to what is next.
await page.waitForFunction(() => document.activeElement?.textContent?.startsWith("Register: sign in"));
await page.keyboard.press("Enter");
await page.getByRole("heading", { name: "It is done" }).waitFor();
assert.equal(await page.evaluate(() => document.activeElement?.id), "main", "who cannot see hears the new page");
await page.getByRole("link", { name: "Go to Keys" }).waitFor();
await tabTo("Go to Keys");
await page.keyboard.press("Enter");
await page.getByRole("heading", { name: "Keys", level: 1 }).waitFor();
// What a dialog took, it gives back.
await tabTo("Share");
await page.keyboard.press("Enter");
await page.getByRole("dialog").waitFor();
await page.keyboard.press("Escape");
await page.getByRole("dialog").waitFor({ state: "hidden" });
assert.equal((await focused()).name, "Share");
await close();
