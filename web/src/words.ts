// Numbers, times and names, as people read them.

import type { Agent } from "./api";

const number = new Intl.NumberFormat();

export const count = (value: number | null | undefined) => (value == null ? "–" : number.format(value));

/** The two ends of a long name. */
export const middle = (text: string, from = 6, to = 4) =>
  text.length > from + to + 1 ? `${text.slice(0, from)}…${text.slice(-to)}` : text;

export function ago(time: string, now = Date.now()): string {
  const then = new Date(time);
  const seconds = Math.floor((now - then.getTime()) / 1000);
  if (seconds < 2) return "now";
  const steps: [number, number, string][] = [
    [60, 1, "s"],
    [3600, 60, "min"],
    [86_400, 3600, "h"],
    [30 * 86_400, 86_400, "d"],
  ];
  for (const [below, unit, name] of steps) if (seconds < below) return `${Math.floor(seconds / unit)} ${name} ago`;
  return then.toLocaleDateString(undefined, { year: "numeric", month: "short", day: "numeric" });
}

export const isNamed = (agent: Agent) => agent.name_source !== "none";

/** What people call it, where nobody named it too. */
export const titleOf = (agent: Agent) => (isNamed(agent) ? agent.name : `Agent ${shortOf(agent)}`);

/** `<chain>:<agentId>`; of an agent without a token the start of its DID's key. */
export const shortOf = (agent: { id: string; did?: string; chain: number | null; agent_id: string | null }) =>
  agent.chain === null || agent.agent_id === null
    ? middle(agent.did?.replace(/^did:(key:)?/, "") ?? agent.id, 8, 6)
    : `${agent.chain}:${middle(agent.agent_id, 10, 6)}`;

/** Where its page is: under its short name, or its id. */
export const placeOf = (agent: { id: string; chain: number | null; agent_id: string | null }) =>
  agent.chain === null || agent.agent_id === null ? `/agents/${agent.id}` : `/agents/${agent.chain}:${agent.agent_id}`;

const COLUMNS: Record<string, string> = {
  owner_address: "Owner",
  agent_wallet: "Wallet",
  agent_uri: "URI",
  runtime_status: "Status",
  document: "Registration file",
  metadata_state: "File's state",
  endpoint_url: "Endpoint",
  public_key: "Key",
  approved: "May act for the owner",
  claim: "Claims to be",
  registered: "Registered",
  burned: "Burned",
  admin_status: "Standing",
  liveness: "Liveness",
  last_heartbeat: "Heartbeat",
};

export function columnName(column: string): string {
  const known = COLUMNS[column];
  if (known) return known;
  const plain = column.replace(/^onchain:/, "metadata ").replaceAll("_", " ");
  return plain.charAt(0).toUpperCase() + plain.slice(1);
}

export function valueText(column: string, value: unknown): string {
  if (value === null || value === undefined) return column === "document" ? "could not be read" : "none";
  if (value === true && column === "registered") return "";
  const text = typeof value === "string" ? value : JSON.stringify(value);
  if (/^0x[0-9a-f]{40}$/i.test(text)) return middle(text);
  const hash = /^(?:sha256:)?([0-9a-f]{64})$/.exec(text)?.[1];
  if (hash) return `sha-256 ${middle(hash, 8, 8)}`;
  return text.length > 72 ? `${text.slice(0, 60)}…` : text;
}

/** Wei as ether, to six digits that say something. */
export function ether(wei: bigint): string {
  const whole = wei / 10n ** 18n;
  const rest = (wei % 10n ** 18n).toString().padStart(18, "0");
  const first = rest.search(/[1-9]/);
  if (first < 0) return whole.toString();
  const kept = whole > 0n ? 4 : Math.max(4, first + 3);
  const fraction = rest.slice(0, kept).replace(/0+$/, "");
  return fraction === "" ? whole.toString() : `${whole}.${fraction}`;
}

export const isAddress = (text: string) => /^0x[0-9a-fA-F]{40}$/.test(text);

export const sameAddress = (one: string | null | undefined, other: string | null | undefined) =>
  one != null && other != null && one.toLowerCase() === other.toLowerCase();

export function bytes(size: number): string {
  return size < 1024 ? `${size} bytes` : `${(size / 1024).toFixed(1)} KiB`;
}
