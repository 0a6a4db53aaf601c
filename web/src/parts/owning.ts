// What is done with an agent by its owner.

import type { Agent, Chain, Sync } from "../api";

export interface Props {
  agent: Agent;
  /** Where its token lives; null of an agent without one, for whom its owner signs statements. */
  chain: Chain | null;
  /** How far this office is with all that it reads. */
  sync: Sync;
}

/** Forms here send nothing by themselves. */
export const noSubmit = (event: Event) => event.preventDefault();
