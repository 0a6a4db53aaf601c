// A page of another origin, in a browser that is signed in: whatever it tries, it reads nothing, and nothing changes. In
// the end the instance's own page tries the same and succeeds, so that these attempts could have.
//
//   CHANCERY_PAGE=http://127.0.0.1:... ANVIL=http://... node hostile.mjs

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { node, open, wallet } from "./browser.mjs";
import { listen } from "./stranger.mjs";

const { CHANCERY_PAGE: base, ANVIL: anvil } = process.env;
const { hostname, port } = new URL(base);
assert.equal(hostname, "127.0.0.1", "cookies are a host's, whatever its port: the neighbour below has the same one");

const rpc = node(anvil);
const chain = Number(await rpc("eth_chainId"));
const ada = (await rpc("eth_accounts"))[8];
/** anvil's tenth account, as EIP-55 writes it. */
const MALLORY = "0xa0Ee7A142d267C1f36714E4a8F75612F20a79720";
// Whoever owns a name can have it mean this machine once his page is loaded.
const bent = `http://rebound.test:${port}`;
const stranger = await listen(base, bent);
const { context, close } = await open({ flags: [`--host-resolver-rules=MAP rebound.test 127.0.0.1:${stranger.port}`] });
await wallet(context, rpc, [ada]);

/** Whose pages ask, and under which address they reach the instance. */
const STRANGERS = [
  { who: "another port", url: `http://127.0.0.1:${stranger.port}/stranger`, at: base },
  { who: "another site", url: `http://localhost:${stranger.port}/stranger`, at: base },
  { who: "a page in a sandbox", url: `http://127.0.0.1:${stranger.port}/stranger/sandboxed`, at: base },
  { who: "a name that was bent", url: `${bent}/stranger`, at: bent, isBent: true },
];

// Somebody signs in, watches, and makes a key; then looks from a document of the instance that no policy binds.
const watched = `0x${randomBytes(20).toString("hex")}`;
const named = `secret-${randomBytes(8).toString("hex")}`;
const ours = await context.newPage();
ours.setDefaultTimeout(60_000);
await ours.goto(`${base}/watches`);
await ours.getByRole("button", { name: "Connect wallet" }).click();
await ours.getByRole("dialog").getByRole("button", { name: "Test wallet" }).click();
await ours.getByRole("dialog").waitFor({ state: "hidden" });
await ours.getByRole("button", { name: "Sign in with Test wallet" }).click();
await ours.getByText("Signed in as").waitFor();
await ours.goto(`${base}/livez`);
const added = await send(ours, base, { method: "POST", path: "/v1/watches", body: { target: watched } });
assert.equal(added.status, 201, "a watch");
const made = await send(ours, base, { method: "POST", path: "/v1/keys", body: { name: named } });
assert.equal(made.status, 200, "a key");
const key = JSON.parse(made.got).key_id;
const secrets = [ada.toLowerCase(), watched, named, key];

/** What only the account may read; `isOpen` is what everybody may ask, and is answered with less. */
const READS = [
  { path: "/v1/sessions/current", isOpen: true },
  { path: "/v1/keys" },
  { path: `/v1/keys/${key}` },
  { path: "/v1/watches" },
  { path: "/v1/changes?level=head&watch=mine" },
];

/** What changes something. The last ones end what the others need. */
const WRITES = [
  { method: "POST", path: "/v1/sessions/nonce", isQuiet: true },
  { method: "POST", path: "/v1/watches", body: { target: MALLORY }, answer: 201 },
  { method: "POST", path: "/v1/keys", body: { name: "planted" } },
  { method: "POST", path: `/v1/keys/${key}/rotate`, body: {} },
  // The operator's: the account is known, and refused.
  { method: "PUT", path: "/v1/agents/nobody/status", body: { status: "SLEEP" }, answer: 403, isQuiet: true },
  { method: "DELETE", path: "/v1/watches/mine" },
  { method: "DELETE", path: `/v1/keys/${key}` },
  { method: "DELETE", path: "/v1/sessions/current" },
  // Signs the visitor in as somebody else, who then reads what he watches.
  { method: "POST", path: "/v1/sessions", body: signedIn, isQuiet: true },
];

