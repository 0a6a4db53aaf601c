// The page reads this instance every two seconds and writes what it says into the ledger. Texts come
// from strangers: they are set as text, never as markup, and lead nowhere but into our own API.
"use strict";

const EVERY = 2000;
const STALE_AFTER = 7000;
const FIRST = matchMedia("(max-width: 46rem)").matches ? 10 : 25;

const $ = (id) => document.getElementById(id);
const origin = location.origin;

const state = {
  limit: FIRST,
  read: 0, // when the last round succeeded
  problem: null,
  texts: new Map(), // path -> the body that is shown
  newest: null,
  chains: [],
  sealed: null,
};

// --- small things -----------------------------------------------------------------------------

function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined) continue;
    if (name === "text") made.textContent = value;
    else if (name.startsWith("data-") || name.startsWith("aria-")) made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

const number = new Intl.NumberFormat();
const count = (value) => (value === null || value === undefined ? "–" : number.format(value));
const middle = (text, from = 6, to = 4) =>
  text && text.length > from + to + 1 ? `${text.slice(0, from)}…${text.slice(-to)}` : text || "–";
const encode = encodeURIComponent;

function ago(time) {
  const then = new Date(time);
  const seconds = Math.round((Date.now() - then) / 1000);
  const steps = [[60, 1, "s"], [3600, 60, "min"], [86400, 3600, "h"], [30 * 86400, 86400, "d"]];
  if (seconds < 2) return "now";
  for (const [below, unit, name] of steps) {
    if (seconds < below) return `${Math.floor(seconds / unit)} ${name} ago`;
  }
  return then.toLocaleDateString(undefined, { year: "numeric", month: "short", day: "numeric" });
}

function when(time) {
  if (!time) return element("span", { text: "–" });
  const made = element("time", { dateTime: time, title: new Date(time).toISOString(), text: ago(time) });
  return made;
}

/** Puts new children in, and the focus back to where it was. */
function fill(parent, children) {
  const focused = document.activeElement;
  const key = parent.contains(focused) ? focused.getAttribute("href") : null;
  parent.replaceChildren(...children);
  if (key) {
    const again = [...parent.querySelectorAll("a")].find((link) => link.getAttribute("href") === key);
    if (again) again.focus({ preventScroll: true });
  }
}

function empty(list, isEmpty, text) {
  const note = list.parentElement.querySelector(":scope > .empty");
  if (text) note.textContent = text;
  note.hidden = !isEmpty;
  list.hidden = isEmpty;
}

/** The body, or null where there is nothing there; whether it is news. */
async function read(path, isJson = true) {
  const response = await fetch(path, { cache: "no-cache", signal: AbortSignal.timeout(6000) });
  if (response.status === 404) return { body: null, news: state.texts.get(path) !== null && !void state.texts.set(path, null) };
  if (!response.ok) throw new Error(`${path} answers with ${response.status}`);
  const text = await response.text();
  const news = state.texts.get(path) !== text;
  state.texts.set(path, text);
  return { body: isJson ? JSON.parse(text) : text, news };
}

// --- what is shown ----------------------------------------------------------------------------

const STATES = {
  starting: ["starting", "warn"],
  backfilling: ["reading history", "warn"],
  following: ["following", "good"],
  retrying: ["retrying", "bad"],
  halted: ["halted", "bad"],
};

function showSync({ chains, agents, journal }) {
  state.chains = chains;
  const opened = chains.filter((chain) => chain.chain !== null);
  $("figure-agents").textContent = count(agents);
  const kept = opened.length === 1 ? "on one chain" : `on ${opened.length} chains`;
  $("figure-agents-note").textContent = opened.length ? kept : "no chain yet";
  const first = opened[0];
  $("figure-head").textContent = first ? count(first.head) : "–";
  $("figure-head-note").textContent = first ? first.name : "no chain yet";
  const lags = opened.map((chain) => chain.lag).filter((lag) => lag !== null);
  const most = lags.length ? Math.max(...lags) : null;
  $("figure-lag").textContent = count(most);
  $("figure-lag-note").textContent = most === null ? "not known" : most === 0 ? "at the head" : most === 1 ? "block behind" : "blocks behind";
  $("figure-journal").textContent = count(journal.size);
  $("figure-journal-note").textContent = journal.queued ? `${count(journal.queued)} wait for the next seal` : "all entries sealed";

  const body = $("chains").tBodies[0];
  fill(body, chains.map(chainRow));
  empty($("chains"), chains.length === 0);

  $("journal-origin").textContent = journal.origin;
  $("journal-size").textContent = `${count(journal.size)} sealed, ${count(journal.queued)} queued`;
  $("journal-root").textContent = journal.root || "–";
  $("journal-vkey").textContent = journal.vkey;
}

