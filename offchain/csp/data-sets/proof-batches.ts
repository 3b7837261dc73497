/**
 * Proofs that share a transaction. One that is made waits for the others that are being made, until as many as fit into
 * a transaction are there; and not for long, since one of the others may be slow.
 */

const WAIT_MILLISECONDS = 10_000;

interface Group<T> {
  /** Proofs that are being made. */
  expected: number;
  readonly waiting: { readonly proof: T; settle(sent: Promise<void>): void }[];
  timer: NodeJS.Timeout | undefined;
}

export class ProofBatches<T> {
  readonly #send: (batch: readonly T[]) => Promise<void>;
  readonly #limit: number;
  readonly #waitMilliseconds: number;
  readonly #groups = new Map<string, Group<T>>();

  /**
   * @param send resolves when what became of the proofs is recorded
   * @param limit most proofs in one transaction
   * @param waitMilliseconds how long a proof that is made waits for others
   */
  constructor(send: (batch: readonly T[]) => Promise<void>, limit: number, waitMilliseconds = WAIT_MILLISECONDS) {
    this.#waitMilliseconds = waitMilliseconds;
    this.#send = send;
    this.#limit = limit;
  }

  /**
   * Makes a proof, and sends it together with others of its group.
   * @param make gives undefined when there is nothing to send
   * @returns when the proof was sent; throws what `make` and `send` throw
   */
  async expect(make: () => Promise<T | undefined>, name: string): Promise<void> {
    const group = this.#groups.get(name) ?? { expected: 0, waiting: [], timer: undefined };
    this.#groups.set(name, group);
    group.expected++;
    let sent: Promise<void> | undefined;
    try {
      const proof = await make();
      if (proof !== undefined) sent = new Promise((settle) => group.waiting.push({ proof, settle }));
    } finally {
      group.expected--;
      if (group.expected === 0 || group.waiting.length >= this.#limit) this.#flush(name, group);
      else if (sent !== undefined) group.timer ??= setTimeout(() => this.#flush(name, group), this.#waitMilliseconds);
    }
    await sent;
  }

  #flush(name: string, group: Group<T>): void {
    clearTimeout(group.timer);
    group.timer = undefined;
    if (group.expected === 0) this.#groups.delete(name);
    for (;;) {
      const batch = group.waiting.splice(0, this.#limit);
      if (batch.length === 0) return;
      const sent = this.#send(batch.map(({ proof }) => proof));
      for (const { settle } of batch) settle(sent);
    }
  }
}
