// What an owner does with an agent: each on a page of its own, so that it can be linked and left.

import { useState } from "preact/hooks";
import { agentPath, post, Problem, type Agent, type Chain, type Metadata, type Status, type Sync } from "../api";
import { useRead } from "../live";
import { build, emptyDraft, fits, naming, read, type Draft } from "../registration";
import { useTitle } from "../route";
import { Form, Preview, useCheck } from "../parts/form";
import { ON_CHAIN, Where, uriOf, type Place } from "../parts/place";
import { Sign } from "../parts/send";
import { Consent, type Given } from "../parts/consent";
import { Alarm, Note, Nothing, Owner, StatusMark, Waiting } from "../parts/show";
import { useWallet } from "../wallet";
import { isAddress, placeOf, sameAddress, shortOf, titleOf } from "../words";

interface Props {
  agent: Agent;
  chain: Chain;
}

const TITLES: Record<string, [string, (props: Props) => preact.JSX.Element]> = {
  edit: ["Edit the registration file", Edit],
  status: ["Set the status", SetStatus],
  wallet: ["Set the agent's wallet", SetWallet],
  transfer: ["Transfer to another owner", Transfer],
  deregister: ["Deregister", Deregister],
};

export function ActionPage({ name, action }: { name: string; action: string }) {
  const found = TITLES[action];
  const { data: agent, error } = useRead<Agent>(agentPath(name));
  const { data: sync } = useRead<Sync>("/v1/sync");
  const { connected } = useWallet();
  useTitle(agent && found ? `${found[0]}: ${titleOf(agent)}` : (found?.[0] ?? ""));
  if (!found) return <Nothing title="There is no such page" text="The address leads nowhere here." />;
  if (error instanceof Problem && error.status === 404) return <Nothing title="No agent has this name" text={`Nothing here is called ${name}.`} />;
  if (!agent || !sync) return error ? <Alarm>{error.message}</Alarm> : <Waiting what="the agent" />;
  const chain = sync.chains.find((one) => one.chain === agent.chain);
  const [title, Body] = found;
  const stranger = connected && !sameAddress(connected.account, agent.owner_address);
  return (
    <section class={action === "edit" ? "" : "narrow"}>
      <p class="back">
        <a href={placeOf(agent)}>← {titleOf(agent)}</a>
      </p>
      <h1>{title}</h1>
      <p class="line">
        <StatusMark agent={agent} />
        <code>{shortOf(agent)}</code>
        <span class="soft">
          owned by <Owner address={agent.owner_address} />
        </span>
      </p>
      {stranger ? (
        <Note tone="warn">
          You speak as <code>{connected.account}</code>, who is not the owner. The contract refuses whom the owner did not allow to act for him.
        </Note>
      ) : null}
      {chain && chain.origin !== "replay" ? (
        <Body agent={agent} chain={chain} />
      ) : (
        <Note tone="warn">This instance has no node of the agent's chain, so nothing can be sent there from here.</Note>
      )}
    </section>
  );
}

const noSubmit = (event: Event) => event.preventDefault();

function Edit({ agent, chain }: Props) {
  const metadata = useRead<Metadata>(agent.agent_uri ? `${agentPath(agent.id)}/metadata` : null);
  if (agent.agent_uri && metadata.data === null) return metadata.error ? <Alarm>{metadata.error.message}</Alarm> : <Waiting what="the file" />;
  return <EditForm agent={agent} chain={chain} document={metadata.data?.document ?? null} />;
}