function chainRow(chain) {
  const [word, tone] = STATES[chain.state] || ["not followed here", ""];
  const replayed = chain.origin === "replay" && chain.state === "following";
  const registry = chain.contracts.identity[0];
  return element("tr", {},
    element("td", { "data-label": "Chain" },
      element("span", { className: "name", text: chain.name }),
      chain.chain === null ? null : element("span", { className: "sub", text: `eip155:${chain.chain}` }),
      chain.error ? element("div", { className: "error", text: chain.error }) : null),
    element("td", { "data-label": "State" }, element("span", { className: tone, text: replayed ? "recording, read" : word })),
    element("td", { "data-label": "Head", className: "number", text: count(chain.head) }),
    element("td", { "data-label": "Lag", className: "number", text: count(chain.lag) }),
    element("td", { "data-label": "Settled", className: "number", text: count(chain.settled) }),
    element("td", { "data-label": "Registry", title: registry || "" },
      registry ? element("code", { text: middle(registry, 8, 6) }) : element("span", { text: "–" })),
  );
}

const shortOf = (agent) =>
  agent.chain === null ? agent.id.slice(0, 8) : `${agent.chain}:${middle(agent.agent_id, 10, 6)}`;

const FILES = {
  fetched: ["read", "good"],
  nonconformant: ["read, not to the letter", "warn"],
  pending: ["pending", "sub"],
  malformed: ["malformed", "bad"],
  unavailable: ["unavailable", "bad"],
  too_large: ["too large", "bad"],
  blocked: ["blocked", "bad"],
  unsupported: ["not supported", "warn"],
  none: ["none", "sub"],
};

function fileCell(agent) {
  const [word, tone] = FILES[agent.metadata_state] || ["none", "sub"];
  const cell = element("td", { "data-label": "File" }, element("span", { className: tone, text: word }));
  const verification = agent.metadata_verification;
  const wasRead = ["fetched", "nonconformant", "malformed"].includes(agent.metadata_state);
  if (verification && (wasRead || verification === "mismatch")) {
    const tones = { verified: "good", mismatch: "bad" };
    cell.append(", ", element("span", { className: tones[verification] || "sub", text: verification }));
  }
  return cell;
}

function agentRow(agent) {
  const named = agent.name_source !== "none";
  return element("tr", {},
    element("td", { "data-label": "Agent" },
      element("a", { className: named ? "name" : "name unnamed", href: `/v1/agents/${agent.id}`, text: named ? agent.name : "unnamed", title: agent.did }),
      element("span", { className: "sub", text: shortOf(agent), title: agent.agent_id || agent.did }),
      agent.complete ? null : element("span", { className: "sub warn", text: " incomplete", title: "Its registration was not seen" })),
    element("td", { "data-label": "Owner", title: agent.owner_address || "" },
      agent.owner_address ? element("code", { text: middle(agent.owner_address) }) : element("span", { className: "sub", text: "not known" })),
    element("td", { "data-label": "Status" },
      element("span", { className: "status", "data-status": agent.runtime_status, text: agent.burned ? "BURNED" : agent.runtime_status })),
    fileCell(agent),
    element("td", { "data-label": "Proof", text: agent.level || "–" }),
    element("td", { "data-label": "Registered", className: "number" }, when(agent.created_at)),
  );
}

function showAgents(page) {
  state.newest = page.items.find((agent) => agent.chain !== null) || page.items[0] || state.newest;
  fill($("agents-table").tBodies[0], page.items.map(agentRow));
  const filtered = $("query").value.trim() !== "" || $("status").value !== "";
  empty($("agents-table"), page.items.length === 0, filtered
    ? "No agent is like that."
    : "No agent is registered yet: the last section says how to be the first.");
  $("more").hidden = page.next_cursor === null || state.limit >= 200;
}

