/** Where an agent keeps evidence against key nodes. */

/** Keeps evidence, one piece for each node: the latest replaces the one before, since one takes the whole stake. */
export interface WrongAnswerStore {
  /** Durable when it returns. @returns where it is, for people @throws DiskFullError, DiskFailedError */
  keep(operator: string, evidence: string): string;
  /** @returns the evidence kept of a node; undefined without any @throws DiskFailedError */
  read(operator: string): string | undefined;
  /** The nodes of which evidence is kept. @throws DiskFailedError */
  operators(): string[];
}
