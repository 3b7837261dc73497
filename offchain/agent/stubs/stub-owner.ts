/** Whose stub files are read and written, and what is in one. */

/** What a stub file is sealed with beside its epoch. */
export interface StubOwner {
  /** Of the account in its deployment; see `stubIdentityKey` in owner-stubs.ts. */
  readonly identityKey: Uint8Array;
  readonly fileKey: Uint8Array;
  readonly dataId: string;
}

/** A stub file as a provider has it. */
export interface OpenedStubs {
  readonly epoch: number;
  /** One after the other. */
  readonly stubs: Uint8Array;
}