const COLUMNS = {
  owner_address: "owner", agent_wallet: "wallet", agent_uri: "URI", runtime_status: "status", document: "registration file",
  last_heartbeat: "heartbeat", registered: "registered", burned: "burned",
};

function valueText(what, value) {
  if (value === null || value === undefined) return what === "document" ? "could not be read" : "none";
  const text = typeof value === "string" ? value : JSON.stringify(value);
  if (/^0x[0-9a-f]{40}$/i.test(text)) return middle(text);
  if (/^[0-9a-f]{64}$/.test(text)) return `sha256 ${middle(text, 8, 8)}`;
  return text.length > 80 ? `${text.slice(0, 64)}…` : text;
}

function changeItem(item) {
  const [change] = item.changes;
  const undone = item.kind === "undone";
  const what = COLUMNS[change.column] || change.column.replace(/^onchain:/, "metadata ").replaceAll("_", " ");
  return element("li", {},
    when(item.time),
    element("div", { className: "value" },
      element("a", { href: `/v1/agents/${item.agent.id}`, text: item.agent.name || item.agent.id.slice(0, 8) }),
      " ",
      element("span", { className: undone ? "undone" : "", title: change.cause }, `${what} `, element("code", { text: valueText(change.column, change.value) })),
      undone ? element("span", { className: "bad", text: " taken back" }) : null),
  );
}

function showChanges(page) {
  fill($("changes"), page.items.reverse().map(changeItem));
  empty($("changes"), page.items.length === 0);
}

function entryItem(entry) {
  return element("li", {},
    element("a", { className: "code", href: `/v1/entries/${entry.cid}`, title: entry.cid, text: middle(entry.cid, 14, 8) }),
    element("span", { className: "sub", text: `${entry.leaf_index === null ? "" : `leaf ${count(entry.leaf_index)} · `}${entry.kind} · ${entry.state}` }),
  );
}

function showEntries(page) {
  fill($("entries"), page.items.map(entryItem));
  empty($("entries"), page.items.length === 0);
  const sealed = page.items.find((entry) => entry.leaf_index !== null);
  state.sealed = sealed ? sealed.cid : state.sealed;
}

// --- how to -----------------------------------------------------------------------------------

const ANVIL = {
  key: "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
  address: "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
};

function line(text, note) {
  const button = element("button", { type: "button", text: "Copy", "aria-label": `Copy: ${text.slice(0, 60)}` });
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(button.previousElementSibling);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  return element("div", { className: "line" },
    note ? element("p", { className: "note", text: note }) : null,
    element("div", { className: "line" }, element("pre", { tabIndex: 0, text }), button));
}

let shownLines = "";

function showLines() {
  const started = state.chains.find((chain) => chain.origin === "started");
  const agent = state.newest;
  const name = agent ? (agent.chain === null ? agent.id : `${agent.chain}:${agent.agent_id}`) : null;
  const key = JSON.stringify([Boolean(started), name, agent && agent.did, state.sealed]);
  if (key === shownLines) return;
  shownLines = key;
  const chancery = `chancery --url ${origin}`;
  const register = [];
  if (started) {
    register.push(line(`printf ${ANVIL.key} > agent.key && chmod 600 agent.key`, "On this dev chain, a key that everybody knows will do:"));
  }
  register.push(line(
    `${chancery} agent register --name "My agent" --description "What it does" --service A2A=https://example.com/agent.json --key agent.key`,
    started ? "Then:" : "agent.key is a keystore JSON or a 0x-hex file that only you may read:"));
  $("with-chancery").replaceChildren(...register);

  const file = JSON.stringify({
    type: "https://eips.ethereum.org/EIPS/eip-8004#registration-v1", name: "My agent", description: "What it does",
  });
  const chain = started ? started.chain : (state.chains.find((one) => one.chain !== null) || {}).chain;
  const wish = { from: ANVIL.address, chain, action: { kind: "register", uri: `data:application/json;base64,${btoa(file)}` } };
  $("with-curl").replaceChildren(
    line(`curl -s ${origin}/v1/transactions/prepare -H 'content-type: application/json' -d '${JSON.stringify(wish)}'`,
      "Gives the transaction that your wallet signs (eth_signTransaction); put your own address as from:"),
    line(`curl -s ${origin}/v1/transactions -H "authorization: Bearer $CHANCERY_TOKEN" -H 'content-type: application/json' -d '{"chain":${chain ?? 1},"raw":"0x…"}'`,
      "Passes the signed bytes on; the token lies in the instance's data directory:"),
  );

  const look = [];
  if (name) {
    look.push(line(`curl -s ${origin}/v1/agents/${encode(name).replaceAll("%3A", ":")}`));
    look.push(line(`${chancery} did resolve ${agent.did}`));
    look.push(line(`${chancery} agent history ${name}`));
  } else {
    look.push(line(`curl -s ${origin}/v1/agents`));
  }
  if (state.sealed) {
    look.push(line(`curl -s ${origin}/v1/entries/${state.sealed}/proof > entry.tlog-proof && chancery audit verify entry.tlog-proof`,
      "Verifies offline that the newest sealed entry is in the signed log:"));
  }
  $("look-up").replaceChildren(...look);
}

