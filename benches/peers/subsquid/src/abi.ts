import { event, indexed, keccak256 } from "@subsquid/evm-abi";
import * as p from "@subsquid/evm-codec";

const topic = (signature: string) => "0x" + keccak256(signature).toString("hex");

const define = <T extends Parameters<typeof event>[2]>(signature: string, args: T) =>
  event(topic(signature), signature, args);

export const Registered = define("Registered(uint256,string,address)", {
  agentId: indexed(p.uint256),
  agentURI: p.string,
  owner: indexed(p.address),
});
export const Transfer = define("Transfer(address,address,uint256)", {
  from: indexed(p.address),
  to: indexed(p.address),
  tokenId: indexed(p.uint256),
});
export const MetadataSet = define("MetadataSet(uint256,string,string,bytes)", {
  agentId: indexed(p.uint256),
  indexedMetadataKey: indexed(p.string),
  metadataKey: p.string,
  metadataValue: p.bytes,
});
export const UriUpdated = define("URIUpdated(uint256,string,address)", {
  agentId: indexed(p.uint256),
  newURI: p.string,
  updatedBy: indexed(p.address),
});
