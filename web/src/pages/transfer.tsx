// An agent's owner and its wallet: whose it is, and which account it uses.

import { useState } from "preact/hooks";
import { post, type Agent, type Chain } from "../api";
import { Consent, type Given } from "../parts/consent";
import { noSubmit, type Props } from "../parts/owning";
import { Say } from "../parts/say";
import { Sign } from "../parts/send";
import { Note, Owner } from "../parts/show";
import { useChain, useWallet } from "../wallet";
import { isAddress, sameAddress } from "../words";

/** No chain is named: the new owner's account has no code. */
const ANY = "any";

export function Transfer({ agent, chain, sync }: Props) {
  const [to, setTo] = useState("");
  const here = useChain();
  const [chosen, setChosen] = useState<string | null>(null);
  const home = chosen ?? String(here ?? "");
  const address = to.trim();
  const blocked = !isAddress(address)
    ? "Give the new owner's address."
    : sameAddress(address, agent.owner_address)
      ? "That is the owner already."
      : chain === null && home === ""
        ? "Say on which chain the new owner is."
        : null;
  const owner = () => (home === ANY ? "" : `eip155:${home}:`) + address;
  return (
    <form onSubmit={noSubmit}>
      <p>
        {chain === null
          ? "The agent goes to another owner, who speaks for it from then on beside its key. You cannot take it back."
          : "The token goes to another owner, who alone can change the agent from then on. You cannot take it back. The agent's wallet is unset with it, as the standard demands."}
      </p>
      <AddressField id="f-to" label="New owner" value={to} change={setTo} />
      {chain === null ? (
        <>
          <Home chains={sync.chains} here={here} home={home} change={setChosen} />
          <Say agent={agent} action="transfer" content={() => ({ owner: owner() })} label="Transfer" blocked={blocked} />
        </>
      ) : (
        <Sign chain={chain} label="Transfer" blocked={blocked} changed={address} wish={() => ({ kind: "transfer", agent: agent.id, to: address })} />
      )}
    </form>
  );
}

/** Where the new owner's account is: a contract of another chain may be somebody else's at the same address. */
function Home({ chains, here, home, change }: { chains: Chain[]; here: number | null; home: string; change: (home: string) => void }) {
  const known = chains.filter((one) => one.chain !== null && one.origin !== "replay");
  const others = [...new Set([String(here ?? ""), home])].filter((id) => /^\d+$/.test(id) && !known.some((one) => String(one.chain) === id));
  return (
    <div class="field">
      <label for="f-home">Chain of the new owner</label>
      <select id="f-home" required aria-describedby="f-home-hint" value={home} onChange={(event) => change(event.currentTarget.value)}>
        {home === "" ? <option value="">Choose…</option> : null}
        {known.map((one) => (
          <option key={one.chain} value={String(one.chain)}>
            {one.name} ({one.chain})
          </option>
        ))}
        {others.map((id) => (
          <option key={id} value={id}>
            Chain {id}, of which this office has no node
          </option>
        ))}
        <option value={ANY}>Any chain: an account without code</option>
      </select>
      <p class="hint" id="f-home-hint">
        A wallet that is a contract speaks for the agent from this chain alone. An account without code speaks for it whatever stands here.
      </p>
    </div>
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

export function SetWallet({ agent, chain }: Props) {
  if (chain === null) return <Note tone="warn">Only an agent with a token has a wallet.</Note>;
  return <WalletForm agent={agent} chain={chain} />;
}

function WalletForm({ agent, chain }: { agent: Agent; chain: Chain }) {
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
