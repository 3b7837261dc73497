/** The objects of a put with the stubs that open its packages. */
import type { ObjectSource } from "./object-source.ts";

/** @param stubs undefined for a put without packages, or whose stub file this account does not have */
export function withStubsOf(source: ObjectSource, stubs: Uint8Array | undefined): ObjectSource {
  if (stubs === undefined) return source;
  const stubbed: ObjectSource = { stubs, fetch: (id, signal) => source.fetch(id, signal) };
  const receive = source.receive?.bind(source);
  return receive === undefined ? stubbed : { ...stubbed, receive };
}
