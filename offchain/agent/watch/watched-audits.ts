/**
 * Private audits of a set that is watched. A provider that cannot be reached, or asks for patience, is given time, but
 * not for ever: one that lost the data could go on like that.
 */

import type { OpenedDataSet } from "../../chain/data-set-words.ts";
import { TallystickError } from "../../core/errors.ts";
import type { AgentContext } from "../context.ts";
import { auditDataSet, isOfProvider, isRefuted } from "../data-sets/audit.ts";
import type { DataSetOnChain } from "../data-sets/following.ts";
import type { RepeatedFailures } from "./repeated-failures.ts";
import type { WatchEvent } from "./watch-events.ts";

/** Audits in a row without a proof, whatever the excuse, that are an alarm. */
const MOST_UNPROVEN = 3;

export class WatchedAudits {
  readonly #context: AgentContext;
  readonly #failures: RepeatedFailures;
  #isIntact: boolean | undefined;
  /** Audits in a row in which the provider gave no proof. One that the chain has prevented is none. */
  #unproven = 0;

  constructor(context: AgentContext, failures: RepeatedFailures) {
    this.#context = context;
    this.#failures = failures;
  }

  /** @returns what to tell: an outcome that is another one than before, and each that fails */
  async audit(opened: OpenedDataSet, onChain: DataSetOnChain): Promise<WatchEvent[]> {
    const { clock } = this.#context.platform;
    const what = `audit of data set ${opened.id}`;
    const { provider } = opened.terms;
    const keeper = () => this.#context.providers().byAccount(provider);
    const common = () => ({ at: Math.floor(clock.now() / 1000), dataSet: opened.id, provider });
    try {
      const { sampleCount, slices } = await auditDataSet(this.#context, opened, onChain, keeper);
      const message = `${sampleCount} draws from ${slices} slices verified`;
      const again = this.#failures.worked(what, clock.now());
      const isNew = this.#isIntact !== true;
      this.#isIntact = true;
      this.#unproven = 0;
      return [
        ...(isNew ? [{ ...common(), kind: "audit", severity: "info", message } as const] : []),
        ...(again === undefined ? [] : [again]),
      ];
    } catch (error) {
      if (!(error instanceof TallystickError)) throw error;
      if (isOfProvider(error)) this.#unproven += 1;
      const isRow = isOfProvider(error) && this.#unproven >= MOST_UNPROVEN;
      if (!isRefuted(error) && !isRow) {
        const told = this.#failures.failed(what, error, clock.now());
        return told === undefined ? [] : [told];
      }
      this.#isIntact = false;
      const { code, hint } = error;
      const message = isRow ? `${error.message} (${this.#unproven} audits without a proof)` : error.message;
      const facts = { code, message, ...(hint === undefined ? {} : { hint }) };
      return [{ ...common(), kind: "audit-failed", severity: "alarm", ...facts }];
    }
  }
}
