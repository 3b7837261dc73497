/**
 * Evidence against key nodes, one file for each node in the home folder: no more than the members of committees.
 */

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import {
  type AnswerEvidence,
  MAXIMUM_EVIDENCE_CHARACTERS,
  parseAnswerEvidence,
} from "../../core/oprf/signed-answer.ts";
import { asDiskError, systemErrorCode } from "../../store/disk/disk-errors.ts";
import { replaceDurably } from "../../store/disk/durable-file.ts";
import { makeFolders } from "../../store/disk/make-folders.ts";
import type { WrongAnswerStore } from "../keys/wrong-answer-store.ts";
import { readEvidence } from "./evidence-file.ts";

const FOLDER = "wrong-answers";
const NAME = /^(0x[0-9a-f]{40})\.json$/;

export class WrongAnswerFiles implements WrongAnswerStore {
  readonly #folder: string;

  /** @param homeDir its folder is made when it is needed */
  constructor(homeDir: string) {
    this.#folder = join(homeDir, FOLDER);
  }

  keep(operator: string, evidence: string): string {
    const file = this.#fileOf(operator);
    return onDisk(file, () => {
      makeFolders(this.#folder, 0o700);
      replaceDurably(file, evidence);
      return file;
    });
  }

  read(operator: string): string | undefined {
    const file = this.#fileOf(operator);
    return ifPresent(file, () => readFileSync(file, "utf8"));
  }

  operators(): string[] {
    const names = ifPresent(this.#folder, () => readdirSync(this.#folder)) ?? [];
    return names.flatMap((name) => NAME.exec(name)?.[1] ?? []).sort();
  }

  #fileOf(operator: string): string {
    return join(this.#folder, `${operator.toLowerCase()}.json`);
  }
}

/** Evidence in a file that a person names. @throws FileUnreadableError; InvalidInputError when it is none */
export async function readAnswerEvidence(file: string): Promise<AnswerEvidence> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const piece of readEvidence(file)) {
    text += decoder.decode(piece, { stream: true });
    // What is longer is refused as a whole; there is no need to read it.
    if (text.length > MAXIMUM_EVIDENCE_CHARACTERS) break;
  }
  return parseAnswerEvidence(text);
}

function onDisk<Result>(what: string, call: () => Result): Result {
  try {
    return call();
  } catch (cause) {
    throw asDiskError(cause, `evidence ${what}`);
  }
}

function ifPresent<Result>(what: string, call: () => Result): Result | undefined {
  try {
    return call();
  } catch (cause) {
    if (systemErrorCode(cause) === "ENOENT") return undefined;
    throw asDiskError(cause, `evidence ${what}`);
  }
}
