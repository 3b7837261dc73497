/** Where sealed objects come from. It returns only bytes whose hash matches the id. */
export interface ObjectSource {
  /** Stubs of the packages of the put that is read, one after the other. */
  readonly stubs?: Uint8Array | undefined;
  fetch(id: string, signal?: AbortSignal): Promise<Uint8Array>;
  /**
   * Fetches an object into memory that the receiver gives, and has the receiver hash it, so that this can be done on
   * another thread. Absent where objects are kept, or come verified.
   * @returns what the receiver made of bytes that have the id
   */
  receive?<Result extends Received>(id: string, receiver: Receiver<Result>, signal?: AbortSignal): Promise<Result>;
}

/** What was made of the bytes of an object. */
export interface Received {
  /** Content id of the bytes. Another one than was asked for: they are not the object, and nothing was made of them. */
  readonly id: string;
}

export interface Receiver<Result extends Received> {
  /** Memory for an object of the largest size. Default: of the source's choice. */
  readonly allocate?: (() => Uint8Array) | undefined;
  /** @param sealed given away */
  read(sealed: Uint8Array): Promise<Result>;
}