/** How a script asks: a question of the type that is right is asked about first, the others are sent at once. */
const WAYS = [
  { mode: "cors", type: "application/json" },
  { mode: "cors", type: "text/plain" },
  { mode: "no-cors", type: "text/plain" },
  { mode: "no-cors", type: "application/x-www-form-urlencoded" },
  { mode: "no-cors", type: "text/plain", keepalive: true },
];
const FORMS = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"];

/** All attempts: `by` does one on a page, and tells what the page got to read and, where it is known, the status. */
const ATTEMPTS = [
  ...READS.flatMap((what) => ["cors", "no-cors"].map((mode) => ({ ...what, mode, by: (page, at) => send(page, at, { ...what, mode }) }))),
  ...READS.map((what) => ({ ...what, mode: "XMLHttpRequest", by: (page, at) => old(page, at + what.path) })),
  ...WRITES.flatMap((what) => WAYS.map((way) => ({ ...what, ...way, by: (page, at) => send(page, at, { ...what, ...way }) }))),
  ...WRITES.filter(({ method }) => method === "POST").flatMap((what) =>
    FORMS.map((type) => ({ ...what, mode: "form", type, by: (page, at) => submit(page, at + what.path, type, what.body) })),
  ),
  { mode: "EventSource", path: "/v1/changes?level=head", isOpen: true, by: (page, at) => opens(page, "EventSource", `${at}/v1/changes?level=head`) },
  { mode: "WebSocket", path: "/v1/heartbeat", by: (page, at) => opens(page, "WebSocket", `${at.replace("http", "ws")}/v1/heartbeat`) },
  { mode: "iframe", path: "/", by: (page, at) => frame(page, `${at}/`) },
  { mode: "iframe", path: "/watches", by: (page, at) => frame(page, `${at}/watches`) },
  { mode: "window.open", path: "/watches", isOpen: true, by: (page, at) => popup(page, `${at}/watches`, at === base) },
];
const words = ({ method = "GET", path, mode, type = "", keepalive }) => `${mode} ${method} ${path} ${type}${keepalive ? " keepalive" : ""}`;

let before = await state();
assert.ok(secrets.every((secret) => JSON.stringify(before).toLowerCase().includes(secret)), "the account sees its own");
for (const { who, url, at, isBent = false } of STRANGERS) {
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  const through = [];
  page.on("response", (response) => {
    const method = response.request().method();
    if (!["GET", "HEAD", "OPTIONS"].includes(method) && response.status() < 400) through.push(`${method} ${response.url()}: ${response.status()}`);
  });
  await page.goto(url);
  // What it tries, it tries well: it frames what lets itself be framed.
  assert.notEqual((await frame(page, `${new URL(url).origin}/stranger/copy`)).got, "", `${who} frames a copy`);
  for (const attempt of ATTEMPTS) {
    const what = `${who}: ${words(attempt)}`;
    const { got, status } = await attempt.by(page, at);
    const read = got.toLowerCase();
    assert.ok(!secrets.some((secret) => read.includes(secret)), `${what} got ${got}`);
    // To a browser the bent name is the instance's own, so what is everybody's is read there.
    if (!(isBent && attempt.isOpen)) assert.equal(got, "", what);
    if (attempt.mode === "form") assert.ok(status >= 400, `${what}: ${status}`);
    assert.deepEqual(through, [], what);
    assert.deepEqual(await state(), before, what);
  }
  assert.equal(page.url(), url);
  await page.close();
}
// The browser was signed in all the time, and brought the cookie to its host's other port. Who took it there has half of
// a session, and that opens nothing, whatever page he says that it comes from;
const cookie = [...stranger.cookies].find((cookie) => cookie.includes("chancery_session="));
const [, kept] = /chancery_session=([^;]+)/.exec(cookie);
const alike = { origin: base, "sec-fetch-site": "same-origin" };
for (const proof of [{ cookie }, { cookie, ...alike }, { cookie, "chancery-session": "", ...alike }, { authorization: `Bearer ${kept}` }]) {
  for (const { method = "GET", path, body, isOpen } of [...READS, ...WRITES.filter(({ isQuiet }) => !isQuiet)]) {
    const what = `${Object.keys(proof)}: ${method} ${path}`;
    const { status, got } = await stranger.ask(method, path, proof, await text(body));
    assert.ok(isOpen || status >= 400, `${what}: ${status}`);
    // A problem names the path that was asked for.
    const read = got.replaceAll(path, "").toLowerCase();
    assert.ok(!secrets.some((secret) => read.includes(secret)), `${what} got ${got}`);
    assert.deepEqual(await state(), before, what);
  }
}
// the whole one would have.
const half = await ours.evaluate(() => localStorage.getItem("chancery-session"));
assert.ok((await stranger.ask("GET", "/v1/keys", { cookie, "chancery-session": half })).got.includes(key));

