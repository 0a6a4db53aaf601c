import { createConfig } from "ponder";
import { http } from "viem";
import { abi } from "./abi";

export default createConfig({
  networks: {
    // By default it asks 50 times a second at most, and a block at a time: it would only wait.
    replay: { chainId: 987654, transport: http(process.env.RPC_URL), maxRequestsPerSecond: 500 },
  },
  contracts: {
    Registry: {
      abi,
      network: "replay",
      address: "0x8004a169fb4a3325136eb29fa0ceb6d2e539a432",
      startBlock: 0,
      endBlock: Number(process.env.END_BLOCK),
    },
  },
});
