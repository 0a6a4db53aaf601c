// Agents as a ledger.

import type { Agent } from "../api";
import { isNamed, placeOf, shortOf, titleOf } from "../words";
import { Owner, Picture, StatusMark, Time } from "./show";

/** What became of a registration file, and how that looks. */
export const FILES: Record<string, [string, string]> = {
  fetched: ["read", "good"],
  nonconformant: ["read, not to the letter", "warn"],
  pending: ["being read", "soft"],
  malformed: ["cannot be read", "bad"],
  unavailable: ["not found", "bad"],
  too_large: ["too large", "bad"],
  blocked: ["blocked", "bad"],
  unsupported: ["not supported", "warn"],
  none: ["none", "soft"],
};

const VERIFICATIONS: Record<string, [string, string]> = {
  verified: ["verified", "good"],
  unverified: ["not verifiable", "soft"],
  mismatch: ["does not match", "bad"],
};

export function FileState({ state, verification }: { state: string | null; verification: string | null }) {
  const [word, tone] = FILES[state ?? "none"] ?? [state, "soft"];
  const judged = state === "fetched" || state === "nonconformant" || state === "malformed" || verification === "mismatch";
  const [proof, colour] = (judged && verification && VERIFICATIONS[verification]) || [null, ""];
  return (
    <span>
      <span class={tone}>{word}</span>
      {proof ? (
        <>
          , <span class={colour}>{proof}</span>
        </>
      ) : null}
    </span>
  );
}

export function AgentTable({ agents, caption, withOwner = true }: { agents: Agent[]; caption: string; withOwner?: boolean }) {
  return (
    <table class="ledger">
      <caption class="hidden">{caption}</caption>
      <thead>
        <tr>
          <th scope="col">Agent</th>
          {withOwner ? <th scope="col">Owner</th> : null}
          <th scope="col">Status</th>
          <th scope="col">Registration file</th>
          <th scope="col">Proof</th>
          <th scope="col" class="number">
            Registered
          </th>
        </tr>
      </thead>
      <tbody>
        {agents.map((agent) => (
          <Row key={agent.id} agent={agent} withOwner={withOwner} />
        ))}
      </tbody>
    </table>
  );
}

function Row({ agent, withOwner }: { agent: Agent; withOwner: boolean }) {
  return (
    <tr>
      <th scope="row" data-label="Agent">
        <span class="who">
          <Picture agent={agent} />
          <span>
            <a class={isNamed(agent) ? "name" : "name unnamed"} href={placeOf(agent)}>
              {titleOf(agent)}
            </a>
            <span class="sub" title={agent.did}>
              {shortOf(agent)}
              {agent.complete ? "" : " · its registration was not seen"}
            </span>
          </span>
        </span>
      </th>
      {withOwner ? (
        <td data-label="Owner">
          <Owner address={agent.owner_address} />
        </td>
      ) : null}
      <td data-label="Status">
        <StatusMark agent={agent} />
      </td>
      <td data-label="File">
        <FileState state={agent.metadata_state} verification={agent.metadata_verification} />
      </td>
      <td data-label="Proof">{agent.level ?? "–"}</td>
      <td data-label="Registered" class="number">
        <Time at={agent.created_at} />
      </td>
    </tr>
  );
}
