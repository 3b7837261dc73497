/** Where sealed objects come from. It returns only bytes whose hash matches the id. */
export interface ObjectSource {
  fetch(id: string, signal?: AbortSignal): Promise<Uint8Array>;
}
