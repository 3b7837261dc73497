/** What this node serves of its runs, all public: the signed messages that it has, the transcript of its outcome. */

import { type GenerationId, generationName } from "../../core/committee/key-id.ts";
import { toHex } from "../../core/encoding/hex.ts";
import { TallystickError } from "../../core/errors.ts";
import type { RunMessagesAnswer, RunMessagesRequest } from "../../core/wire/nbm.ts";
import type { GenerationCoordinator } from "./coordinator.ts";
import type { GenerationStore } from "./generation-store.ts";

/** The rest is for the next request. */
const MAXIMUM_ANSWER_BYTES = 192 * 1024;

export interface RunAnswersOptions {
  readonly store: GenerationStore;
  readonly coordinator: Pick<GenerationCoordinator, "transcriptOf">;
}

export class RunAnswers {
  readonly #options: RunAnswersOptions;

  constructor(options: RunAnswersOptions) {
    this.#options = options;
  }

  /** @throws TallystickError NOT_FOUND when this node takes no part in the generation */
  messages(id: GenerationId, { known }: RunMessagesRequest): RunMessagesAnswer {
    const { store, coordinator } = this.#options;
    const state = store.find(id);
    if (state === undefined) {
      throw new TallystickError(`this node takes no part in generation ${generationName(id)}`, {
        code: "NOT_FOUND",
        check: "committee and generation",
      });
    }
    const has = new Set(known);
    const messages: RunMessagesAnswer["messages"] = [];
    let bytes = 0;
    for (const message of store.messages(id)) {
      if (has.has(message.id)) continue;
      bytes += message.bytes.length;
      if (bytes > MAXIMUM_ANSWER_BYTES) break;
      const { kind, sender, signature } = message;
      messages.push({ kind, sender, message: toHex(message.bytes), signature });
    }
    const transcript = coordinator.transcriptOf(state);
    const { committeeId, generation } = id;
    return {
      committeeId: String(committeeId),
      generation,
      ...(transcript === undefined ? {} : { transcript }),
      messages,
    };
  }
}
