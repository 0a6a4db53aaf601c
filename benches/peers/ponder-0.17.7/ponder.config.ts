import { createConfig } from "ponder";
import { abi } from "./abi";

export default createConfig({
  chains: {
    // This version finds out by itself how often it may ask, beginning with 20 times a second.
    replay: { id: 987654, rpc: process.env.RPC_URL },
  },
  contracts: {
    Registry: {
      abi,
      chain: "replay",
      address: "0x8004a169fb4a3325136eb29fa0ceb6d2e539a432",
      startBlock: 0,
      endBlock: Number(process.env.END_BLOCK),
    },
  },
});
