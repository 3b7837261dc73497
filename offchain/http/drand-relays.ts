/**
 * Signatures of drand rounds from HTTP relays. A relay needs no trust: what it answers is the network's signature over
 * the round or is refused, and the next relay is asked.
 */
import * as Type from "@sinclair/typebox/type";
import { fromHex } from "../core/encoding/hex.ts";
import { InvalidInputError, TallystickError } from "../core/errors.ts";
import {
  checkDrandSignature,
  DRAND_SIGNATURE_BYTES,
  type DrandNetwork,
  drandRoundTime,
} from "../core/randomness/drand.ts";
import { parseAnswer } from "../core/wire/schema.ts";
import { parseJson } from "./bounded-body.ts";
import { HttpParty, type PartyOptions } from "./client.ts";

/** An answer has about 300 bytes. */
const MAXIMUM_ANSWER_BYTES = 4096;
const DEADLINE_SECONDS = 5;

/** What a relay answers to `GET /<chain hash>/public/<round>`. Other fields follow from the signature. */
const BeaconAnswer = Type.Object({
  round: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
  signature: Type.String({ pattern: `^[0-9a-f]{${2 * DRAND_SIGNATURE_BYTES}}$` }),
});

export interface DrandRelaysOptions extends PartyOptions {
  /** How long one relay may take; default 5 seconds. */
  readonly deadlineSeconds?: number;
  /** Unix seconds; the system's clock unless given. */
  readonly now?: () => number;
  /** Told of each relay that gave no valid signature, also when another one did. */
  readonly onFailure?: (relay: string, error: TallystickError) => void;
  /** Told of each relay that gave a valid signature. */
  readonly onSuccess?: (relay: string) => void;
}

/** Relays in order of preference. */
export class DrandRelays {
  readonly #relays: readonly HttpParty[];
  readonly #deadlineSeconds: number;
  readonly #now: () => number;
  readonly #options: DrandRelaysOptions;

  /** @param urls without the chain hash, for example `https://api.drand.sh`. @throws InvalidInputError for none */
  constructor(urls: readonly string[], options: DrandRelaysOptions = {}) {
    if (urls.length === 0) {
      throw new InvalidInputError("no drand relay is configured", {
        check: "drand relays",
        expected: "at least one URL",
      });
    }
    this.#relays = urls.map((url) => new HttpParty("drand relay", url, options));
    this.#options = options;
    this.#deadlineSeconds = options.deadlineSeconds ?? DEADLINE_SECONDS;
    this.#now = options.now ?? (() => Math.floor(Date.now() / 1000));
  }

  /**
   * The signature of a round from the first relay that has it.
   *
   * @returns the signature, verified, in the EIP-2537 form (128 bytes).
   * @throws TallystickError NOT_FOUND with a time to wait while the round is not published; UNREACHABLE when no relay
   *   gave a valid signature, with the error of each in `details.relays`.
   */
  async signatureOf(network: DrandNetwork, round: bigint, signal?: AbortSignal): Promise<Uint8Array> {
    const waitSeconds = Number(drandRoundTime(network, round)) - this.#now();
    if (waitSeconds > 0) throw notPublished(round, waitSeconds);
    const failures: TallystickError[] = [];
    for (const relay of this.#relays) {
      try {
        const signature = await this.#ask(relay, network, round, signal);
        this.#options.onSuccess?.(relay.name);
        return signature;
      } catch (error) {
        if (!(error instanceof TallystickError)) throw error;
        failures.push(error);
        this.#options.onFailure?.(relay.name, error);
      }
    }
    throw noRelay(round, failures);
  }

  async #ask(
    relay: HttpParty,
    network: DrandNetwork,
    round: bigint,
    signal: AbortSignal | undefined,
  ): Promise<Uint8Array> {
    const path = `/${network.chainHash}/public/${round}`;
    const options = { deadlineSeconds: this.#deadlineSeconds, retries: 0, signal };
    const body = await relay.bytes(path, MAXIMUM_ANSWER_BYTES, options);
    const beacon = parseAnswer(BeaconAnswer, parseJson(body, relay.name), relay.name);
    if (BigInt(beacon.round) !== round) {
      throw new TallystickError(`${relay.name} answered another round`, {
        code: "BAD_RESPONSE",
        party: relay.name,
        check: "number of the round",
        expected: String(round),
        received: String(beacon.round),
      });
    }
    return checkDrandSignature(network, round, fromHex(`0x${beacon.signature}`), relay.name);
  }
}

function notPublished(round: bigint, waitSeconds: number): TallystickError {
  return new TallystickError(`round ${round} of the drand network is not published yet`, {
    code: "NOT_FOUND",
    party: "drand",
    check: "time of the round",
    retryable: true,
    retryAfterSeconds: waitSeconds,
  });
}

function noRelay(round: bigint, failures: readonly TallystickError[]): TallystickError {
  return new TallystickError(`no drand relay gave a valid signature of round ${round}`, {
    code: "UNREACHABLE",
    party: "drand relays",
    check: "signature of the round",
    received: failures.map(({ message }) => message).join("; "),
    hint: "configure other relays of the network",
    details: { relays: failures.map(({ party, code, check, message }) => ({ party, code, check, message })) },
    cause: new AggregateError(failures),
  });
}
