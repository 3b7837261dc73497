/** What a run of tests came to, and how its output is shown. */

export interface Outcome {
  readonly passed: number;
  readonly failed: number;
}

/** Nothing having run counts as a failure: a wrong name must not look like success. */
export function sum(outcomes: readonly Outcome[]): Outcome {
  const passed = outcomes.reduce((total, outcome) => total + outcome.passed, 0);
  const failed = outcomes.reduce((total, outcome) => total + outcome.failed, 0);
  return { passed, failed: failed + (passed + failed === 0 ? 1 : 0) };
}

/** What tests print; held back while something else is printing. */
export class Output {
  #held: Buffer[] | undefined;

  constructor(held: boolean) {
    this.#held = held ? [] : undefined;
  }

  write(piece: Buffer): void {
    if (this.#held === undefined) process.stdout.write(piece);
    else this.#held.push(piece);
  }

  release(): void {
    for (const piece of this.#held ?? []) process.stdout.write(piece);
    this.#held = undefined;
  }
}
