/**
 * The header of a block in the RLP form whose hash is the block's, from what `eth_getBlockByNumber` answers. Fields
 * that forks have added come after the nonce, in the order of the forks; a header has those up to some fork.
 */

import { encodeRlp, keccak256 } from "ethers";
import { fromHex } from "../core/encoding/hex.ts";
import { IntegrityError, TallystickError } from "../core/errors.ts";

type FieldForm = "integer" | "bytes" | { readonly sizeBytes: number };

const HASH = { sizeBytes: 32 } as const;

/** Fields in the order of the encoding, by their names in JSON-RPC. */
const FIELDS: readonly (readonly [name: string, form: FieldForm])[] = [
  ["parentHash", HASH],
  ["sha3Uncles", HASH],
  ["miner", { sizeBytes: 20 }],
  ["stateRoot", HASH],
  ["transactionsRoot", HASH],
  ["receiptsRoot", HASH],
  ["logsBloom", { sizeBytes: 256 }],
  ["difficulty", "integer"],
  ["number", "integer"],
  ["gasLimit", "integer"],
  ["gasUsed", "integer"],
  ["timestamp", "integer"],
  ["extraData", "bytes"],
  ["mixHash", HASH],
  ["nonce", { sizeBytes: 8 }],
];

/** What London (EIP-1559), Shanghai (4895), Cancun (4844, 4788), Prague (7685) and Amsterdam (7928, 7843) added. */
const FORK_FIELDS: typeof FIELDS = [
  ["baseFeePerGas", "integer"],
  ["withdrawalsRoot", HASH],
  ["blobGasUsed", "integer"],
  ["excessBlobGas", "integer"],
  ["parentBeaconBlockRoot", HASH],
  ["requestsHash", HASH],
  ["blockAccessListHash", HASH],
  ["slotNumber", "integer"],
];

/** What endpoints answer besides the header. */
const NOT_IN_HEADER: ReadonlySet<string> = new Set([
  "hash",
  "size",
  "totalDifficulty",
  "transactions",
  "uncles",
  "withdrawals",
]);

export interface BlockHeader {
  /** RLP encoding; its hash is that of the block. */
  readonly encoded: Uint8Array;
  readonly number: bigint;
  /** Unix time. */
  readonly timestamp: bigint;
}

/**
 * Encodes the header of a block.
 *
 * @param block the answer to `eth_getBlockByNumber`.
 * @throws TallystickError BAD_RESPONSE for an answer that is no block; UNKNOWN_VERSION, naming the fields, for a header
 *   of a later fork.
 * @throws IntegrityError when the encoding has another hash than the block.
 */
export function encodeBlockHeader(block: unknown): BlockHeader {
  const answer = blockFrom(block);
  const present = FORK_FIELDS.filter(([name]) => answer[name] !== undefined && answer[name] !== null);
  const items = [...FIELDS, ...present].map(([name, form]) => encodeField(answer, name, form));
  const encoded = fromHex(encodeRlp(items));
  const expected = textOf(answer, "hash").toLowerCase();
  const received = keccak256(encoded);
  if (received !== expected) throw otherHash(answer, expected, received);
  return { encoded, number: BigInt(textOf(answer, "number")), timestamp: BigInt(textOf(answer, "timestamp")) };
}

type Answer = Readonly<Record<string, unknown>>;

function blockFrom(block: unknown): Answer {
  if (typeof block === "object" && block !== null && !Array.isArray(block)) return block as Answer;
  throw malformed("the answer", "a block", typeof block);
}

function encodeField(answer: Answer, name: string, form: FieldForm): string {
  const text = textOf(answer, name);
  if (form === "integer") {
    if (!/^0x[0-9a-fA-F]{1,64}$/.test(text)) throw malformed(name, "an integer of at most 32 bytes", text);
    const digits = BigInt(text).toString(16);
    // RLP has no leading zeros, and zero is the empty string.
    return digits === "0" ? "0x" : `0x${digits.length % 2 === 0 ? "" : "0"}${digits}`;
  }
  const isBytes = /^0x(?:[0-9a-fA-F]{2})*$/.test(text);
  const sizeBytes = (text.length - "0x".length) / 2;
  if (!isBytes || (form !== "bytes" && sizeBytes !== form.sizeBytes)) {
    throw malformed(name, form === "bytes" ? "bytes" : `${form.sizeBytes} bytes`, text);
  }
  return text;
}

function textOf(answer: Answer, name: string): string {
  const value = answer[name];
  if (typeof value === "string") return value;
  throw malformed(name, "hexadecimal text", value === undefined ? "nothing" : typeof value);
}

function malformed(name: string, expected: string, received: string): TallystickError {
  return new TallystickError(`the chain's RPC endpoint answered a block that is wrong at ${name}`, {
    code: "BAD_RESPONSE",
    party: "chain",
    check: `block header: ${name}`,
    expected,
    received: received.slice(0, 128),
  });
}

/** Extensions of an endpoint look like fields of a later fork, so they matter only when the hash differs. */
function otherHash(answer: Answer, expected: string, received: string): TallystickError {
  const known = new Set([...FIELDS, ...FORK_FIELDS].map(([name]) => name));
  const unknown = Object.keys(answer).filter((name) => !known.has(name) && !NOT_IN_HEADER.has(name));
  if (unknown.length === 0) {
    return new IntegrityError("the header of the block does not have the block's hash", {
      party: "chain",
      check: "hash of the block header",
      expected,
      received,
      hint: "the endpoint answered a field wrongly; use another endpoint",
    });
  }
  return new TallystickError("the block header has fields that this build does not know", {
    code: "UNKNOWN_VERSION",
    party: "chain",
    check: "fields of the block header",
    expected: FORK_FIELDS.map(([name]) => name).join(", "),
    received: unknown.join(", ").slice(0, 256),
    hint: "the chain has had a fork since: update Tallystick",
  });
}