// The instance's own page does the same: it reads,
for (const attempt of ATTEMPTS.filter(({ method, mode }) => method === undefined && mode !== "iframe" && mode !== "no-cors")) {
  const { got } = await attempt.by(ours, base);
  assert.notEqual(got, "", words(attempt));
}
// it is let through in each way that a script or a form has,
const nonce = WRITES[0];
for (const way of WAYS) assert.equal((await send(ours, base, { ...nonce, ...way })).status, 200, words({ ...nonce, ...way }));
for (const type of FORMS) assert.equal((await submit(ours, base + nonce.path, type)).status, 200, words({ ...nonce, mode: "form", type }));
// and it changes things.
for (const what of WRITES) {
  const { status } = await send(ours, base, what);
  assert.equal(status, what.answer ?? 200, words(what));
  const after = await state();
  if (what.isQuiet) assert.deepEqual(after, before, words(what));
  else assert.notDeepEqual(after, before, words(what));
  before = after;
}

console.log(JSON.stringify({ strangers: STRANGERS.length, attempts: ATTEMPTS.length }));
await close();
stranger.close();

/** What the account has, and what was journaled, as the signed-in page sees it. */
async function state() {
  const told = {};
  for (const path of ["/v1/sessions/current", "/v1/keys", "/v1/watches", "/v1/entries?limit=200"]) {
    const { status, got } = await send(ours, base, { path });
    const answer = got === "" ? null : JSON.parse(got);
    // An entry is sealed and published meanwhile; which ones there are stays.
    told[path] = [status, path.startsWith("/v1/entries") ? answer.items.map(({ cid }) => cid) : answer];
  }
  return told;
}

/** Asks with `fetch` and with the cookie; a page of the instance also has its half of the session. */
async function send(page, at, { method = "GET", path, mode = "cors", type = "application/json", keepalive = false, body }) {
  const asked = { url: at + path, method, mode, keepalive, type: method === "GET" ? null : type, body: await text(body) };
  return page.evaluate(async ({ url, type, ...rest }) => {
    const headers = type === null ? {} : { "content-type": type };
    try {
      const half = localStorage.getItem("chancery-session");
      if (half !== null) headers["chancery-session"] = half;
    } catch {
      // A page in a sandbox keeps nothing.
    }
    try {
      const response = await fetch(url, { ...rest, headers, credentials: "include", cache: "no-store" });
      return { status: response.status, got: response.ok ? await response.text() : "" };
    } catch {
      return { status: 0, got: "" };
    }
  }, asked);
}

