"""Makes a world on a running instance by the means that everybody has, and tells hooks.py what is valid in it.

    seed.py URL NODE TOKEN OUT

URL is the office's, NODE its dev chain's, TOKEN the operator's. OUT gets `world.json`:
  tokens       what proves the operator and an owner
  sessions     further sessions of the owner, to be ended
  parameters   values by "METHOD /path name", else by name
  bodies       bodies by "METHOD /path"
"""

import base64
import hashlib
import json
import sys
import time
from datetime import datetime, timedelta, timezone

import requests
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
PATIENCE = 60
FILE = {
    "type": "https://eips.ethereum.org/EIPS/eip-8004#registration-v1",
    "name": "Ada",
    "description": "Files reports.",
    "image": "https://example.com/ada.png",
    "services": [{"name": "A2A", "endpoint": "https://example.com/a2a", "version": "0.3.0"}],
    "active": True,
}


class Key:
    """An agent's key."""

    def __init__(self, text):
        self.private = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(text.encode()).digest())
        number = int.from_bytes(b"\xed\x01" + self.private.public_key().public_bytes_raw(), "big")
        digits = ""
        while number:
            number, digit = divmod(number, 58)
            digits = ALPHABET[digit] + digits
        self.did = f"did:key:z{digits}"

    def sign(self, text):
        return "ed25519:" + base64.b64encode(self.private.sign(text.encode())).decode()


