// One agent: what it is, what stands behind its record, what happened to it, and what its owner can do.

import { useState } from "preact/hooks";
import { agentPath, Problem, type Agent, type Change, type Entry, type Metadata, type Page, type StatusChange } from "../api";
import { useRead } from "../live";
import { useTitle } from "../route";
import { Evidence } from "../parts/evidence";
import { History, unsettled } from "../parts/history";
import { Share } from "../parts/share";
import { WatchButton } from "../parts/watch";
import { Alarm, Code, Facts, Nothing, Owner, Picture, StatusMark, Time, Waiting } from "../parts/show";
import { fits, read } from "../registration";
import { useWallet } from "../wallet";
import { bytes, placeOf, sameAddress, shortOf, titleOf } from "../words";

export function AgentPage({ name }: { name: string }) {
  const path = agentPath(name);
  const [id, setId] = useState<string | null>(null);
  const isIts = (change: Change) => id === null || change.agent?.id === id;
  const { data: agent, error } = useRead<Agent>(path, { minds: isIts });
  // A file that is being read, and an entry that is not sealed yet, are soon another.
  const [waits, setWaits] = useState(false);
  const metadata = useRead<Metadata>(agent?.agent_uri ? `${path}/metadata` : null, { minds: isIts });
  const entries = useRead<Page<Entry>>(agent ? `${path}/entries?limit=20` : null, { minds: isIts, every: waits ? 5_000 : 60_000 });
  const statuses = useRead<Page<StatusChange>>(agent ? `${path}/history?limit=20` : null, { minds: isIts });
  const head = useRead<{ items: Change[] }>(agent ? `/v1/changes?level=head&after=newest&limit=20&agent=${encodeURIComponent(agent.id)}` : null, {
    minds: isIts,
  });
  const open = unsettled(entries.data?.items ?? [], head.data?.items ?? []).length > 0 || entries.data?.items[0]?.state === "queued";
  if (open !== waits) setWaits(open);
  useTitle(agent ? titleOf(agent) : name);
  if (agent && id !== agent.id) setId(agent.id);

  if (error instanceof Problem && error.status === 404) {
    return <Nothing title="No agent has this name" text={`Nothing here is called ${name}. It may live on a chain that this instance does not read.`} />;
  }
  if (agent === null) return error ? <Alarm>{error.message}</Alarm> : <Waiting what="the agent" />;
  return (
    <article class="agent">
      <Head agent={agent} />
      {error ? <Alarm>{error.message}. What stands below is what was read last.</Alarm> : null}
      <div class="columns">
        <div>
          <About agent={agent} metadata={metadata.data} />
          <History entries={entries.data?.items ?? null} head={head.data?.items ?? []} statuses={statuses.data?.items ?? []} />
        </div>
        <div class="beside">
          <Evidence agent={agent} metadata={metadata.data} entries={entries.data?.items ?? null} />
          <Identity agent={agent} />
          {metadata.data ? <File metadata={metadata.data} /> : null}
        </div>
      </div>
    </article>
  );
}

function Head({ agent }: { agent: Agent }) {
  const { connected } = useWallet();
  const owns = sameAddress(connected?.account, agent.owner_address);
  const place = placeOf(agent);
  return (
    <header class="agenthead">
      <Picture agent={agent} large />
      <div>
        <h1>{titleOf(agent)}</h1>
        <p class="line">
          <StatusMark agent={agent} />
          <code>{shortOf(agent)}</code>
          {agent.liveness === "unknown" ? null : <span>answers: {agent.liveness}</span>}
          {agent.admin_status === "ACTIVE" ? null : <span class="bad">{agent.admin_status} by the operator</span>}
          <span class="soft">
            registered <Time at={agent.created_at} />
          </span>
        </p>
      </div>
      <div class="buttons">
        <Share agent={agent} />
        <WatchButton target={agent.did} />
        {owns && !agent.burned ? (
          <nav class="buttons" aria-label="What you can do with your agent">
            <a class="button" href={`${place}/edit`}>
              Edit
            </a>
            <a class="button" href={`${place}/status`}>
              Status
            </a>
            {agent.chain === null ? null : (
              <a class="button" href={`${place}/wallet`}>
                Wallet
              </a>
            )}
            <a class="button" href={`${place}/transfer`}>
              Transfer
            </a>
            <a class="button" href={`${place}/deregister`}>
              Deregister
            </a>
          </nav>
        ) : null}
      </div>
    </header>
  );
}