function EditForm({ agent, chain, document }: Props & { document: unknown }) {
  const [plain, setPlain] = useState<string | null>(document === null || fits(document) ? null : JSON.stringify(document, null, 2));
  const [draft, setDraft] = useState<Draft>(() => (fits(document) ? read(document) : emptyDraft()));
  const [place, setPlace] = useState<Place>(ON_CHAIN);
  const [names, setNames] = useState(true);
  const token = { chain: agent.chain ?? 0, registry: (agent.registry ?? "").toLowerCase(), agentId: agent.agent_id ?? "" };
  const file = build(draft);
  const text = plain === null ? JSON.stringify(names ? naming(file, token) : file) : compact(plain);
  const check = useCheck(text, undefined, undefined);
  const bad = check.checked?.state === "malformed" ? "The file cannot be read." : null;
  return (
    <form class="columns" onSubmit={noSubmit}>
      <div>
        {plain === null ? (
          <>
            <Form draft={draft} change={setDraft} />
            <label class="check">
              <input type="checkbox" checked={names} onChange={(event) => setNames(event.currentTarget.checked)} />
              <span>
                Name this agent in the file <span class="hint">Then file and token point at each other.</span>
              </span>
            </label>
          </>
        ) : (
          <div class="field">
            <label for="f-json">The file as JSON</label>
            <textarea id="f-json" class="code" rows={18} spellcheck={false} value={plain} onInput={(event) => setPlain(event.currentTarget.value)} />
          </div>
        )}
        {plain === null ? (
          <p>
            <button type="button" class="link" onClick={() => setPlain(JSON.stringify(JSON.parse(text), null, 2))}>
              Edit it as JSON
            </button>
          </p>
        ) : null}
        <Where place={place} change={setPlace} text={text} />
      </div>
      <div class="beside">
        <Preview text={text} checked={check.checked} error={check.error} />
        <Sign
          chain={chain}
          label="Save"
          blocked={check.isFresh ? bad : "The file is being checked…"}
          changed={`${text} ${place.way} ${place.url}`}
          wish={async () => ({ kind: "set_uri", agent: agent.id, uri: await uriOf(place, text, check.checked, setPlace) })}
        />
      </div>
    </form>
  );
}

/** Without the spaces between, which would cost gas; what is no JSON stays as it is. */
function compact(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text));
  } catch {
    return text;
  }
}

const STATUSES: [Status, string][] = [
  ["ACTIVE", "It works and takes requests."],
  ["SLEEP", "It pauses, and may come back."],
  ["TERMINATED", "It has ended."],
];

function SetStatus({ agent, chain }: Props) {
  const [status, setStatus] = useState<Status>(agent.runtime_status);
  const [reason, setReason] = useState("");
  return (
    <form onSubmit={noSubmit}>
      <fieldset>
        <legend>Status</legend>
        {STATUSES.map(([name, text]) => (
          <label class="check" key={name}>
            <input type="radio" name="status" checked={status === name} onChange={() => setStatus(name)} />
            <span>
              {name} <span class="hint">{text}</span>
            </span>
          </label>
        ))}
      </fieldset>
      <Reason reason={reason} change={setReason} />
      <OnChain agent={agent} chain={chain} status={status} reason={reason} label="Set status" same={status === agent.runtime_status} />
    </form>
  );
}

function Deregister({ agent, chain }: Props) {
  const [reason, setReason] = useState("");
  const [sure, setSure] = useState(false);
  return (
    <form onSubmit={noSubmit}>
      <p>
        The record says TERMINATED from then on, and why. The token stays yours, its history stays readable, and you can set it ACTIVE again. Nothing
        that was journaled disappears.
      </p>
      <Reason reason={reason} change={setReason} />
      <label class="check">
        <input type="checkbox" checked={sure} onChange={(event) => setSure(event.currentTarget.checked)} />
        <span>Yes, {titleOf(agent)} has ended</span>
      </label>
      <OnChain
        agent={agent}
        chain={chain}
        status="TERMINATED"
        reason={reason}
        label="Deregister"
        same={agent.runtime_status === "TERMINATED"}
        blocked={sure ? null : "Say that you are sure."}
      />
    </form>
  );
}

function Reason({ reason, change }: { reason: string; change: (reason: string) => void }) {
  return (
    <div class="field">
      <label for="f-reason">Why</label>
      <input
        id="f-reason"
        maxLength={1000}
        autocomplete="off"
        aria-describedby="f-reason-hint"
        value={reason}
        onInput={(event) => change(event.currentTarget.value)}
      />
      <p class="hint" id="f-reason-hint">
        It stands in the history for everybody. It may stay empty.
      </p>
    </div>
  );
}

