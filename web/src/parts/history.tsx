// What happened to an agent: seen first, then journaled.

import type { Change, Entry, StatusChange } from "../api";
import { columnName, valueText } from "../words";
import { StatusMark, Time } from "./show";

interface Item {
  key: string;
  time: string;
  lines: { column: string; value: unknown }[];
  state: string;
  tone: string;
  link: string | null;
}

const RETRACTED = "taken back by a reorg";

export function History({ entries, head, statuses }: { entries: Entry[] | null; head: Change[]; statuses: StatusChange[] }) {
  const journaled: Item[] = (entries ?? []).map((entry) => ({
    key: entry.cid,
    time: entry.entry.changes[0]?.[3] ?? entry.appended_at,
    lines: entry.entry.changes.map(([column, value]) => ({ column, value })),
    state: entry.kind === "retracted" ? RETRACTED : entry.state,
    tone: entry.kind === "retracted" ? "bad" : entry.state === "queued" ? "soft" : "good",
    link: `/v1/entries/${entry.cid}`,
  }));
  const items = [...unsettled(entries ?? [], head), ...journaled];
  return (
    <>
      <section aria-labelledby="history-title">
        <h2 id="history-title">History</h2>
        {items.length === 0 ? <p class="empty">{entries === null ? "Reading…" : "Nothing is written down yet."}</p> : null}
        <ol class="history">
          {items.map((item) => (
            <li key={item.key}>
              <p class="when">
                <Time at={item.time} />{" "}
                {item.link ? (
                  <a class={item.tone} href={item.link}>
                    {item.state}
                  </a>
                ) : (
                  <span class={item.tone}>{item.state}</span>
                )}
              </p>
              <ul class="plain">
                {item.lines.map((line, at) => (
                  <li key={at}>
                    {columnName(line.column)} <code>{valueText(line.column, line.value)}</code>
                  </li>
                ))}
              </ul>
            </li>
          ))}
        </ol>
      </section>
      {statuses.length > 0 ? <Statuses statuses={statuses} /> : null}
    </>
  );
}

/** Changes at the head that no entry says yet, newest first; one item for those of one moment. */
export function unsettled(entries: Entry[], head: Change[]): Item[] {
  const said = new Set(entries.flatMap((entry) => entry.entry.changes.map(([column, , cause]) => `${column} ${cause}`)));
  const items = new Map<string, Item>();
  for (const change of [...head].reverse()) {
    const lines = change.changes.filter(({ column, cause }) => change.kind === "undone" || !said.has(`${column} ${cause}`));
    if (change.kind === "undone" || lines.length === 0) continue;
    const item = items.get(change.time) ?? { key: change.cursor, time: change.time, lines: [], state: "seen, not settled yet", tone: "warn", link: null };
    item.lines.unshift(...lines);
    items.set(change.time, item);
  }
  return [...items.values()];
}

function Statuses({ statuses }: { statuses: StatusChange[] }) {
  return (
    <section aria-labelledby="statuses-title">
      <h2 id="statuses-title">Status</h2>
      <table class="ledger">
        <caption class="hidden">Changes of the status, newest first</caption>
        <thead>
          <tr>
            <th scope="col">Status</th>
            <th scope="col">Since</th>
            <th scope="col">Why</th>
            <th scope="col">Who</th>
          </tr>
        </thead>
        <tbody>
          {statuses.map((change) => (
            <tr key={change.seq}>
              <td data-label="Status">
                <StatusMark agent={{ runtime_status: change.new_status, burned: false }} />
              </td>
              <td data-label="Since">
                <Time at={change.changed_at} />
              </td>
              <td data-label="Why">{change.reason ?? "–"}</td>
              <td data-label="Who">
                <code>{valueText("", change.who)}</code>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