// --- the round --------------------------------------------------------------------------------

function agentsPath() {
  const query = new URLSearchParams({ limit: String(state.limit) });
  const text = $("query").value.trim();
  if (text) query.set("q", text);
  if ($("status").value) query.set("status", $("status").value);
  return `/v1/agents?${query}`;
}

async function round() {
  const parts = [
    ["/v1/sync", showSync],
    [agentsPath(), showAgents],
    ["/v1/changes?level=head&after=newest&limit=12", showChanges],
    ["/v1/entries?limit=6", showEntries],
  ];
  const answers = await Promise.all(parts.map(([path]) => read(path)));
  const checkpoint = await read("/audit/checkpoint", false);
  parts.forEach(([, show], at) => {
    if (answers[at].body && (answers[at].news || !state.read)) show(answers[at].body);
  });
  if (checkpoint.news) $("checkpoint").textContent = checkpoint.body ? checkpoint.body.trimEnd() : "nothing is sealed yet";
  showLines();
}

function pulse() {
  const age = Date.now() - state.read;
  const stale = state.read > 0 ? age > STALE_AFTER : state.problem !== null;
  const seconds = Math.floor(age / 1000);
  $("pulse").dataset.state = stale ? "stale" : state.read ? "live" : "waiting";
  $("pulse-text").textContent = stale
    ? (state.read ? `Stale for ${seconds} s` : "No answer")
    : state.read ? (seconds < 2 ? "Live, just read" : `Live, read ${seconds} s ago`) : "Reading…";
  document.body.classList.toggle("stale", stale);
  $("alarm").hidden = !stale;
  // Said once, not every second: screen readers read it out.
  const text = "This instance does not answer. What stands below is what it said last.";
  if (stale && $("alarm").textContent !== text) $("alarm").textContent = text;
  if (!stale) $("alarm").textContent = "";
}

function refreshTimes() {
  for (const time of document.querySelectorAll("time")) {
    const text = ago(time.dateTime);
    if (time.textContent !== text) time.textContent = text;
  }
}

let turning = false;
let again = false;
async function turn() {
  if (document.hidden) return;
  if (turning) { again = true; return; }
  turning = true;
  try {
    await round();
    state.read = Date.now();
    state.problem = null;
  } catch (error) {
    state.problem = error;
  } finally {
    turning = false;
    pulse();
    if (again) { again = false; turn(); }
  }
}

let typing;
function filter() {
  clearTimeout(typing);
  typing = setTimeout(() => {
    for (const path of state.texts.keys()) if (path.startsWith("/v1/agents?")) state.texts.delete(path);
    state.limit = FIRST;
    turn();
  }, 200);
}

$("query").addEventListener("input", filter);
$("status").addEventListener("change", filter);
$("more").addEventListener("click", () => { state.limit = Math.min(200, state.limit + 50); turn(); });
document.addEventListener("visibilitychange", turn);
setInterval(() => { if (!turning) turn(); }, EVERY);
setInterval(() => { pulse(); refreshTimes(); }, 1000);
turn();
