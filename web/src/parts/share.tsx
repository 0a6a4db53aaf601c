// A link to an agent, as text and as a code for phones.

import { useMemo, useState } from "preact/hooks";
import { encode } from "uqr";
import type { Agent } from "../api";
import { placeOf, titleOf } from "../words";
import { Copy, Dialog, Note } from "./show";

const isHere = /^(localhost|127\.|\[::1\])/.test(location.hostname);

export function Share({ agent }: { agent: Agent }) {
  const [open, setOpen] = useState(false);
  const link = location.origin + placeOf(agent);
  return (
    <>
      <button type="button" aria-haspopup="dialog" onClick={() => setOpen(true)}>
        Share
      </button>
      <Dialog title={`Share ${titleOf(agent)}`} open={open} close={() => setOpen(false)}>
        <Qr text={link} what={`Code that leads to ${link}`} />
        <div class="copyline">
          <pre tabIndex={0} aria-label="Link">
            {link}
          </pre>
          <Copy text={link} what="the link" />
        </div>
        <div class="copyline">
          <pre tabIndex={0} aria-label="DID">
            {agent.did}
          </pre>
          <Copy text={agent.did} what="the DID" />
        </div>
        {isHere ? <Note tone="warn">This instance listens on this machine alone: the link works here. The DID works everywhere.</Note> : null}
      </Dialog>
    </>
  );
}

/** Black on white whatever the theme: readers need it so. */
function Qr({ text, what }: { text: string; what: string }) {
  const { size, path } = useMemo(() => {
    const code = encode(text, { ecc: "M", border: 2 });
    let path = "";
    code.data.forEach((row, y) =>
      row.forEach((dark, x) => {
        if (dark) path += `M${x} ${y}h1v1h-1z`;
      }),
    );
    return { size: code.size, path };
  }, [text]);
  return (
    <svg class="qr" viewBox={`0 0 ${size} ${size}`} role="img" aria-label={what} shape-rendering="crispEdges">
      <rect width={size} height={size} fill="#fff" />
      <path d={path} fill="#000" />
    </svg>
  );
}
