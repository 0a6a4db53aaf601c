// What is done with an agent by its owner.

import type { Agent, Chain } from "../api";

export interface Props {
  agent: Agent;
  /** Where its token lives; null of an agent without one, for whom its owner signs statements. */
  chain: Chain | null;
  /** All that this office reads. */
  chains: Chain[];
}

/** Forms here send nothing by themselves. */
export const noSubmit = (event: Event) => event.preventDefault();
