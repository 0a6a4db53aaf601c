// An agent's status, and its end.

import { useState } from "preact/hooks";
import type { Status } from "../api";
import { noSubmit, type Props } from "../parts/owning";
import { Say } from "../parts/say";
import { Sign } from "../parts/send";
import { titleOf } from "../words";

const STATUSES: [Status, string][] = [
  ["ACTIVE", "It works and takes requests."],
  ["SLEEP", "It pauses, and may come back."],
  ["TERMINATED", "It has ended."],
];

export function SetStatus({ agent, chain }: Props) {
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

export function Deregister({ agent, chain }: Props) {
  const [reason, setReason] = useState("");
  const [sure, setSure] = useState(false);
  return (
    <form onSubmit={noSubmit}>
      <p>
        The record says TERMINATED from then on, and why.{" "}
        {agent.chain === null ? "Only a new registration by its key lifts it." : "The token stays yours, and you can set it ACTIVE again."} Its history stays
        readable. Nothing that was journaled disappears.
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
}: Omit<Props, "sync"> & { status: Status; reason: string; label: string; same: boolean; blocked?: string | null }) {
  const canGo = chain !== null && chain.contracts.status.length > 0;
  const [free, setFree] = useState(!canGo);
  const said = reason.trim() === "" ? {} : { reason: reason.trim() };
  const why = same ? `It is ${agent.runtime_status} already.` : blocked;
  const ended = status === "TERMINATED" && label === "Deregister";
  return (
    <>
      {canGo ? (
        <fieldset>
          <legend>Where it is said</legend>
          <label class="check">
            <input type="radio" name="where" checked={!free} onChange={() => setFree(false)} />
            <span>
              On the chain <span class="hint">Everybody who reads the chain sees it. Costs gas.</span>
            </span>
          </label>
          <label class="check">
            <input type="radio" name="where" checked={free} onChange={() => setFree(true)} />
            <span>
              In this office <span class="hint">A statement that your wallet signs and the journal keeps. Costs nothing.</span>
            </span>
          </label>
        </fieldset>
      ) : null}
      {free || chain === null ? (
        <Say
          agent={agent}
          action={ended ? "deregister" : "status"}
          content={() => (ended ? said : { status, ...said })}
          label={label}
          blocked={why}
        />
      ) : (
        <Sign
          chain={chain}
          label={label}
          blocked={why}
          changed={`${status} ${reason}`}
          wish={() => ({ kind: "set_status", agent: agent.id, status, ...said })}
        />
      )}
    </>
  );
}