class World:
    def __init__(self, url, node, token):
        self.url, self.node = url, node
        self.operator = {"Authorization": f"Bearer {token}"}
        # Each time others: what was said once is not said again.
        self.salt = str(time.time_ns())
        self.accounts = self.rpc("eth_accounts")
        self.chain = int(self.rpc("eth_chainId"), 16)

    def ask(self, method, path, body=None, headers=None, data=None):
        response = requests.request(method, self.url + path, json=body, data=data, headers=headers, timeout=PATIENCE)
        assert response.ok, f"{method} {path}: {response.status_code} {response.text}"
        return response

    def post(self, path, body=None, headers=None):
        return self.ask("POST", path, body, headers).json()

    def get(self, path, headers=None):
        return self.ask("GET", path, headers=headers).json()

    def rpc(self, method, *params):
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = requests.post(self.node, json=body, timeout=PATIENCE).json()
        assert "result" in answer, f"{method}: {answer}"
        return answer["result"]

    def until(self, what, question):
        """Waits for what comes by itself."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            found = question()
            if found:
                return found
            time.sleep(0.2)
        raise AssertionError(f"{what} did not come within {PATIENCE} s")

    def register(self, owner, name):
        """Registers an agent on the chain; its transaction."""
        text = json.dumps({**FILE, "name": name})
        uri = "data:application/json;base64," + base64.b64encode(text.encode()).decode()
        wish = {"from": owner, "chain": self.chain, "action": {"kind": "register", "uri": uri}}
        unsigned = self.post("/v1/transactions/prepare", wish)["transaction"]
        return self.rpc("eth_sendTransaction", unsigned)

    def statement(self, action, agent, content, key):
        """A statement that its key signed."""
        wish = {"action": action, "agent": agent, "content": content}
        unsigned = self.post("/v1/statements/prepare", wish)
        signature = {"by": key.did, "signature": key.sign(unsigned["key_text"])}
        return {"statement": unsigned["statement"], "signatures": [signature]}

    def message(self, account):
        """A message of EIP-4361 that its account signed."""
        challenge = self.post("/v1/sessions/nonce")
        issued = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        text = (
            f"{challenge['domain']} wants you to sign in with your Ethereum account:\n{account}\n\n"
            f"{challenge['statement']}\n\nURI: {challenge['uri']}\nVersion: 1\nChain ID: {self.chain}\n"
            f"Nonce: {challenge['nonce']}\nIssued At: {issued}"
        )
        signature = self.rpc("personal_sign", "0x" + text.encode().hex(), account)
        return {"message": text, "signature": signature}


def beat(key, seconds):
    """A heartbeat so many seconds from now: it may be brought until a minute after."""
    at = (datetime.now(timezone.utc) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {"timestamp": at, "signature": key.sign(at)}


def make(world):
    tx = world.register(world.accounts[5], f"Ada {world.salt}")
    of_tx = f"/v1/transactions/{world.chain}/{tx}"
    founded = world.until("the agent on the chain", lambda: world.get(of_tx)["agents"])[0]["id"]
    token = world.until("its file", lambda: (lambda it: it["ipfs_metadata_hash"] and it)(world.get(f"/v1/agents/{founded}")))
    owner_text = token["owner_address"]
    short = f"{token['chain']}:{token['agent_id']}"

    key, second, third = (Key(f"{world.salt} {n}") for n in range(3))
    keyed = world.post("/v1/agents", world.statement("register", key.did, {"name": "Grace"}, key))["agent"]
    other = world.post("/v1/agents", world.statement("register", second.did, {"name": "Joan"}, second))["agent"]
    world.post(f"/v1/agents/{keyed}/heartbeat", beat(key, 0))
    status = {"status": "SLEEP", "reason": "night"}
    world.ask("PUT", f"/v1/agents/{token['id']}/status", status, world.operator)

    def session():
        return {"Authorization": "Bearer " + world.post("/v1/sessions", world.message(owner_text))["token"]}

    owner = session()
    sessions = [session() for _ in range(3)]
    made = {"name": "made", "scopes": ["watches:read"], "expires_in_seconds": 3600}

    def new_key(who):
        return world.post("/v1/keys", made, who)["key_id"]

    keys = {what: [new_key(who) for who in (owner, world.operator)] for what in ("read", "end", "turn")}
    for who in (owner, world.operator):
        for name in ("mine", "ending"):
            world.post("/v1/watches", {"target": token["id"], "name": name}, who)
            world.post("/v1/watches", {"target": owner_text, "name": name}, who)

    added = world.ask("POST", "/v1/ipfs", headers=world.operator, data=b"some bytes").json()["cid"]
    entry = world.until(
        "a sealed entry",
        lambda: [one for one in world.get(f"/v1/agents/{token['id']}/entries")["items"] if one["state"] != "queued"],
    )[0]["cid"]
    named = published(world, token["id"])
    wallet = world.accounts[6]
    head = int(world.rpc("eth_blockNumber"), 16)
    fee = {"gas": hex(21000), "maxFeePerGas": hex(10**10), "maxPriorityFeePerGas": hex(10**9)}
    payment = {"from": wallet, "to": wallet, "value": "0x0", "chainId": hex(world.chain), **fee}
    payment["nonce"] = world.rpc("eth_getTransactionCount", wallet, "latest")

    agents = [token["id"], keyed, token["did"], key.did, short]
    files = [added]
    return {
        "tokens": {"operator": world.operator["Authorization"], "owner": owner["Authorization"]},
        "sessions": [one["Authorization"] for one in sessions],
        "parameters": {
            "agent": agents,
            "GET /agents/{agent}/did.json agent": [token["id"], keyed],
            "GET /v1/agents/{agent}/statements agent": [keyed],
            "POST /v1/agents/{agent}/heartbeat agent": [key.did],
            "POST /v1/agents/{agent}/statements agent": [other],
            "GET /v1/agents/{agent}/metadata agent": [token["id"]],
            "GET /v1/agents/{agent}/proof agent": [token["id"]],
            "address": [owner_text],
            "owner": [owner_text],
            "chain": [world.chain],
            "tx": [tx],
            "did": [token["did"], key.did],
            "GET /1.0/identifiers/{did} did": [token["did"], key.did, key.did + "#" + key.did.split(":")[2], "did:btcr:x"],
            "cid": [entry],
            "GET /ipfs/{cid} cid": files,
            "GET /v1/ipfs/{cid} cid": [*files, entry],
            "GET /ipfs/{cid}/{path} cid": [named["cid"]],
            "GET /ipfs/{cid}/{path} path": named["paths"],
            "GET /ipns/{name} name": [named["name"]],
            "GET /ipns/{name}/{path} name": [named["name"]],
            "GET /ipns/{name}/{path} path": named["paths"],
            "GET /audit/tile/{path} path": ["0/000.p/1", "entries/000.p/1"],
            "key": keys["read"],
            "DELETE /v1/keys/{key} key": keys["end"],
            "POST /v1/keys/{key}/rotate key": keys["turn"],
            "DELETE /v1/watches/{name} name": ["ending"],
            "watch": ["mine"],
            "name": ["mine"],
            "dimension": ["liveness", "load"],
            "status": ["ACTIVE", "SLEEP"],
            "capability": ["service:A2A"],
            "q": ["Ada"],
            "kind": ["agent", "changed"],
            "column": ["runtime_status"],
            "window_type": ["minute", "hour"],
            "after": ["start", "newest", "now"],
        },
        "bodies": {
            "POST /v1/agents": [world.statement("register", third.did, {"name": "Mary"}, third)],
            "POST /v1/agents/{agent}/statements": [
                world.statement("update", other, {"summary": "Reads.", "ttl": 600}, second)
            ],
            "POST /v1/agents/{agent}/heartbeat": [beat(key, 50)],
            "POST /v1/heartbeats": [{"items": [{"agent": second.did, **beat(second, 50)}]}],
            "PUT /v1/agents/{agent}/status": [{"status": "ACTIVE"}, status],
            "PUT /v1/agents/{agent}/admin_status": [{"admin_status": "SUSPENDED", "reason": "x"}, {"admin_status": "ACTIVE"}],
            "PUT /v1/agents/{agent}/load": [{"load": "BUSY"}, {"load": "AVAILABLE", "reason": "done"}],
            "POST /v1/keys": [made],
            "POST /v1/keys/{key}/rotate": [{}, {"overlap_seconds": 60}],
            "POST /v1/registration-files/check": [{"text": json.dumps(FILE), "owner": owner_text, "chain": world.chain}],
            "POST /v1/sessions": [world.message(owner_text)],
            "POST /v1/statements/prepare": [
                {"action": "update", "agent": keyed, "content": {"summary": "x"}},
                {"action": "status", "agent": keyed, "content": {"status": "SLEEP"}, "account": f"eip155:{world.chain}:{owner_text}"},
            ],
            "POST /v1/sync/verify": [{"chain": world.chain, "from": head, "to": head}],
            "POST /v1/transactions": [{"chain": world.chain, "raw": world.rpc("eth_signTransaction", payment)}],
            "POST /v1/transactions/prepare": [
                {"from": wallet, "chain": world.chain, "action": {"kind": "register", "uri": None}},
                {"from": owner_text, "action": {"kind": "set_status", "agent": short, "status": "ACTIVE"}},
            ],
            "POST /v1/transactions/wallet-consent": [{"agent": short, "wallet": wallet}],
            "POST /v1/watches": [{"target": token["id"]}, {"target": owner_text, "name": "mine"}],
        },
    }


def published(world, agent):
    """What the office's name on IPFS stands for, once it has this agent."""
    path = f"dukenet/agents/{agent}/registration"

    def look():
        response = requests.get(f"{world.url}/ipns", timeout=PATIENCE)
        named = response.json()
        return response.ok and requests.get(f"{world.url}/ipfs/{named['root']}/{path}", timeout=PATIENCE).ok and named

    named = world.until("the agent's directory", look)
    return {"name": named["name"], "cid": named["root"], "paths": [path]}


if __name__ == "__main__":
    url, node, token, out = sys.argv[1:]
    with open(out, "w", encoding="utf-8") as file:
        json.dump(make(World(url, node, token)), file, indent=1)
