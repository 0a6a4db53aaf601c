// What this instance answers. The page asks nobody else.

/** An agent, as `/v1/agents` has it. */
export interface Agent {
  id: string;
  did: string;
  name: string;
  name_source: string;
  description: string | null;
  owner_address: string | null;
  agent_wallet: string | null;
  ipfs_metadata_hash: string | null;
  created_at: string;
  updated_at: string;
  runtime_status: Status;
  last_active_at: string | null;
  liveness: string;
  admin_status: string;
  load: string;
  last_heartbeat: string | null;
  endpoint_url: string | null;
  avatar_url: string | null;
  chain: number | null;
  registry: string | null;
  agent_id: string | null;
  complete: boolean;
  burned: boolean;
  agent_uri: string | null;
  metadata_state: string | null;
  metadata_verification: string | null;
  level: string | null;
  last_block: number | null;
  last_tx: string | null;
  public_key?: string | null;
  identifiers?: Identifier[];
}

export type Status = "ACTIVE" | "SLEEP" | "TERMINATED";

export interface Identifier {
  kind: string;
  value: string;
  standing: string;
}

export interface Page<T> {
  items: T[];
  next_cursor: string | null;
}

/** The registration file as it was found. */
export interface Metadata {
  agent_uri: string | null;
  state: string;
  verification: string | null;
  version: number | null;
  cid: string | null;
  sha256: string | null;
  size: number | null;
  judged_at: string | null;
  checked_at: string | null;
  next_attempt_at: string | null;
  error: string | null;
  warnings: Warning[];
  document: unknown;
}

export interface Warning {
  code: string;
  pointer: string;
  message: string;
}

export interface StatusChange {
  previous_status: Status | null;
  new_status: Status;
  changed_at: string;
  reason: string | null;
  seq: number;
  cause: string;
  who: string;
}

/** A journal entry: changes are lists of column, value, cause and the change's own time. */
export interface Entry {
  cid: string;
  kind: string;
  state: string;
  leaf_index: number | null;
  appended_at: string;
  entry: { changes: [string, unknown, string, string][] };
}

/** One item of a change feed. */
export interface Change {
  cursor: string;
  kind: string;
  time: string;
  agent: { id: string; did: string | null; name: string | null; owner_address: string | null } | null;
  changes: { column: string; value: unknown; cause: string }[];
}

export interface Chain {
  chain: number | null;
  name: string;
  origin: string | null;
  state: string | null;
  head: number | null;
  settled: number | null;
  finalized: number | null;
  lag: number | null;
  complete: boolean;
  synced: boolean;
  error: string | null;
  providers: { place: string }[];
  contracts: { identity: string[]; status: string[] };
}

export interface Sync {
  chains: Chain[];
  agents: number;
  journal: { size: number; root: string | null; origin: string; vkey: string; queued: number };
  /** Whether the world reads what is pinned here. */
  public_pin: boolean;
}

/** What became of a transaction. */
export interface Outcome {
  state: "pending" | "mined" | "failed";
  block: number | null;
  indexed: boolean;
  /** Null while nobody says what is final. */
  finalized: boolean | null;
  agents: { id: string; name: string; chain: number | null; agent_id: string | null }[];
  entries: { cid: string; state: string }[];
}

/** A transaction that lacks only its signature. */
export interface Unsigned {
  chain: number;
  transaction: Record<string, string> & { gas: string; maxFeePerGas: string };
}

/** What the server's parser says of a registration file. */
export interface Checked {
  state: "fetched" | "nonconformant" | "malformed";
  warnings: (Warning & { level: string })[];
  size: number;
  sha256: string;
  cid: string;
  data_uri: string | null;
  already: Like[];
}

/** An agent that this owner has already, and in what it is the same. */
export interface Like {
  agent: Agent;
  same: string[];
}

/** A refusal, as RFC 9457 words it. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    detail: string,
    /** Seconds until it makes sense to ask again, where it does. */
    readonly after: number | null = null,
  ) {
    super(detail);
  }
}

const PATIENCE = 30_000;

async function answer(response: Response): Promise<unknown> {
  const text = await response.text();
  let body: unknown = null;
  try {
    body = text === "" ? null : JSON.parse(text);
  } catch {
    throw new Problem(response.status, "internal", "the instance answered with something that is no JSON");
  }
  if (response.ok) return body;
  const said = body as { code?: string; detail?: string; title?: string } | null;
  const after = Number(response.headers.get("retry-after") ?? NaN);
  throw new Problem(
    response.status,
    said?.code ?? "internal",
    said?.detail ?? `the instance answered ${response.status}`,
    Number.isFinite(after) ? after : null,
  );
}

/**
 * The page's half of its session's token, and the header that has it. The other half is in a cookie: that one no script
 * sees, and this one no other port of this host, to which a browser brings the cookie as well.
 */
const HALF = "chancery-session";

/** What goes along with each question. */
export function half(): Record<string, string> {
  try {
    const kept = localStorage.getItem(HALF);
    return kept === null ? {} : { [HALF]: kept };
  } catch {
    // A browser that keeps nothing keeps no cookie either.
    return {};
  }
}

/** Keeps the half of a session that began, or forgets the one that ended. */
export function keepHalf(next: string | null) {
  try {
    if (next === null) localStorage.removeItem(HALF);
    else localStorage.setItem(HALF, next);
  } catch {
    // As above: nobody is signed in then.
  }
}

type Asked = Omit<RequestInit, "headers"> & { headers?: Record<string, string> };

async function asked(path: string, init: Asked): Promise<unknown> {
  const signal = init.signal ?? AbortSignal.timeout(PATIENCE);
  const headers = { ...half(), ...init.headers };
  let response: Response;
  try {
    response = await fetch(path, { ...init, headers, signal, credentials: "same-origin", cache: "no-cache" });
  } catch (error) {
    if ((error as Error).name === "AbortError") throw error;
    throw new Problem(0, "unavailable", "this instance does not answer");
  }
  return answer(response);
}

export const get = <T>(path: string, signal?: AbortSignal) => asked(path, { signal }) as Promise<T>;

export const post = <T>(path: string, body: unknown, signal?: AbortSignal) =>
  asked(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
    signal,
  }) as Promise<T>;

export const agentPath = (name: string) => `/v1/agents/${encodeURIComponent(name).replaceAll("%3A", ":")}`;
