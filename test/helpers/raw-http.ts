/** HTTP as it is on the wire: requests that no client library would send, answers with how the connection ended. */

import { connect } from "node:net";

export interface RawAnswer {
  readonly status: number;
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string>>;
  /** As it came, with the marks of chunks if it has any. */
  readonly body: Buffer;
  /** Everything until the connection was closed. */
  readonly raw: string;
}

/** Sends text and reads until the server closes the connection. @throws Error when it takes too long */
export async function rawHttp(origin: string, text: string | Uint8Array, timeoutMs = 10_000): Promise<RawAnswer> {
  const { hostname, port } = new URL(origin);
  const pieces: Buffer[] = [];
  await new Promise<void>((resolve, reject) => {
    const socket = connect({ host: hostname.replace(/^\[|\]$/g, ""), port: Number(port) }, () => socket.write(text));
    socket.setTimeout(timeoutMs, () => {
      socket.destroy();
      reject(new Error(`no end of the answer: ${Buffer.concat(pieces).toString().slice(0, 500)}`));
    });
    socket.on("data", (piece: Buffer) => pieces.push(piece));
    socket.on("close", () => resolve());
    socket.on("error", () => resolve());
  });
  const all = Buffer.concat(pieces);
  const split = all.indexOf("\r\n\r\n");
  const [first = "", ...lines] = all.subarray(0, split).toString("latin1").split("\r\n");
  const headers = lines.map((line): [string, string] => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
  });
  return {
    status: Number(first.split(" ")[1]),
    headers: Object.fromEntries(headers),
    body: all.subarray(split + 4),
    raw: all.toString("latin1"),
  };
}