function OnChain({
  agent,
  chain,
  status,
  reason,
  label,
  same,
  blocked,
}: Props & { status: Status; reason: string; label: string; same: boolean; blocked?: string | null }) {
  if (chain.contracts.status.length === 0) {
    return <Note tone="warn">This chain has no AgentStatus contract that this instance reads, so a status cannot be said there.</Note>;
  }
  return (
    <Sign
      chain={chain}
      label={label}
      blocked={same ? `It is ${agent.runtime_status} already.` : blocked}
      changed={`${status} ${reason}`}
      wish={() => ({ kind: "set_status", agent: agent.id, status, ...(reason.trim() === "" ? {} : { reason: reason.trim() }) })}
    />
  );
}

function Transfer({ agent, chain }: Props) {
  const [to, setTo] = useState("");
  const address = to.trim();
  const blocked = !isAddress(address)
    ? "Give the new owner's address."
    : sameAddress(address, agent.owner_address)
      ? "That is the owner already."
      : null;
  return (
    <form onSubmit={noSubmit}>
      <p>
        The token goes to another owner, who alone can change the agent from then on. You cannot take it back. The agent's wallet is unset with it,
        as the standard demands.
      </p>
      <AddressField id="f-to" label="New owner" value={to} change={setTo} />
      <Sign chain={chain} label="Transfer" blocked={blocked} changed={address} wish={() => ({ kind: "transfer", agent: agent.id, to: address })} />
    </form>
  );
}

function AddressField({ id, label, value, change, list }: { id: string; label: string; value: string; change: (text: string) => void; list?: string[] }) {
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <input
        id={id}
        class="code"
        required
        pattern="\s*0x[0-9a-fA-F]{40}\s*"
        title="0x and 40 hex digits"
        placeholder="0x…"
        autocomplete="off"
        spellcheck={false}
        value={value}
        list={list ? `${id}-list` : undefined}
        onInput={(event) => change(event.currentTarget.value)}
      />
      {list ? (
        <datalist id={`${id}-list`}>
          {list.map((one) => (
            <option key={one} value={one} />
          ))}
        </datalist>
      ) : null}
    </div>
  );
}

function SetWallet({ agent, chain }: Props) {
  const { connected } = useWallet();
  const [mode, setMode] = useState<"set" | "unset">("set");
  const [wallet, setWallet] = useState("");
  const [given, setGiven] = useState<Given | null>(null);
  const address = wallet.trim();
  const has = given !== null && sameAddress(given.wallet, address);
  return (
    <form onSubmit={noSubmit}>
      <p>The wallet is the account that the agent itself uses, to be paid or to speak about its status. It must agree, by a signature that costs nothing.</p>
      {agent.agent_wallet ? (
        <fieldset>
          <legend>
            Now it is <Owner address={agent.agent_wallet} />
          </legend>
          <label class="check">
            <input type="radio" name="mode" checked={mode === "set"} onChange={() => setMode("set")} />
            <span>Set another one</span>
          </label>
          <label class="check">
            <input type="radio" name="mode" checked={mode === "unset"} onChange={() => setMode("unset")} />
            <span>Take it away</span>
          </label>
        </fieldset>
      ) : null}
      {mode === "set" ? (
        <>
          <AddressField id="f-wallet" label="New wallet" value={wallet} change={setWallet} list={connected?.accounts} />
          {isAddress(address) ? (
            <Consent
              wallet={address}
              ask={() => post("/v1/transactions/wallet-consent", { agent: agent.id, wallet: address })}
              given={has}
              give={setGiven}
            />
          ) : null}
        </>
      ) : null}
      <Sign
        chain={chain}
        label={mode === "set" ? "Set wallet" : "Take it away"}
        blocked={mode === "unset" || has ? null : "The new wallet signs first."}
        changed={`${mode} ${address} ${given?.signature ?? ""}`}
        wish={() =>
          mode === "unset"
            ? { kind: "unset_wallet", agent: agent.id }
            : given && { kind: "set_wallet", agent: agent.id, wallet: address, deadline: given.deadline, signature: given.signature }
        }
      />
    </form>
  );
}
