/** Events of the recovery policy: what the author of a secret must be told while it can still object. */

import { type Log, zeroPadValue } from "ethers";
import { recoveryAbi } from "./abis.ts";
import type { ChainReader } from "./deployment.ts";
import { chainLogs, type LogPlace, placeOf, type ScanOptions } from "./logs.ts";
import type { RecoveryPath, RecoveryRequest } from "./recovery-policy.ts";

/** What happened to the secrets of an author. Ids are 32 bytes, 0x hex; times are unix seconds. */
export type RecoveryEvent = LogPlace & { readonly author: string } & (
    | {
        readonly kind: "RecoveryRequested";
        readonly secretId: string;
        readonly requestId: string;
        readonly ledger: string;
        readonly recordId: string;
        readonly version: number;
        readonly request: RecoveryRequest;
        /** Until when approvals are collected. */
        readonly closesAt: number;
      }
    | {
        readonly kind: "RecoveryApproved";
        readonly requestId: string;
        readonly guardian: string;
        readonly approvals: number;
        readonly threshold: number;
      }
    | {
        readonly kind: "RecoveryScheduled";
        readonly secretId: string;
        readonly requestId: string;
        readonly requester: string;
        /** Until then the author can veto. */
        readonly releasableAt: number;
        readonly closesAt: number;
      }
    | {
        readonly kind: "RecoveryVetoed";
        readonly secretId: string;
        readonly requestId: string;
        readonly path: RecoveryPath;
        readonly proposer: string;
      }
    | {
        readonly kind: "VersionsRetired";
        readonly ledger: string;
        readonly recordId: string;
        readonly firstLiveVersion: number;
      }
    | {
        readonly kind: "SecretPublished";
        readonly ledger: string;
        readonly recordId: string;
        readonly version: number;
        readonly committeeId: bigint;
      }
    | {
        readonly kind: "RecoveryNamed";
        /** The wallet or guardian. */
        readonly named: string;
        readonly path: RecoveryPath;
        readonly ledger: string;
        readonly recordId: string;
        readonly version: number;
      }
  );

/** Events about the secrets of one author in a range of blocks, both ends included, in chain order. */
export async function* scanRecoveries(
  chain: ChainReader,
  author: string,
  fromBlock: number,
  toBlock: number,
  options: ScanOptions = {},
): AsyncIterable<RecoveryEvent> {
  const address = chain.deployment.contracts.recoveryPolicy;
  // The author is the first topic of every event.
  const filter = { address, topics: [null, zeroPadValue(author, 32)] };
  for await (const log of chainLogs(chain, filter, fromBlock, toBlock, options)) {
    const event = parseRecoveryLog(log);
    if (event !== undefined) yield event;
  }
}

/** A log of the recovery policy as an event; undefined when it is none of ours. */
export function parseRecoveryLog(log: Log): RecoveryEvent | undefined {
  const parsed = recoveryAbi().parseLog(log);
  if (parsed === null) return undefined;
  const text = (name: string): string => String(parsed.args.getValue(name));
  const number = (name: string): number => Number(text(name));
  const place = { ...placeOf(log), author: text("author") };
  switch (parsed.name) {
    case "RecoveryRequested": {
      const secret = parsed.args.getValue("secret") as { ledger: string; recordId: string; version: bigint };
      const {
        path,
        proposer,
        requester,
        sessionKey,
        number: count,
      } = parsed.args.getValue("request") as {
        path: bigint;
      } & Omit<RecoveryRequest, "path">;
      return {
        ...place,
        kind: parsed.name,
        secretId: text("secretId"),
        requestId: text("requestId"),
        ledger: secret.ledger,
        recordId: secret.recordId,
        version: Number(secret.version),
        request: { path: pathOf(path), proposer, requester, sessionKey, number: count },
        closesAt: number("closesAt"),
      };
    }
    case "RecoveryApproved":
      return {
        ...place,
        kind: parsed.name,
        requestId: text("requestId"),
        guardian: text("guardian"),
        approvals: number("approvals"),
        threshold: number("threshold"),
      };
    case "RecoveryScheduled":
      return {
        ...place,
        kind: parsed.name,
        secretId: text("secretId"),
        requestId: text("requestId"),
        requester: text("requester"),
        releasableAt: number("releasableAt"),
        closesAt: number("closesAt"),
      };
    case "RecoveryVetoed":
      return {
        ...place,
        kind: parsed.name,
        secretId: text("secretId"),
        requestId: text("requestId"),
        path: pathOf(BigInt(text("path"))),
        proposer: text("proposer"),
      };
    case "VersionsRetired":
      return {
        ...place,
        kind: parsed.name,
        ledger: text("ledger"),
        recordId: text("recordId"),
        firstLiveVersion: number("firstLiveVersion"),
      };
    case "SecretPublished":
      return {
        ...place,
        kind: parsed.name,
        ledger: text("ledger"),
        recordId: text("recordId"),
        version: number("version"),
        committeeId: BigInt(text("committeeId")),
      };
    case "RecoveryNamed":
      return {
        ...place,
        kind: parsed.name,
        named: text("named"),
        path: pathOf(BigInt(text("path"))),
        ledger: text("ledger"),
        recordId: text("recordId"),
        version: number("version"),
      };
    default:
      return undefined;
  }
}

function pathOf(number: bigint): RecoveryPath {
  return number === 0n ? "wallet" : "guardians";
}
