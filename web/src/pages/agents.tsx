// The first page: what this office is, and its agents.

import { useEffect, useState } from "preact/hooks";
import { get, type Agent, type Change, type Page, type Sync } from "../api";
import { useChanges, useRead } from "../live";
import { go, useRoute, useTitle } from "../route";
import { AgentTable } from "../parts/table";
import { Alarm, Time, Waiting } from "../parts/show";
import { columnName, count, middle, valueText } from "../words";

const FIRST = 25;
const STATUSES = ["ACTIVE", "SLEEP", "TERMINATED"];

export function AgentsPage() {
  useTitle("");
  const sync = useRead<Sync>("/v1/sync", { minds: () => true, every: 15_000, rest: 10_000 });
  return (
    <>
      <section class="intro">
        <div>
          <h1>The record office for on-chain agents</h1>
          <p>
            Every record here follows the chain log by log. Registration files are held against their hashes, and each change is written into a
            log that anybody can verify.
          </p>
          <p class="buttons">
            <a class="button first" href="/register">
              Register an agent
            </a>
            <a class="button" href="/office">
              How far it is
            </a>
          </p>
        </div>
        <Figures sync={sync.data} />
      </section>
      <Agents />
      <LastChanges />
    </>
  );
}

function Figures({ sync }: { sync: Sync | null }) {
  const opened = sync?.chains.filter((chain) => chain.chain !== null) ?? [];
  const lags = opened.flatMap((chain) => (chain.lag === null ? [] : [chain.lag]));
  const lag = lags.length > 0 ? Math.max(...lags) : null;
  const behind = lag === null ? "lag not known" : lag === 0 ? "at the head" : `${count(lag)} behind`;
  const first = opened[0];
  return (
    <dl class="figures">
      <div>
        <dt>Agents</dt>
        <dd>{count(sync?.agents)}</dd>
        <dd class="sub">{opened.length === 1 ? "on one chain" : `on ${opened.length} chains`}</dd>
      </div>
      <div>
        <dt>Block</dt>
        <dd>{count(first?.head)}</dd>
        <dd class="sub">{first ? `${first.name}, ${behind}` : "no chain yet"}</dd>
      </div>
      <div>
        <dt>Journal</dt>
        <dd>{count(sync?.journal.size)}</dd>
        <dd class="sub">{sync?.journal.queued ? `${count(sync.journal.queued)} wait for the seal` : "all sealed"}</dd>
      </div>
    </dl>
  );
}

function Agents() {
  const { query } = useRoute();
  const [text, setText] = useState(query.get("q") ?? "");
  const status = query.get("status") ?? "";
  const asked = query.get("q") ?? "";

  // What is looked for stands in the address, so that it can be shared and gone back to.
  const look = (q: string, status: string) => {
    const wanted = new URLSearchParams();
    if (q.trim() !== "") wanted.set("q", q.trim());
    if (status !== "") wanted.set("status", status);
    const search = wanted.toString();
    go(search === "" ? "/" : `/?${search}`, true);
  };
  useEffect(() => {
    if (text.trim() === asked) return;
    const timer = setTimeout(() => look(text, status), 200);
    return () => clearTimeout(timer);
  }, [text]);

  const wanted = new URLSearchParams({ limit: String(FIRST) });
  if (asked !== "") wanted.set("q", asked);
  if (status !== "") wanted.set("status", status);
  const path = `/v1/agents?${wanted}`;
  const { data, error, reload } = useRead<Page<Agent>>(path, { minds: () => true, rest: 10_000 });
  const older = useOlder(path, data);
  const agents = data ? [...data.items, ...older.items.filter((one) => !data.items.some((other) => other.id === one.id))] : [];
  const filtered = asked !== "" || status !== "";

  return (
    <section aria-labelledby="agents-title">
      <div class="heading">
        <h2 id="agents-title">Agents</h2>
        <div class="filters" role="search" aria-label="Agents">
          <label class="hidden" for="query">
            Name or description
          </label>
          <input
            id="query"
            type="search"
            placeholder="Name or description"
            autocomplete="off"
            spellcheck={false}
            maxLength={100}
            value={text}
            onInput={(event) => setText(event.currentTarget.value)}
          />
          <label class="hidden" for="status">
            Status
          </label>
          <select id="status" value={status} onChange={(event) => look(text, event.currentTarget.value)}>
            <option value="">Any status</option>
            {STATUSES.map((one) => (
              <option key={one}>{one}</option>
            ))}
          </select>
        </div>
      </div>
      {error ? (
        <Alarm>
          {error.message}.{" "}
          <button type="button" onClick={reload}>
            Try again
          </button>
        </Alarm>
      ) : null}
      {data === null && !error ? <Waiting what="agents" /> : null}
      {agents.length > 0 ? <AgentTable agents={agents} caption="Agents, newest first" /> : null}
      {data && agents.length === 0 ? (
        <p class="empty">
          {filtered ? "No agent is like that." : "No agent is registered yet."}{" "}
          {filtered ? null : <a href="/register">Be the first.</a>}
        </p>
      ) : null}
      {older.more ? (
        <p class="more">
          <button type="button" onClick={older.read} disabled={older.busy}>
            Older agents
          </button>
        </p>
      ) : null}
    </section>
  );
}