/** Asks as scripts did before `fetch`. */
function old(page, url) {
  return page.evaluate(
    (url) =>
      new Promise((done) => {
        const asked = new XMLHttpRequest();
        asked.open("GET", url);
        asked.withCredentials = true;
        try {
          const half = localStorage.getItem("chancery-session");
          if (half !== null) asked.setRequestHeader("chancery-session", half);
        } catch {
          // As above.
        }
        asked.onload = () => done({ got: asked.status < 300 ? asked.responseText : "" });
        asked.onerror = () => done({ got: "" });
        asked.send();
      }),
    url,
  );
}

/** Sends a form, which goes to a window of its own: nobody is asked about these, and they take the cookie along. */
async function submit(page, url, type, body) {
  const name = (await text(body)) ?? "nothing";
  const answered = context.waitForEvent("response", (response) => response.url() === url && response.request().isNavigationRequest());
  const [shown] = await Promise.all([
    page.waitForEvent("popup"),
    page.evaluate(
      ([url, type, name]) => {
        const form = document.createElement("form");
        const field = document.createElement("input");
        Object.assign(form, { action: url, method: "POST", enctype: type, target: "_blank" });
        form.setAttribute("rel", "opener");
        field.name = name;
        form.append(field);
        document.body.append(form);
        form.submit();
        form.remove();
      },
      [url, type, name],
    ),
  ]);
  const status = (await answered).status();
  await shown.close();
  return { got: "", status };
}

/** Opens a stream of events or a socket. */
function opens(page, kind, url) {
  return page.evaluate(
    ([kind, url]) =>
      new Promise((done) => {
        const opened = kind === "WebSocket" ? new WebSocket(url) : new EventSource(url, { withCredentials: true });
        const end = (got) => {
          opened.onopen = opened.onerror = null;
          opened.close();
          done({ got });
        };
        opened.onopen = () => end("opened");
        opened.onerror = () => end("");
      }),
    [kind, url],
  );
}

/** Shows a document in a frame: whether the page is seen there, for its script is asked for then. */
async function frame(page, url) {
  let got = "";
  const look = (request) => {
    if (new URL(request.url()).pathname === "/assets/app.js") got = "framed";
  };
  page.on("request", look);
  await page.evaluate(
    (url) =>
      new Promise((done) => {
        const frame = document.createElement("iframe");
        frame.onload = () => {
          frame.remove();
          done();
        };
        frame.src = url;
        document.body.append(frame);
      }),
    url,
  );
  page.off("request", look);
  return { got };
}

/** Opens the instance's page in a window, and reads there once its user sees what he watches. */
async function popup(page, url, isSignedIn) {
  const [opened] = await Promise.all([page.waitForEvent("popup"), page.evaluate((url) => void (globalThis.opened = window.open(url)), url)]);
  await opened.waitForLoadState();
  if (isSignedIn) await opened.getByText(watched).first().waitFor();
  const got = await page.evaluate(() => {
    try {
      return globalThis.opened.document.documentElement.innerText;
    } catch {
      return "";
    }
  });
  await opened.close();
  return { got };
}

/** A good sign-in of somebody else, whom no browser hinders. */
async function signedIn() {
  const asked = await fetch(`${base}/v1/sessions/nonce`, { method: "POST" });
  assert.equal(asked.status, 200);
  const { nonce, domain, uri, statement } = await asked.json();
  const lines = [
    `${domain} wants you to sign in with your Ethereum account:`,
    MALLORY,
    "",
    statement,
    "",
    `URI: ${uri}`,
    "Version: 1",
    `Chain ID: ${chain}`,
    `Nonce: ${nonce}`,
    `Issued At: ${new Date().toISOString()}`,
  ];
  const message = lines.join("\n");
  const signature = await rpc("personal_sign", [`0x${Buffer.from(message).toString("hex")}`, MALLORY]);
  return { message, signature };
}

/** A body as JSON. */
async function text(body) {
  const made = typeof body === "function" ? await body() : body;
  return made && JSON.stringify(made);
}
