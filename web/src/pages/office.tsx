// How far this instance is: its chains, its journal, and how machines ask it.

import type { Chain, Entry, Page, Sync } from "../api";
import { useRead } from "../live";
import { useTitle } from "../route";
import { Alarm, Code, Copy, Facts, Time, Waiting } from "../parts/show";
import { count, middle } from "../words";

const STATES: Record<string, [string, string]> = {
  starting: ["starting", "warn"],
  backfilling: ["reading its history", "warn"],
  following: ["following", "good"],
  standby: ["another process follows it", "soft"],
  retrying: ["retrying", "bad"],
  halted: ["halted", "bad"],
};

export function OfficePage() {
  useTitle("Office");
  const { data: sync, error } = useRead<Sync>("/v1/sync", { minds: () => true, every: 10_000 });
  const entries = useRead<Page<Entry>>("/v1/entries?limit=8", { every: 15_000 });
  return (
    <>
      <section>
        <h1>Office</h1>
        <p class="soft">How far this instance is, and how machines ask it.</p>
        {error ? <Alarm>{error.message}</Alarm> : null}
        {sync === null && !error ? <Waiting what="its state" /> : null}
      </section>
      {sync ? <Chains chains={sync.chains} /> : null}
      <div class="columns">
        {sync ? <Journal journal={sync.journal} /> : null}
        <section aria-labelledby="entries-title">
          <h2 id="entries-title">Newest entries</h2>
          {entries.data && entries.data.items.length === 0 ? <p class="empty">Nothing is written down yet.</p> : null}
          <ol class="entries">
            {entries.data?.items.map((entry) => (
              <li key={entry.cid}>
                <a class="code" href={`/v1/entries/${entry.cid}`} title={entry.cid}>
                  <code>{middle(entry.cid, 14, 8)}</code>
                </a>
                <span class="soft">
                  {entry.leaf_index === null ? "" : `leaf ${count(entry.leaf_index)}, `}
                  {entry.state}, <Time at={entry.appended_at} />
                </span>
              </li>
            ))}
          </ol>
        </section>
      </div>
      <Machines chain={sync?.chains.find((one) => one.origin === "started")} />
    </>
  );
}

function Chains({ chains }: { chains: Chain[] }) {
  return (
    <section aria-labelledby="chains-title">
      <h2 id="chains-title">Chains</h2>
      {chains.length === 0 ? <p class="empty">No chain is followed yet.</p> : null}
      {chains.length > 0 ? (
        <table class="ledger">
          <caption class="hidden">Chains and how far each is read</caption>
          <thead>
            <tr>
              <th scope="col">Chain</th>
              <th scope="col">State</th>
              <th scope="col">Complete</th>
              <th scope="col" class="number">
                Head
              </th>
              <th scope="col" class="number">
                Settled
              </th>
              <th scope="col" class="number">
                Final
              </th>
              <th scope="col">Registry</th>
            </tr>
          </thead>
          <tbody>
            {chains.map((chain) => (
              <Row key={chain.name} chain={chain} />
            ))}
          </tbody>
        </table>
      ) : null}
    </section>
  );
}

function Row({ chain }: { chain: Chain }) {
  const replayed = chain.origin === "replay" && chain.state === "following";
  const [word, tone] = replayed ? ["recording, read", "good"] : (STATES[chain.state ?? ""] ?? ["not followed here", "soft"]);
  const registry = chain.contracts.identity[0];
  const complete = chain.synced ? ["logs and state", "good"] : chain.complete ? ["no log is missing", "good"] : ["not proven yet", "warn"];
  return (
    <tr>
      <th scope="row" data-label="Chain">
        <span>
          <span class="name">{chain.name}</span>
          {chain.chain === null ? null : <span class="sub">eip155:{chain.chain}</span>}
          {chain.error ? <span class="sub bad">{chain.error}</span> : null}
        </span>
      </th>
      <td data-label="State">
        <span class={tone}>{word}</span>
        {chain.lag ? <span class="sub"> {count(chain.lag)} behind</span> : null}
      </td>
      <td data-label="Complete">
        <span class={complete[1]}>{complete[0]}</span>
      </td>
      <td data-label="Head" class="number">
        {count(chain.head)}
      </td>
      <td data-label="Settled" class="number">
        {count(chain.settled)}
      </td>
      <td data-label="Final" class="number">
        {count(chain.finalized)}
      </td>
      <td data-label="Registry">{registry ? <Code text={registry} /> : "–"}</td>
    </tr>
  );
}

function Journal({ journal }: { journal: Sync["journal"] }) {
  return (
    <section aria-labelledby="journal-title">
      <h2 id="journal-title">Journal</h2>
      <p class="soft">
        Every change, in a log that cannot be changed unseen. Any tool for <a href="/audit/checkpoint">c2sp.org/tlog-tiles</a> can check it.
      </p>
      <Facts
        rows={[
          ["Name", <code>{journal.origin}</code>],
          ["Size", `${count(journal.size)} sealed, ${count(journal.queued)} queued`],
          ["Root", journal.root ? <code>{journal.root}</code> : null],
          ["Key", <Code text={journal.vkey} what="the verifier key" whole />],
        ]}
      />
    </section>
  );
}

/** A key that everybody knows: anvil's first. */
const KNOWN = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

function Machines({ chain }: { chain: Chain | undefined }) {
  const own = `chancery --url ${location.origin}`;
  const lines: [string, string][] = [
    ["The agents, as JSON", `curl -s ${location.origin}/v1/agents`],
    ["Every change as it is seen", `curl -N -H 'accept: text/event-stream' '${location.origin}/v1/changes?level=head'`],
    ["Register at a prompt", `${own} agent register --name "My agent" --description "What it does" --key agent.key`],
  ];
  if (chain) lines.splice(2, 0, ["On this dev chain, a key that everybody knows will do", `printf ${KNOWN} > agent.key && chmod 600 agent.key`]);
  return (
    <section aria-labelledby="machines-title">
      <h2 id="machines-title">For machines</h2>
      <p class="soft">
        Whatever this page does, <a href="/docs/">the API</a> and the command line do.
      </p>
      {lines.map(([what, line]) => (
        <div key={what}>
          <h3>{what}</h3>
          <div class="copyline">
            <pre tabIndex={0} aria-label={what}>
              {line}
            </pre>
            <Copy text={line} what={`the command: ${what}`} />
          </div>
        </div>
      ))}
    </section>
  );
}
