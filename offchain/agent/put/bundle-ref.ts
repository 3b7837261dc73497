/** A bundle that its files can refer to. */
export interface BundleRef {
  readonly id: string;
  readonly key: Uint8Array;
  readonly bundleBytes: number;
}