function About({ agent, metadata }: { agent: Agent; metadata: Metadata | null }) {
  const file = metadata && fits(metadata.document) ? read(metadata.document) : null;
  const services = file?.services.filter((service) => service.name !== "" || service.endpoint !== "") ?? [];
  return (
    <section aria-labelledby="about-title">
      <h2 id="about-title">What it says of itself</h2>
      {agent.description ? <p class="description">{agent.description}</p> : <p class="empty">Nothing: {why(agent)}</p>}
      {services.length > 0 ? (
        <dl class="facts">
          {services.map((service, at) => (
            <div key={at}>
              <dt>{service.name || "service"}</dt>
              <dd>
                <Endpoint text={service.endpoint} />
              </dd>
            </div>
          ))}
        </dl>
      ) : null}
      {file ? (
        <Facts
          rows={[
            ["Skills", file.skills || null],
            ["Domains", file.domains || null],
            ["Trust", file.trust.join(", ") || null],
            ["Payments", file.x402 ? "x402" : null],
          ]}
        />
      ) : null}
    </section>
  );
}

function why(agent: Agent): string {
  switch (agent.metadata_state) {
    case "pending":
      return "its registration file is being read.";
    case "unavailable":
      return "its registration file was not found.";
    case "none":
    case null:
      return "it names no registration file.";
    default:
      return "its registration file has no description.";
  }
}

/** Strangers wrote it: it is a link only where it leads to the web, and says nothing of us there. */
function Endpoint({ text }: { text: string }) {
  if (!/^https?:\/\//i.test(text)) return <code>{text || "–"}</code>;
  return (
    <a href={text} target="_blank" rel="noopener noreferrer nofollow ugc">
      {text}
    </a>
  );
}

function Identity({ agent }: { agent: Agent }) {
  const others = agent.identifiers?.filter((one) => one.value !== agent.did) ?? [];
  return (
    <section aria-labelledby="identity-title">
      <h2 id="identity-title">Identity</h2>
      <Facts
        rows={[
          ["DID", <Code text={agent.did} what="the DID" whole />],
          ["Owner", <Owner address={agent.owner_address} whole />],
          ["Wallet", agent.agent_wallet ? <Owner address={agent.agent_wallet} whole /> : <span class="soft">none</span>],
          ["Registry", agent.registry ? <code>{agent.registry}</code> : null],
          ["Number", agent.agent_id ? <code>{agent.agent_id}</code> : null],
          ["Chain", agent.chain === null ? null : <code>eip155:{agent.chain}</code>],
          ["Key", agent.public_key ? <code>{agent.public_key}</code> : null],
        ]}
      />
      {others.length > 0 ? (
        <details>
          <summary>Its other names</summary>
          <ul class="plain">
            {others.map((one) => (
              <li key={one.kind + one.value}>
                <code>{one.value}</code> <span class={one.standing === "verified" ? "good" : "soft"}>{one.standing}</span>
              </li>
            ))}
          </ul>
        </details>
      ) : null}
      <p class="more">
        <a href={`/1.0/identifiers/${encodeURIComponent(agent.did)}`}>DID document</a>
      </p>
    </section>
  );
}

function File({ metadata }: { metadata: Metadata }) {
  const embedded = metadata.agent_uri?.startsWith("data:");
  return (
    <section aria-labelledby="file-title">
      <h2 id="file-title">Registration file</h2>
      <Facts
        rows={[
          ["URI", metadata.agent_uri === null ? "too long to keep" : embedded ? "in the URI itself, on the chain" : <code>{metadata.agent_uri}</code>],
          ["CID", metadata.cid ? <Code text={metadata.cid} what="the CID" from={12} to={8} /> : null],
          ["SHA-256", metadata.sha256 ? <Code text={metadata.sha256} what="the hash" from={12} to={8} /> : null],
          ["Size", metadata.size === null ? null : bytes(metadata.size)],
          ["Version", metadata.version],
          ["Read", metadata.checked_at ? <Time at={metadata.checked_at} /> : null],
          ["Error", metadata.error ? <span class="bad">{metadata.error}</span> : null],
        ]}
      />
      {metadata.warnings.length > 0 ? (
        <details>
          <summary>
            {metadata.warnings.length === 1 ? "One thing is" : `${metadata.warnings.length} things are`} not as the standard has it
          </summary>
          <ul class="warnings">
            {metadata.warnings.map((warning) => (
              <li key={warning.code + warning.pointer}>
                {warning.message} {warning.pointer ? <code>{warning.pointer}</code> : null}
              </li>
            ))}
          </ul>
        </details>
      ) : null}
      {metadata.document !== null && metadata.document !== undefined ? (
        <details>
          <summary>The file</summary>
          <pre class="file" tabIndex={0} aria-label="The registration file">
            {JSON.stringify(metadata.document, null, 2)}
          </pre>
        </details>
      ) : null}
    </section>
  );
}