/** Pages behind the first, which stay as they were read. */
function useOlder(path: string, first: Page<Agent> | null) {
  const [state, set] = useState<{ path: string; items: Agent[]; next: string | null; busy: boolean }>({ path, items: [], next: null, busy: false });
  const own = state.path === path && state.items.length > 0;
  const next = own ? state.next : (first?.next_cursor ?? null);
  const read = async () => {
    if (next === null) return;
    set((was) => ({ ...was, busy: true }));
    try {
      const page = await get<Page<Agent>>(`${path}&cursor=${encodeURIComponent(next)}`);
      set((was) => ({ path, items: was.path === path ? [...was.items, ...page.items] : page.items, next: page.next_cursor, busy: false }));
    } catch {
      set((was) => ({ ...was, busy: false }));
    }
  };
  return { items: own ? state.items : [], more: next !== null, busy: state.busy, read };
}

const SHOWN = 10;

export function LastChanges() {
  const { data } = useRead<{ items: Change[] }>(`/v1/changes?level=head&after=newest&limit=${SHOWN}`);
  // What comes meanwhile is told by the stream: nothing has to be asked for it.
  const [heard, setHeard] = useState<Change[]>([]);
  useChanges((change) => setHeard((before) => [change, ...before].slice(0, SHOWN)));
  const read = data ? [...data.items].reverse() : [];
  const known = new Set(heard.map((item) => item.cursor));
  const items = [...heard, ...read.filter((item) => !known.has(item.cursor))].slice(0, SHOWN);
  return (
    <section aria-labelledby="changes-title">
      <h2 id="changes-title">Last changes</h2>
      <p class="soft">As they are seen, before they are settled.</p>
      {data && items.length === 0 ? <p class="empty">Nothing has changed in the last days.</p> : null}
      <ol class="changes">
        {items.map((item) => (
          <ChangeLine key={item.cursor} item={item} />
        ))}
      </ol>
    </section>
  );
}

export function ChangeLine({ item }: { item: Change }) {
  return (
    <li>
      <Time at={item.time} />
      <span>{item.agent ? <a href={`/agents/${item.agent.id}`}>{item.agent.name ?? middle(item.agent.id)}</a> : null}</span>
      <span>
        <span class={item.kind === "undone" ? "undone" : ""}>
          {item.changes.map((change) => (
            <span key={change.column + change.cause}>
              {columnName(change.column)} <code>{valueText(change.column, change.value)}</code>
            </span>
          ))}
        </span>
        {item.kind === "undone" ? <span class="bad"> taken back by a reorg</span> : null}
      </span>
    </li>
  );
}
