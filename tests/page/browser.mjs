// A real Chromium with a wallet of the test's own: it announces itself by EIP-6963 and signs through anvil.

import { createRequire } from "node:module";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const require = createRequire(new URL("../../web/package.json", import.meta.url));
const { chromium } = require("playwright-core");
const axe = await readFile(require.resolve("axe-core/axe.min.js"), "utf8");

/** Nothing is asked of anybody but the instance under test. */
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--disable-dev-shm-usage",
];

export const SIZES = { desktop: { width: 1280, height: 900 }, phone: { width: 390, height: 844 } };

/** The browser, with an empty profile that goes when it is closed. */
export async function open({ size = "desktop", scheme = "light", flags = [], executable = process.env.CHANCERY_CHROMIUM ?? "/usr/bin/chromium" } = {}) {
  const profile = await mkdtemp(join(tmpdir(), "chancery-chromium-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: executable,
    headless: true,
    args: [...FLAGS, ...flags],
    viewport: SIZES[size],
    colorScheme: scheme,
    deviceScaleFactor: 1,
    locale: "en-GB",
    timezoneId: "UTC",
    reducedMotion: "reduce",
  });
  const close = async () => {
    await context.close();
    await rm(profile, { recursive: true, force: true });
  };
  return { context, close };
}

/** A question to anvil, as JSON-RPC has it. */
export function node(url) {
  let id = 0;
  return async (method, params = []) => {
    const body = JSON.stringify({ jsonrpc: "2.0", id: ++id, method, params });
    const response = await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body });
    const { result, error } = await response.json();
    if (error) throw Object.assign(new Error(error.message), { code: error.code });
    return result;
  };
}

/** What axe-core finds wrong on the page as it is shown now, a line each. */
export async function violations(page) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() =>
    globalThis.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }),
  );
  return violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map((one) => `${one.target} ${one.failureSummary ?? ""}`).join(" | ")}`);
}

const ICON = `data:image/svg+xml,${encodeURIComponent(
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8"><rect width="8" height="8" rx="2" fill="#3b6"/><path d="M2 3h4v3H2z" fill="#fff"/></svg>',
)}`;

/**
 * Puts a wallet into every page of the context. `accounts` are the addresses that it gives; anvil holds their keys, or, of
 * those that are contracts, their keepers' (`keepers`, by account). `asked` collects what pages asked of it, and
 * `wallet.refuse` makes it decline the next question of that method. It takes `after` ms to answer.
 */
export async function wallet(context, rpc, accounts, { name = "Test wallet", rdns = "test.chancery.wallet", keepers = {}, after = 0 } = {}) {
  const chainId = await rpc("eth_chainId");
  const told = { asked: [], refuse: null };
  const answer = async (method, params) => {
    told.asked.push({ method, params });
    if (after > 0) await new Promise((done) => setTimeout(done, after));
    if (told.refuse === method) {
      told.refuse = null;
      throw Object.assign(new Error("User rejected the request."), { code: 4001 });
    }
    switch (method) {
      case "eth_accounts":
      case "eth_requestAccounts":
        return accounts;
      case "wallet_switchEthereumChain":
        if (BigInt(params[0].chainId) !== BigInt(chainId)) throw Object.assign(new Error("Unrecognized chain"), { code: 4902 });
        return null;
      case "eth_signTypedData_v4":
        return rpc(method, [keepers[params[0]] ?? params[0], JSON.parse(params[1])]);
      case "personal_sign":
      case "eth_chainId":
      case "eth_sendTransaction":
        return rpc(method, params ?? []);
      default:
        throw Object.assign(new Error(`this wallet does not know ${method}`), { code: -32601 });
    }
  };
  await context.exposeFunction("__testWallet", async (method, params) => {
    try {
      return { result: await answer(method, params) };
    } catch (error) {
      return { error: { code: error.code ?? -32603, message: error.message } };
    }
  });
  await context.addInitScript(
    ([name, rdns, icon]) => {
      const provider = {
        request: async ({ method, params }) => {
          const { result, error } = await globalThis.__testWallet(method, params);
          if (error) throw Object.assign(new Error(error.message), { code: error.code });
          return result;
        },
      };
      const info = Object.freeze({ uuid: "350670db-19fa-4704-a166-e52e178b59d2", name, rdns, icon });
      const announce = () => dispatchEvent(new CustomEvent("eip6963:announceProvider", { detail: Object.freeze({ info, provider }) }));
      addEventListener("eip6963:requestProvider", announce);
      announce();
    },
    [name, rdns, ICON],
  );
  return told;
}
