// Watching from where one looks.

import { useState } from "preact/hooks";
import { post } from "../api";
import { go } from "../route";
import { useSession } from "../session";

/** Adds a target to the caller's watch; who is not signed in is led to where he can. */
export function WatchButton({ target }: { target: string }) {
  const who = useSession();
  const [said, say] = useState<string | null>(null);
  const watch = async () => {
    if (who === null || who.kind === "anonymous") {
      go("/watches");
      return;
    }
    try {
      await post("/v1/watches", { target, name: "mine" });
      say("Watched");
    } catch (error) {
      say((error as Error).message);
    }
  };
  return (
    <button type="button" onClick={() => void watch()} disabled={said === "Watched"}>
      <span aria-live="polite">{said ?? "Watch"}</span>
    </button>
  );
}
