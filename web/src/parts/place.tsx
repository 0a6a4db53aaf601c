// Where a registration file is kept.

import { get, Problem, type Checked, type Sync } from "../api";
import { Note } from "./show";

export interface Place {
  way: "data" | "ipfs" | "https";
  /** With `https`: where the file will be. */
  url: string;
  /** With `ipfs`: the operator's token, which storing needs. It is sent with that request alone and kept nowhere. */
  token: string;
  /** With `ipfs`: go on although nobody but this instance keeps the file. */
  unpinned: boolean;
  /** With `ipfs`: who can read the file, once it is stored. */
  stored: string | null;
}

/** On the chain, unless the operator says that the world reads what is pinned here. */
export const usual = (sync: Sync): Place => ({ way: sync.public_pin ? "ipfs" : "data", url: "", token: "", unpinned: false, stored: null });

const WAYS: [Place["way"], string, string][] = [
  ["data", "On the chain, in the URI itself", "Nothing else is needed, and anybody can verify it. Gas grows with the file."],
  ["ipfs", "On IPFS, through this instance", "The URI names the file's hash. It is stored here before you pay."],
  ["https", "On your own web server", "You can change it without gas; nobody can verify that you did not."],
];

export function Where({ place, change, text }: { place: Place; change: (place: Place) => void; text: string }) {
  return (
    <fieldset>
      <legend>Where the file is kept</legend>
      {WAYS.map(([way, title, hint]) => (
        <label class="check" key={way}>
          <input type="radio" name="way" checked={place.way === way} onChange={() => change({ ...place, way })} />
          <span>
            {title} <span class="hint">{hint}</span>
          </span>
        </label>
      ))}
      {place.way === "ipfs" ? (
        <div class="field inset">
          <label for="f-token">The operator's token</label>
          <input
            id="f-token"
            type="password"
            autocomplete="off"
            value={place.token}
            onInput={(event) => change({ ...place, token: event.currentTarget.value.trim() })}
          />
          <p class="hint">
            Storing is the operator's: on your own machine the token is in the file <code>token</code> of the data directory.
          </p>
          <label class="check">
            <input type="checkbox" checked={place.unpinned} onChange={(event) => change({ ...place, unpinned: event.currentTarget.checked })} />
            <span>
              Go on although this instance alone keeps it <span class="hint">The world may not be able to read it.</span>
            </span>
          </label>
          {place.stored ? <Note>{place.stored}</Note> : null}
        </div>
      ) : null}
      {place.way === "https" ? (
        <div class="field inset">
          <label for="f-url">Its address</label>
          <input
            id="f-url"
            type="url"
            required
            pattern="https://.+"
            placeholder="https://example.com/agent.json"
            value={place.url}
            onInput={(event) => change({ ...place, url: event.currentTarget.value.trim() })}
          />
          <p class="hint">
            Put the file there first: <Download text={text} name={nameOf(place.url)} />. To show that the domain is yours, put it at{" "}
            <code>/.well-known/agent-registration.json</code> too, with the agent's number once it has one.
          </p>
        </div>
      ) : null}
    </fieldset>
  );
}

const nameOf = (url: string) => url.split("/").pop()?.split("?")[0] || "agent.json";

export function Download({ text, name }: { text: string; name: string }) {
  const save = () => {
    const url = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    const link = document.createElement("a");
    link.href = url;
    link.download = name;
    link.click();
    URL.revokeObjectURL(url);
  };
  return (
    <button type="button" class="link" onClick={save}>
      save {name}
    </button>
  );
}

/** What an instance says of a file at its IPFS node. */
interface Pin {
  store: string;
  state: string;
  attempts: number;
  last_error: string | null;
}

/** A pin has so long, and between two looks it is this long: an address may ask 60 times in a minute. */
const PATIENCE = 60_000;
const PAUSE = 2_000;

const atNode = (pins: Pin[] | undefined) => pins?.find((pin) => pin.store === "kubo");

/** Waits until the node keeps it: nothing is paid before. An attempt that fails after `first` was said is enough. */
async function pinned(cid: string, first: Pin): Promise<void> {
  let pin: Pin | undefined = first;
  for (const end = Date.now() + PATIENCE; pin?.state !== "pinned"; ) {
    const why = pin?.last_error ? ` (${pin.last_error})` : "";
    if (pin !== undefined && pin.attempts > first.attempts) throw new Error(`The IPFS node here did not pin the file${why}. Nothing was paid.`);
    if (Date.now() >= end) throw new Error(`The IPFS node here has not pinned the file within a minute${why}. Nothing was paid.`);
    await new Promise((done) => setTimeout(done, PAUSE));
    try {
      pin = atNode((await get<{ pins: Pin[] }>(`/v1/ipfs/${cid}`)).pins);
    } catch (error) {
      // It may be starting again, or asks for patience.
      if (!(error instanceof Problem) || ![0, 429, 503, 504].includes(error.status)) throw error;
    }
  }
}

/** The URI that will stand on the chain; with `ipfs` the file is stored first, and kept by others than this instance. */
export async function uriOf(place: Place, text: string, checked: Checked | null, change: (place: Place) => void): Promise<string> {
  if (place.way === "https") return place.url;
  if (place.way === "data") {
    if (!checked?.data_uri) throw new Error("The file is too large for a URI: keep it on IPFS or on your web server.");
    return checked.data_uri;
  }
  const headers: Record<string, string> = { "content-type": "application/octet-stream" };
  if (place.token !== "") headers.authorization = `Bearer ${place.token}`;
  const response = await fetch("/v1/ipfs", { method: "POST", headers, body: text });
  if (response.status === 401 || response.status === 403) {
    throw new Error("This instance stores files for its operator alone: give its token, or keep the file on the chain or on your web server.");
  }
  const body = (await response.json()) as { cid?: string; detail?: string; pins?: Pin[] };
  if (!response.ok || !body.cid) throw new Problem(response.status, "", body.detail ?? "the file was not stored");
  const first = atNode(body.pins);
  if (!place.unpinned) {
    if (first === undefined) {
      throw new Error("Nobody but this instance would keep the file: it has no IPFS node. Say above to go on all the same, or keep the file elsewhere.");
    }
    await pinned(body.cid, first);
  }
  const isKept = !place.unpinned || first?.state === "pinned";
  const stored = isKept
    ? `Pinned by this instance's IPFS node; whoever reaches that reads it at ipfs://${body.cid}.`
    : "Stored in this instance alone, so the world may not be able to read it by its hash yet.";
  change({ ...place, stored });
  return `ipfs://${body.cid}`;
}
